"""How long the two plants take on the built-in site: ``python -m benchmarks.plants`` prints it.

Steps of a second. "at rest": the reference load, nobody telling anything, a perfect meter. "in an
event": load noise, a droop on a frequency that bends every second, a draw held, instances drained,
put to sleep and woken, caps set and lifted every minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import click

from benchmarks.machine import describe_machine
from benchmarks.scaling import scaled
from benchmarks.sections import write_section
from benchmarks.subjects import example
from ebplan.adapters.commands import (
    ArmDroop,
    CapPower,
    Command,
    HoldConnectionPoint,
    Route,
    Sleep,
    Wake,
)
from ebplan.case import Case
from ebplan.frequency import ResponseCurve
from ebplan.twin import Droop, FluidPlant, LoadNoise, MeterModel, Plant
from ebplan.twin.requests import RequestPlant

KNEE = ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.2, knee_fraction=0.05, full_hz=0.5)
PLANTS: dict[str, type[FluidPlant] | type[RequestPlant]] = {
    "fluid": FluidPlant,
    "requests": RequestPlant,
}
GOAL = 20.0
"""Times real time that the request-level plant is to reach on the built-in site."""
HEAD = """\
## Speed

Written by `python -m benchmarks.plants --write docs/twin.md`. Wall time, the median of some runs in
one process; "times real time" is simulated over wall time."""


def at_rest(kind: type[FluidPlant] | type[RequestPlant], case: Case, steps: int) -> float:
    """Return how long the plant takes when nobody tells it anything, in s."""
    return _seconds(kind(case.site, case.state), steps, lambda _: ())


def in_an_event(kind: type[FluidPlant] | type[RequestPlant], case: Case, steps: int) -> float:
    """Return how long it takes while much happens, in s."""
    plant = kind(
        case.site,
        case.state,
        load_noise=LoadNoise(std=0.03),
        droop=Droop(curve=KNEE),
        meter=MeterModel(noise_kw=0.01, dropouts_per_h=2.0),
    )
    (pool,) = case.site.pools
    everyone = case.site.pools[pool].instances
    some = max(everyone // 4, 1)
    of = {"at_s": 0.0, "pool": pool}
    telling: dict[int, tuple[Command, ...]] = {
        0: (
            ArmDroop(at_s=0.0, reserve_kw=1.0),
            HoldConnectionPoint(at_s=0.0, grid_kw=1.2 * everyone),
            Route(**of, active=everyone - some, drained=some),
        ),
        10: (Sleep(**of, count=some),),
        20: (CapPower(**of, w_per_gpu=450.0),),
        35: (Wake(**of, count=some),),
        45: (CapPower(**of, w_per_gpu=None), Route(**of, active=everyone, drained=0)),
    }
    return _seconds(plant, steps, lambda k: telling.get(k % 60, ()))


def _seconds(plant: Plant, steps: int, told: Callable[[int], Sequence[Command]]) -> float:
    begin_s = perf_counter()
    for k in range(steps):
        plant.step(told(k), 1.0)
    return perf_counter() - begin_s


WHATS = {"at rest": at_rest, "in an event": in_an_event}


@click.command(help=__doc__)
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=600, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(repeat: int, steps: int, write: Path | None) -> None:
    """Measure and report."""
    built_in = example("under_frequency")
    sites = {"built-in, 4 instances": built_in, "64 instances": scaled(built_in, instances=64)}
    lines = [
        "| site | what happens | plant | ms a second | times real time |",
        "| :-- | :-- | :-- | --: | --: |",
    ]
    reached = []
    for site, case in sites.items():
        for what, run in WHATS.items():
            for name, kind in PLANTS.items():
                took_s = median(run(kind, case, steps) for _ in range(repeat))
                times = steps / took_s
                lines.append(
                    f"| {site} | {what} | {name} | {1e3 * took_s / steps:.3f} | {times:,.0f} |"
                )
                if name == "requests" and case is built_in:
                    reached.append(times >= GOAL)
    said = "reached" if all(reached) else "**not reached**"
    goal = f"Goal on the built-in site, request-level: {GOAL:g} times real time; {said}."
    text = "\n".join((HEAD, "", *describe_machine(), "", *lines, "", goal))
    click.echo(text)
    if write is not None:
        write_section(write, "speed", text)


if __name__ == "__main__":
    main()
