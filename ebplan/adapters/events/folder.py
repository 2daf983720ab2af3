"""A watched folder: each file that is put there is one message.

    calls/dr-17.json                       a message, see ``message``
    calls/done/dr-17.json                  taken, with what became of it beside it
    calls/done/dr-17.json.outcome.json
    calls/refused/other.json               not understood, with the one line that says why
    calls/refused/other.json.error.txt
    calls/reports/...json                  what the site tells

A file is read once it has stayed the same from one look to the next; who renames a finished file
into the folder, or writes a name that begins with a dot first, is never read half. It is moved
after its call is on disk: a crash in between lets it be read again, and the inbox knows it. Links
are not followed: who may put one there need not be one who may read what it leads to.

Looking suffices: calls are for minutes and hours, and notices of changes do not come through
network file systems.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from time import monotonic
from typing import Literal, NamedTuple

from pydantic import Field

from ebplan.adapters.answers import Answer, Applied, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.message import read_message
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.terms import EventTerms
from ebplan.document import Part, Positive, parse_json, write_atomically
from ebplan.errors import InputError

log = logging.getLogger("ebplan.events.folder")

DONE, REFUSED, REPORTS = "done", "refused", "reports"
LONGEST_BYTES = 2**20
"""A longer file is no message."""
LONGEST_NAME_BYTES = 200
"""A longer name is shortened when its file is moved: 255 are the most that file systems take."""


Seen = tuple[int, int]
"""Size and time of a file when it was last looked at."""


class _Answer(NamedTuple):
    """What a file was answered, until it is moved."""

    seen: Seen
    to: str
    suffix: str
    text: str


class FolderSpec(Part):
    """A watched folder as a source of events."""

    kind: Literal["folder"] = "folder"
    name: str = Field(default="folder", min_length=1, max_length=128)
    """What this site calls it."""
    path: str
    """The folder; its path counts from the file that declares it. Made if absent."""
    poll_s: Positive = 1.0
    """Between two looks."""
    terms: EventTerms = EventTerms()
    """What the contract adds to a single event (``kind`` event) where that says nothing itself; a
    ``grid_event`` says all."""


class FolderSource:
    """Implements ``EventSource`` for a folder.

    Args:
        spec: which folder, and how often it is looked at.
        folder: what its path counts from.
        clock: seconds for waiting.
        now: the wall clock.
    """

    def __init__(
        self,
        spec: FolderSpec,
        *,
        folder: Path = Path(),
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.spec, self.path = spec, folder / spec.path
        self._clock = clock or MonotonicClock()
        self._now: Callable[[], datetime] = now or (lambda: datetime.now(UTC))
        self._seen: dict[str, Seen] = {}
        self._answers: dict[str, _Answer] = {}
        self.fault: str | None = None
        """Why the folder cannot be used now."""

    @property
    def name(self) -> str:
        """What this site calls it."""
        return self.spec.name

    async def run(self, inbox: Inbox) -> None:
        """Look again and again until cancelled; a folder that fails is tried again."""
        while True:
            fault = None
            try:
                self.look(inbox)
            except (OSError, InputError) as error:
                fault = error.strerror if isinstance(error, OSError) else str(error)
                if fault != self.fault:
                    log.warning("%s: %s", self.path, fault)
            self.fault = fault
            await self._clock.sleep(self.spec.poll_s)

    def look(self, inbox: Inbox) -> None:
        """Take the files that have not changed since the last look.

        Raises:
            OSError: the folder cannot be read, or a file not be moved.
            InputError: the inbox or an answer cannot be written.
        """
        for folder in (self.path, self.path / DONE, self.path / REFUSED, self.path / REPORTS):
            folder.mkdir(parents=True, exist_ok=True)
        now = dict(self._files())
        settled = [name for name, seen in now.items() if self._seen.get(name) == seen]
        self._seen = now
        self._answers = {name: a for name, a in self._answers.items() if now.get(name) == a.seen}
        failed: list[OSError | InputError] = []
        for name in settled:
            try:
                self._take(self.path / name, now[name], inbox)
            except (OSError, InputError) as error:  # the others are no worse for it
                failed.append(error)
        if failed:
            raise failed[0]

    def _files(self) -> Iterator[tuple[str, Seen]]:
        for path in sorted(self.path.glob("*.json")):
            if path.name.startswith("."):
                continue
            try:
                stat = path.lstat()
            except FileNotFoundError:
                continue  # taken away again before it was read
            if S_ISREG(stat.st_mode):
                yield path.name, (stat.st_size, stat.st_mtime_ns)

    async def report(self, report: SiteReport) -> Answer:
        """Write a report into the folder."""
        began_s = monotonic()
        about = report.uid if report.uid is not None else "site"
        named = "".join(c if c.isalnum() or c in "-_" else "_" for c in about)[:60]
        stamp = report.at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        path = self.path / REPORTS / f"{stamp}-{named}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, report.to_json() + "\n")
        except (OSError, InputError) as error:
            return Unreachable(
                device=self.name, command="report", asked=about, why=str(error), executed=False
            )
        took_s = monotonic() - began_s
        return Applied(
            device=self.name, command="report", asked=about, confirmed=path.name, took_s=took_s
        )

    def _take(self, path: Path, seen: Seen, inbox: Inbox) -> None:
        """Hear a file once, and move it; where it cannot be moved only that is tried again."""
        if path.name not in self._answers:
            try:
                self._answers[path.name] = self._hear(path, seen, inbox)
            except FileNotFoundError:
                return
        answer = self._answers[path.name]
        self._move(path, answer)
        del self._answers[path.name]

    def _hear(self, path: Path, seen: Seen, inbox: Inbox) -> _Answer:
        try:
            data = parse_json(_text(path))
            message = read_message(
                data,
                source=self.name,
                received=self._now(),
                file=path.name,
                terms=self.spec.terms,
                known=inbox.calls,
            )
        except InputError as error:
            error.file = None  # whoever put it there knows no path of ours
            line = str(error.in_file(path.name))
            log.warning("%s: %s", self.name, line)
            return _Answer(seen, REFUSED, ".error.txt", line + "\n")
        taken = inbox.take(message)
        said = {
            "outcome": taken.outcome,
            "uid": message.uid,
            "revision": taken.message.revision,
            "received": message.received.isoformat(),
        }
        return _Answer(seen, DONE, ".outcome.json", json.dumps(said, indent=1) + "\n")

    def _move(self, path: Path, answer: _Answer) -> None:
        """Move a file away, with an answer beside it; one of that name there stays."""
        name = Path(_short(path.name))
        target = path.parent / answer.to / name
        for n in range(1, 10**6):
            if not target.exists():
                break
            target = path.parent / answer.to / f"{name.stem}-{n}{name.suffix}"
        write_atomically(target.with_name(target.name + answer.suffix), answer.text)
        path.replace(target)
        self._seen.pop(path.name, None)


def _short(name: str) -> str:
    """Return a name that leaves room for a number and a suffix, the same each time."""
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{raw[: LONGEST_NAME_BYTES - 22].decode(errors='ignore')}-{digest}.json"


def _text(path: Path) -> str:
    """Read a file that is no link and not too long.

    Raises:
        FileNotFoundError: it is gone, or has become something else.
        InputError: it cannot be read, or is no text.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            raw = stream.read(LONGEST_BYTES + 1)
        if len(raw) <= LONGEST_BYTES:
            return raw.decode("utf-8-sig")
        value, allowed = f"over {LONGEST_BYTES} bytes", f"a message of at most {LONGEST_BYTES}"
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(errno.ENOENT, "it is a link now") from None
        value, allowed = str(error.strerror), "a file that this site may read"
    except UnicodeDecodeError as error:
        value, allowed = str(error), "UTF-8"
    raise InputError(
        field="(file)", value=value, allowed=allowed, remedy="put a readable message there"
    )
