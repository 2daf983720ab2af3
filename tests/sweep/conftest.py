"""One sweep that is run once, for all that compare with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sweep_cases import run, write_sweep


@dataclass(frozen=True)
class Done:
    """A finished sweep."""

    sweep: Path
    output: Path
    outcome: dict[str, Any]

    @property
    def sha256(self) -> str:
        return str(self.outcome["result_sha256"])


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("sweep")
    sweep = write_sweep(folder)
    return Done(sweep, folder / "out", run(sweep, folder / "out", "--jobs", "2"))
