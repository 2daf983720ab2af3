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
from ebplan.audit.folder import document_path, segments
from ebplan.audit.keys import VerifyKey
from ebplan.audit.line import Record, read_line
from ebplan.audit.tree import HASH_BYTES, Prover, leaf_hash, root_from_path
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
        keys = [trusted]
        for n, handover in enumerate(self.handovers):
            new = _new_key(handover)
            if new == trusted:
                keys = [trusted]
                continue
            checkpoint = note.parse(handover.checkpoint)
            if checkpoint is None or not checkpoint.signed_by(keys[-1]):
                continue  # of a time before the trusted key
            if new is None or not checkpoint.signed_by(new) or not _in(handover.record, checkpoint):
                return f"handovers.{n}: the new key is not the one that was signed for"
            keys.append(new)
        checkpoint = note.parse(self.checkpoint)
        if checkpoint is None or not checkpoint.signed_by(keys[-1]):
            return f"checkpoint: not signed by {keys[-1]}"
        for n, record in enumerate(self.records):
            if not _in(record, checkpoint):
                return f"records.{n}: not what was signed for"
        return self._document_fault()

    def _document_fault(self) -> str | None:
        for digest, encoded in self.documents.items():
            try:
                content = base64.b64decode(encoded, validate=True)
            except ValueError:
                return f"documents.{digest}: not base64"
            if sha256(content).hexdigest() != digest:
                return f"documents.{digest}: not the document of this name"
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
    if not checkpoints:
        raise _nothing(folder, "no checkpoint", "a log that was signed for")
    last = checkpoints[-1]
    leaves: list[bytes] = []
    chosen: list[tuple[int, str, Record]] = []
    changes: list[tuple[int, str]] = []
    before: tuple[bytes, ...] = ()
    for segment in found:
        for line in walk(segment.path):
            seq = found[0].first + len(leaves)
            if line.number == 1 and not leaves and segment.first and line.record is not None:
                before = tuple(bytes.fromhex(peak) for peak in line.record.body["peaks"])
            leaves.append(line.leaf)
            if line.record is None or seq >= last.size:
                continue
            text = line.raw.decode()
            if line.record.kind == "key":
                changes.append((seq, text))
            if wanted(line.record):
                chosen.append((seq, text, line.record))
    if not chosen:
        raise _nothing(folder, "no record", "at least one signed record that is wanted")
    prover = Prover(leaves, before, found[0].first)
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


def _in(proven: Proven, checkpoint: note.Checkpoint) -> bool:
    """Whether a record stands in the tree where it says that it stands."""
    raw = proven.line.encode()
    record = read_line(raw)
    path = [bytes.fromhex(node) for node in proven.path]
    if record is None or any(len(node) != HASH_BYTES for node in path):
        return False
    return root_from_path(leaf_hash(raw), record.seq, checkpoint.size, path) == checkpoint.root


def _new_key(handover: Handover) -> VerifyKey | None:
    record = read_line(handover.record.line.encode())
    if record is None or record.kind != "key":
        return None
    try:
        return VerifyKey.parse(str(record.body.get("key")))
    except InputError:
        return None


def _nothing(folder: Path, value: str, allowed: str) -> InputError:
    return InputError(
        field="(records)",
        value=value,
        allowed=allowed,
        remedy="look at the log with `ebplan audit show`",
        file=str(folder),
    )
