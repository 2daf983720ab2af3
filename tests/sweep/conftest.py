"""One sweep that is run once, for all that compare with it."""

from __future__ import annotations

import pytest
from sweep_cases import Done, run, write_sweep


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("sweep")
    sweep = write_sweep(folder)
    return Done(sweep, folder / "out", run(sweep, folder / "out", "--jobs", "2"))
