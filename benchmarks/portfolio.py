"""How long a portfolio takes, by the number of its sites: ``python -m benchmarks.portfolio``.

A day of half-hours of sites that all differ: load, battery, what compute gives and what that costs
are drawn around the example's bench. They share one award of primary reserve that has been given:
half of what their batteries could carry. With ``--regions`` they lie behind so many connections,
each for a little less than the highest sum of its sites' baselines. The groups answer in one
process a core. Small portfolios are also solved at once, as one program. Seconds of the
processor, of all processes together, change little with what else the machine does; the wall time
of a quiet one is about half on two cores.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from time import monotonic

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.tables import table
from ebplan.portfolio.processes import Processes
from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import joint, portfolio, share
from ebplan.study.asked import Frontiers
from ebplan.study.battery import group_battery
from ebplan.study.build import build
from ebplan.study.numbers import StudyNumbers
from ebplan.study.run import load_study
from ebplan.study.spec import BatterySize
from ebplan.sweep.farm import cores
from ebplan.words import percent_words

EXAMPLE = Path(__file__).parents[1] / "examples" / "study_week.toml"
AWARDED = 0.5
"""Share of the batteries' power that is awarded."""
CARRIED = 0.98
"""Of the highest sum of baselines: what a connection carries."""
JOINT_UP_TO = 100
"""Sites up to which the whole program is solved at once for comparison."""


def sites(count: int, frontiers: Frontiers, *, seed: int = 1) -> StudyNumbers:
    """Return a portfolio of so many sites that all differ, over one day."""
    spec = load_study(EXAMPLE)
    one = spec.portfolio[0].model_copy(update={"count": 1})
    period = spec.period.model_copy(update={"days": 1})
    spec = spec.model_copy(update={"portfolio": (one,), "period": period})
    built = build(spec, EXAMPLE.parent, frontiers=frontiers)
    base, draw = built.numbers.groups[0], np.random.default_rng(seed)
    groups = []
    for i in range(count):
        scale, price, energy, power = draw.uniform(0.5, 2.0, 4)
        later = int(draw.integers(0, 8))
        sized = one.model_copy(
            update={"battery": BatterySize(energy_kwh=5.0 * energy, power_kw=8.0 * power)}
        )
        groups.append(
            replace(
                base,
                name=f"site{i}",
                baseline_kw=scale * np.roll(base.baseline_kw, later),
                width_kw=scale * np.roll(base.width_kw, later, axis=0),
                lost_per_kwh=price * np.roll(base.lost_per_kwh, later, axis=0),
                alone_kw=scale * np.roll(base.alone_kw, later, axis=0),
                battery=group_battery(sized, built.sites[0], currency=spec.currency),
                import_kw=scale * base.import_kw,
            )
        )
    return replace(built.numbers, groups=tuple(groups))


def awarded(numbers: StudyNumbers) -> np.ndarray:
    """Return the award that is shared, shape (S, T)."""
    power = sum(g.battery.problem.discharge_limit_kw for g in numbers.groups if g.battery)
    return np.full((len(numbers.services), numbers.steps), AWARDED * power)


def behind(numbers: StudyNumbers, count: int) -> list[Region]:
    """Return connections that carry most of the highest sum of their sites' baselines."""
    regions = []
    for i in range(count):
        groups = numbers.groups[i::count]
        highest = float(np.sum([g.baseline_kw for g in groups], axis=0).max())
        regions.append(Region(f"region{i}", tuple(g.name for g in groups), CARRIED * highest, 0.0))
    return regions


def processor_s() -> float:
    """Return seconds of the processor that this process and those that it ended have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@click.command()
@click.option("--sites", "counts", multiple=True, type=int, default=(10, 100, 300, 1000))
@click.option("--regions", type=int, default=0, show_default=True, help="Connections they share.")
@click.option("--gap", type=float, default=1e-4, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write a section into this page.")
def main(counts: tuple[int, ...], regions: int, gap: float, write: Path | None) -> None:
    """Print seconds, rounds and proven gaps."""
    frontiers, rows = Frontiers(), []
    sites(1, frontiers)
    for count in counts:
        numbers = sites(count, frontiers)
        began, spent = monotonic(), processor_s()
        of = portfolio(numbers, awarded(numbers), regions=behind(numbers, regions))
        stated = monotonic() - began
        with Processes(cores()) as ask:
            found = share(of, gap=gap, ask=ask)
        seconds, spent = monotonic() - began, processor_s() - spent
        apart = "" if count > JOINT_UP_TO else f"{found.objective / joint(of) - 1.0:.2e}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(
            [
                *(f"{count:,}", f"{of.program.n_columns:,}", f"{stated:,.1f}", f"{seconds:,.1f}"),
                *(f"{spent:,.1f}", f"{1e3 * spent / count:,.0f}"),
                *(f"{found.rounds}", f"{found.gap:.1e}"),
                *(apart, f"{peak:,.0f}"),
            ]
        )
        if regions:
            worth = found.import_price_per_kw
            rows[-1] += [
                percent_words(float((worth > 1e-6).mean())),
                f"{worth.sum(axis=1).mean():,.1f}",
            ]
        click.echo(rows[-1])
    head = (
        *(
            "sites",
            "columns",
            "stated, s",
            "wall, s",
            "processor, s",
            "processor ms a site",
            "rounds",
            "proven gap",
        ),
        *("over the joint optimum", "peak MiB"),
        *(("steps at limits", "JPY a kW of limit and day") if regions else ()),
    )
    text = "\n".join([*describe_machine(gap), "", *table(head, rows)])
    click.echo(text)
    if write is not None:
        write_section(write, "size, regions" if regions else "size", text)


if __name__ == "__main__":
    main()
