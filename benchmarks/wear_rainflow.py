"""A plan's wear by depth against rainflow counting: ``python -m benchmarks.wear_rainflow``.

Both are given the same depth stress. Two sorts of plans: random events (runs of charging and
discharging between random states of charge) and days in which a battery trades half-hours at
random prices, planned with the wear rows of the program themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import rainflow

from benchmarks.tables import table
from ebplan.document import write_atomically
from ebplan.models.library import load_wear
from ebplan.pose.wear import pose_wear
from ebplan.problem import BatteryProblem, ValueSegment
from ebplan.site import Battery, TerminalValue
from ebplan.solvers import highs
from ebplan.solvers.blocks.wear import add_wear, layers_kwh
from ebplan.solvers.program import FloatArray, ProgramBuilder
from ebplan.wear import DepthStress, Wear

MODEL = "lfp-sony-us26650"
STRESSES = {
    "steep": DepthStress(coefficient=5.24e-4, exponent=2.03),
    MODEL: DepthStress(
        **dict(zip(("coefficient", "exponent"), load_wear(MODEL).depth_stress(0.5), strict=True))
    ),
}
"""Depth stresses that are tried: a steep one, common in studies of the method, and the library's
at 0.5 C."""
SEGMENTS = (1, 2, 4, 8, 16)
REPLACEMENT_PER_KWH = 30_000.0
"""Assumed price of new cells; ratios do not depend on it but for days, which trade less."""
DAY_S = 86_400.0
HALF_HOURS = 48
EFFICIENCY = 0.96
PLANS = 1000
DAYS_SHARE = 0.3
"""Share of the plans that are days of trading."""
NOTHING_KWH = 0.02
"""Plans that take out less in all are left out: a ratio to next to nothing says nothing."""


@dataclass(frozen=True)
class Compared:
    """One plan's wear as the program prices it and as rainflow counting does."""

    sort: str
    planned: float
    paid_out: float
    """Rainflow: full cycles, and discharging half cycles in full, charging ones free."""
    halves: float
    """Rainflow by the book: a half cycle counts half, whichever way it goes."""


def battery_of(stress: DepthStress, segments: int, start_soc: float) -> BatteryProblem:
    """Return a battery of 4 kWh and 2 kW with this many depth segments."""
    site = Battery(
        energy_kwh=4.0,
        discharge_limit_kw=2.0,
        charge_limit_kw=2.0,
        converter_rated_kw=2.0,
        converter_loss_linear=0.0,
        converter_loss_quadratic=0.0,
        cell_efficiency=EFFICIENCY,
        converter_delay_s=0.1,
        soc_min=0.05,
        soc_max=0.95,
        reserve_soc=0.05,
        droop_reserve_kw=0.0,
        wear=Wear(
            replacement_per_kwh=REPLACEMENT_PER_KWH,
            temperature_c=25.0,
            depth_stress=stress,
            segments=segments,
        ),
        terminal_value=(TerminalValue(up_to_soc=1.0, price_per_kwh=0.0),),
    )
    wear = pose_wear(site, DAY_S)
    return BatteryProblem(
        energy_kwh=4.0,
        start_kwh=4.0 * start_soc,
        min_kwh=4.0 * site.soc_min,
        max_kwh=4.0 * site.soc_max,
        reserve_kwh=0.0,
        discharge_limit_kw=2.0,
        charge_limit_kw=2.0,
        droop_reserve_kw=0.0,
        rated_kw=2.0,
        loss_linear=0.0,
        loss_quadratic=0.0,
        cell_efficiency=EFFICIENCY,
        delay_s=0.1,
        wear_per_kwh=wear.wear_per_kwh,
        depth_segments=wear.depth_segments,
        terminal=(ValueSegment(width_kwh=4.0, price_per_kwh=0.0),),
    )


def planned_wear(battery: BatteryProblem, energy_kwh: FloatArray) -> float:
    """Return the wear that the program charges for a trajectory."""
    flat = battery.wear_per_kwh * float(np.maximum(-np.diff(energy_kwh), 0.0).sum())
    if not battery.depth_segments:
        return flat
    out = np.maximum(-np.diff(layers_kwh(battery, energy_kwh)), 0.0).sum(axis=1)
    return flat + float(out @ [segment.price_per_kwh for segment in battery.depth_segments])


def rainflow_wear(stress: DepthStress, soc: FloatArray) -> tuple[float, float]:
    """Return the wear per kWh of battery by rainflow: discharging halves in full, and by halves."""
    paid_out = halves = 0.0
    for depth, _, count, begin, end in rainflow.extract_cycles(soc):
        life = REPLACEMENT_PER_KWH * stress.coefficient * depth**stress.exponent
        halves += count * life
        whole = count == 1.0 or soc[begin] > soc[end]
        paid_out += life if whole else 0.0
    return paid_out, halves


def random_event(rng: np.random.Generator) -> FloatArray:
    """Return a state of charge that goes to and fro between random levels, some far apart.

    A run has three points at least: ``rainflow`` counts nothing in two.
    """
    levels = [float(rng.uniform(0.1, 0.9))]
    for _ in range(int(rng.integers(1, 12))):
        reach = float(rng.choice([0.1, 0.3, 0.9]))
        levels.append(float(np.clip(levels[-1] + rng.uniform(-reach, reach), 0.05, 0.95)))
    pieces = [np.linspace(a, b, int(rng.integers(3, 7))) for a, b in pairwise(levels)]
    return np.concatenate([[levels[0]], *(piece[1:] for piece in pieces)])


def random_prices(rng: np.random.Generator) -> FloatArray:
    """Return half-hourly prices of a day: two humps, and noise."""
    hour = np.arange(HALF_HOURS) / 2.0
    shape = np.sin((hour - rng.uniform(0.0, 24.0)) * 2.0 * np.pi / 12.0)
    return np.asarray(20.0 + rng.uniform(5.0, 25.0) * shape + rng.normal(0.0, 5.0, HALF_HOURS))


def traded_day(battery: BatteryProblem, prices: FloatArray) -> FloatArray:
    """Return the energy at the edges of a day that trades best, wear counted; it ends as it began.

    The program is a battery alone, with the wear rows of the formulation.
    """
    builder, hours = ProgramBuilder(), np.full(HALF_HOURS, 0.5)
    start, inner = battery.start_kwh, np.ones(HALF_HOURS - 1)
    discharge = builder.variables("discharge", HALF_HOURS, upper=battery.discharge_limit_kw)
    charge = builder.variables("charge", HALF_HOURS, upper=battery.charge_limit_kw)
    energy = builder.variables(
        "energy",
        HALF_HOURS + 1,
        lower=np.r_[start, battery.min_kwh * inner, start],
        upper=np.r_[start, battery.max_kwh * inner, start],
    )
    eta = battery.cell_efficiency
    builder.rows(
        "soc_balance",
        HALF_HOURS,
        [
            (1.0, energy[1:]),
            (-1.0, energy[:-1]),
            (0.5 / eta, discharge),
            (-0.5 * eta, charge),
        ],
        lower=0.0,
        upper=0.0,
    )
    builder.cost("energy", discharge, -0.5 * prices)
    builder.cost("energy", charge, 0.5 * prices)
    builder.cost("wear", discharge, battery.wear_per_kwh * 0.5 / eta)
    add_wear(builder, battery, energy, hours)
    return highs.solve(builder.build()).x[energy]


def compare(stress: DepthStress, segments: int, plans: int) -> list[Compared]:
    """Compare so many random plans, the same ones for every stress and number of segments."""
    days = round(DAYS_SHARE * plans)
    found = []
    for i in range(plans):
        rng = np.random.default_rng(i)
        if i < days:
            battery = battery_of(stress, segments, 0.5)
            sort, energy = "day", traded_day(battery, random_prices(rng))
        else:
            soc = random_event(rng)
            battery = battery_of(stress, segments, float(soc[0]))
            sort, energy = "event", battery.energy_kwh * soc
        if np.maximum(-np.diff(energy), 0.0).sum() < NOTHING_KWH:
            continue
        per_kwh = rainflow_wear(stress, energy / battery.energy_kwh)
        paid_out, halves = (battery.energy_kwh * money for money in per_kwh)
        found.append(Compared(sort, planned_wear(battery, energy), paid_out, halves))
    return found


def overstated(compared: Sequence[Compared]) -> FloatArray:
    """Return by how much each plan's wear lies above rainflow's, as a share of it."""
    return np.array([c.planned / c.paid_out - 1.0 for c in compared])


def together(compared: Sequence[Compared], *, by_halves: bool = False) -> float:
    """Return by how much the wear of all plans lies above rainflow's, as a share of it."""
    counted = sum(c.halves if by_halves else c.paid_out for c in compared)
    return sum(c.planned for c in compared) / counted - 1.0


def error_table(plans: int, segments: Sequence[int] = SEGMENTS) -> list[str]:
    """Return the table of errors by depth stress, number of segments and sort of plan."""
    head = ("depth stress", "plans", "J", "n", "lowest", "mean", "p95", "max", "all", "all, halves")
    rows = []
    for name, stress in STRESSES.items():
        for count in segments:
            compared = compare(stress, count, plans)
            for sort in ("event", "day"):
                mine = [c for c in compared if c.sort == sort]
                apart = overstated(mine)
                numbers = (
                    *(apart.min(), apart.mean(), np.quantile(apart, 0.95), apart.max()),
                    *(together(mine), together(mine, by_halves=True)),
                )
                cells = (f"{round(100.0 * float(value), 1) + 0.0:+.1f} %" for value in numbers)
                rows.append((name, sort, str(count), str(len(mine)), *cells))
    return table(head, rows)


TITLE = "# Wear by depth against rainflow counting"
METHOD = f"""\
Every number on this page was written by `python -m benchmarks.wear_rainflow --write docs/wear.md`
(`make wear`); do not edit it. A battery of 4 kWh and 2 kW, 5 to 95 % of charge; new cells at
{REPLACEMENT_PER_KWH:,.0f} per kWh (assumed). Plans are random, the same for every row:

- **event**: runs of charging and discharging between random states of charge;
- **day**: 48 half-hours traded at random prices, planned with these wear rows and this J, ending
  where it began.

J segments share the depth; within one the program charges the chord of the stress, nowhere below
it. So the wear of a plan is never too low, and the more segments, the nearer. An error is the
plan's wear over rainflow's, less one, plan by plan (lowest, mean, 95 % of them, highest) and of
all plans together.

Rainflow leaves half cycles at the ends. The program pays a cycle when it discharges, so a
discharging half cycle counts in full here and a charging one not at all. By the book each counts
half: the last column. Where the largest half cycle of a plan discharges, the plan is the dearer by
the book, up to twice; where it charges, the plan looks too cheap: what it stored is paid for by
whoever takes it out.

`steep` is {STRESSES["steep"].coefficient:.3g} d^{STRESSES["steep"].exponent:g}; \
[`{MODEL}`](models/{MODEL}.md) is
{STRESSES[MODEL].coefficient:.3g} d^{STRESSES[MODEL].exponent:.3g} at 0.5 C.
Shallow plans are far off, as a share: within the first segment one price stands for every depth.
In money that is little, as the plans taken together show. Days come out nearer than events because
a plan likes to stop at the edge of a segment, where the price jumps and the chord touches."""


@click.command()
@click.option("--plans", type=click.IntRange(min=10), default=PLANS, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(plans: int, write: Path | None) -> None:
    """Compare random plans and print the table."""
    drawn = f"{plans:,} plans drawn; `n` leaves out those that never discharge."
    page = "\n".join([TITLE, "", METHOD, "", drawn, "", *error_table(plans), ""])
    if write is None:
        click.echo(page)
    else:
        write_atomically(write, page)


if __name__ == "__main__":
    main()
