"""What sites did after their controllers were killed, as a section of a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.kills.bench import RESTORE_S
from benchmarks.kills.kill import Killed
from benchmarks.tables import table

HEAD = (
    "signal",
    "killed",
    "safe within the lease",
    "battery at rest, s",
    "router on its own, s",
    "caps begin, s",
    "caps as before, s",
    "engines awake, s",
    "caps at once",
)


def section(killed: Sequence[Killed]) -> str:
    """Return the section; times as median / longest."""
    rows = []
    for how in dict.fromkeys(one.how for one in killed):
        those = [one for one in killed if one.how == how]
        rows.append(
            (
                how,
                str(len(those)),
                str(sum(one.is_safe for one in those)),
                *(
                    _times([getattr(one, name) for one in those])
                    for name in ("battery_s", "router_s", "caps_begun_s", "caps_done_s", "awake_s")
                ),
                f"{max(one.at_once for one in those):.0%}",
            )
        )
    lease_s = killed[0].lease_s
    safe = sum(one.is_safe for one in killed)
    return "\n".join(
        (
            "## Controllers that are killed",
            "",
            "Written by `python -m benchmarks.kills --write docs/reliability.md`. A controller",
            "follows a plan that holds the battery at 2 kW, caps GPUs, drains one engine and",
            "puts it to sleep, on loopback: a SunSpec converter, HAProxy, four engines,",
            "`ebplan-capd` on eight GPUs (a stand-in for the driver) and `ebplan-waked`. It is",
            "killed at a random moment. Safe within the lease means: battery at rest, router by",
            "its static weights, engines awake, and caps on their way back, which takes",
            f"{RESTORE_S:g} s more on purpose. That was so {safe} of {len(killed)} times, with a",
            f"lease of {lease_s:g} s. Seconds from the signal, median / longest; *caps at once* is",
            "the largest share of the watts that came back within a tenth of that ramp.",
            "",
            *table(HEAD, rows),
        )
    )


def _times(seconds: Sequence[float | None]) -> str:
    known = [s for s in seconds if s is not None]
    if len(known) < len(seconds):
        return f"never in {len(seconds) - len(known)}"
    return f"{median(known):.2f} / {max(known):.2f}"
