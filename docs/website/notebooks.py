"""Notebooks as pages: what is said and what is run, without what it prints."""

from __future__ import annotations

from pathlib import Path

import nbformat

from docs.website.places import ROOT

HEAD = """# Notebooks

In `docs/notebooks`, run from top to bottom by a test, kept without outputs: open one with Jupyter
(`pip install 'ebplan[all]' jupyterlab`) and change what you like. Below is what stands in them.
"""


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = [f"`docs/notebooks/{path.name}`"]
    for cell in nbformat.read(path, as_version=4).cells:
        code = cell.cell_type == "code"
        cells.append(f"```python\n{cell.source}\n```" if code else cell.source)
    first, title, *rest = cells
    return "\n\n".join([title, first, *rest]) + "\n"


def write_notebooks(into: Path) -> None:
    """Write a page for each notebook, and the list of them, below ``into``."""
    into.mkdir(parents=True, exist_ok=True)
    entries = []
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        page = notebook_page(path)
        (into / f"{path.stem}.md").write_text(page, "utf-8")
        title = page.partition("\n")[0].removeprefix("# ")
        entries.append(f"- [{title}]({path.stem}.md)")
    (into / "index.md").write_text("\n".join([HEAD, *entries]) + "\n", "utf-8")
