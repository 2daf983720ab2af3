"""What lies in the folder of a log.

    000000000000.jsonl          the records from number 0 on
    000000000000.checkpoints    what was signed while they were written
    000000204800.jsonl          the next segment, from that record on
    documents/<sha-256>         plans, models and events that records name by their hash
    torn/                       what power loss left half written, set aside when it was found
    stamps/<size>.tsr           time stamps of checkpoints (RFC 3161), where somebody asked for them

Segments but the last may be moved elsewhere: each begins with the roots of the complete subtrees
before it, and a checkpoint of just that size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ebplan.audit import note
from ebplan.errors import InputError

SEGMENT = re.compile(r"(\d{12})\.jsonl")


@dataclass(frozen=True)
class Segment:
    """A file of records and its checkpoints."""

    first: int
    """Number of its first record."""
    path: Path
    """The records."""

    @property
    def checkpoints(self) -> Path:
        """What was signed."""
        return self.path.with_suffix(".checkpoints")

    def notes(self) -> Iterator[tuple[int, note.Checkpoint | None]]:
        """Return its checkpoints, each with the number of its first line; None for what is none."""
        if self.checkpoints.exists():
            text = self.checkpoints.read_bytes().decode("utf-8", errors="replace")
            for number, found in note.split(text):
                yield number, note.parse(found)


def segment_at(folder: Path, first: int) -> Segment:
    """Return the segment that begins with a record, whether it exists or not."""
    return Segment(first, folder / f"{first:012d}.jsonl")


def segments(folder: Path) -> list[Segment]:
    """Return the segments, in order.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(
            field="(folder)",
            value=error.strerror,
            allowed="the folder of a log",
            remedy="check the path",
            file=str(folder),
        ) from None
    found = [match for name in names if (match := SEGMENT.fullmatch(name))]
    return [segment_at(folder, int(match[1])) for match in found]


def last_checkpoint(folder: Path) -> note.Checkpoint:
    """Return the newest checkpoint of a log.

    Raises:
        InputError: there is none.
    """
    for segment in reversed(segments(folder)):
        found = [checkpoint for _, checkpoint in segment.notes() if checkpoint is not None]
        if found:
            return found[-1]
    raise InputError(
        field="(folder)",
        value="no checkpoint",
        allowed="the folder of a log that was signed for",
        remedy="check the path",
        file=str(folder),
    )


def document_path(folder: Path, digest: str) -> Path:
    """Return where a document with this SHA-256 (hex) lies."""
    return folder / "documents" / digest
