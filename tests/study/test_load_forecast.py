"""The receding policy knows no load before it comes, and pays for what it promised of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study.clock import Clock, Planning
from ebplan.study.decisions import Track
from ebplan.study.forecast import Forecaster
from ebplan.study.foresight import foresee
from ebplan.study.invariants import hold
from ebplan.study.ledger import absent_of, settle
from ebplan.study.numbers import StudyNumbers
from ebplan.study.receding import Receding

DAY = 48


def falling(days: int = 3, *, last: float = 0.5, cells: bool = False) -> StudyNumbers:
    """Return a site whose compute can release 80 kW, and on its last day a share of that."""
    steps = days * DAY
    product = service(
        steps, price=3.0, activation_s=60.0, activation=0.1, unavailable_times=2.0,
        penalty_per_kwh=4.0, sustain_s=1800.0,
    )  # fmt: skip
    own = battery(20, 40, start_kwh=10.0) if cells else None
    site = group(steps, slices=((50.0, 20.0), (30.0, 25.0)), battery=own, products=1, alone_kw=80.0)
    share = np.ones(steps)
    share[-DAY:] = last
    site = replace(
        site, width_kw=site.width_kw * share[:, None], baseline_kw=site.baseline_kw * share
    )
    return study([10.0] * steps, site, services=(product,), terminal=10.0, steps_per_day=DAY)


def run(numbers: StudyNumbers, **planning: object) -> Track:
    plan = Planning.parse({"whole_bids": False, **planning})
    track = Receding(numbers, all_accepted(numbers), Clock(), plan).run()
    hold(numbers, track, settle(numbers, track))
    return track


def test_what_was_promised_at_a_load_that_did_not_come_is_missing() -> None:
    numbers = falling()
    track = run(numbers)
    done, last = track.groups[0], slice(2 * DAY, 3 * DAY)
    # before a day is known whole, its mean over the study is taken; then that day
    assert track.award_kw[0, : 2 * DAY] == pytest.approx(80.0 * 2.5 / 3.0)
    assert track.award_kw[0, last] == pytest.approx(80.0)
    assert done.compute_award_kw[0, last].sum(axis=1) == pytest.approx(40.0)
    assert done.lacking_kw[0, last] == pytest.approx(40.0)
    assert done.lacking_kw[0, : 2 * DAY] == pytest.approx(0.0)
    assert absent_of(numbers, track)[0, last] == pytest.approx(40.0)
    # a tenth of it is called for half an hour: 2 kWh a step at 4; and twice what each kW is paid
    ledger = settle(numbers, track)
    assert ledger.of["penalty", "fcr"][last] == pytest.approx(-8.0)
    assert ledger.of["penalty", "fcr.unavailable"][last] == pytest.approx(-2.0 * 3.0 * 40.0)
    assert ledger.delivered_kwh[0, last] == pytest.approx(2.0)


def test_who_knows_the_load_promises_what_will_be_there() -> None:
    numbers = falling()
    for track in (run(numbers, forecast="perfect"), foresee(numbers, all_accepted(numbers))):
        assert track.groups[0].lacking_kw.max() == pytest.approx(0.0, abs=1e-6)
        assert track.award_kw[0, -DAY:] == pytest.approx(40.0)


def test_a_battery_keeps_its_own_part() -> None:
    numbers = falling(cells=True)
    track = run(numbers)
    done, last = track.groups[0], slice(2 * DAY, 3 * DAY)
    assert done.compute_award_kw[0, last].sum(axis=1).max() <= 40.0 + 1e-6
    assert track.award_kw[0, last] == pytest.approx(80.0 + 40.0)
    # all that it has was sold, so that it cannot stand in
    assert absent_of(numbers, track)[0, last] == pytest.approx(40.0)
    assert settle(numbers, track).total <= settle(numbers, run(numbers, forecast="perfect")).total


def test_a_load_changes_nothing_that_is_decided_before_it_comes() -> None:
    # two ends of the last day that lie as much above as below: their mean, which is known, is one
    one, two = falling(last=0.5), falling(last=0.5)
    site = two.groups[0]
    swapped = np.concatenate([np.arange(2 * DAY), np.arange(3 * DAY - 1, 2 * DAY - 1, -1)])
    ramp = np.concatenate([np.ones(2 * DAY), np.linspace(0.4, 0.6, DAY) / 0.5])
    one = replace(one, groups=(replace(site, width_kw=site.width_kw * ramp[:, None]),))
    two = replace(two, groups=(replace(site, width_kw=site.width_kw * ramp[swapped][:, None]),))
    first, second = run(one), run(two)
    assert np.array_equal(first.position_kw, second.position_kw)
    assert np.array_equal(first.bid_kw, second.bid_kw)
    assert not np.array_equal(first.groups[0].lacking_kw, second.groups[0].lacking_kw)


def test_series_side_by_side_are_forecast_one_by_one() -> None:
    truth = np.random.default_rng(2).uniform(0.0, 1.0, (4 * DAY, 3))
    beside = Forecaster(truth, DAY).known_until(2 * DAY + 5, 2 * DAY, DAY)
    for k in range(3):
        alone = Forecaster(truth[:, k].copy(), DAY).known_until(2 * DAY + 5, 2 * DAY, DAY)
        assert beside[:, k] == pytest.approx(alone)
    assert beside[:5] == pytest.approx(truth[2 * DAY : 2 * DAY + 5])
