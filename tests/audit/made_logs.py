"""Logs as a site would write them, with fixed keys and a fixed clock, in every shape there is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ebplan.audit import AuditLog, SigningKey
from ebplan.audit.folder import segments

NAME = "ebplan.example.com/site-1"
FIRST, SECOND, THIRD = (SigningKey(NAME, bytes([n]) * 32) for n in (1, 2, 3))
START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)


def clock() -> Callable[[], datetime]:
    """Return a clock on which each look takes a second."""
    looks = 0

    def now() -> datetime:
        nonlocal looks
        looks += 1
        return START + timedelta(seconds=looks)

    return now


def opened(folder: Path, key: SigningKey, segment_bytes: int = 2**26) -> AuditLog:
    return AuditLog(folder, key, segment_bytes=segment_bytes, now=clock())


def fill(log: AuditLog, count: int, what: str = "reading") -> None:
    """Write records that hold what JSON can say."""
    for n in range(count):
        log.record("window", {"what": what, "n": n, "grid_kw": n / 7, "tiny": 1e-9 * n})
    log.record(
        "note", {"what": "naïve → 電力 \u2028 \U0001f50b", "big": 1e21, "list": [1, None, True]}
    )
    log.seal()


def plain(folder: Path) -> None:
    with opened(folder, FIRST) as log:
        fill(log, 20)


def rotated(folder: Path) -> None:
    with opened(folder, FIRST, 2000) as log:
        for part in range(4):
            fill(log, 12, f"part {part}")


def with_documents(folder: Path) -> None:
    with opened(folder, FIRST) as log:
        for n in range(3):
            log.record("model", {"name": f"m{n}", "why": ""}, {"model": b"document %d" % n})
        fill(log, 5)


def reopened(folder: Path) -> None:
    for part in range(3):
        with opened(folder, FIRST, 3000) as log:
            fill(log, 6, f"part {part}")


def recovered(folder: Path) -> None:
    """A process died, and the disk got half of its last line."""
    with opened(folder, FIRST) as log:
        fill(log, 6)
    last = segments(folder)[-1].path
    with last.open("ab") as stream:
        stream.write(last.read_bytes().splitlines()[-1][:40])
    with opened(folder, FIRST) as log:
        fill(log, 6)


def new_keys(folder: Path) -> None:
    """The key changes twice, once at a running log and once between two runs, over segments."""
    with opened(folder, FIRST, 2500) as log:
        fill(log, 8)
        log.change_key(SECOND, "the year is over")
        fill(log, 8)
    with opened(folder, SECOND, 2500) as log:
        log.change_key(THIRD)
        log.record("decision", {"event": "e-1"}, {"plan": b"a plan"})
        fill(log, 8)


def moved_away(folder: Path) -> None:
    """As ``new_keys``, without the segments of the first key."""
    new_keys(folder)
    for segment in segments(folder):
        if b'"kind":"key"' in segment.path.read_bytes():
            break
        drop(segment.path)
    drop(segment.path)


def drop(path: Path) -> None:
    path.unlink()
    path.with_suffix(".checkpoints").unlink()


MADE: dict[str, tuple[Callable[[Path], None], SigningKey]] = {
    "plain": (plain, FIRST),
    "rotated": (rotated, FIRST),
    "with documents": (with_documents, FIRST),
    "reopened": (reopened, FIRST),
    "recovered": (recovered, FIRST),
    "new keys": (new_keys, FIRST),
    "moved away": (moved_away, SECOND),
}
"""How to make a log, and which key proves it."""


def copy(folder: Path, to: Path) -> Path:
    """Return a copy that may be changed."""
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(folder, to)
    os.unlink(to / "lock")
    return to
