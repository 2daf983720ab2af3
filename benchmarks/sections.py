"""Pages that several benchmarks write, each its own section."""

from __future__ import annotations

import re
from pathlib import Path

from ebplan.document import write_atomically


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section into a page, in place of what that section held; a new one goes to the end.

    Args:
        path: the page; made if absent.
        name: of the section, as its marks in the page say it.
        text: Markdown.
    """
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{first}\n\n{text.strip()}\n\n{last}"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    pattern = re.compile(re.escape(first) + ".*?" + re.escape(last), re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n".lstrip()
    write_atomically(path, page.encode())
