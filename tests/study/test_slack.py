"""What may be missing for awards that are given is never used for the sake of a new bid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study.clock import Clock, Planning
from ebplan.study.decisions import Track
from ebplan.study.foresight import foresee
from ebplan.study.invariants import hold
from ebplan.study.ledger import absent_of, settle
from ebplan.study.numbers import Gate, ServiceNumbers, StudyNumbers
from ebplan.study.receding import Receding
from ebplan.study.slack import open_awards

DAY = 48


def with_battery(
    steps: int, kwh: float, kw: float, start: float, *services: ServiceNumbers, **more: Any
) -> StudyNumbers:
    site = group(steps, battery=battery(kwh, kw, start_kwh=start), products=len(services))
    return study([1.0] * steps, site, services=services, **{"terminal": 1.0, **more})


def foreseen(numbers: StudyNumbers) -> Track:
    track = foresee(numbers, all_accepted(numbers))
    hold(numbers, track, settle(numbers, track))
    return track


def test_a_bid_for_a_block_is_not_made_for_what_is_lacking_in_one_step() -> None:
    """20 kWh hold the contract of 40 kW for half an hour, and nothing besides in the first step."""
    contract = service(8, name="own", price=0.0, sustain_s=1800.0, contract_kw=40.0)
    bid = service(8, price=50.0, sustain_s=1800.0, block=8)
    track = foreseen(with_battery(8, 100, 200, 20.0, contract, bid))
    assert track.award_kw[1] == pytest.approx(0.0, abs=1e-6)
    by_step = foreseen(
        with_battery(8, 100, 200, 20.0, contract, service(8, price=50.0, sustain_s=1800.0))
    )
    assert by_step.award_kw[1] == pytest.approx([0.0, *[160.0] * 7], abs=1e-6)


def test_power_the_other_way_is_not_lacking_for_the_sake_of_a_bid() -> None:
    """Each kW charged is worth 500, each awarded 3: nothing is left of the power to charge."""
    contract = service(1, name="own", price=0.0, sustain_s=1.0, contract_kw=50.0)
    bid = service(1, price=3.0, sustain_s=1.0, opposite=0.1)
    track = foreseen(with_battery(1, 500, 100, 100.0, contract, bid, terminal=1000.0))
    charge, award = track.groups[0].charge_kw[0], track.award_kw[1, 0]
    assert charge + 0.1 * award <= 100.0 + 1e-6
    assert charge == pytest.approx(100.0)


def test_more_power_than_is_sold_may_be_lacking_and_is_paid_for() -> None:
    """One product takes what another was not expected to get: 1.25 * 32 + 1.5 * 40 / 3 of 40 kW."""
    steps = 2 * DAY
    first = service(
        steps, name="one", price=8.0, rated=1.25, gate=Gate(bid=10, known=30),
        award_probability=0.5, unavailable_times=2.0,
    )  # fmt: skip
    second = service(steps, name="two", price=2.0, rated=1.5, gate=Gate(bid=20, known=30))
    numbers = with_battery(steps, 60, 40, 30.0, first, second, steps_per_day=DAY)
    planning = Planning(whole_bids=False)
    track = Receding(numbers, all_accepted(numbers), Clock(), planning).run()
    ledger = settle(numbers, track)
    hold(numbers, track, ledger)
    assert track.award_kw[0] == pytest.approx(32.0)
    assert track.award_kw[1] == pytest.approx(20.0 / 1.5)
    absent = absent_of(numbers, track)
    assert absent[0] == pytest.approx(32.0 / 3.0)
    assert absent[1] == pytest.approx(20.0 / 1.5 / 3.0)
    unpaid = ledger.of["penalty", "one.unavailable"]
    assert unpaid == pytest.approx(-2.0 * 8.0 * 32.0 / 3.0)


def test_a_bid_earns_in_all_of_its_block_that_is_open() -> None:
    award = np.array([[np.nan, np.nan, 5.0, np.nan], [np.nan] * 4])
    held = np.array([[True] * 4, [True, True, True, False]])
    block = np.array([[0, 0, 0, 1], [0, 1, 2, 3]])
    money = np.array([[3.0, -1.0, 7.0, 2.0], [1.0, -2.0, 3.0, 4.0]])
    found = open_awards(award, held, block, money)
    assert found.given_kw.tolist() == [[0.0, 0.0, 5.0, 0.0], [0.0] * 4]
    assert found.earned.tolist() == [[2.0, 2.0, 0.0, 2.0], [1.0, 0.0, 3.0, 0.0]]
