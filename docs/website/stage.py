"""Put the pages together below one folder, as mkdocs wants them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from docs.website.formulas import copy_font
from docs.website.notebooks import write_notebooks
from docs.website.places import HOMES, ROOT, lists_apart, place, relink
from docs.website.reference import write_reference
from docs.website.repository import write_page

ROOT_PAGES = ("README.md", "README.ja.md", "CHANGELOG.md")
ASSETS = ("site.css",)


def stage(into: Path, *, outputs: bool = True) -> None:
    """Write every page and figure of the site below ``into``, a folder that is made anew.

    Args:
        into: the folder.
        outputs: run the notebooks, so that their pages show what comes out.

    Raises:
        DeadLinkError: a page leads to a file that is not there.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    waiting = [name for name in ROOT_PAGES if (ROOT / name).exists()]
    waiting += [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/**/*.md"))]
    seen = set(waiting)

    def wanted(target: str) -> None:
        if target not in seen and target not in HOMES:
            seen.add(target)
            waiting.append(target)

    while waiting:
        _put(waiting.pop(), into, wanted)
    _decisions(into)
    write_reference(into / "reference")
    write_notebooks(into / "notebooks", outputs=outputs)
    copy_font(into / "assets")
    for name in ASSETS:
        shutil.copy(Path(__file__).parent / name, into / "assets" / name)


def _put(target: str, into: Path, wanted: Callable[[str], None]) -> None:
    path, there = ROOT / target, into / place(target)
    there.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".md":
        there.write_text(lists_apart(relink(path.read_text("utf-8"), target, wanted)), "utf-8")
    elif target.startswith("docs/") and path.is_file():
        shutil.copy(path, there)
    else:
        write_page(target, into)


def _decisions(into: Path) -> None:
    """Write the list of decision notes."""
    lines = ["# Decisions", "", "Why it is as it is: what, why, what was turned down.", ""]
    for page in sorted((into / "decisions").glob("[0-9]*.md")):
        title = page.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})")
    (into / "decisions" / "index.md").write_text("\n".join(lines) + "\n", "utf-8")
