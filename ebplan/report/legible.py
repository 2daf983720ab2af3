"""What a terminal can show: plain ASCII where it takes nothing else, no characters that move it."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

HEAD_RULE = box.Box(str(box.SIMPLE_HEAD), ascii=True)
"""A rule under the header; claims to be ASCII, because ``Legible`` sees to that."""
_TO_ASCII = str.maketrans("▁▂▃▄▅▆▇█━╸╵─·→…≤≥–—×", ".:-=+*#@=-|-->.~~--x")
"""One character for one, so that what was aligned stays aligned."""


@dataclass(frozen=True)
class Legible:
    """Renders as it is, or in plain ASCII where the output takes nothing else."""

    inner: RenderableType
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options.update_width(self.width)):
            if options.ascii_only and not segment.control:
                yield Segment(_ascii(segment.text), segment.style)
            else:
                yield segment


def _ascii(text: str) -> str:
    """Return text of the same width in ASCII."""
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text.translate(_TO_ASCII))


def given(text: str) -> str:
    """Return text from a document without characters that could move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def spaced(name: str) -> str:
    """Return a name from a document as words."""
    return given(name).replace("_", " ")


def titled(title: str, part: RenderableType) -> RenderableType:
    """Put a title over a part."""
    return Group(Text(title, style="bold"), part)
