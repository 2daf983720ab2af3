"""Awards that a portfolio shares: as good as one program over all, by prices and profiles alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import NoPlanError
from ebplan.portfolio.share import Processes, joint, portfolio, share
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


def many(count: int, seed: int, *, price: float = 1.0) -> StudyNumbers:
    """Sites that all differ, with batteries and compute."""
    draw = np.random.default_rng(seed)
    sites = []
    for i in range(count):
        kwh, kw, cheap, wide = draw.uniform(0.5, 1.5, 4)
        own = battery(40.0 * kwh, 80.0 * kw, start_kwh=20.0 * kwh, wear_per_kwh=0.5 * cheap)
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


def test_the_cheaper_site_carries_first() -> None:
    numbers = two_sites()
    found = share(portfolio(numbers, np.full((1, STEPS), 80.0)))
    carried = [plan.compute_award_kw[0].sum(axis=1) for plan in found.plan.groups]
    assert carried[0] == pytest.approx(np.full(STEPS, 60.0), abs=1e-4)
    assert carried[1] == pytest.approx(np.full(STEPS, 20.0), abs=1e-4)
    # half an hour, half of the time: 8 steps of 0.25 h
    assert found.objective == pytest.approx(STEPS * 0.25 * (60.0 * 1.0 + 20.0 * 3.0))
    # a kW more is carried by the dear one
    assert found.price_per_kw[0] == pytest.approx(np.full(STEPS, 0.25 * 3.0), rel=1e-4)


def test_more_than_all_can_carry_is_refused() -> None:
    with pytest.raises(NoPlanError):
        share(portfolio(two_sites(), np.full((1, STEPS), 121.0)))


@pytest.mark.parametrize("count", [3, 20])
def test_as_good_as_one_program_over_all(count: int) -> None:
    numbers = many(count, seed=count)
    # above a dozen, more than a pilot samples: prices have to be found
    of = portfolio(numbers, np.full((1, STEPS), 40.0 * count))
    found, best = share(of, gap=1e-4), joint(of)
    size = abs(best)
    assert found.bound <= best + 1e-7 * size
    assert best - 1e-7 * size <= found.objective <= best + 2e-4 * size
    assert found.gap <= 1.01e-4


def test_the_plan_keeps_the_award_and_adds_up() -> None:
    numbers = many(15, seed=1)
    award = np.linspace(100.0, 600.0, STEPS)[None, :]
    found = share(portfolio(numbers, award))
    groups = found.plan.groups
    carried = sum(g.battery_award_kw + g.compute_award_kw.sum(axis=2) for g in groups)
    assert carried == pytest.approx(award, abs=1e-3)
    assert found.plan.position_kw == pytest.approx(sum(g.grid_kw for g in groups), abs=1e-6)
    for plan, numbers_of in zip(groups, numbers.groups, strict=True):
        released = plan.release_kw.sum(axis=1) + plan.discharge_kw - plan.charge_kw
        assert plan.grid_kw == pytest.approx(numbers_of.baseline_kw - released, abs=1e-5)


def test_what_is_held_may_be_chosen() -> None:
    of = portfolio(many(14, seed=3, price=20.0))
    found, best = share(of), joint(of)
    assert found.objective == pytest.approx(best, rel=2e-4)
    assert found.plan.award_kw.max() > 0.0


def test_other_processes_answer_the_same() -> None:
    of = portfolio(many(14, seed=2), np.full((1, STEPS), 500.0))
    with Processes(2) as ask:
        spread = share(of, ask=ask)
    assert spread.objective == pytest.approx(share(of).objective, rel=1e-12)
