"""A writer killed at a random moment, at times with the power: what is left of its log."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ebplan.audit import AuditLog, SigningKey, VerifyKey, verify
from ebplan.audit.folder import last_checkpoint, segments
from ebplan.audit.line import read_line

WRITER = """
import sys, time
from pathlib import Path
from ebplan.audit import AuditLog, SigningKey
key = SigningKey.read(Path(sys.argv[2]))
log = AuditLog(Path(sys.argv[1]), key, seal_s=0.05, segment_bytes=40_000)
n = 0
while True:
    for _ in range(10):
        log.record("note", {"n": n, "padding": "x" * (n % 97)})
        n += 1
    print(log.health.signed, flush=True)
    time.sleep(0.004)
"""


@dataclass(frozen=True)
class Left:
    """What was left of a log."""

    how: str
    """``killed``, or ``power lost``: then the disk forgot a random part of what was not synced."""
    records: int
    """Written and whole when the log was opened again."""
    unsigned: int
    """Of them after the last checkpoint."""
    set_aside_bytes: int
    """Cut off as torn."""
    promised: int
    """Records that the writer had said to be signed for."""
    ok: bool
    """Whether the log verified, before it was opened again where only the process died, and after;
    and everything that was promised is there."""


def kill_once(folder: Path, key_file: Path, rng: random.Random) -> Left:
    """Let a writer go on with a log, kill it, and open the log again."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(key_file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    promised, lines = 0, rng.randrange(1, 100)
    for _ in range(lines):
        said = writer.stdout.readline().strip()
        promised = int(said) if said.isdecimal() else promised
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split()
    promised = max([promised, *(int(said) for said in rest if said.isdecimal())])
    writer.wait()
    writer.stdout.close()
    power = rng.random() < 0.5
    if power:
        _forget(folder, rng)
    key = SigningKey.read(key_file)
    ok = power or _only_the_end_is_torn(folder, key.verify_key)
    with AuditLog(folder, key) as log:
        log.seal()
        kept = log.health.records - 1  # less what it says of being opened
    opened = _opened(folder)
    verdict = verify(folder, key.verify_key)
    return Left(
        how="power lost" if power else "killed",
        records=kept,
        unsigned=opened.get("unsigned", 0),
        set_aside_bytes=sum(part["bytes"] for part in opened.get("set_aside", [])),
        promised=promised,
        ok=ok and verdict.ok and verdict.unsigned == 0 and kept >= promised,
    )


def _forget(folder: Path, rng: random.Random) -> None:
    """Cut the log at a random byte after what was signed for, sometimes with zeros after it."""
    last = segments(folder)[-1]
    lines = last.path.read_bytes().splitlines(True)
    synced = sum(map(len, lines[: max(last_checkpoint(folder).size - last.first, 0)]))
    raw = last.path.read_bytes()
    kept = rng.randint(synced, len(raw))
    last.path.write_bytes(raw[:kept] + rng.choice((b"", b"\x00" * 512)))


def _only_the_end_is_torn(folder: Path, key: VerifyKey) -> bool:
    """Whether a log whose writer was killed verifies as it lies there, but for half a last line."""
    verdict = verify(folder, key)
    last = segments(folder)[-1]
    ends = last.path.read_bytes().endswith(b"\n")
    return verdict.ok or (not ends and all(f.file == last.path.name for f in verdict.faults))


def _opened(folder: Path) -> dict[str, dict[str, int]] | dict[str, int]:
    """Return what the log says of being opened the last time."""
    found: dict = {}
    for segment in segments(folder):
        for raw in segment.path.read_bytes().splitlines():
            record = read_line(raw)
            if record is not None and record.body.get("what") in ("opened", "recovered"):
                found = dict(record.body)
    return found
