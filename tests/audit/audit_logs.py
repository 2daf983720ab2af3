"""Logs to try things on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ebplan.audit import AuditLog, SigningKey, VerifyKey
from ebplan.audit.verification import Verdict, verify

KEY = SigningKey("site-1", bytes(range(32)))
NEW_KEY = SigningKey("site-1", bytes(range(1, 33)))
BODY = {"device": "converter", "command": "hold", "asked": -3.25, "confirmed": -3.2, "ü": "漢"}


class Ticking:
    """A wall clock that goes on by a hundredth of a second each time it is read."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 26, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=0.01)
        return self.at


def write(
    folder: Path,
    bodies: int,
    *,
    seal_each: int = 10,
    segment_bytes: int = 2**26,
    close: bool = True,
) -> AuditLog:
    """Write a log with a checkpoint every so many records; return it, closed unless told."""
    log = AuditLog(folder, KEY, now=Ticking(), segment_bytes=segment_bytes)
    for n in range(bodies):
        log.record("answer", {**BODY, "n": n})
        if n % seal_each == seal_each - 1:
            assert log.seal()
    assert log.seal()
    if close:
        assert log.close()
    return log


def proven(folder: Path, key: VerifyKey = KEY.verify_key, **more: object) -> Verdict:
    """Verify, and insist that nothing is wrong."""
    verdict = verify(folder, key, **more)  # type: ignore[arg-type]
    assert verdict.ok, verdict.faults
    return verdict


def lines(folder: Path) -> list[bytes]:
    """Return the lines of all segments, with their breaks."""
    return [
        line
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_bytes().splitlines(True)
    ]
