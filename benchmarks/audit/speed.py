"""How fast the log writes, what a record costs whoever makes it, and how fast it is proven."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebplan.adapters.answers import Applied
from ebplan.audit import AuditLog, SigningKey, verify
from ebplan.audit.journal import Journal

ANSWER = Applied(
    device="converter", command="hold", asked=-3.25, confirmed=-3.2, measured_kw=-3.1987
)


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    records: int
    """Written."""
    per_s: float
    """Records written, on disk and signed for, per second."""
    call_p50_us: float
    """Time of one call of whoever records; half of them took less."""
    call_p99_us: float
    """99 % took less."""
    call_max_ms: float
    """The longest."""
    bytes_each: float
    """Length of a line."""
    signatures: int
    """Checkpoints."""
    verify_s: float
    """Time to prove all of it."""


def measure(folder: Path, records: int) -> Speed:
    """Write answers of devices as fast as they are taken, then prove the log."""
    key = SigningKey.make("benchmark")
    took = np.empty(records)
    begin = time.perf_counter()
    with AuditLog(folder, key) as log:
        journal = Journal(log)
        for n in range(records):
            before = time.perf_counter()
            journal.answer(ANSWER)
            took[n] = time.perf_counter() - before
        assert log.seal(600.0)
        assert log.health.lost == 0
        wrote_s = time.perf_counter() - begin
    begin = time.perf_counter()
    verdict = verify(folder, key.verify_key)
    verify_s = time.perf_counter() - begin
    assert verdict.ok, verdict.faults
    size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    return Speed(
        records=verdict.records,
        per_s=records / wrote_s,
        call_p50_us=float(np.quantile(took, 0.5)) * 1e6,
        call_p99_us=float(np.quantile(took, 0.99)) * 1e6,
        call_max_ms=float(took.max()) * 1e3,
        bytes_each=size / verdict.records,
        signatures=verdict.checkpoints,
        verify_s=verify_s,
    )


def unsigned_for(folder: Path, seconds: float, per_s: float) -> tuple[float, float]:
    """Return how long records wait for their signature at a steady rate: median, longest; s."""
    waits: list[float] = []
    with AuditLog(folder, SigningKey.make("benchmark")) as log:
        journal = Journal(log)
        made: list[float] = []
        next_s = begin = time.perf_counter()
        while next_s < begin + seconds:
            journal.answer(ANSWER)
            made.append(time.perf_counter())
            signed = log.health.signed - 1  # the first record is the log's own
            now = time.perf_counter()
            waits.extend(now - at for at in made[len(waits) : max(signed, len(waits))])
            next_s += 1.0 / per_s
            time.sleep(max(next_s - time.perf_counter(), 0.0))
    return float(np.median(waits)), max(waits)
