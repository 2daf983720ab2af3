"""Events found in a meter series alone: hand-made ones come out, and intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from responses import BASE_KW, START

from ebplan.errors import InputError
from ebplan.settlement.extract import Extracted, extract
from ebplan.settlement.number import Number
from ebplan.settlement.series import FloatArray, MeterSeries

pytestmark = pytest.mark.slow

BEGINS_S, RAMP_S, HOLD_S, BACK_S = 3600.0, 900.0, 7200.0, 600.0
DEPTH_KW = 25.0
TRUTH = {
    "ramp_begins_s": BEGINS_S,
    "ramp_s": RAMP_S,
    "hold_s": HOLD_S,
    "depth_kw": DEPTH_KW,
    "baseline_kw": BASE_KW,
    "return_begins_s": BEGINS_S + RAMP_S + HOLD_S,
    "return_s": BACK_S,
}


def shape(ramp_s: float = RAMP_S, back_kw: float = BASE_KW, sign: float = -1.0) -> FloatArray:
    """Return exact means over a minute, shape (270,)."""
    knots = np.cumsum([0.0, BEGINS_S, ramp_s, HOLD_S, BACK_S, 3000.0 + RAMP_S - ramp_s])
    low = BASE_KW + sign * DEPTH_KW
    fine = np.arange(0.5, knots[-1])
    kw = np.interp(fine, knots, [BASE_KW, BASE_KW, low, low, back_kw, back_kw])
    return np.asarray(kw[: len(kw) // 60 * 60].reshape(-1, 60).mean(axis=1))


def metered(kw: FloatArray) -> MeterSeries:
    return MeterSeries(
        start=START, interval_s=60.0, time_s=60.0 * np.arange(len(kw)), values={"grid_kw": kw}
    )


def holds(number: Number, truth: float) -> bool:
    low = -np.inf if number.low is None else number.low
    high = np.inf if number.high is None else number.high
    return low <= truth <= high


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_known_event_comes_out(sign: float) -> None:
    rng = np.random.default_rng(3)
    kw = shape(sign=sign)
    found = extract(metered(kw + rng.normal(0.0, 0.3, len(kw))))
    assert found.direction == ("release" if sign < 0 else "absorb")
    assert found.spread_kw == pytest.approx(0.3, rel=0.2)
    for name, truth in TRUTH.items():
        assert getattr(found, name).value == pytest.approx(truth, rel=0.03, abs=1.0), name
    assert found.ramp_kw_per_min.value == pytest.approx(sign * DEPTH_KW / 15.0, rel=0.03)
    assert found.returned_share.value == pytest.approx(1.0, abs=0.01)
    assert found.excursions == ()


def test_dips_move_nothing_and_are_told() -> None:
    rng = np.random.default_rng(4)
    kw = shape() + rng.normal(0.0, 0.3, len(shape()))
    kw[120:126] -= 15.0
    kw[170] -= 6.0
    kw[30] -= 9.0
    found = extract(metered(kw))
    for name, truth in TRUTH.items():
        assert getattr(found, name).value == pytest.approx(truth, rel=0.03, abs=1.0), name
    assert [(e.kind, e.during, e.at_s / 60.0, e.duration_s / 60.0) for e in found.excursions] == [
        ("dip", "before", 30.0, 1.0),
        ("dip", "hold", 120.0, 6.0),
        ("dip", "hold", 170.0, 1.0),
    ]
    assert found.excursions[1].energy_kwh == pytest.approx(-15.0 * 0.1, rel=0.05)


def test_noisy_readings_settle_within_twice_their_half_width() -> None:
    """Readings of 3 kW lie within 5 % of 25 kW, 1.25 kW, too seldom to be three in a row there."""
    rng = np.random.default_rng(8)
    kw = shape() + rng.normal(0.0, 3.0, len(shape()))
    found = extract(metered(kw))
    assert found.settled_s.value is not None
    assert found.settled_s.value <= RAMP_S + 240.0


def test_a_ramp_faster_than_the_meter_gives_a_bound() -> None:
    rng = np.random.default_rng(5)
    kw = shape(ramp_s=1.0)
    found = extract(metered(kw + rng.normal(0.0, 0.1, len(kw))))
    assert found.ramp_s.low == 0.0
    assert found.ramp_s.high is not None
    assert found.ramp_s.high < 120.0
    assert (found.ramp_kw_per_min.value, found.ramp_kw_per_min.low) == (None, None)
    assert found.ramp_kw_per_min.high == pytest.approx(-DEPTH_KW, rel=0.05)
    assert any("faster than the meter" in note for note in found.notes)


def test_what_does_not_come_back_is_told() -> None:
    rng = np.random.default_rng(6)
    kw = shape(back_kw=BASE_KW - 5.0)
    found = extract(metered(kw + rng.normal(0.0, 0.3, len(kw))))
    assert found.returned_share.value == pytest.approx(0.8, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 60 events at 90 %, at most 12 miss one number (a binomial of 10 % has that at 99 %)."""
    missed = dict.fromkeys(TRUTH, 0)
    exact = shape()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = extract(metered(exact + rng.normal(0.0, 0.6, len(exact))))
        for name, truth in TRUTH.items():
            missed[name] += not holds(getattr(found, name), truth)
    assert max(missed.values()) <= 12, missed


def test_a_series_without_an_event_is_refused() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(InputError, match="--event"):
        extract(metered(BASE_KW + rng.normal(0.0, 0.3, 200)))
    with pytest.raises(InputError, match="20 or more"):
        extract(metered(shape()[:10]))


def test_what_is_extracted_is_a_document() -> None:
    found = extract(metered(shape()))
    assert Extracted.parse(found.to_json().encode()) == found
