"""Where each file of the repository stands on the site, and links rewritten to that."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOMES = {
    "README.md": "index.md",
    "README.ja.md": "ja.md",
    "CHANGELOG.md": "changelog.md",
    "docs/models": "models/README.md",
    "docs/decisions": "decisions/index.md",
    "docs/notebooks": "notebooks/index.md",
    "docs/tutorials": "tutorials/index.md",
}
"""Files and folders of the repository with a place of their own."""
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *(```|~~~)")


class DeadLinkError(Exception):
    """A page leads to a file that is not there."""


def place(target: str) -> str:
    """Return the place on the site of a file or folder, both as paths with ``/``.

    What stands outside ``docs/`` becomes a page below ``source/`` that shows the file.
    """
    if target in HOMES:
        return HOMES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if (ROOT / target / "README.md").exists():
        return f"source/{target}/README.md"
    if (ROOT / target).is_dir():
        return f"source/{target}/index.md"
    return f"source/{target}" if target.endswith(".md") else f"source/{target}.md"


def outside_fences(text: str) -> Iterator[tuple[bool, str]]:
    """Yield each line of a page, with whether it is prose (and not inside a code fence)."""
    inside = False
    for line in text.splitlines(keepends=True):
        fence = FENCE.match(line) is not None
        yield not (inside or fence), line
        inside ^= fence


def relink(text: str, origin: str, wanted: Callable[[str], None]) -> str:
    """Return a page with its links into the repository turned into links on the site.

    Args:
        text: the page, as it stands in the repository.
        origin: its path there.
        wanted: told each target, a path in the repository.

    Raises:
        DeadLinkError: a link leads nowhere.
    """
    here = posixpath.dirname(place(origin))

    def moved(match: re.Match[str]) -> str:
        link, mark, anchor = match[1].partition("#")
        if "://" in link or not link or link.startswith("mailto:"):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
        if not (ROOT / target).exists():
            raise DeadLinkError(f"{origin} leads to {link}, which is not there")
        own = f"{target}/README.md"
        wanted(own if target not in HOMES and (ROOT / own).exists() else target)
        return f"]({posixpath.relpath(place(target), here or '.')}{mark}{anchor})"

    return "".join(LINK.sub(moved, line) if prose else line for prose, line in outside_fences(text))


def lists_apart(text: str) -> str:
    """Return a page with an empty line before each list, without which Markdown sees none."""
    lines: list[str] = []
    before = ""
    for prose, line in outside_fences(text):
        item = re.match(r"([-*]|\d+\.) ", line)
        if prose and item and before.strip() and not re.match(r"([-*]|\d+\.) |\s", before):
            lines.append("\n")
        lines.append(line)
        before = line
    return "".join(lines)
