"""Portfolios in numbers: sites that all differ, and limits that they share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import Shared, portfolio, share
from ebplan.study.numbers import StudyNumbers

sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
from study_cases import battery, group, service, study

STEPS = 8


def two_sites() -> StudyNumbers:
    """A site that gives 60 kW at 1 and one that gives 60 kW at 3, called half of the time."""
    sites = [
        replace(group(STEPS, slices=((60.0, price),), products=1, alone_kw=60.0), name=name)
        for name, price in (("cheap", 1.0), ("dear", 3.0))
    ]
    called = service(STEPS, activation=0.5, price=0.0, activation_s=60.0)
    return study([0.0] * STEPS, *sites, services=(called,))


def many(count: int, seed: int, *, price: float = 1.0, efficiency: float = 1.0) -> StudyNumbers:
    """Sites that all differ, with batteries and compute."""
    draw = np.random.default_rng(seed)
    sites = []
    for i in range(count):
        kwh, kw, cheap, wide = draw.uniform(0.5, 1.5, 4)
        own = battery(
            40.0 * kwh,
            80.0 * kw,
            start_kwh=20.0 * kwh,
            efficiency=efficiency,
            wear_per_kwh=0.5 * cheap,
        )
        slices = ((30.0 * wide, 4.0 * cheap), (20.0 * wide, 9.0 * cheap))
        sites.append(
            replace(
                group(
                    STEPS,
                    baseline_kw=draw.uniform(150.0, 250.0, STEPS).tolist(),
                    slices=slices,
                    battery=own,
                    products=1,
                ),
                name=f"site{i}",
            )
        )
    called = service(STEPS, sustain_s=1800.0, activation=0.2, price=price)
    return study(draw.uniform(5.0, 30.0, STEPS).tolist(), *sites, services=(called,))


def regional(
    numbers: StudyNumbers, regions: int, of_highest: float, award_kw: float
) -> list[Region]:
    """Regions that may draw so much of the highest that they draw where nothing limits them."""
    free = share(portfolio(numbers, np.full((1, STEPS), award_kw)))
    names = [g.name for g in numbers.groups]
    return [
        Region(
            name=f"r{r}",
            groups=tuple(names[r::regions]),
            import_kw=of_highest * float(drawn(free, numbers, names[r::regions]).max()),
            export_kw=0.0,
        )
        for r in range(regions)
    ]


def drawn(found: Shared, numbers: StudyNumbers, of: Sequence[str]) -> np.ndarray:
    named = zip(numbers.groups, found.plan.groups, strict=True)
    return np.sum([plan.grid_kw for group, plan in named if group.name in of], axis=0)
