"""How long an offer takes: ``python -m benchmarks.offers --help``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click

from benchmarks.machine import describe_machine
from benchmarks.scaling import scaled
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.case import Case
from ebplan.document import write_atomically
from ebplan.offers import Offer, OfferRequest, offer

HEAD = """\
# How long an offer takes

Written by `python -m benchmarks.offers --write docs/offers_time.md`; do not edit.

Five durations, 10 s to 4 h, at 90 %. *Promises* are the promised kW alone: found, made sure, with
their checked plans. *In full* adds the cost curve of six levels, limits and levers of each. Two
processes side by side; starting them is counted.
"""
REQUEST = {"load_forecast_std": 0.02, "response_std": 0.05, "confidences": (0.9,)}
GOALS_S = {"built-in site": 5.0, "1,000 instances": 60.0}


@dataclass(frozen=True)
class Timed:
    """One offer."""

    subject: str
    direction: str
    promises_s: float
    in_full_s: float
    made: Offer

    @property
    def goal_s(self) -> float:
        """Seconds that it may take."""
        return next(goal for name, goal in GOALS_S.items() if self.subject.startswith(name))


def subjects() -> dict[str, Case]:
    """Return the sites by name."""
    base = example("curtailment_3h")
    return {
        "built-in site": base,
        "1,000 instances in 1 pool": scaled(base, instances=1000),
        "1,000 instances in 10 pools": scaled(base, instances=100, pools=10),
    }


def measure(name: str, case: Case, direction: str, jobs: int) -> Timed:
    """Time an offer, without and with its details."""
    seconds = []
    for detailed in (False, True):
        request = OfferRequest(directions=(direction,), in_detail=detailed, **REQUEST)
        began = perf_counter()
        made = offer(request, case.site, case.state, jobs=jobs)
        seconds.append(perf_counter() - began)
    return Timed(name, direction, seconds[0], seconds[1], made)


def page(timed: Sequence[Timed]) -> str:
    """Return the page."""
    rows = [
        [
            f"{t.subject}, {t.direction}",
            ", ".join(f"{point.kw:.4g}" for point in t.made.points),
            f"{t.promises_s:.1f}",
            f"{t.in_full_s:.1f}",
            f"<= {t.goal_s:g}",
            "yes" if t.in_full_s <= t.goal_s else "no",
        ]
        for t in timed
    ]
    head = ["offer", "kW", "promises, s", "in full, s", "goal, s", "reached"]
    return "\n".join([HEAD, *table(head, rows), "", *describe_machine()]) + "\n"


@click.command(help=__doc__)
@click.option("--jobs", default=2, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(jobs: int, write: Path | None) -> None:
    """Time and report."""
    timed = []
    for name, case in subjects().items():
        for direction in ("release", "absorb"):
            timed.append(measure(name, case, direction, jobs))
            click.echo(f"{name}, {direction}: {timed[-1].in_full_s:.1f} s", err=True)
    text = page(timed)
    click.echo(text)
    if write is not None:
        write_atomically(write, text.encode())


if __name__ == "__main__":
    main()
