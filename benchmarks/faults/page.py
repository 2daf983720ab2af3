"""The fault matrix as a section of a page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.faults.matrix import BAD_S, Outcome
from benchmarks.tables import table

HEAD = (
    "adapter",
    "fault",
    "a command is answered",
    "after, ms",
    "longest, ms",
    "a reading",
    f"connections in {BAD_S:g} s",
    "back after, s",
    "safe, nothing grew",
)


def section(outcomes: Sequence[Outcome]) -> str:
    """Return the section."""
    rows = [
        (
            one.adapter,
            one.fault,
            one.answered,
            f"{one.first_s * 1e3:.0f}",
            f"{one.longest_s * 1e3:.0f}",
            one.reading,
            str(one.connections),
            "-" if one.back_s is None else f"{one.back_s:.1f}",
            "yes" if one.is_good else f"NO {one.unsafe}",
        )
        for one in outcomes
    ]
    good = sum(one.is_good for one in outcomes)
    return "\n".join(
        (
            "## Devices that misbehave",
            "",
            "Written by `python -m benchmarks.faults --write docs/reliability.md`. Each adapter is",
            "put behind a line that is turned bad while it is told and read all the time.",
            f"{good} of {len(outcomes)} end well: no answer hangs, no connection, file or",
            "task is left over, the device is in no state that its limits forbid, and the adapter",
            "answers again by itself once the line is good. *Not sent*, *maybe executed* is what",
            "the adapter says of the command; neither is ever sent again by itself.",
            "",
            *table(HEAD, rows),
        )
    )
