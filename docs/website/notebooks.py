"""Notebooks as pages: what is said, what is run, and what that prints and draws."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from docs.website.places import ROOT

HEAD = """# Notebooks

In `docs/notebooks`, run from top to bottom by a test, kept without outputs: open one with Jupyter
(`pip install 'ebplan[all]' jupyterlab`) and change what you like. Below is what stands in them, and
what they printed and drew when these pages were made.
"""
LONGEST_S = 300
"""A cell may take so long, on a machine that has other work."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs, run in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=LONGEST_S,
            resources={"metadata": {"path": folder}},
            startup_timeout=LONGEST_S,
        )
        client.execute(env=os.environ | {"PYTHONPATH": paths})
    return notebook


def notebook_page(notebook: nbformat.NotebookNode, path: Path, into: Path) -> str:
    """Return a notebook as Markdown, and write its figures below ``into``.

    Args:
        notebook: what it says and, where it was run, what came out.
        path: where it is kept.
        into: folder of the page.
    """
    cells = [f"`docs/notebooks/{path.name}`"]
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            cells.append(cell.source)
            continue
        cells.append(f"```python\n{cell.source}\n```")
        stem = f"{path.stem}-{number}"
        cells += _outputs(cell.get("outputs", ()), into, stem)
    first, title, *rest = cells
    return "\n\n".join([title, first, *rest]) + "\n"


def _outputs(outputs: list[nbformat.NotebookNode], into: Path, stem: str) -> Iterator[str]:
    """Yield what came out of a cell: what it printed, then each figure or value."""
    printed = "".join(one.text for one in outputs if one.get("name") == "stdout")
    if printed.strip():
        yield f"```text\n{COLOUR.sub('', printed).rstrip()}\n```"
    for n, one in enumerate(outputs):
        data = one.get("data", {})
        if "image/png" in data:
            figure = f"{stem}-{n}.png"
            (into / figure).write_bytes(base64.b64decode(data["image/png"]))
            yield f"![What the cell above draws]({figure})"
        elif one.output_type == "execute_result":
            yield f"```text\n{data['text/plain']}\n```"


def write_notebooks(into: Path, *, outputs: bool = True) -> None:
    """Write a page for each notebook, and the list of them, below ``into``.

    Args:
        into: the folder.
        outputs: run them, and show what comes out.
    """
    into.mkdir(parents=True, exist_ok=True)
    entries = []
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        notebook = run(path) if outputs else nbformat.read(path, as_version=4)
        page = notebook_page(notebook, path, into)
        (into / f"{path.stem}.md").write_text(page, "utf-8")
        title = page.partition("\n")[0].removeprefix("# ")
        entries.append(f"- [{title}]({path.stem}.md)")
    (into / "index.md").write_text("\n".join([HEAD, *entries]) + "\n", "utf-8")
