"""Where a log stands when a writer comes back to it, after a clean end or after a power loss.

What was signed is there, or the log is not written on. What came after the last checkpoint is kept
as far as its chain holds; the rest, half a line or what the disk never got, is set aside.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ebplan.audit import note
from ebplan.audit.folder import Segment, segments
from ebplan.audit.keys import VerifyKey
from ebplan.audit.line import NOTHING_BEFORE, Record, read_line
from ebplan.audit.tree import Tree, leaf_hash
from ebplan.errors import InputError

KEY_KIND = b'"kind":"key"'


@dataclass
class Head:
    """The end of a log that can be written on."""

    origin: str
    """Name of the log."""
    segment: Segment
    """The last segment."""
    tree: Tree
    """Over all records."""
    prev: str
    """Hash of the last line, hex."""
    signed: int
    """Records under the last checkpoint."""
    clean: bool
    """Whether the writer before closed it."""
    set_aside: dict[str, object] | None = None
    """What was cut off, for the record of it; None where nothing was."""


def reopen(folder: Path, key: VerifyKey) -> Head | None:
    """Return the end of the log, mended; None where the folder holds no log yet.

    Args:
        folder: the log's.
        key: who goes on signing.

    Raises:
        InputError: what was signed is not there or not the same, or another key signs this log.
    """
    found = segments(folder)
    aside: list[dict[str, object]] = []
    if found and (bare := _without_a_record(found[-1])) is not None:
        # power went while the segment was begun: nothing in it was signed for
        begun = found.pop()
        if not found and any(True for _ in begun.notes()):
            raise _gone(begun, "a checkpoint, and no record that it covers")
        if bare:
            aside.append(_set_aside(begun.path, bare, 0))
        begun.path.unlink()
        begun.checkpoints.unlink(missing_ok=True)
    if not found:
        return None
    head = _follow(found[-1], key)
    if head.set_aside is None and aside:
        head.set_aside, head.clean = aside[0], False
    return head


def _follow(segment: Segment, key: VerifyKey) -> Head:
    raw = segment.path.read_bytes()
    begins = _first(segment, raw)
    tree = Tree(segment.first, [bytes.fromhex(peak) for peak in begins.body["peaks"]])
    signed, signer = _signed(segment, begins, key)
    prev, kept, last = begins.prev, 0, b""
    root_signed = tree.root() if signed.size == segment.first else None
    while (end := raw.find(b"\n", kept)) >= 0:
        line = raw[kept:end]
        if tree.size >= signed.size or KEY_KIND in line:
            # what was signed for need not be read again: the root says that it is the same
            record = read_line(line)
            if record is None or record.prev != prev or record.seq != tree.size:
                break
            if record.kind == "key" and record.seq >= signed.size:
                break  # nobody signed for the new key: the change did not happen
            if record.kind == "key":
                signer = VerifyKey.parse(record.body["key"])
        tree.append(leaf := leaf_hash(line))
        prev, kept, last = leaf.hex(), end + 1, line
        if tree.size == signed.size:
            root_signed = tree.root()
    if root_signed is None:
        raise _gone(segment, f"{tree.size} whole records, where {signed.size} were signed for")
    if root_signed != signed.root:
        raise _gone(segment, f"other records than those signed for, below {signed.size}")
    if signer != key:
        raise InputError(
            field="key",
            value=str(key),
            allowed=f"the key that signs this log, {signer}",
            remedy="give that key, or change it with `ebplan audit change-key`",
            file=str(segment.path.parent),
        )
    ended = read_line(last)
    closed = ended is not None and ended.kind == "log" and ended.body.get("what") == "closed"
    head = Head(
        begins.body["log"], segment, tree, prev, signed.size, closed and tree.size == signed.size
    )
    if kept < len(raw):
        head.set_aside, head.clean = _set_aside(segment.path, raw[kept:], kept), False
    return head


def _first(segment: Segment, raw: bytes) -> Record:
    record = read_line(raw[: raw.find(b"\n")])
    if record is None or record.seq != segment.first or "peaks" not in record.body:
        raise _gone(segment, "a first line that begins no segment")
    if (record.seq == 0) != (record.prev == NOTHING_BEFORE):
        raise _gone(segment, "a first line that follows nothing")
    return record


def _signed(segment: Segment, begins: Record, key: VerifyKey) -> tuple[note.Checkpoint, VerifyKey]:
    """Return the last whole checkpoint of a segment, and who signed when it began.

    A half-written one at the end is cut off.
    """
    path = segment.checkpoints
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    whole: list[note.Checkpoint] = []
    for _, found in note.split(text):
        checkpoint = note.parse(found)
        if checkpoint is None:
            break
        whole.append(checkpoint)
    kept = note.join(checkpoint.to_text() for checkpoint in whole)
    if kept != text:
        with path.open("r+b") as stream:
            stream.truncate(len(kept.encode()))
            os.fsync(stream.fileno())
    signer = VerifyKey.parse(begins.body["key"])
    if not whole:
        if segment.first:
            raise _gone(segment, "no checkpoint of what comes before it")
        return note.Checkpoint(begins.body["log"], 0, Tree().root()), signer
    last = whole[-1]
    if not (last.signed_by(key) or last.signed_by(signer)) or last.origin != begins.body["log"]:
        raise InputError(
            field=path.name,
            value=", ".join(s.name for s in last.signatures),
            allowed=f"a last checkpoint that {key} signed",
            remedy="give the key that signs this log; if you do, somebody else wrote in it: verify",
            file=str(path.parent),
        )
    return last, signer


def _without_a_record(segment: Segment) -> bytes | None:
    """Return what a segment holds instead of a first line; None where it has one."""
    raw = segment.path.read_bytes()
    first, broken, _ = raw.partition(b"\n")
    return None if broken and read_line(first) is not None else raw


def _set_aside(path: Path, torn: bytes, kept: int) -> dict[str, object]:
    """Keep what is cut off in a file of its own, and cut it off."""
    digest = sha256(torn).hexdigest()
    folder = path.parent / "torn"
    folder.mkdir(exist_ok=True)
    write_durably(folder / f"{path.stem}-{kept}-{digest[:16]}", torn)
    with path.open("r+b") as stream:
        stream.truncate(kept)
        os.fsync(stream.fileno())
    return {"bytes": len(torn), "lines": torn.count(b"\n"), "sha256": digest}


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is on disk, with its name, when this returns."""
    half = path.with_name(path.name + ".new")
    with half.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    half.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder be on disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _gone(segment: Segment, found: str) -> InputError:
    return InputError(
        field=segment.path.name,
        value=found,
        allowed="all that was signed for",
        remedy="keep the folder as it is, run `ebplan audit verify` on it, and begin another log",
        file=str(segment.path.parent),
    )
