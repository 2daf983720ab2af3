"""Locked clocks and lower precisions: ranges, the cautious end, and what a curve must keep to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError, RangeError
from ebplan.models.clock import ClockModel
from ebplan.models.library import load_clock, load_fleet, load_tier
from ebplan.models.tier import TierModel

CLOCK, TIER = load_clock("v100-sm-clock"), load_tier("h100-qwen3-235b-fp8")


@given(
    clocks=st.tuples(
        st.floats(CLOCK.valid_from_clock_mhz, CLOCK.max_clock_mhz),
        st.floats(CLOCK.valid_from_clock_mhz, CLOCK.max_clock_mhz),
    )
)
def test_a_lower_clock_reaches_lower_and_costs_more(clocks: tuple[float, float]) -> None:
    low, high = (CLOCK.curve(1.0, mhz) for mhz in sorted(clocks))
    assert low.floor_kw <= high.floor_kw <= 1.0
    assert low.capacity(low.floor_kw) <= high.capacity(high.floor_kw) <= 1.0


def test_the_planner_gets_the_end_that_loses_more() -> None:
    curve = CLOCK.curve(1.0, CLOCK.valid_from_clock_mhz)
    assert curve.elasticity == CLOCK.elasticity_high >= CLOCK.elasticity_low
    assert TIER.capacity_factor == TIER.capacity_factor_low <= TIER.capacity_factor_high


@pytest.mark.parametrize("mhz", [0.0, 900.0, 1500.0, float("nan")])
def test_a_clock_that_nobody_measured_is_refused(mhz: float) -> None:
    with pytest.raises(RangeError):
        CLOCK.curve(1.0, mhz)


def test_a_lower_clock_may_be_extrapolated_to_but_not_a_higher_one() -> None:
    assert CLOCK.curve(1.0, 900.0, allow_extrapolation=True).floor_kw < 1.0
    with pytest.raises(RangeError):
        CLOCK.curve(1.0, 1500.0, allow_extrapolation=True)


def test_a_lower_precision_changes_the_busy_power_alone() -> None:
    base = load_fleet("h100-qwen3-235b-bf16-ep8").load_curve({"chat": 1.0})
    lower = TIER.load_curve(base)
    assert lower.idle_kw == base.idle_kw
    busy_kw = base.full_kw - base.idle_kw
    assert lower.full_kw == pytest.approx(base.idle_kw + TIER.power_ratio_high * busy_kw)


def test_a_precision_is_not_scaled_to_loads_at_which_nobody_compared() -> None:
    assert TIER.concurrency is not None
    low, high = TIER.concurrency
    base = load_fleet("h100-qwen3-235b-bf16-ep8").load_curve({"chat": 1.0})
    for in_flight in (0.5 * low, 2.0 * high):
        other = base.model_copy(update={"one_request_utilisation": 1.0 / in_flight})
        with pytest.raises(RangeError, match="requests in flight at saturation"):
            TIER.load_curve(other)
        assert TIER.load_curve(other, allow_extrapolation=True).full_kw > base.idle_kw
        old = {k: v for k, v in TIER.model_dump(mode="json").items() if k != "concurrency"}
        assert TierModel.parse(old).load_curve(other).full_kw > base.idle_kw


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        (CLOCK, "elasticity_low", "elasticity_high"),
        (CLOCK, "valid_from_clock_mhz", "max_clock_mhz"),
        (TIER, "capacity_factor_low", "capacity_factor_high"),
        (TIER, "power_ratio_low", "power_ratio_high"),
    ],
)
def test_an_interval_the_wrong_way_round_is_refused(
    model: ClockModel | TierModel, low: str, high: str
) -> None:
    data = model.model_dump(mode="json")
    data[low], data[high] = 1.5 * data[high], data[high]
    with pytest.raises(InputError, match=low):
        type(model).parse(data)


@pytest.mark.parametrize(
    ("loader", "name"), [(load_clock, TIER.name), (load_tier, CLOCK.name), (load_clock, "a100")]
)
def test_another_kind_of_model_is_refused_with_the_names_there_are(
    loader: Callable[[str], object], name: str
) -> None:
    with pytest.raises(InputError) as refused:
        loader(name)
    right = CLOCK.name if loader is load_clock else TIER.name
    other = TIER.name if loader is load_clock else CLOCK.name
    assert right in refused.value.allowed
    assert other not in refused.value.allowed


def test_quality_is_not_a_claim_of_the_model() -> None:
    assert "quality" in " ".join(TIER.card.not_for)
