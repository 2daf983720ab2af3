"""Where a log stands when a writer comes back to it, after a clean end or after a power loss.

What was signed is there, or the log is not written on. What came after the last checkpoint is kept
as far as its chain holds; the rest, half a line or what the disk never got, is set aside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    set_aside: list[dict[str, object]]
    """What was cut off, for the record of it."""


def reopen(folder: Path, key: VerifyKey, elsewhere: Sequence[note.Checkpoint] = ()) -> Head | None:
    """Return the end of the log, mended; None where the folder holds no log yet.

    Args:
        folder: the log's.
        key: who goes on signing.
        elsewhere: copies of checkpoints: what they cover must be here too.

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
    head = _follow(found[-1], key, [c for c in elsewhere if c.signed_by(key)])
    if aside:
        head.set_aside, head.clean = [*aside, *head.set_aside], False
    return head


def _follow(segment: Segment, key: VerifyKey, elsewhere: Sequence[note.Checkpoint]) -> Head:
    raw = segment.path.read_bytes()
    begins = _first(segment, raw)
    tree = Tree(segment.first, [bytes.fromhex(peak) for peak in begins.body["peaks"]])
    signer = VerifyKey.parse(begins.body["key"])
    whole, aside = _whole_checkpoints(segment, raw)
    signed = _last_of(segment, whole, begins, (key, signer))
    wanted = {checkpoint.size for checkpoint in elsewhere} | {signed.size}
    roots = {tree.size: tree.root()} if tree.size in wanted else {}
    prev, kept, last = begins.prev, 0, b""
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
        if tree.size in wanted:
            roots[tree.size] = tree.root()
    _require_signed(segment, signed, roots, tree.size)
    for checkpoint in elsewhere:
        if checkpoint.size >= segment.first:
            _require_signed(segment, checkpoint, roots, tree.size)
    if not whole and tree.size > 1:
        raise _gone(segment, f"{tree.size} records, and no checkpoint")
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
    if kept < len(raw):
        aside.append(_set_aside(segment.path, raw[kept:], kept))
    clean = closed and tree.size == signed.size and not aside
    return Head(begins.body["log"], segment, tree, prev, signed.size, clean, aside)


def _require_signed(
    segment: Segment, checkpoint: note.Checkpoint, roots: dict[int, bytes], size: int
) -> None:
    """Refuse a log that is not what a checkpoint covers."""
    if checkpoint.size not in roots:
        raise _gone(segment, f"{size} whole records, where {checkpoint.size} were signed for")
    if roots[checkpoint.size] != checkpoint.root:
        raise _gone(segment, f"other records than those signed for, below {checkpoint.size}")


def _first(segment: Segment, raw: bytes) -> Record:
    record = read_line(raw[: raw.find(b"\n")])
    if record is None or record.seq != segment.first:
        raise _gone(segment, "a first line that begins no segment")
    if (record.seq == 0) != (record.prev == NOTHING_BEFORE):
        raise _gone(segment, "a first line that follows nothing")
    try:
        Tree(segment.first, [bytes.fromhex(peak) for peak in record.body["peaks"]])
        VerifyKey.parse(record.body["key"])
        str(record.body["log"])
    except (KeyError, TypeError, ValueError, AttributeError, InputError):
        raise _gone(segment, "a first line that begins no segment") from None
    return record


def _whole_checkpoints(
    segment: Segment, raw: bytes
) -> tuple[list[note.Checkpoint], list[dict[str, object]]]:
    """Return the checkpoints of a segment; one half written at its end is set aside.

    Raises:
        InputError: one that was whole is none any more.
    """
    path = segment.checkpoints
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    found = [(number, part, note.parse(part)) for number, part in note.split(text)]
    for n, (number, part, checkpoint) in enumerate(found):
        half = n == len(found) - 1 and not (part.endswith("\n") and "\n" + note.DASH in part)
        if checkpoint is None and not half:
            raise _gone(segment, f"no checkpoint at line {number} of {path.name}")
    whole = [checkpoint for _, _, checkpoint in found if checkpoint is not None]
    if whole and (new := _handed_over(raw, whole)) and not whole[-1].signed_by(new):
        whole.pop()  # its second signature did not reach the disk
    kept = len(note.join(checkpoint.to_text() for checkpoint in whole).encode())
    content = path.read_bytes() if path.exists() else b""
    return whole, [_set_aside(path, content[kept:], kept)] if kept < len(content) else []


def _handed_over(raw: bytes, whole: Sequence[note.Checkpoint]) -> VerifyKey | None:
    """Return the key that the last checkpoint hands over to, where it does."""
    before = whole[-2].size if len(whole) > 1 else 0
    for line in raw.split(b"\n"):
        record = read_line(line) if KEY_KIND in line else None
        if record is not None and record.kind == "key" and before <= record.seq < whole[-1].size:
            return VerifyKey.parse(str(record.body.get("key")))
    return None


def _last_of(
    segment: Segment,
    whole: Sequence[note.Checkpoint],
    begins: Record,
    keys: tuple[VerifyKey, VerifyKey],
) -> note.Checkpoint:
    """Return the last checkpoint of a segment."""
    if not whole:
        if segment.first:
            raise _gone(segment, "no checkpoint of what comes before it")
        return note.Checkpoint(str(begins.body["log"]), 0, Tree().root())
    last = whole[-1]
    if last.origin != begins.body["log"] or not any(last.signed_by(key) for key in keys):
        raise InputError(
            field=segment.checkpoints.name,
            value=", ".join(s.name for s in last.signatures),
            allowed=f"a last checkpoint that {keys[0]} signed",
            remedy="give the key that signs this log; if you do, somebody else wrote in it: verify",
            file=str(segment.path.parent),
        )
    return last


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
    write_durably(folder / f"{path.name}-{kept}-{digest[:16]}", torn)
    with path.open("r+b") as stream:
        stream.truncate(kept)
        os.fsync(stream.fileno())
    return {"of": path.name, "bytes": len(torn), "lines": torn.count(b"\n"), "sha256": digest}


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
