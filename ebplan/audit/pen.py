"""The files of a log and the order in which they reach the disk. One thread holds the pen.

Documents first, then lines, then the signature over them: no checkpoint covers what could be lost.
"""

from __future__ import annotations

import os
from pathlib import Path

from ebplan.audit import note
from ebplan.audit.folder import Segment, document_path, segment_at
from ebplan.audit.keys import SigningKey
from ebplan.audit.line import NOTHING_BEFORE, canonical, line_of
from ebplan.audit.reopen import reopen, sync_folder, write_durably
from ebplan.audit.tree import Tree, leaf_hash

FLUSH_BYTES = 2**14
"""Lines are handed to the system at the latest when so many bytes wait."""


class Pen:
    """The end of a log.

    Args:
        folder: the log's.
        key: who signs.
        segment_bytes: length at which the next segment begins.
        copy_to: a file that gets each checkpoint too.

    Raises:
        InputError: see ``reopen``.
    """

    def __init__(
        self, folder: Path, key: SigningKey, *, segment_bytes: int, copy_to: Path | None
    ) -> None:
        self._folder, self._segment_bytes, self._copy_to = folder, segment_bytes, copy_to
        self.key = key
        """Who signs now."""
        self.next_key: SigningKey | None = None
        """Who signs from the next checkpoint on, together with ``key`` there."""
        self.broken = False
        """Whether the disk failed to keep what it had taken: nothing more is signed for."""
        self._reopened = reopen(folder, key.verify_key, kept_elsewhere(copy_to))
        head = self._reopened
        self._tree = Tree() if head is None else head.tree
        self._prev = NOTHING_BEFORE if head is None else head.prev
        self.signed = 0 if head is None else head.signed
        """Records under a checkpoint on the disk."""
        self.origin = key.verify_key.name if head is None else head.origin
        """Name of the log: that of its first key."""
        self._copy_is_whole = False
        self.copy_fault: str | None = None
        """What is wrong with the file of copies."""
        self._lines, self._length, self._buffer = -1, 0, bytearray()
        self._notes = -1

    @property
    def size(self) -> int:
        """Records written."""
        return self._tree.size

    def open(self, time: bytes, *, ebplan: str) -> None:
        """Open the files, and say in the log that it was opened, and how it was found."""
        head = self._reopened
        body: dict[str, object] = {"what": "opened", "ebplan": ebplan}
        if head is None:
            self._begin(segment_at(self._folder, 0), time, body)
        else:
            self._lines, self._notes = _files(head.segment)
            self._length = os.fstat(self._lines).st_size
            if not head.clean:
                body["what"] = "recovered"
                body["unsigned"] = head.tree.size - head.signed
                body["set_aside"] = head.set_aside
            self.write("log", canonical(body), time)
        self.flush()
        self.seal()

    def write(self, kind: str, body: bytes, time: bytes) -> None:
        """Add a line; ``flush`` hands it to the system."""
        line = line_of(body, kind, self._prev, self.size, time)
        leaf = leaf_hash(line)
        self._tree.append(leaf)
        self._prev = leaf.hex()
        self._buffer += line + b"\n"

    def make_room(self, time: bytes) -> None:
        """Hand over what waits where it is much, and begin another segment where this one is full.

        Raises:
            OSError: the disk took it not; what waits is still here.
        """
        if len(self._buffer) >= FLUSH_BYTES:
            self.flush()
        if self._length + len(self._buffer) >= self._segment_bytes:
            self.seal()
            self._begin(segment_at(self._folder, self.size), time, {"what": "segment"})

    def keep(self, digest: str, content: bytes) -> None:
        """Keep a document; it is on the disk when this returns."""
        path = document_path(self._folder, digest)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_durably(path, content)

    def flush(self) -> None:
        """Hand the lines to the system: from here on they outlive the process.

        Raises:
            OSError: it takes them not; they stay here.
        """
        if not self._buffer:
            return
        try:
            written = os.pwrite(self._lines, self._buffer, self._length)
            while written < len(self._buffer):
                written += os.pwrite(self._lines, self._buffer[written:], self._length + written)
        except OSError:
            os.ftruncate(self._lines, self._length)
            raise
        self._length += len(self._buffer)
        self._buffer.clear()

    def seal(self) -> None:
        """Bring all lines to the disk and sign for them.

        Raises:
            OSError: the disk failed.
        """
        if self.signed == self.size:
            return
        self.flush()
        try:
            os.fsync(self._lines)
        except OSError:
            # what the system held may be gone, and it will not say so again
            self.broken = True
            raise
        keys = [self.key] if self.next_key is None else [self.key, self.next_key]
        checkpoint = note.sign(self.origin, self.size, self._tree.root(), keys)
        self._add_note(checkpoint.to_text())
        self.key, self.next_key = keys[-1], None
        self.signed = self.size

    def close(self) -> None:
        """Close the files."""
        for handle in (self._lines, self._notes):
            if handle >= 0:
                os.close(handle)
        self._lines = self._notes = -1

    def _begin(self, segment: Segment, time: bytes, body: dict[str, object]) -> None:
        """Begin a segment with what is needed to verify it without those before."""
        lines, notes = _files(segment)
        try:
            # what a try before this one left: nothing of it was signed for
            os.ftruncate(lines, 0)
            os.ftruncate(notes, 0)
            if segment.first:
                before = note.sign(self.origin, self.size, self._tree.root(), [self.key])
                _append(notes, before.to_text())
            sync_folder(self._folder)
        except OSError:
            os.close(lines)
            os.close(notes)
            raise
        self.close()
        self._lines, self._notes, self._length = lines, notes, 0
        body |= {
            "key": str(self.key.verify_key),
            "log": self.origin,
            "peaks": [peak.hex() for peak in self._tree.peaks],
        }
        self.write("log", canonical(body), time)

    def _add_note(self, text: str) -> None:
        try:
            _append(self._notes, text)
        except _NotSynced:
            self.broken = True
            raise
        if self._copy_to is not None:
            self._copy(self._copy_to, text)

    def _copy(self, path: Path, text: str) -> None:
        """Copy a checkpoint; where that fails the log goes on, and its health says so."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if self._copy_is_whole:
                    os.lseek(handle, 0, os.SEEK_END)
                else:
                    os.ftruncate(handle, whole_length(os.read(handle, os.fstat(handle).st_size)))
                self._copy_is_whole = False
                _append(handle, text)
                self._copy_is_whole = True
            finally:
                os.close(handle)
            self.copy_fault = None
        except OSError as error:
            self.copy_fault = f"{path}: {error.strerror}"


class _NotSynced(OSError):
    """What the system held may be gone, and it will not say so again."""


def kept_elsewhere(path: Path | None) -> list[note.Checkpoint]:
    """Return the checkpoints of a file of copies, as far as they are whole."""
    if path is None or not path.is_file():
        return []
    text = path.read_bytes().decode(errors="replace")
    return [c for _, found in note.split(text) if (c := note.parse(found)) is not None]


def whole_length(raw: bytes) -> int:
    """Return how many bytes of a file of notes are whole notes, from its beginning on."""
    notes: list[str] = []
    for _, text in note.split(raw.decode(errors="replace")):
        if note.parse(text) is None:
            break
        notes.append(text)
    return len(note.join(notes).encode())


def _files(segment: Segment) -> tuple[int, int]:
    """Open the files of a segment: records and checkpoints."""
    lines = os.open(segment.path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        return lines, os.open(segment.checkpoints, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        os.close(lines)
        raise


def _append(handle: int, text: str) -> None:
    """Add a note to a file of notes; it is on the disk when this returns.

    Raises:
        OSError: the disk took it not, and it is not there.
        _NotSynced: whether it is there shows at the next start.
    """
    length = os.fstat(handle).st_size
    raw = (text if length == 0 else "\n" + text).encode()
    try:
        written = 0
        while written < len(raw):
            written += os.pwrite(handle, raw[written:], length + written)
    except OSError:
        os.ftruncate(handle, length)
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        raise _NotSynced(*error.args) from None
