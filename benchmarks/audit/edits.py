"""Single edits of a log, as somebody would make them who has the files and not the key."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ebplan.audit import SigningKey, note
from ebplan.audit.line import canonical, line_of, read_line
from ebplan.audit.tree import Tree, leaf_hash

STRANGER = SigningKey("site-1", bytes(32))
"""A key that nobody named."""


@dataclass(frozen=True)
class Edit:
    """What was done, and where."""

    how: str
    """Its name."""
    path: Path
    """The file."""
    line: int
    """The first line that is another, from 1."""
    before: bytes
    """What the file held."""

    def undo(self) -> None:
        """Make the file what it was."""
        self.path.write_bytes(self.before)


Changed = tuple[bytes, int]
"""What a file holds after an edit, and the first line that is another."""


def edit(folder: Path, rng: random.Random) -> Edit:
    """Make one random edit that really changes a file of the log."""
    while True:
        how = rng.choice(sorted(HOW))
        wanted = "*.checkpoints" if how in OF_CHECKPOINTS else "*.jsonl"
        if how in OF_BYTES:
            wanted = rng.choice(("*.jsonl", "*.jsonl", "*.checkpoints", "documents/*"))
        path = rng.choice(sorted(folder.glob(wanted)))
        before = path.read_bytes()
        after, line = HOW[how](before, rng)
        if after != before:
            path.write_bytes(after)
            return Edit(how, path, line, before)


def _byte_replaced(raw: bytes, rng: random.Random) -> Changed:
    at = rng.randrange(len(raw))
    return raw[:at] + rng.randbytes(1) + raw[at + 1 :], _line(raw, at)


def _byte_inserted(raw: bytes, rng: random.Random) -> Changed:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.randbytes(1) + raw[at:], _line(raw, at)


def _byte_removed(raw: bytes, rng: random.Random) -> Changed:
    at = rng.randrange(len(raw))
    return raw[:at] + raw[at + 1 :], _line(raw, at)


def _digit_changed(raw: bytes, rng: random.Random) -> Changed:
    at = rng.choice([n for n, byte in enumerate(raw) if byte in b"0123456789"])
    return raw[:at] + rng.choice("0123456789").encode() + raw[at + 1 :], _line(raw, at)


def _line_removed(raw: bytes, rng: random.Random) -> Changed:
    lines = raw.splitlines(True)
    at = rng.randrange(len(lines))
    return b"".join(lines[:at] + lines[at + 1 :]), at + 1


def _line_repeated(raw: bytes, rng: random.Random) -> Changed:
    lines = raw.splitlines(True)
    at = rng.randrange(len(lines))
    return b"".join(lines[: at + 1] + lines[at:]), at + 2


def _lines_exchanged(raw: bytes, rng: random.Random) -> Changed:
    lines = raw.splitlines(True)
    one, other = sorted(rng.sample(range(len(lines)), 2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines), one + 1


def _cut_off(raw: bytes, rng: random.Random) -> Changed:
    lines = raw.splitlines(True)
    at = rng.randrange(len(lines))
    return b"".join(lines[:at]), at


def _chained_again(raw: bytes, rng: random.Random) -> Changed:
    """Change a record and every ``prev`` after it, so that the chain is whole."""
    lines = raw.splitlines()
    at = rng.randrange(1, len(lines))
    prev = leaf_hash(lines[at - 1]).hex()
    for n in range(at, len(lines)):
        record = read_line(lines[n])
        assert record is not None
        body = dict(record.body) | ({"asked": rng.random()} if n == at else {})
        time = lines[n][-29:-2]
        lines[n] = line_of(canonical(body), record.kind, prev, record.seq, time)
        prev = leaf_hash(lines[n]).hex()
    return b"\n".join(lines) + b"\n", at + 1


def _signed_by_a_stranger(raw: bytes, rng: random.Random) -> Changed:
    """Sign a checkpoint with another key of the same name."""
    notes = [text for _, text in note.split(raw.decode())]
    at = rng.randrange(len(notes))
    good = note.parse(notes[at])
    assert good is not None
    notes[at] = note.sign(good.origin, good.size, good.root, [STRANGER]).to_text()
    return note.join(notes).encode(), sum(text.count("\n") + 1 for text in notes[:at]) + 1


def _root_forged(raw: bytes, rng: random.Random) -> Changed:
    """Give a checkpoint another root and leave the signature."""
    notes = [text for _, text in note.split(raw.decode())]
    at = rng.randrange(len(notes))
    lines = notes[at].split("\n")
    lines[2] = b64encode(Tree().root()).decode()
    notes[at] = "\n".join(lines)
    return note.join(notes).encode(), sum(text.count("\n") + 1 for text in notes[:at]) + 1


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1


HOW: dict[str, Callable[[bytes, random.Random], Changed]] = {
    "byte replaced": _byte_replaced,
    "byte inserted": _byte_inserted,
    "byte removed": _byte_removed,
    "digit changed": _digit_changed,
    "line removed": _line_removed,
    "line repeated": _line_repeated,
    "lines exchanged": _lines_exchanged,
    "end cut off": _cut_off,
    "chained again": _chained_again,
    "key swapped": _signed_by_a_stranger,
    "root forged": _root_forged,
}
OF_BYTES = frozenset({"byte replaced", "byte inserted", "byte removed"})
"""Edits of any file."""
OF_CHECKPOINTS = frozenset({"key swapped", "root forged"})
"""Edits of checkpoints; the others are of records."""
