"""A part of a log that proves itself: records, each with its path to a signed root.

What an extract leaves out cannot be read from it, and what it holds cannot be changed. Who has the
site's key verifies it without the log; further keys come with the checkpoints that hand over to
them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ebplan.audit import note
from ebplan.audit.folder import Segment, document_path, segments
from ebplan.audit.keys import VerifyKey, decode
from ebplan.audit.line import Record, read_line
from ebplan.audit.tree import Prover, Tree, leaf_hash, root_from_path
from ebplan.audit.walk import walk
from ebplan.document import Document, Part
from ebplan.errors import InputError

SHA256 = re.compile(r"[0-9a-f]{64}")
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Proven(Part):
    """A record and where it stands in the tree."""

    line: str
    """The record, byte for byte."""
    path: tuple[Hash, ...]
    """Hashes from its leaf to the root (RFC 6962, 2.1.1)."""


class Handover(Part):
    """A change of the key."""

    record: Proven
    """The record that names the new key."""
    checkpoint: str
    """The checkpoint above it, which both keys signed."""


class Extract(Document):
    """Records of a log with their proofs."""

    kind: Literal["audit_extract"] = "audit_extract"
    checkpoint: str
    """What the paths lead to, signed."""
    handovers: tuple[Handover, ...] = ()
    """Changes of the key, in order."""
    records: tuple[Proven, ...]
    """In order."""
    documents: dict[Hash, str] = Field(default_factory=dict)
    """Documents that the records name, in base64, by SHA-256."""

    def fault(self, trusted: VerifyKey) -> str | None:
        """Return what is wrong with it; None where everything is proven.

        Args:
            trusted: a key of the site, of before the first handover or after any of them.
        """
        signs = [trusted]
        for n, handover in enumerate(self.handovers):
            keys = _keys_of(handover)
            if keys is None:
                return f"handovers.{n}: no change of the key that both keys signed"
            if n == 0:
                signs = [keys[0]]
            elif keys[0] != signs[-1]:
                return f"handovers.{n}: not from the key of the one before"
            signs.append(keys[1])
        if trusted not in signs:
            return f"handovers: none leads from {trusted}"
        checkpoint = note.parse(self.checkpoint)
        if checkpoint is None or not checkpoint.signed_by(signs[-1]):
            return f"checkpoint: not signed by {signs[-1]}"
        return self._record_fault(checkpoint) or self._document_fault()

    def _record_fault(self, checkpoint: note.Checkpoint) -> str | None:
        before = -1
        for n, proven in enumerate(self.records):
            record = _record_in(proven, checkpoint)
            if record is None:
                return f"records.{n}: not what was signed for"
            if record.seq <= before:
                return f"records.{n}: record {record.seq} stands after record {before}"
            before = record.seq
        return None

    def _document_fault(self) -> str | None:
        records = (read_line(proven.line.encode()) for proven in self.records)
        named = {digest for record in records if record for digest in record.documents}
        for digest, encoded in self.documents.items():
            content = decode(encoded)
            if content is None:
                return f"documents.{digest}: not base64"
            if sha256(content).hexdigest() != digest:
                return f"documents.{digest}: not the document of this name"
            if digest not in named:
                return f"documents.{digest}: no record names it"
        return None


def extract(folder: Path, wanted: Callable[[Record], bool]) -> Extract:
    """Take records out of a log, with their proofs and the documents they name.

    The log is not verified by this: what does not fit, does not prove itself.

    Args:
        folder: the log's.
        wanted: which records.

    Raises:
        InputError: there is no log, no checkpoint covers it, or no signed record is wanted.
    """
    found = segments(folder)
    checkpoints = [c for segment in found for _, c in segment.notes() if c is not None]
    leaves: list[bytes] = []
    chosen: list[tuple[int, str, Record]] = []
    changes: list[tuple[int, str]] = []
    first = found[0].first if found else 0
    for segment in found:
        for line in walk(segment.path):
            seq = first + len(leaves)
            leaves.append(line.leaf)
            if line.record is None:
                continue
            if line.record.kind == "key":
                changes.append((seq, line.raw.decode()))
            if wanted(line.record):
                chosen.append((seq, line.raw.decode(), line.record))
    # of a log whose end was cut off the rest still proves itself
    checkpoints = [c for c in checkpoints if c.size <= first + len(leaves)]
    if not checkpoints:
        raise _nothing(folder, "no checkpoint", "a log that was signed for")
    last = checkpoints[-1]
    chosen = [taken for taken in chosen if taken[0] < last.size]
    changes = [change for change in changes if change[0] < last.size]
    if not chosen:
        raise _nothing(folder, "no record", "at least one signed record that is wanted")
    prover = Prover(leaves, _peaks(found[0]), first)
    digests = {digest for _, _, record in chosen for digest in record.documents}
    return Extract(
        checkpoint=last.to_text(),
        handovers=tuple(_handover(prover, change, checkpoints) for change in changes),
        records=tuple(_proven(prover, seq, text, last.size) for seq, text, _ in chosen),
        documents={
            digest: base64.b64encode(document_path(folder, digest).read_bytes()).decode()
            for digest in sorted(digests)
            if SHA256.fullmatch(digest) and document_path(folder, digest).exists()
        },
    )


def _handover(
    prover: Prover, change: tuple[int, str], checkpoints: list[note.Checkpoint]
) -> Handover:
    seq, text = change
    over = next(c for c in checkpoints if c.size > seq)
    return Handover(record=_proven(prover, seq, text, over.size), checkpoint=over.to_text())


def _proven(prover: Prover, seq: int, text: str, size: int) -> Proven:
    return Proven(line=text, path=tuple(node.hex() for node in prover.path(seq, size)))


def _peaks(segment: Segment) -> tuple[bytes, ...]:
    """Return the roots of the complete subtrees before a log's first segment."""
    if segment.first == 0:
        return ()
    begins = next(walk(segment.path)).record
    try:
        peaks = (
            Tree(segment.first, map(bytes.fromhex, begins.body["peaks"])).peaks if begins else ()
        )
    except (KeyError, TypeError, ValueError):
        peaks = ()
    if not peaks:
        raise _nothing(
            segment.path, "a first line that begins no segment", "a log as it was written"
        )
    return peaks


def _record_in(proven: Proven, checkpoint: note.Checkpoint) -> Record | None:
    """Return a record that stands in the tree where it says that it stands; None otherwise."""
    raw = proven.line.encode()
    record = read_line(raw)
    if record is None:
        return None
    path = [bytes.fromhex(node) for node in proven.path]
    root = root_from_path(leaf_hash(raw), record.seq, checkpoint.size, path)
    return record if root == checkpoint.root else None


def _keys_of(handover: Handover) -> tuple[VerifyKey, VerifyKey] | None:
    """Return the keys before and after a change that both of them signed; None where they did not.

    What was signed says from which key to which, so a change proves itself from either side.
    """
    checkpoint = note.parse(handover.checkpoint)
    record = None if checkpoint is None else _record_in(handover.record, checkpoint)
    if checkpoint is None or record is None or record.kind != "key":
        return None
    try:
        was, new = (VerifyKey.parse(str(record.body.get(name))) for name in ("was", "key"))
    except InputError:
        return None
    both = checkpoint.signed_by(was) and checkpoint.signed_by(new)
    return (was, new) if both else None


def _nothing(folder: Path, value: str, allowed: str) -> InputError:
    return InputError(
        field="(records)",
        value=value,
        allowed=allowed,
        remedy="look at the log with `ebplan audit show`",
        file=str(folder),
    )
