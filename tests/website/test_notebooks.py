"""The notebooks run from top to bottom in an empty folder, and are kept without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def read(path: Path) -> object:
    nbformat = pytest.importorskip("nbformat", reason="pip install 'ebplan[docs]'")
    return nbformat.read(path, as_version=4)


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in read(path).cells:  # type: ignore[attr-defined]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_page_shows_what_comes_out(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="pip install 'ebplan[docs]'")
    from docs.website.notebooks import notebook_page, run

    page = notebook_page(run(path), path, tmp_path)
    figures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert figures
    for figure in figures:
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    assert "\n```text\n" in page
    assert "Traceback" not in page
