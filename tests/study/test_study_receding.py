"""The receding policy against perfect foresight, and what it may not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study import receding
from ebplan.study.clock import Clock, Planning
from ebplan.study.decisions import Track
from ebplan.study.foresight import foresee
from ebplan.study.ledger import settle
from ebplan.study.moment import Moment, WindowPlan
from ebplan.study.numbers import StudyNumbers
from ebplan.study.receding import Receding, whole_bids
from ebplan.study.window import Window

DAY = 48


def two_days(seed: int = 0, *, products: int = 1, spread: float = 0.5) -> StudyNumbers:
    draw = np.random.default_rng(seed)
    steps = 2 * DAY
    wave = 15 + 8 * np.sin(np.arange(steps) * 2 * np.pi / DAY) + draw.normal(0, 2, steps)
    cells = battery(
        150, 60, start_kwh=60, efficiency=0.95, depth=((0.0, 1.0), (50.0, 4.0), (100.0, 9.0))
    )
    sites = group(steps, slices=((30.0, 18.0), (20.0, 60.0)), battery=cells, products=products)
    paid = draw.uniform(0.5, 6.0, steps).tolist()
    return study(
        wave.tolist(),
        sites,
        services=(service(steps, price=paid, activation=0.02),) if products else (),
        terminal=14.0,
        spread=spread,
        steps_per_day=DAY,
    )


def seeing_all() -> Planning:
    return Planning(
        forecast="perfect", lookahead=(1,) * DAY, repair_steps=2 * DAY, whole_bids=False
    )


def run(numbers: StudyNumbers, planning: Planning) -> Track:
    return Receding(numbers, all_accepted(numbers), Clock(), planning).run()


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_forecast_earns_what_foresight_earns(seed: int) -> None:
    numbers = two_days(seed)
    best = settle(numbers, foresee(numbers, all_accepted(numbers))).total
    got = settle(numbers, run(numbers, seeing_all())).total
    assert got == pytest.approx(best, rel=1e-6)


def test_a_forecast_never_earns_more_than_foresight() -> None:
    numbers = two_days(5)
    best = settle(numbers, foresee(numbers, all_accepted(numbers))).total
    got = settle(numbers, run(numbers, Planning(whole_bids=False))).total
    assert got < best


def test_what_comes_tomorrow_changes_nothing_that_is_decided_before_it_is_known() -> None:
    numbers = two_days(1)
    # the same values in another order: their mean, which a planner knows, is the same
    later = numbers.market.spot_per_kwh.copy()
    later[DAY:] = later[DAY:][::-1]
    other = replace(numbers, market=replace(numbers.market, spot_per_kwh=later))
    first, second = (run(n, Planning()) for n in (numbers, other))
    assert numbers.market.gate is not None
    known = numbers.market.gate.bid
    assert np.array_equal(first.position_kw, second.position_kw)  # bought before, on both days
    for one, two in zip(first.groups, second.groups, strict=True):
        assert np.array_equal(one.energy_kwh[: known + 1], two.energy_kwh[: known + 1])
    assert not np.array_equal(first.award_kw[0, DAY:], second.award_kw[0, DAY:])


def test_bids_are_whole_and_none_is_below_the_least() -> None:
    product = service(3, min_bid_kw=10.0, step_kw=4.0)
    assert whole_bids(product, np.array([9.9, 14.0, 16.0])).tolist() == [0.0, 12.0, 16.0]


def test_each_day_takes_the_same_work_however_long_the_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solved: list[int] = []
    real = receding.plan

    def counted(window: Window, moment: Moment) -> WindowPlan:
        solved.append(window.steps)
        return real(window, moment)

    monkeypatch.setattr(receding, "plan", counted)
    work = []
    for days in (2, 3, 4):
        steps = days * DAY
        numbers = study(
            np.tile(two_days(2).market.spot_per_kwh[:DAY], days).tolist(),
            group(steps, battery=battery(150, 60, start_kwh=60), products=1),
            services=(service(steps, price=3.0),),
            terminal=14.0,
            steps_per_day=DAY,
        )
        solved.clear()
        Receding(numbers, all_accepted(numbers), Clock(), Planning()).run()
        work.append((len(solved), sum(solved)))
    assert work[2][0] - work[1][0] == work[1][0] - work[0][0] > 0
    assert work[2][1] - work[1][1] == work[1][1] - work[0][1]
