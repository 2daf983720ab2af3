"""How long adapters take on loopback: ``python -m benchmarks.adapters --help``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from benchmarks.adapters import gpu, modbus, router
from benchmarks.adapters.timing import Timed
from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.tables import table

RATIO_GOAL = 1.5
HEAD = ("what", "calls", "median, ms", "p99, ms", "goal for p99, ms", "reached")


@click.command(help=__doc__)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(write: Path | None) -> None:
    """Measure and report."""
    text = section(
        [*asyncio.run(modbus.measure()), *asyncio.run(router.measure())], asyncio.run(gpu.measure())
    )
    click.echo(text)
    if write is not None:
        write_section(write, "times", text)


def section(told: list[Timed], caps: list[Timed]) -> str:
    """Return the section."""
    direct = caps[1].median_ms / caps[0].median_ms
    by_daemon = caps[3].median_ms / caps[2].median_ms
    reached = "yes" if direct <= RATIO_GOAL else "no"
    return "\n".join(
        (
            "## How fast",
            "",
            "Written by `python -m benchmarks.adapters --write docs/adapters.md`, against servers",
            "on loopback, each a process of its own.",
            "",
            *describe_machine()[:1],
            "",
            *table(HEAD, [_row(one) for one in (*told, *caps)]),
            "",
            f"Eight caps at once take {direct:.2f} times as long as one (goal {RATIO_GOAL:g}:",
            f"{reached}); through the daemon {by_daemon:.2f} times. The driver's calls are a",
            f"stand-in's that takes {gpu.CALL_S * 1e3:g} ms for each; a cap needs three. What a",
            "real driver takes to set one is not known here.",
        )
    )


def _row(one: Timed) -> tuple[str, ...]:
    goal = "" if one.goal_ms is None else f"<= {one.goal_ms:g}"
    reached = "" if one.goal_ms is None else "yes" if one.p99_ms <= one.goal_ms else "no"
    times = f"{one.median_ms:.2f}", f"{one.p99_ms:.2f}"
    return one.what, f"{one.calls:,}", *times, goal, reached


if __name__ == "__main__":
    main()
