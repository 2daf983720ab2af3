"""The audit log measured: ``python -m benchmarks.audit --help``."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from benchmarks.audit.edits import edit
from benchmarks.audit.kill import Left, kill_once
from benchmarks.audit.speed import Speed, measure, unsigned_for
from benchmarks.sections import write_section
from ebplan.audit import AuditLog, SigningKey, verify

KEY, NEW_KEY = (SigningKey("site-1", bytes([n]) * 32) for n in (1, 2))
SEGMENT_BYTES = 12_000
NOTE_LINES = 6
"""A fault of a checkpoint is named at its first line."""
NAMED = """\
Named where it was: at the line, or one beside it; a checkpoint at its first line; a document by its
name. Records that were chained again are named as some between two checkpoints, and an end that was
cut off by how many records a checkpoint covers."""


def a_log(folder: Path) -> Path:
    """Write the log that is edited: segments, documents, a new key; return copied checkpoints."""
    copies = folder.with_name("copies")
    with AuditLog(folder, KEY, segment_bytes=SEGMENT_BYTES, copy_to=copies) as log:
        for n in range(200):
            named = {"plan": b"plan %d" % n} if n % 50 == 0 else {}
            log.record("decision", {"n": n, "asked": n / 7}, named)
            if n % 20 == 19:
                log.seal()
            if n == 100:
                log.change_key(NEW_KEY)
    return copies


def edit_many(count: int, seed: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Return by kind of edit how many there were, how many were found, and found at their line."""
    made, found, located = Counter[str](), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "log"
        copies = a_log(folder)
        rng = random.Random(seed)
        for n in range(count):
            done = edit(folder, rng)
            verdict = verify(folder, KEY.verify_key, elsewhere=[copies])
            made[done.how] += 1
            found[done.how] += not verdict.ok or verdict.unsigned > 0
            where = done.path.name
            near = NOTE_LINES if where.endswith(".checkpoints") else 1
            located[done.how] += any(
                where in f.what or (f.file == where and abs(f.line - done.line) <= near)
                for f in verdict.faults
            )
            done.undo()
            if n % 500 == 499:
                click.echo(f"{n + 1} edits", err=True)
    return made, found, located


def kill_many(count: int, seed: int) -> list[Left]:
    """Kill writers of one log after the other."""
    rng, left = random.Random(seed), list[Left]()
    with tempfile.TemporaryDirectory() as name:
        folder, key_file = Path(name) / "log", Path(name) / "site.key"
        KEY.write(key_file)
        for n in range(count):
            one = kill_once(folder, key_file, rng)
            left.append(one)
            click.echo(f"{n + 1} {one}", err=True)
            if n % 10 == 9:
                shutil.rmtree(folder)
    return left


def speed_table(speed: Speed, wait_s: tuple[float, float]) -> str:
    """Return what was measured of writing and proving."""
    rows = [
        ("records written, on disk and signed for", f"{speed.per_s:,.0f} /s", ">= 3,000 /s"),
        ("a call of the control loop, median", f"{speed.call_p50_us:.0f} us", ""),
        ("a call, 99 %", f"{speed.call_p99_us:.0f} us", ""),
        ("the longest call", f"{speed.call_max_ms:.1f} ms", ""),
        ("length of a record", f"{speed.bytes_each:.0f} bytes", ""),
        (f"{speed.records:,} records proven", f"{speed.verify_s:.1f} s", "<= 120 s a million"),
        ("from a record to its signature, median", f"{wait_s[0]:.2f} s", ""),
        ("the longest", f"{wait_s[1]:.2f} s", "<= 1 s"),
    ]
    return _table(("what", "measured", "goal"), rows)


def edits_table(made: Counter[str], found: Counter[str], located: Counter[str]) -> str:
    """Return what became of edits."""
    rows = [(how, f"{made[how]:,}", f"{found[how]:,}", f"{located[how]:,}") for how in sorted(made)]
    total = tuple(f"{c.total():,}" for c in (made, found, located))
    table = _table(("edit", "made", "found", "named where it was"), [*rows, ("all", *total)])
    return f"{table}\n\n{NAMED}"


def kills_table(left: list[Left]) -> str:
    """Return what was left of logs."""
    rows = []
    for how in ("killed", "power lost"):
        those = [one for one in left if one.how == how]
        rows.append(
            (
                how,
                str(len(those)),
                str(sum(one.ok for one in those)),
                f"{sum(one.records for one in those):,}",
                str(sum(one.set_aside_bytes > 0 for one in those)),
                str(max((one.unsigned for one in those), default=0)),
            )
        )
    head = (
        "writers",
        "times",
        "verified, all that was promised there",
        "records",
        "torn ends set aside",
        "most records without a signature",
    )
    return _table(head, rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


@click.command(help=__doc__)
@click.option("--records", default=1_000_000, show_default=True)
@click.option("--edits", default=10_000, show_default=True)
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=20261126, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the sections into this page.")
def main(records: int, edits: int, kills: int, seed: int, write: Path | None) -> None:
    """Measure; exits with 1 where an edit was not found or a log did not verify."""
    with tempfile.TemporaryDirectory() as name:
        speed = measure(Path(name) / "fast", records)
        wait_s = unsigned_for(Path(name) / "steady", 10.0, 300.0)
    begin = time.perf_counter()
    made, found, located = edit_many(edits, seed)
    edits_s = time.perf_counter() - begin
    left = kill_many(kills, seed)
    sections = {
        "audit speed": speed_table(speed, wait_s),
        "audit edits": edits_table(made, found, located) + f"\n\nIn {edits_s:.0f} s.",
        "audit kills": kills_table(left),
    }
    for title, text in sections.items():
        click.echo(f"\n{title}\n\n{text}")
        if write is not None:
            write_section(write, title, text)
    sys.exit(0 if found == made and all(one.ok for one in left) else 1)


if __name__ == "__main__":
    main()
