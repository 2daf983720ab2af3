"""From an offer to a bid, and from a call to an event."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError
from ebplan.services import bid, bid_kw, event_of, load_service, with_values

FCR, DC_LOW, CE_FCR = load_service("jp_fcr"), load_service("gb_dc_low"), load_service("ce_fcr")
START = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("offer_kw", "kw", "told"),
    [
        (0.0, 0.0, "below the least bid"),
        (999.9, 0.0, "below the least bid of 1000 kW"),
        (1000.0, 1000.0, ""),
        (2500.7, 2500.0, "steps of 1 kW"),
    ],
)
def test_a_bid_is_rounded_down_to_the_step_and_nothing_below_the_least(
    offer_kw: float, kw: float, told: str
) -> None:
    found = bid(FCR, offer_kw)
    assert found.kw == kw == bid_kw(FCR, offer_kw)
    assert told in found.reason
    assert bool(found.reason) == (kw < offer_kw or kw == 0.0)


def test_a_bid_stays_below_the_largest_and_is_0_where_no_step_fits() -> None:
    assert bid_kw(DC_LOW, 150_500.0) == 100_000.0
    assert "the largest bid is 100000 kW" in bid(DC_LOW, 150_500.0).reason
    odd = with_values(DC_LOW, {"min_bid_kw": 1500.0, "step_kw": 2000.0})
    assert bid(odd, 1800.0).kw == 0.0
    assert "no whole number of steps" in bid(odd, 1800.0).reason


def test_three_steps_of_a_tenth_are_three_tenths() -> None:
    tenths = with_values(FCR, {"min_bid_kw": 0.1, "step_kw": 0.1})
    assert bid_kw(tenths, 0.3) == 0.3


@given(
    offer_kw=st.floats(0.0, 1e6),
    least_kw=st.floats(0.1, 5e3),
    step_kw=st.floats(0.1, 5e3),
    most_kw=st.floats(5e3, 1e5),
)
def test_a_bid_is_allowed_never_above_the_offer_and_the_next_step_would_not_fit(
    offer_kw: float, least_kw: float, step_kw: float, most_kw: float
) -> None:
    values = {"min_bid_kw": least_kw, "step_kw": step_kw, "max_bid_kw": most_kw}
    kw = bid_kw(with_values(FCR, values), offer_kw)
    limit_kw = min(offer_kw, most_kw)
    assert kw <= limit_kw
    if kw:
        assert kw >= least_kw
        assert kw / step_kw == pytest.approx(round(kw / step_kw), rel=1e-9)
        assert kw + step_kw > limit_kw * (1.0 - 1e-12)
    else:
        steps = math.floor(limit_kw / step_kw * (1.0 + 1e-12))
        assert offer_kw < least_kw or steps * step_kw < least_kw * (1.0 + 1e-9)


@pytest.mark.parametrize("offer_kw", [-1.0, math.nan, math.inf])
def test_an_offer_is_a_size(offer_kw: float) -> None:
    with pytest.raises(InputError, match="a finite number >= 0"):
        bid(FCR, offer_kw)


def test_a_product_without_a_known_step_says_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"nordic_ffr: step_kw: .*--set step_kw="):
        bid(load_service("nordic_ffr"), 5000.0)


def test_a_call_has_the_speed_and_the_sign_of_its_product() -> None:
    call = event_of(FCR, "release", 1500.0, START)
    assert call.type == "under_frequency"
    assert call.target is not None
    assert call.target.delta_kw == -1500.0
    assert (call.response.initial_delay_s, call.response.full_activation_s) == (2.0, 10.0)
    assert call.duration_s == 310.0
    absorbing = event_of(CE_FCR, "absorb", 2000.0, START, 60.0)
    assert absorbing.type == "over_frequency"
    assert absorbing.target is not None
    assert absorbing.target.delta_kw == 2000.0
    assert absorbing.duration_s == 60.0


def test_a_dispatched_product_is_demand_response_and_a_late_start_is_not_assumed() -> None:
    call = event_of(load_service("jp_sfrr"), "release", 1000.0, START)
    assert call.type == "demand_response"
    assert (call.response.initial_delay_s, call.response.full_activation_s) == (0.0, 300.0)
    yearly = event_of(load_service("jp_capacity_dr"), "release", 1000.0, START)
    assert (yearly.response.full_activation_s, yearly.duration_s) == (0.0, 10800.0)


def test_with_a_trace_the_event_follows_the_curve() -> None:
    trace = ((0.0, 50.0), (900.0, 49.7))
    call = event_of(DC_LOW, "release", 1000.0, START, 900.0, trace=trace)
    assert call.type == "frequency_response"
    assert call.target is not None
    response = call.target.frequency
    assert response is not None
    assert response.curve == DC_LOW.curve
    assert (response.release_capacity_kw, response.absorb_capacity_kw) == (1000.0, 0.0)
    both = event_of(CE_FCR, "release", 1000.0, START, 900.0, trace=trace).target
    assert both is not None
    assert both.frequency is not None
    assert both.frequency.absorb_capacity_kw == 1000.0
    with pytest.raises(InputError, match=r"curve: got nothing.*dead_band_hz"):
        event_of(FCR, "release", 1000.0, START, 900.0, trace=trace)


@pytest.mark.parametrize(
    ("service", "change", "told"),
    [
        (FCR, {"direction": "absorb"}, "does not pay for the other"),
        (FCR, {"kw": -5.0}, "kw: got -5.0"),
        (FCR, {"kw": math.nan}, "kw: got nan"),
        (FCR, {"duration_s": 10.0}, "it ends before the response is whole"),
        (load_service("jp_composite"), {}, "full_activation_s: got nothing"),
    ],
)
def test_a_call_that_cannot_be_is_refused(service: Any, change: dict[str, Any], told: str) -> None:
    arguments = {"direction": "release", "kw": 1000.0, "duration_s": 300.0, **change}
    with pytest.raises(InputError) as caught:
        event_of(service, start=START, **arguments)
    assert told in str(caught.value)
