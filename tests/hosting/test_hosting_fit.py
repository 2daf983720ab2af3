"""How many units fit: by hand, and laws that hold whatever the numbers are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ebplan.hosting.fit import Fit, Store, Unit, fit
from ebplan.hosting.spec import Contract

FLAT = np.ones(24)
NONE = Store(0.0, 0.0, 0.0)


def unit(
    slices: tuple[tuple[float, float], ...] = (),
    *,
    draw_kw: np.ndarray = 5.0 * FLAT,
    at_once_kw: float = 0.0,
) -> Unit:
    width = np.tile([kw for kw, _ in slices], (24, 1)).reshape(24, len(slices))
    price = np.tile([one for _, one in slices], (24, 1)).reshape(24, len(slices))
    return Unit(draw_kw, width, price, at_once_kw * FLAT, 25.0, 9.0, 100.0 * FLAT)


def contract(**more: float) -> Contract:
    fields = {
        "hours_per_year": 30.0,
        "call_hours": 3,
        "rest_hours": 21,
        "depth": 0.4,
        "notice_s": 600.0,
    }
    return Contract.model_validate({**fields, **more})


def test_without_anything_only_what_is_never_curtailed_fits() -> None:
    found = fit(unit(), NONE, contract(), 1000.0)
    assert found.units == pytest.approx(1000.0 * 0.6 / 5.0)
    assert found.binding == "call"
    assert fit(unit(), NONE, contract(depth=0.0), 1000.0).units == pytest.approx(200.0)
    assert fit(unit(), NONE, contract(depth=0.0), 1000.0).binding == "normal"


def test_compute_carries_a_call_for_ever() -> None:
    # 5 N - 600 <= 2 N: N = 200, and 1 kW at 2 before 1 kW at 8: 400 kW need 200 at 2 and 200 at 8
    found = fit(unit(((1.0, 2.0), (1.0, 8.0))), NONE, contract(), 1000.0)
    assert found.units == pytest.approx(200.0)
    assert found.worst.lost == pytest.approx(3.0 * (200.0 * 2.0 + 200.0 * 8.0))
    # ten calls against 200 units x 100 an hour
    assert found.lost_share == pytest.approx(10.0 * 6000.0 / (365.0 * 24.0 * 200.0 * 100.0))


def test_a_battery_by_itself() -> None:
    # 3 h (5 N - 600) = 90 kWh: N = 126; and N must leave room to charge, 370 kW: it does
    store = Store(power_kw=100.0, usable_kwh=90.0, rest_kwh=90.0)
    found = fit(unit(), store, contract(), 1000.0)
    assert found.units == pytest.approx(126.0)
    assert found.binding == "call"
    # half the power: 5 N - 600 = 20
    assert fit(unit(), replace(store, power_kw=20.0), contract(), 1000.0).units == pytest.approx(
        124.0
    )


def test_a_battery_takes_the_place_of_the_dearest() -> None:
    # 400 kW for 3 h; battery 300 kWh: off the slice at 8, of which 600 - 300 kWh remain
    store = Store(power_kw=500.0, usable_kwh=300.0, rest_kwh=300.0)
    found = fit(unit(((1.0, 2.0), (1.0, 8.0))), store, contract(), 999.9999)
    # so near the connection nothing is left to charge with: 300 kWh in 21 h need 14.3 kW
    assert found.units == pytest.approx(200.0, rel=1e-3)
    # 5 N = 985.714.. would charge it whole; the battery is then given less, not the unit
    few = fit(unit(((1.0, 2.0), (1.0, 8.0))), store, contract(), 1000.0, most_lost=1.0)
    assert few.worst.battery_kwh == pytest.approx(0.0, abs=1e-3)
    shallow = contract(hours_per_year=8760.0)
    priced = fit(unit(((1.0, 2.0), (1.0, 8.0))), store, shallow, 1000.0, most_lost=0.005)
    # need x = 5 N - 600, N slices of each: the battery gives 100 kW an hour off the dearest
    n = priced.units
    x = 5.0 * n - 600.0
    expected = 3.0 * (2.0 * min(n, x - 100.0) + 8.0 * max(x - 100.0 - n, 0.0))
    assert priced.binding == "service"
    assert priced.worst.battery_kwh == pytest.approx(300.0)
    assert priced.worst.lost == pytest.approx(expected)


def test_notice_fills_a_battery_that_rests_half_full() -> None:
    store = Store(power_kw=100.0, usable_kwh=90.0, rest_kwh=45.0)
    late, soon = (fit(unit(), store, contract(notice_s=s), 1000.0).units for s in (0.0, 3600.0))
    assert late == pytest.approx(123.0)  # 3 (5 N - 600) = 45
    assert soon == pytest.approx(126.0)
    # 0.225 h at 100 kW are half of what is missing
    some = fit(unit(), store, contract(notice_s=810.0), 1000.0).units
    assert some == pytest.approx(124.5)


def test_without_notice_a_battery_has_to_bridge() -> None:
    both = unit(((2.0, 2.0),))
    quick = contract(notice_s=1.0)
    # nothing at once and no battery: only what is firm
    assert fit(both, NONE, quick, 1000.0).units == pytest.approx(120.0)
    assert fit(both, NONE, quick, 1000.0).binding == "bridge"
    # at once 0.5 kW a unit: 5 N - 600 = 0.5 N
    soon = unit(((2.0, 2.0),), at_once_kw=0.5)
    assert fit(soon, NONE, quick, 1000.0).units == pytest.approx(600.0 / 4.5)
    # 150 kW cover the first seconds of 5 N - 600 = 150
    store = Store(power_kw=150.0, usable_kwh=10.0, rest_kwh=10.0)
    assert fit(both, store, quick, 1000.0).units == pytest.approx(150.0)


def test_what_is_not_charged_again_is_not_there() -> None:
    # 2 kW of room at night, 1 h of rest: the second call finds what was charged
    store = Store(power_kw=300.0, usable_kwh=600.0, rest_kwh=600.0)
    tight = contract(rest_hours=1, call_hours=2, depth=0.1)
    found = fit(unit(), store, tight, 1000.0)
    # 2 (5 N - 900) = 1000 - 5 N
    assert found.units == pytest.approx(2800.0 / 15.0)
    assert found.binding == "rest"


@st.composite
def cases(draw: st.DrawFn) -> tuple[Unit, Store, Contract]:
    def numbers(low: float, high: float, count: int) -> SearchStrategy[list[float]]:
        return st.lists(st.floats(low, high), min_size=count, max_size=count)

    slices = draw(st.integers(0, 3))
    width = np.array(draw(numbers(0.0, 2.0, 24 * slices))).reshape(24, slices)
    price = np.cumsum(np.array(draw(numbers(0.0, 9.0, 24 * slices))).reshape(24, slices), axis=1)
    one = Unit(
        draw_kw=np.array(draw(numbers(1.0, 9.0, 24))),
        width_kw=width,
        lost_per_kwh=price,
        at_once_kw=draw(st.floats(0.0, 1.0)) * width.sum(axis=1),
        settled_s=25.0,
        bridge_s=9.0,
        value_per_h=100.0 * FLAT,
    )
    usable = draw(st.floats(0.0, 2000.0))
    store = Store(
        power_kw=draw(st.floats(0.0, 800.0)),
        usable_kwh=usable,
        rest_kwh=draw(st.floats(0.0, 1.0)) * usable,
        charge_efficiency=0.95,
        discharge_efficiency=0.95,
    )
    terms = contract(
        hours_per_year=draw(st.floats(0.0, 1000.0)),
        depth=draw(st.floats(0.0, 1.0)),
        notice_s=draw(st.floats(0.0, 7200.0)),
    )
    return one, store, terms


def at(case: tuple[Unit, Store, Contract], most_lost: float = 0.01) -> Fit:
    return fit(*case, 1000.0, most_lost)


TOLERANCE = 1e-6


@settings(max_examples=12, deadline=None)
@given(cases(), st.floats(1.0, 3.0))
def test_more_battery_never_hosts_less(case: tuple[Unit, Store, Contract], times: float) -> None:
    one, store, terms = case
    more = replace(
        store,
        power_kw=times * store.power_kw,
        usable_kwh=times * store.usable_kwh,
        rest_kwh=times * store.rest_kwh,
    )
    assert at((one, more, terms)).units >= at(case).units - TOLERANCE


@settings(max_examples=8, deadline=None)
@given(cases(), st.floats(0.0, 1.0))
def test_harder_terms_never_host_more(case: tuple[Unit, Store, Contract], share: float) -> None:
    one, store, terms = case
    before = at(case).units
    for harder in (
        {"depth": terms.depth + share * (1.0 - terms.depth)},
        {"hours_per_year": terms.hours_per_year * (1.0 + share)},
        {"notice_s": terms.notice_s * (1.0 - share)},
        {"call_hours": 4},
        {"rest_hours": 12},
    ):
        after = at((one, store, terms.model_copy(update=harder)))
        if "call_hours" not in harder:  # longer calls are fewer: they may cost less in a year
            assert after.units <= before + TOLERANCE


@settings(max_examples=8, deadline=None)
@given(cases())
def test_fewer_mechanisms_never_host_more(case: tuple[Unit, Store, Contract]) -> None:
    one, store, terms = case
    counts = []
    for kept in range(one.width_kw.shape[1] + 1):
        fewer = replace(one, width_kw=one.width_kw.copy())
        fewer.width_kw[:, kept:] = 0.0
        none = replace(fewer, at_once_kw=0.0 * FLAT)
        counts.append(at((none, store, terms)).units)
    assert all(b >= a - TOLERANCE for a, b in pairwise(counts))
