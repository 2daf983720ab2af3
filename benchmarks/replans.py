"""How often a plan is made anew where requests come at random: ``python -m benchmarks.replans``.

The request-level plant counts requests; read over ten seconds their rate scatters by a tenth, and a
planner that takes it for the load plans anew all the time. The same seconds on the same plant, told
the rates alone and told the counters as well (``ebplan.planner.counted``), and the fluid plant,
whose rates are no counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.case import Case
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.state import State
from ebplan.twin import FluidPlant, RequestPlant
from ebplan.twin.disturbances import LoadStep

HOUR_S = 3600.0
CALL_AT_S = 1800.0
"""Of each hour."""
STEP_AT_S = 900.0
"""When the load steps, in the runs that look for it."""
STEPS = (1.1, 1.3, 0.7)
HEAD = """\
## How often a plan is made anew

Written by `python -m benchmarks.replans --write docs/planner.md`. The built-in site, one release of
five minutes in each hour; simulated. *Rates*: the request-level plant tells rates over 30 s alone;
*counters*: the same seconds, and it tells how many requests have come. A step of the load comes in
the quiet of the first half hour; found is the first plan that was made because of a load, and that
after the step."""


class RatesOnly(Planner):
    """A planner that is told no counters."""

    def replan(self, measured: State, **more: Any) -> Plan:
        """Plan without them."""
        return super().replan(without_counters(measured), **more)

    def activate(self, event: Event, state: State | None = None, **more: Any) -> Plan:
        """Likewise."""
        return super().activate(event, None if state is None else without_counters(state), **more)


def without_counters(state: State) -> State:
    """Return a state whose loads are rates alone."""
    pools = {n: p.model_copy(update={"arrived_requests": {}}) for n, p in state.pools.items()}
    return state.model_copy(update={"pools": pools})


@dataclass(frozen=True)
class Told:
    """What became of a run."""

    hours: float
    plans: int
    """Plans made anew, calls and the end of plans aside."""
    causes: Counter[str]
    """What they were made for."""
    found_s: float | None
    """How long after the step of the load a plan was made for it; None without a step."""


def run(kind: str, hours: float, seed: int, step: float | None = None) -> Told:
    """Run the closed loop.

    Args:
        kind: ``fluid``, ``rates`` or ``counters``.
        hours: how long.
        seed: of every chance.
        step: factor on the load from ``STEP_AT_S`` on; none if absent.
    """
    case = example("under_frequency")
    steps = [] if step is None else list(stepped(case, step))
    plant: FluidPlant | RequestPlant
    if kind == "fluid":
        plant = FluidPlant(case.site, case.state, seed=seed, disturbances=steps)
    else:
        plant = RequestPlant(case.site, case.state, seed=seed, disturbances=steps)
    planner = (RatesOnly if kind == "rates" else Planner)(case.site)
    with planner.start(wait_s=30.0):
        cycles = list(ClosedLoop(planner, plant, calls(case, hours)).run(hours * HOUR_S))
    return told(cycles, hours, step is not None)


def stepped(case: Case, factor: float) -> Iterator[LoadStep]:
    """Yield the steps of every class."""
    for pool, now in case.state.pools.items():
        for name, load in now.load_req_per_s.items():
            yield LoadStep(at_s=STEP_AT_S, pool=pool, request_class=name, req_per_s=factor * load)


def calls(case: Case, hours: float) -> list[Event]:
    """Return a release in each hour."""
    return [
        case.event.model_copy(
            update={
                "id": f"call-{hour}",
                "start": case.state.at + timedelta(seconds=hour * HOUR_S + CALL_AT_S),
            }
        )
        for hour in range(int(hours))
    ]


def told(cycles: list[Cycle], hours: float, stepped: bool) -> Told:
    """Count what became of a run."""
    causes: Counter[str] = Counter()
    found_s, plans = None, 0
    for cycle in cycles[1:]:
        why = [cause for reason in cycle.why if (cause := cause_of(reason)) is not None]
        causes.update(why)
        plans += bool(why)
        if stepped and found_s is None and cycle.at_s >= STEP_AT_S and why:
            found_s = cycle.at_s - STEP_AT_S
    return Told(hours, plans, causes, found_s)


def cause_of(reason: str) -> str | None:
    """Return what kind of deviation a plan was made for; None where nothing deviated."""
    if "req/s" in reason:
        return "load"
    if reason.startswith("the models miss"):
        return "power"
    if "state of charge" in reason:
        return "charge"
    return None


def section(hours: float, seed: int) -> str:
    """Run everything and return the section."""
    rows = []
    for kind in ("fluid", "rates", "counters"):
        quiet = run(kind, hours, seed)
        causes = ", ".join(f"{n} {cause}" for cause, n in quiet.causes.most_common()) or "-"
        found = [run(kind, 0.5, seed, step).found_s for step in STEPS]
        seen = ("not found" if s is None else f"{s:.0f}" for s in found)
        rows.append((kind, f"{quiet.plans}", causes, *seen))
        click.echo(" ".join(rows[-1]), err=True)
    head = ("told", f"plans made anew in {hours:g} h", "for")
    steps = (f"{100 * (step - 1):+.0f} % of load found after, s" for step in STEPS)
    return "\n".join((HEAD, "", *describe_machine(), "", *table((*head, *steps), rows)))


@click.command(help=__doc__)
@click.option("--hours", default=2.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(hours: float, seed: int, write: Path | None) -> None:
    """Measure and report."""
    text = section(hours, seed)
    click.echo(text)
    if write is not None:
        write_section(write, "replans", text)


if __name__ == "__main__":
    main()
