"""How long a plant takes: ``python -m benchmarks.plant`` prints the table.

A day in steps of a second on the bench of the examples, nobody planning; and a fleet of named
instances taken through the counts of a plan.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

import click

from benchmarks.subjects import example
from ebplan.adapters.commands import ArmDroop, HoldConnectionPoint
from ebplan.disaggregate import Instance, disaggregate
from ebplan.frequency import ResponseCurve
from ebplan.plan import PoolEpoch
from ebplan.twin import Droop, FluidPlant, LoadNoise, MeterModel

DAY_S = 86_400
KNEE = ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.2, knee_fraction=0.05, full_hz=0.5)
NOISE = LoadNoise(std=0.03)
PLANTS = {
    "nothing happens": lambda case: FluidPlant(case.site, case.state),
    "load moves every 10 s, meter noise and dropouts": lambda case: FluidPlant(
        case.site,
        case.state,
        load_noise=NOISE,
        meter=MeterModel(noise_kw=0.01, dropouts_per_h=2.0),
    ),
    "the same load, a droop on a frequency that bends every second": lambda case: FluidPlant(
        case.site, case.state, load_noise=NOISE, droop=Droop(curve=KNEE)
    ),
}


def seconds_for(name: str, steps: int) -> float:
    """Return how long a plant takes for steps of a second, a draw being held."""
    plant = PLANTS[name](example("under_frequency"))
    held = HoldConnectionPoint(at_s=0.0, grid_kw=4.9)
    plant.step((ArmDroop(at_s=0.0, reserve_kw=1.0), held), 1.0)
    begin_s = perf_counter()
    for _ in range(steps):
        plant.step((), 1.0)
    return perf_counter() - begin_s


def naming_seconds(instances: int, epochs: int) -> tuple[float, int]:
    """Return how long a fleet takes that drains and refills by a third, and its switches."""
    third = instances // 3
    fleet = [Instance(f"i{k}", "active", -float(k)) for k in range(instances)]
    plan = [
        PoolEpoch.model_validate(
            {
                **{"t_s": 60.0 * k, "active": instances - third * (k % 2)},
                **{"drained": third * (k % 2), "asleep": 0, "in_transit": 0},
                **{"put_to_sleep": 0, "woken": 0, "utilisation": 0.5, "capacity_used": 0.5},
                **{"power_kw": 1.0, "cap_w_per_gpu": None, "classes": {}},
            }
        )
        for k in range(epochs)
    ]
    begin_s = perf_counter()
    switches = disaggregate(plan, fleet)
    return perf_counter() - begin_s, sum(len(epoch) for epoch in switches)


@click.command()
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=DAY_S, show_default=True)
def main(repeat: int, steps: int) -> None:
    """Print the medians of some runs."""
    click.echo(f"| {steps} steps of 1 s | s | us a step | times real time |")
    click.echo("| :-- | --: | --: | --: |")
    for name in PLANTS:
        took_s = median(seconds_for(name, steps) for _ in range(repeat))
        each_us = took_s / steps * 1e6
        click.echo(f"| {name} | {took_s:.2f} | {each_us:.1f} | {steps / took_s:,.0f} |")
    click.echo("")
    runs = [naming_seconds(10_000, 20) for _ in range(repeat)]
    took_ms = median(took_s for took_s, _ in runs) * 1e3
    click.echo(f"10,000 instances, 20 epochs, {runs[0][1]:,} switches named: {took_ms:.0f} ms")


if __name__ == "__main__":
    main()
