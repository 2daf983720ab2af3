"""Eight GPUs in a file that the real Python binding reads through a stand-in library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebplan.twin.wire.nvml_stub import StubGpus, build, can_build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not can_build():
        pytest.skip("gcc is not installed: make test-adapters")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def stub(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubGpus]:
    import pynvml

    monkeypatch.setenv("EBPLAN_NVML_STUB", "")
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    gpus = StubGpus.create(tmp_path / "gpus", count=8)
    gpus.install(library)
    # the binding remembers the functions of the library that it loaded first
    pynvml._nvmlGetFunctionPointer_cache.clear()
    yield gpus
    gpus.close()
