"""The lines of a segment, one after the other, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ebplan.audit.line import Record, read_line
from ebplan.audit.tree import leaf_hash

LONGEST_BYTES = 2**20
"""No record is longer: what is, is read in pieces of this."""


class Line(NamedTuple):
    """One line."""

    number: int
    """From 1."""
    raw: bytes
    """Without its break."""
    record: Record | None
    """What it says; None where it is no record, byte for byte."""
    leaf: bytes
    """Its hash in the tree."""


def walk(path: Path) -> Iterator[Line]:
    """Return the lines of a file; a piece without a break at its end is no record."""
    with path.open("rb") as stream:
        for number, raw in enumerate(iter(partial(stream.readline, LONGEST_BYTES), b""), 1):
            line = raw.removesuffix(b"\n")
            record = read_line(line) if len(line) < len(raw) else None
            yield Line(number, line, record, leaf_hash(line))
