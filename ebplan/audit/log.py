"""Writing the log, beside the control loop and never in its way.

``record`` puts a line in a queue and returns. One thread writes lines, brings them to the disk and
signs for them, at most ``seal_s`` after the first of them came. A record that is not signed for yet
is in the page cache: it outlives the process, and a power loss takes at most the last ``seal_s``
and what the disk itself needs. Where the disk takes nothing, records wait; when more wait than
memory should hold, later ones are counted and not kept, and the log says so as soon as it can.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from ebplan import __version__
from ebplan.audit.keys import SigningKey
from ebplan.audit.line import Kind, canonical, stamp
from ebplan.audit.pen import Pen
from ebplan.errors import InputError

MOST_WAITING_BYTES = 64 * 2**20
"""So much may wait for the disk."""
LONGEST_DOCUMENT_BYTES = 16 * 2**20
"""A longer document is not kept."""
LONGEST_BODY_BYTES = 64 * 2**10
"""A longer body belongs in a document that the record names."""
RETRY_S = 1.0
"""Between two tries of a disk that took nothing."""


@dataclass(frozen=True)
class AuditHealth:
    """How the log is."""

    records: int
    """Written."""
    signed: int
    """Under a checkpoint on the disk."""
    waiting: int
    """In memory."""
    lost: int
    """Never written, since the log was opened."""
    unsigned_s: float
    """For how long the oldest record has had no signature."""
    fault: str | None
    """What is wrong with the disk."""


class _Line(NamedTuple):
    kind: str
    body: bytes
    time: bytes
    documents: tuple[tuple[str, bytes], ...] = ()
    """What it names, by SHA-256: kept with it or not at all."""


class _KeyChange(NamedTuple):
    key: SigningKey
    body: bytes
    time: bytes


class _Sealing(NamedTuple):
    """Somebody waits until all that came before is signed for."""

    done: threading.Event
    body: bytes = b""


_Item = _Line | _KeyChange | _Sealing


class AuditLog:
    """A log that this process writes. One process at a time may.

    Args:
        folder: where it lies; made if absent.
        key: who signs; it lies elsewhere, and the user who reads logs cannot read it.
        seal_s: longest time from a record to the signature that covers it, up to 1 s; to it comes
            what the disk needs.
        segment_bytes: length at which the next segment begins.
        copy_to: a file that gets each checkpoint too: on another machine it shows a cut-off end.
        now: the wall clock.

    Raises:
        InputError: another process writes the log, another key signs it, what was signed is gone,
            or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        key: SigningKey,
        *,
        seal_s: float = 0.5,
        segment_bytes: int = 64 * 2**20,
        copy_to: Path | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        if not 0.0 < seal_s <= 1.0:
            raise InputError(
                field="seal_s",
                value=seal_s,
                allowed="above 0 s, up to 1 s",
                remedy="sign at least once a second",
            )
        self._now = now or (lambda: datetime.now(UTC))
        self._seal_s = seal_s
        self._lock = _lock(folder)
        try:
            self._pen = Pen(folder, key, segment_bytes=segment_bytes, copy_to=copy_to)
            self._pen.open(stamp(self._now()), ebplan=__version__)
        except OSError as error:
            os.close(self._lock)
            raise _unwritable(folder, error) from None
        except BaseException:
            os.close(self._lock)
            raise
        self._waiting: deque[_Item] = deque()
        self._waiting_bytes, self._lost, self._told_lost = 0, 0, 0
        self._counting = threading.Lock()
        self._lost_from = self._lost_to = b""
        self._first_unsigned_s: float | None = None
        self._fault: str | None = None
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
        self._thread.start()

    def record(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        documents: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Put a record in the queue; this never waits for the disk.

        Args:
            kind: what it is about.
            body: what it says, in what JSON can say; copied at once.
            documents: what is kept beside the log and named by its SHA-256 in the body's
                ``documents``, by name.

        Raises:
            ValueError: it holds what JSON has no word for, or is too long for a line.
        """
        named = {name: sha256(content).hexdigest() for name, content in documents.items()}
        raw = canonical({**body, "documents": named} if named else body)
        if len(raw) > LONGEST_BODY_BYTES:
            raise ValueError(f"a body of {len(raw)} bytes belongs in a document")
        for name, content in documents.items():
            if len(content) > LONGEST_DOCUMENT_BYTES:
                raise ValueError(f"{name} of {len(content)} bytes is too long to be kept")
        kept = tuple((named[name], content) for name, content in documents.items())
        self._put(_Line(kind, raw, stamp(self._now()), kept))

    def change_key(self, key: SigningKey, why: str = "") -> bool:
        """Sign with another key from here on; the next checkpoint is signed with both.

        Returns:
            Whether it is signed for.
        """
        was, new = self._pen.key.verify_key, key.verify_key
        body = canonical({"key": str(new), "was": str(was), "why": why})
        self._put(_KeyChange(key, body, stamp(self._now())))
        return self.seal()

    def seal(self, timeout_s: float = 10.0) -> bool:
        """Wait until all records so far are signed for, and return whether they are."""
        sealing = _Sealing(threading.Event())
        self._put(sealing)
        if not self._thread.is_alive():
            return False
        return sealing.done.wait(timeout_s) and self._fault is None

    @property
    def health(self) -> AuditHealth:
        """How the log is now."""
        first = self._first_unsigned_s
        return AuditHealth(
            records=self._pen.size,
            signed=self._pen.signed,
            waiting=len(self._waiting),
            lost=self._lost,
            unsigned_s=0.0 if first is None else monotonic() - first,
            fault=self._fault or self._pen.copy_fault,
        )

    def close(self, timeout_s: float = 10.0) -> bool:
        """Sign for everything and end; return whether everything is on the disk."""
        if not self._thread.is_alive() and self._closing:
            return self._fault is None
        self.record("log", {"what": "closed"})
        sealed = self.seal(timeout_s)
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        self._pen.close()
        os.close(self._lock)
        return sealed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, item: _Item) -> None:
        with self._counting:
            if item.body and self._waiting_bytes + _length(item) > MOST_WAITING_BYTES:
                self._lost_to = stamp(self._now())
                self._lost_from = self._lost_from or self._lost_to
                self._lost += 1
                return
            self._waiting_bytes += _length(item)
            self._waiting.append(item)
        self._wake.set()

    def _run(self) -> None:
        """Write what waits and sign for it in time, until closed."""
        try:
            while not (self._closing and not self._waiting):
                self._wake.wait(self._until_due_s())
                self._wake.clear()
                try:
                    self._write_waiting()
                    self._fault = None
                except OSError as error:
                    self._fault = error.strerror or str(error)
                    if self._pen.broken or self._closing:
                        return
                    self._wake.wait(RETRY_S)
                    self._wake.set()
        except Exception as error:
            self._fault = f"{type(error).__name__}: {error}"
            raise
        finally:
            for item in self._waiting:
                if isinstance(item, _Sealing):
                    item.done.set()

    def _write_waiting(self) -> None:
        """Write what waits, and sign when it is time.

        Raises:
            OSError: the disk took it not; what is not written still waits.
        """
        while self._waiting:
            item = self._waiting[0]
            self._pen.make_room(stamp(self._now()))
            self._write(item)
            with self._counting:
                self._waiting.popleft()
                self._waiting_bytes -= _length(item)
            if self._lost > self._told_lost and self._waiting_bytes < MOST_WAITING_BYTES // 2:
                self._tell_lost()
            if self._until_due_s() == 0.0:
                self._seal()
        self._pen.flush()
        if self._until_due_s() == 0.0:
            self._seal()

    def _write(self, item: _Item) -> None:
        """Write one item; where that fails nothing of it is written."""
        match item:
            case _Line():
                for digest, content in item.documents:
                    self._pen.keep(digest, content)
                self._pen.write(item.kind, item.body, item.time)
                if self._first_unsigned_s is None:
                    self._first_unsigned_s = monotonic()
            case _KeyChange():
                self._seal()
                self._pen.write("key", item.body, item.time)
                self._pen.next_key = item.key
                self._first_unsigned_s = monotonic() - self._seal_s
            case _Sealing():
                self._seal()
                item.done.set()

    def _tell_lost(self) -> None:
        body = {
            "what": "lost",
            "records": self._lost - self._told_lost,
            "from": self._lost_from.decode(),
            "to": self._lost_to.decode(),
        }
        self._told_lost, self._lost_from = self._lost, b""
        self._write(_Line("log", canonical(body), stamp(self._now())))

    def _until_due_s(self) -> float | None:
        if self._first_unsigned_s is None:
            return None
        return max(self._first_unsigned_s + self._seal_s - monotonic(), 0.0)

    def _seal(self) -> None:
        self._pen.seal()
        self._first_unsigned_s = None


def _length(item: _Item) -> int:
    """Return how much memory an item holds, about."""
    documents = item.documents if isinstance(item, _Line) else ()
    return len(item.body) + sum(len(content) for _, content in documents)


def _lock(folder: Path) -> int:
    """Hold the folder for this process; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise InputError(
            field="lock",
            value="held by another process",
            allowed="one writer at a time",
            remedy="end the other one, or give each a folder of its own",
            file=str(folder),
        ) from None
    return handle


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        field="(folder)",
        value=error.strerror,
        allowed="a folder that this user may write, on a disk with room",
        remedy="check the path, who owns it, and the disk",
        file=str(folder),
    )
