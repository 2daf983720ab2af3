"""Whether a log is what was signed, and where it is not.

One pass: each line is read, compared with the bytes that its content has, chained to the line
before, and added to the tree; at the size of each checkpoint the root must be the one signed. The
only thing taken on trust is the key that the caller gives: further keys count where the key before
signed the handing over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from ebplan.audit import note
from ebplan.audit.findings import MOST, Fault, Findings
from ebplan.audit.folder import Segment, document_path, segments
from ebplan.audit.keys import VerifyKey
from ebplan.audit.line import NOTHING_BEFORE, Record
from ebplan.audit.tree import Tree
from ebplan.audit.walk import Line, walk
from ebplan.document import Part, Timestamp, read_text
from ebplan.errors import InputError

LONGEST_UNSIGNED_S = 5.0
"""A writer signs once a second, or the disk failed: where it does not for longer, it is a fault."""
SHA256 = re.compile(r"[0-9a-f]{64}")
EVERY = 10_000
"""Records between two words on the progress."""


@dataclass
class _Trust:
    """Who may sign."""

    key: VerifyKey
    """Now."""
    next_key: VerifyKey | None = None
    """From the next checkpoint on, which both sign."""
    named: list[VerifyKey] = field(default_factory=list)
    """Every key so far."""


class Verdict(Part):
    """What a verification found."""

    ok: bool
    """Whether nothing is wrong."""
    origin: str
    """Name of the log."""
    first: int
    """Number of the first record there is; those before lie elsewhere."""
    records: int
    """Number after the last record."""
    signed: int
    """Records that the last good checkpoint covers, those before ``first`` too."""
    unsigned: int
    """Records after it: not yet signed for, and so proven by nobody."""
    checkpoints: int
    """Checkpoints that fit."""
    root: str
    """Root over all records, hex."""
    keys: tuple[str, ...]
    """Keys that signed, the trusted one first."""
    remarks: tuple[str, ...]
    """What is no fault and should be known: records that a writer signed only after a restart."""
    stamps: dict[int, Timestamp]
    """When an authority saw the checkpoint of so many records."""
    faults: tuple[Fault, ...]
    """What is wrong, at most as many as ``findings.MOST``."""
    more_faults: int = 0
    """Further ones that are not listed."""

    def __str__(self) -> str:
        whole = f"records {self.first} to {self.records - 1} of {self.origin}"
        if self.ok:
            rest = f"; {self.unsigned} after the last checkpoint are not signed for yet"
            return f"ok: {whole}, {self.checkpoints} checkpoints{rest if self.unsigned else ''}"
        return f"NOT ok: {whole}, {len(self.faults) + self.more_faults} faults"


def verify(
    folder: Path,
    trusted: VerifyKey,
    *,
    elsewhere: Sequence[Path] = (),
    authorities: Sequence[Path] = (),
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Verify a log.

    Args:
        folder: the log's.
        trusted: the key with which the site began to sign, or which signed when the first segment
            that is there began; from whoever runs the site, never from the log.
        elsewhere: files of checkpoints that were kept on other machines.
        authorities: root certificates (PEM) of who stamped checkpoints; without, stamps are not
            looked at.
        progress: told how many records are through.

    Raises:
        InputError: the folder holds no log, or a file of checkpoints cannot be read.
    """
    found = segments(folder)
    if not found:
        raise InputError(
            field="(folder)",
            value="no segment",
            allowed="the folder of a log, with files such as 000000000000.jsonl",
            remedy="check the path",
            file=str(folder),
        )
    return _Verifier(folder, found, trusted, progress).run(elsewhere, authorities)


class _Verifier:
    def __init__(
        self,
        folder: Path,
        found: list[Segment],
        trusted: VerifyKey,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._folder, self._segments, self._progress = folder, found, progress
        self._trust = _Trust(trusted, named=[trusted])
        self._findings = Findings(found[0].first)
        self._tree = Tree()
        self._origin: str | None = None
        self._prev: str | None = NOTHING_BEFORE
        self._signed, self._checkpoints, self._bad_root = found[0].first, 0, False
        self._first_unsigned: datetime | None = None
        self._last: datetime | None = None
        self._roots: dict[int, bytes] = {}
        """Root by size, where somebody elsewhere kept a checkpoint of it."""
        self._good: dict[int, note.Checkpoint] = {}
        """Stamped checkpoints that fit, by size."""
        names = (path.stem for path in (folder / "stamps").glob("*.tsr"))
        self._stamped = {int(name) for name in names if name.isdecimal()}
        self._remarks: list[str] = []
        self._documents: dict[str, bool] = {}
        """Whether a document is what its name says."""

    def run(self, elsewhere: Sequence[Path], authorities: Sequence[Path]) -> Verdict:
        kept = [
            (path, n, note.parse(t)) for path in elsewhere for n, t in note.split(read_text(path))
        ]
        self._begin(self._segments[0])
        wanted = {checkpoint.size for _, _, checkpoint in kept if checkpoint is not None}
        for segment in self._segments:
            self._segment(segment, wanted)
        self._findings.end()
        if not self._checkpoints:
            first = self._segments[0]
            self._findings.add(
                first.checkpoints.name, 1, None, "no good checkpoint: nothing is signed"
            )
        for path, number, checkpoint in kept:
            if wrong := self._kept_elsewhere(checkpoint):
                self._findings.add(str(path), number, None, wrong)
        if (wrong := self._long_unsigned()) and not self._bad_root:
            last = self._segments[-1]
            self._findings.add(last.checkpoints.name, 1, self._signed, wrong)
        stamps = self._stamps(authorities) if authorities else {}
        faults, more = self._findings.listed()
        return Verdict(
            ok=not faults,
            origin=self._origin or "",
            first=self._segments[0].first,
            records=self._tree.size,
            signed=self._signed,
            unsigned=self._tree.size - self._signed,
            checkpoints=self._checkpoints,
            root=self._tree.root().hex(),
            keys=tuple(str(key) for key in self._trust.named),
            remarks=tuple(self._remarks[:MOST]),
            stamps=stamps,
            faults=faults,
            more_faults=more,
        )

    def _begin(self, segment: Segment) -> None:
        """Take what comes before the first segment from its first line; a checkpoint proves it."""
        first = next(walk(segment.path), None)
        record = None if first is None else first.record
        if record is None:
            return
        self._origin = str(record.body.get("log"))
        if segment.first:
            self._prev = None
            self._tree = _tree_before(segment, record) or Tree()

    def _segment(self, segment: Segment, wanted: set[int]) -> None:
        notes = self._notes_of(segment)
        if segment.first != self._tree.size:
            what = f"begins with record {segment.first}; record {self._tree.size} should come"
            self._findings.add(segment.path.name, 1, segment.first, what)
        before = self._checkpoints
        self._meet(segment, notes)
        if segment.first and self._checkpoints == before and not self._bad_root:
            what = f"no good checkpoint of the {segment.first} records before it"
            self._findings.add(segment.checkpoints.name, 1, segment.first, what)
        for line in walk(segment.path):
            if line.number == 1 and not self._begins_well(segment, line.record):
                what = "its first line does not say what comes before it"
                self._findings.add(segment.path.name, 1, segment.first, what)
            self._line(segment, line)
            if self._tree.size in wanted:
                self._roots[self._tree.size] = self._tree.root()
            self._meet(segment, notes)
            if self._progress is not None and self._tree.size % EVERY == 0:
                self._progress(self._tree.size)
        for size, number, _ in notes:
            what = f"covers {size} records; the log has {self._tree.size}"
            self._findings.add(segment.checkpoints.name, number, None, what)

    def _begins_well(self, segment: Segment, record: Record | None) -> bool:
        """Whether a segment begins with the roots before it, as far as it is a record."""
        if record is None or self._bad_root:
            return True  # that is said elsewhere
        peaks = [peak.hex() for peak in self._tree.peaks]
        return record.seq != self._tree.size or record.body.get("peaks") == peaks

    def _notes_of(self, segment: Segment) -> list[tuple[int, int, note.Checkpoint]]:
        """Return checkpoints as (size, line, checkpoint), in order."""
        listed: list[tuple[int, int, note.Checkpoint]] = []
        for number, found in segment.notes():
            if found is None:
                self._findings.add(segment.checkpoints.name, number, None, "not a checkpoint")
            elif found.size < (listed[-1][0] if listed else segment.first):
                what = f"covers {found.size} records and stands after one that covers more"
                self._findings.add(segment.checkpoints.name, number, None, what)
            else:
                listed.append((found.size, number, found))
        return listed

    def _meet(self, segment: Segment, notes: list[tuple[int, int, note.Checkpoint]]) -> None:
        """Compare the tree with the checkpoints of its size."""
        while notes and notes[0][0] == self._tree.size:
            size, number, checkpoint = notes.pop(0)
            if wrong := self._signature(checkpoint):
                self._findings.add(segment.checkpoints.name, number, None, wrong)
            elif checkpoint.root == self._tree.root():
                self._signed, self._checkpoints = size, self._checkpoints + 1
                self._first_unsigned = None
                if size in self._stamped:
                    self._good[size] = checkpoint
            elif not self._bad_root:  # every later one is another, too
                self._bad_root = True
                self._findings.root(segment.checkpoints.name, number, self._signed, size)

    def _signature(self, checkpoint: note.Checkpoint) -> str | None:
        """Return what is wrong with who signed; trust a new key where the one before signed too."""
        trust = self._trust
        if self._origin is not None and checkpoint.origin != self._origin:
            return f"a checkpoint of another log, {checkpoint.origin}"
        signers = [trust.key] if trust.next_key is None else [trust.key, trust.next_key]
        for key in signers:
            if not checkpoint.signed_by(key):
                names = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in checkpoint.signatures)
                return f"not signed by {key.name}+{key.id.hex()}, but by {names}"
        if len(checkpoint.signatures) != len(signers):
            return "a signature that nobody asked for"
        if trust.next_key is not None:
            trust.key, trust.next_key = trust.next_key, None
            trust.named.append(trust.key)
        return None

    def _line(self, segment: Segment, line: Line) -> None:
        self._findings.line(segment.path.name, line, self._prev)
        self._prev = line.leaf.hex()
        self._tree.append(line.leaf)
        record = line.record
        if record is None:
            return
        self._first_unsigned, self._last = self._first_unsigned or record.time, record.time
        if record.body.get("what") == "recovered" and record.body.get("unsigned"):
            self._remarks.append(
                f"the writer came back at record {record.seq} and signed for "
                f"{record.body['unsigned']} records before it that nobody had signed for"
            )
        wrong = [self._key(record)] if record.kind == "key" else []
        wrong += [self._document(digest) for digest in record.documents]
        for what in filter(None, wrong):
            self._findings.add(segment.path.name, line.number, record.seq, what)

    def _long_unsigned(self) -> str | None:
        """Say where records after the last good checkpoint were written over too long a time."""
        if self._first_unsigned is None or self._last is None or self._signed == self._tree.size:
            return None
        over_s = (self._last - self._first_unsigned).total_seconds()
        if over_s <= LONGEST_UNSIGNED_S:
            return None
        return (
            f"records {self._signed} to {self._tree.size - 1} were written over {over_s:.0f} s and "
            "nobody signed for them, where a writer signs each second"
        )

    def _key(self, record: Record) -> str | None:
        try:
            self._trust.next_key = VerifyKey.parse(str(record.body.get("key")))
        except InputError:
            return "it names no key"
        return None

    def _document(self, digest: str) -> str | None:
        """Return what is wrong with a document that a record names."""
        if not SHA256.fullmatch(digest):
            return "it names a document by something that is no SHA-256"
        if digest not in self._documents:
            path = document_path(self._folder, digest)
            same = path.is_file() and sha256(path.read_bytes()).hexdigest() == digest
            self._documents[digest] = same
        return None if self._documents[digest] else f"its document {digest} is gone or was edited"

    def _stamps(self, authorities: Sequence[Path]) -> dict[int, datetime]:
        """Return when checkpoints were stamped, by the records they cover."""
        from ebplan.audit.stamps import read_roots, stamped_at

        roots = [root for path in authorities for root in read_roots(path)]
        stamps: dict[int, datetime] = {}
        for path in sorted((self._folder / "stamps").glob("*.tsr")):
            known = self._good.get(int(path.stem)) if path.stem.isdecimal() else None
            try:
                if known is None:
                    raise ValueError("there is no checkpoint of this size")
                stamps[known.size] = stamped_at(path, known, roots)
            except ValueError as error:
                self._findings.add(f"stamps/{path.name}", 1, None, f"no stamp of this log: {error}")
        return stamps

    def _kept_elsewhere(self, checkpoint: note.Checkpoint | None) -> str | None:
        """Return what a checkpoint that somebody kept shows to be wrong."""
        if checkpoint is None:
            return "not a checkpoint"
        if not any(checkpoint.signed_by(key) for key in self._trust.named):
            return "not signed by a key of this log"
        if checkpoint.size > self._tree.size:
            gone = f"records {self._tree.size} to {checkpoint.size - 1} were cut off"
            return f"covers {checkpoint.size} records: {gone}"
        root = self._roots.get(checkpoint.size)
        if root is None:
            return None  # of a time before the first segment that is here
        if root != checkpoint.root:
            return f"the first {checkpoint.size} records are others than here"
        self._signed = max(self._signed, checkpoint.size)
        return None


def _tree_before(segment: Segment, record: Record) -> Tree | None:
    try:
        return Tree(segment.first, [bytes.fromhex(peak) for peak in record.body["peaks"]])
    except (KeyError, TypeError, ValueError):
        return None
