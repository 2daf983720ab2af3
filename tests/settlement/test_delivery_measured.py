"""Delivery of hand-made responses: what is known comes out, and laws hold."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responses import BASE_KW, BEFORE_S, START, event, product, response

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.services import ServiceDefinition
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.number import Errors, Number
from ebplan.settlement.reference import reference
from ebplan.settlement.series import MeterSeries


def delivered(
    meter: MeterSeries, asked: Event, *, service: ServiceDefinition | None = None
) -> Delivery:
    base = reference(meter, meter.seconds(asked.start))
    return measure_delivery(meter, asked, base, service=service)


def value(number: Number | None) -> float:
    assert number is not None
    assert number.value is not None
    return number.value


def criterion(found: Delivery, name: str) -> str | None:
    return next(c.verdict for c in found.criteria if c.name == name)


def test_delay_ramp_depth_and_energy_of_a_known_response_come_out() -> None:
    found = delivered(response(), event(), service=product())
    assert value(found.initial_delay_s) == pytest.approx(5.0, abs=1.0)
    assert value(found.response_s) == pytest.approx(5.0 + 0.9 * 20.0, abs=0.5)
    assert value(found.full_s) == pytest.approx(23.0, abs=0.5)
    assert value(found.depth_kw) == pytest.approx(20.0)
    assert value(found.energy_kwh) == pytest.approx(20.0 * (1200.0 - 15.0) / 3600.0)
    assert value(found.share) == pytest.approx(1.0)
    assert value(found.tracking.rmse_kw) == pytest.approx(0.0, abs=1e-9)
    assert found.verdict == "pass"
    assert all(c.certain for c in found.criteria)
    assert found.rebound is not None
    assert value(found.rebound.return_s) == 0.0
    assert value(found.rebound.peak_kw) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_both_directions_count_what_was_asked_as_positive(sign: float) -> None:
    found = delivered(response(sign=sign), event(delta_kw=20.0 * sign), service=product())
    assert found.direction == ("release" if sign < 0 else "absorb")
    assert value(found.depth_kw) == pytest.approx(20.0)
    assert found.verdict == "pass"
    wrong = delivered(response(sign=-sign), event(delta_kw=20.0 * sign), service=product())
    assert value(wrong.depth_kw) == pytest.approx(-20.0)
    assert wrong.verdict == "fail"


@pytest.mark.parametrize(("short", "verdict"), [(0.09, "pass"), (0.11, "fail")])
def test_a_tenth_may_be_missing_and_no_more(short: float, verdict: str) -> None:
    found = delivered(response(kw=20.0 * (1.0 - short)), event(), service=product())
    assert criterion(found, "depth") == verdict
    assert criterion(found, "time outside tolerance") == verdict
    assert found.verdict == verdict


@pytest.mark.parametrize(("more", "verdict"), [(0.19, "pass"), (0.21, "fail")])
def test_a_fifth_may_be_too_much_and_no_more(more: float, verdict: str) -> None:
    found = delivered(response(kw=20.0 * (1.0 + more)), event(), service=product())
    assert criterion(found, "depth") == verdict
    assert value(found.tracking.over_kwh) == pytest.approx(
        20.0 * more * (1200.0 - 15.0) / 3600.0, rel=0.02
    )


def test_a_response_that_comes_early_is_not_too_much() -> None:
    found = delivered(response(begin_s=0.0, full_s=0.0), event(), service=product())
    assert found.verdict == "pass"
    assert value(found.tracking.over_kwh) == pytest.approx(0.0, abs=1e-9)


def test_a_response_that_comes_late_fails_by_name() -> None:
    found = delivered(response(begin_s=15.0, full_s=60.0), event(), service=product())
    failed = {c.name for c in found.criteria if c.verdict == "fail"}
    assert failed == {"initial delay", "full activation"}
    never = delivered(response(kw=5.0), event(), service=product())
    assert never.full_s == Number(value=None, low=None, high=None)
    assert criterion(never, "full activation") == "fail"


def test_readings_of_a_minute_do_not_judge_seconds() -> None:
    found = delivered(response(interval_s=60.0), event(), service=product(meter_interval_s=1.0))
    assert found.verdict is None
    assert {c.supply for c in found.criteria} == {"meter_interval_s"}
    assert value(found.depth_kw) == pytest.approx(20.0)
    assert any("cannot tell" in note for note in found.notes)


def test_an_unknown_tolerance_gives_numbers_and_names_the_field() -> None:
    known = "the guide was not opened"
    unknown = product(
        tolerance={},
        evidence=[
            {
                "fields": ["tolerance.under", "tolerance.over"],
                "confidence": "unknown",
                "note": known,
            }
        ],
    )
    found = delivered(response(), event(), service=unknown)
    depth = next(c for c in found.criteria if c.name == "depth")
    assert (depth.verdict, depth.supply, depth.why) == (None, "tolerance.under", known)
    assert value(depth.measured) == pytest.approx(1.0)
    assert found.verdict is None
    assert criterion(found, "initial delay") == "pass"
    assert found.full_s is None


def test_an_unknown_limit_above_is_asked_for_only_by_who_delivers_more() -> None:
    unknown = product(
        tolerance={"under": 0.1, "share_outside": 0.05},
        evidence=[{"fields": ["tolerance.over"], "confidence": "unknown", "note": "not found"}],
    )
    assert delivered(response(kw=19.0), event(), service=unknown).verdict == "pass"
    more = delivered(response(kw=25.0), event(), service=unknown)
    assert more.verdict is None
    assert [c.supply for c in more.criteria if c.verdict is None] == ["tolerance.over"]


def test_elsewhere_than_at_the_connection_point_nothing_is_judged() -> None:
    meter = response()
    inner = MeterSeries(
        start=meter.start,
        interval_s=1.0,
        time_s=meter.time_s,
        values=meter.values,
        measurement_point="gpu",
    )
    found = delivered(inner, event(), service=product())
    assert found.verdict is None
    assert {c.supply for c in found.criteria} == {"measurement_point"}


def changed(meter: MeterSeries, from_s: float, to_s: float, kw: float) -> MeterSeries:
    """Return a series that draws ``kw`` between two times since the start of the event."""
    since_s = meter.time_s - BEFORE_S
    return meter.with_columns(
        grid_kw=np.where((since_s >= from_s) & (since_s < to_s), kw, meter.grid_kw)
    )


def unmetered(meter: MeterSeries, from_s: float, to_s: float) -> MeterSeries:
    """Return a series with a gap between two times since the start of the event."""
    since_s = meter.time_s - BEFORE_S
    keep = (since_s < from_s) | (since_s >= to_s)
    return MeterSeries(
        start=meter.start,
        interval_s=meter.interval_s,
        time_s=meter.time_s[keep],
        values={"grid_kw": meter.grid_kw[keep]},
    )


LONG = {"sustain_s": 1170.0}
"""A product that asks for all of what the event asks for."""


@pytest.mark.parametrize("interval_s", [1.0, 60.0])
def test_a_response_that_is_gone_before_the_end_is_not_sustained(interval_s: float) -> None:
    meter = response(interval_s=interval_s)
    asked = event(full_s=30.0)
    assert criterion(delivered(response(), asked, service=product(**LONG)), "sustained") == "pass"
    # the last of a minute's readings is the mean of 5 s held and 55 s gone
    gone_kw = BASE_KW if interval_s == 1.0 else BASE_KW - 20.0 * 5.0 / 60.0
    gone = changed(meter, 1145.0 if interval_s == 1.0 else 1140.0, 1200.0, gone_kw)
    found = delivered(gone, asked, service=product(**LONG))
    held = next(c for c in found.criteria if c.name == "sustained")
    assert (held.verdict, held.certain) == ("fail", True)
    assert held.measured.low is not None
    assert held.measured.high is not None
    assert held.measured.low <= 1145.0 - 30.0 <= held.measured.high
    assert found.verdict == "fail"


def test_a_response_that_falters_within_is_held_until_then() -> None:
    faltering = changed(response(), 500.0, 505.0, BASE_KW)
    found = delivered(faltering, event(full_s=30.0), service=product())
    assert value(found.held_s) == pytest.approx(470.0, abs=1.0)
    assert criterion(found, "sustained") == "fail"
    assert criterion(found, "time outside tolerance") == "pass"


def test_noise_across_the_limit_ends_no_hold() -> None:
    """With 1 kW of noise about one reading in fifty lies beyond the tolerance of 2 kW below."""
    held = [
        delivered(response(noise_kw=1.0, seed=seed), event(), service=product())
        for seed in range(20)
    ]
    assert {criterion(found, "sustained") for found in held} == {"pass"}
    assert all(value(found.tracking.share_outside) > 0.0 for found in held)


def test_time_without_readings_is_no_proof() -> None:
    found = delivered(
        unmetered(response(), 930.0, 1200.0), event(full_s=30.0), service=product(**LONG)
    )
    assert found.missing_s == pytest.approx(270.0)
    assert found.verdict is None
    for name in ("sustained", "time outside tolerance"):
        judged = next(c for c in found.criteria if c.name == name)
        assert (judged.verdict, judged.certain, judged.supply) == (None, False, "readings")
        assert "270 s of the event were not metered" in judged.why
    # what was left before the gap is a fail all the same
    gone = unmetered(changed(response(), 300.0, 900.0, BASE_KW), 930.0, 1200.0)
    assert criterion(delivered(gone, event(), service=product(**LONG)), "sustained") == "fail"


def test_an_event_between_the_clock_of_the_meter_misses_nothing() -> None:
    late = event().model_copy(update={"start": START + timedelta(seconds=0.4)})
    assert delivered(response(), late, service=product()).missing_s == 0.0


@pytest.mark.parametrize(
    ("at_s", "interval_s", "verdict"),
    [(22.0, 10.0, None), (29.0, 20.0, None), (22.0, 1.0, "pass"), (45.0, 10.0, "fail")],
)
def test_what_the_meter_alone_leaves_open_is_not_judged(
    at_s: float, interval_s: float, verdict: str | None
) -> None:
    """A step at a time against a limit of 30 s."""
    meter = response(begin_s=at_s, full_s=at_s, interval_s=interval_s)
    found = delivered(meter, event(full_s=30.0), service=product())
    full = next(c for c in found.criteria if c.name == "full activation")
    assert full.measured.low is not None
    assert full.measured.high is not None
    assert full.measured.low <= at_s <= full.measured.high
    assert full.verdict == verdict
    assert full.certain == (verdict is not None)
    assert full.supply == (None if verdict else "meter_interval_s")


@settings(max_examples=60, deadline=None)
@given(at_s=st.floats(0.0, 300.0), interval_s=st.sampled_from([1.0, 5.0, 10.0, 20.0, 60.0]))
def test_no_meter_hides_a_step_from_its_interval_or_turns_its_verdict(
    at_s: float, interval_s: float
) -> None:
    meter = response(begin_s=at_s, full_s=at_s, interval_s=interval_s)
    found = delivered(meter, event(full_s=30.0), service=product(full_activation_s=120.0))
    full = next(c for c in found.criteria if c.name == "full activation")
    assert full.measured.low is not None
    assert full.measured.high is not None
    assert full.measured.low - 1e-6 <= at_s <= full.measured.high + 1e-6
    if abs(at_s - 120.0) > 1e-3:
        assert full.verdict in (None, "pass" if at_s < 120.0 else "fail")


def test_an_event_shorter_than_the_product_is_no_proof_of_its_length() -> None:
    found = delivered(response(end_s=300.0), event(duration_s=300.0), service=product())
    held = next(c for c in found.criteria if c.name == "sustained")
    assert (held.verdict, held.supply) == (None, "event.duration_s")


def test_an_event_without_time_to_come_up_is_no_proof_either() -> None:
    """It asks for all at once and for 900 s; the response is whole after 5 s, as it may be."""
    meter = response(begin_s=5.0, full_s=5.0, end_s=900.0)
    asked = event(begin_s=0.0, full_s=0.0, duration_s=900.0)
    held = next(
        c for c in delivered(meter, asked, service=product()).criteria if c.name == "sustained"
    )
    assert (held.verdict, held.supply) == (None, "event.duration_s")


def test_a_rebound_has_a_peak_an_energy_and_an_end() -> None:
    found = delivered(response(rebound_kw=8.0, rebound_s=120.0), event())
    assert found.rebound is not None
    assert value(found.rebound.peak_kw) == pytest.approx(8.0)
    assert value(found.rebound.energy_kwh) == pytest.approx(8.0 * 120.0 / 3600.0)
    assert value(found.rebound.return_s) == pytest.approx(120.0, abs=1.0)


@pytest.mark.parametrize(
    "target", [{"delta_kw": -20.0}, {"fraction_of_baseline": -0.2}, {"import_limit_kw": 80.0}]
)
def test_a_target_may_be_told_in_three_ways(target: dict[str, float]) -> None:
    asked = event(target=target, type="congestion_curtailment")
    assert value(delivered(response(), asked).share) == pytest.approx(1.0)


def test_what_asks_for_nothing_delivers_nothing() -> None:
    price = {"type": "price_window", "target": None, "price_per_kwh": -5.0, "response": {}}
    with pytest.raises(InputError, match="delivers nothing"):
        delivered(response(), event(**price))
    limit = event(target={"import_limit_kw": 150.0}, type="import_limit")
    with pytest.raises(InputError, match="a change of 0 kW"):
        delivered(response(), limit)
    late = event().model_copy(update={"start": START + timedelta(hours=9)})
    meter = response()
    with pytest.raises(InputError, match="readings in the 3600 s before"):
        delivered(meter, late)
    base = reference(meter, BEFORE_S)
    with pytest.raises(InputError, match="three quarters of it measured"):
        measure_delivery(meter, late, base)


def following(trace: list[list[float]], late_s: float, meter: MeterSeries) -> Delivery:
    asked = event(
        type="frequency_response",
        duration_s=300.0,
        response={},
        target={
            "frequency": {
                "release_capacity_kw": 20.0,
                "absorb_capacity_kw": 20.0,
                "curve": {"shape": "droop", "full_hz": 0.2},
                "nominal_hz": 50.0,
                "trace": trace,
            }
        },
    )
    only = product(
        initial_delay_s=None,
        full_activation_s=late_s,
        tolerance={"under": 0.05, "over": 0.05, "share_outside": 0.05},
    )
    return delivered(meter, asked, service=only)


def test_a_response_that_follows_the_frequency_is_judged_by_its_curve() -> None:
    trace = [[0.0, 50.0], [100.0, 49.8], [200.0, 50.2], [300.0, 50.0]]
    meter = response(kw=0.0)
    since_s = meter.time_s + 0.5 - BEFORE_S
    exact = 100.0 * np.interp(since_s, *np.array(trace).T, left=50.0, right=50.0) - 5000.0
    found = following(trace, 1.0, meter.with_columns(grid_kw=BASE_KW + exact))
    assert found.direction == "both"
    assert found.depth_kw is None
    assert value(found.share) == pytest.approx(1.0, abs=1e-6)
    assert value(found.tracking.rmse_kw) < 0.3
    assert found.verdict == "pass"
    late = np.r_[np.zeros(8), exact[:-8]]
    assert following(trace, 10.0, meter.with_columns(grid_kw=BASE_KW + late)).verdict == "pass"
    assert following(trace, 1.0, meter.with_columns(grid_kw=BASE_KW + late)).verdict == "fail"
    assert following(trace, 10.0, meter).verdict == "fail"


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.1, 50.0), short=st.floats(0.0, 0.5))
def test_delivery_scales_with_the_site(factor: float, short: float) -> None:
    kw = 20.0 * (1.0 - short)
    one = delivered(response(kw=kw, interval_s=5.0), event(), service=product())
    many = response(kw=kw, interval_s=5.0)
    many = many.with_columns(grid_kw=factor * many.grid_kw)
    big = delivered(many, event(delta_kw=-20.0 * factor), service=product())
    assert value(big.energy_kwh) == pytest.approx(factor * value(one.energy_kwh), rel=1e-6)
    assert value(big.share) == pytest.approx(value(one.share), rel=1e-6)
    assert value(big.depth_kw) == pytest.approx(factor * value(one.depth_kw), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    kw=st.floats(1.0, 50.0),
    begin_s=st.floats(0.0, 10.0),
    rise_s=st.floats(0.0, 20.0),
    sign=st.sampled_from([-1.0, 1.0]),
)
def test_a_response_that_is_what_is_asked_passes(
    kw: float, begin_s: float, rise_s: float, sign: float
) -> None:
    shape = {"begin_s": begin_s, "full_s": begin_s + rise_s}
    meter = response(kw=kw, sign=sign, **shape)
    found = delivered(meter, event(delta_kw=sign * kw, **shape), service=product())
    assert found.verdict == "pass"


@pytest.mark.parametrize("noise_kw", [0.5, 2.0])
def test_intervals_hold_the_truth_as_often_as_they_say(noise_kw: float) -> None:
    """Of 200 events at 90 %, at most 30 miss (a binomial of 10 % has that at 99 %)."""
    missed = {"energy": 0, "depth": 0, "response": 0}
    truth = {"energy": 20.0 * (1200.0 - 15.0) / 3600.0, "depth": 20.0, "response": 23.0}
    for seed in range(200):
        meter = response(noise_kw=noise_kw, seed=seed, interval_s=5.0, after_s=60.0)
        found = delivered(meter, event())
        numbers = {
            "energy": found.energy_kwh,
            "depth": found.depth_kw,
            "response": found.response_s,
        }
        for name, number in numbers.items():
            assert number is not None
            low = -np.inf if number.low is None else number.low
            high = np.inf if number.high is None else number.high
            missed[name] += not low <= truth[name] <= high
    assert max(missed.values()) <= 30, missed


def remembering(keep: float, seed: int) -> MeterSeries:
    """Return a response with noise of 1 kW, each reading's a share ``keep`` of the one before."""
    meter, rng = response(interval_s=5.0, after_s=60.0), np.random.default_rng(seed)
    noise = [rng.normal()]
    for _ in range(len(meter) - 1):
        noise.append(keep * noise[-1] + np.sqrt(1.0 - keep**2) * rng.normal())
    return meter.with_columns(grid_kw=meter.grid_kw + np.array(noise))


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_noise_that_remembers_counts_as_fewer_readings(keep: float) -> None:
    """Of 200 events at 90 %, at most 30 miss, so that 85 % are held; longer memory is told.

    At 0.95 and 5 s the ten quiet minutes hold three independent readings.
    """
    truth, missed = 20.0 * (1200.0 - 15.0) / 3600.0, 0
    for seed in range(200):
        energy = delivered(remembering(keep, seed), event()).energy_kwh
        assert energy.low is not None
        assert energy.high is not None
        missed += not energy.low <= truth <= energy.high
    assert missed <= 30
    assert any("too narrow" in note for note in delivered(remembering(0.98, 1), event()).notes)


def test_an_error_that_lasts_is_not_averaged_away() -> None:
    errors = Errors(lasting_kw=1.0, noise_kw=1.0, confidence=0.9)
    few, many = errors.mean(np.full(4, 10.0)), errors.mean(np.full(40_000, 10.0))
    assert few.high is not None
    assert many.high is not None
    assert many.high - 10.0 == pytest.approx(errors.quantile, rel=1e-3)
    assert few.high - 10.0 == pytest.approx(errors.quantile * np.hypot(1.0, 0.5), rel=1e-6)


def test_the_error_of_a_given_baseline_is_the_one_that_lasts() -> None:
    meter = response(noise_kw=0.1)
    base = reference(
        meter, BEFORE_S, baseline_kw=np.full(len(meter), BASE_KW), error_kw=3.0, rule="agreed"
    )
    found = measure_delivery(meter, event(), base)
    assert found.baseline == "agreed"
    assert found.depth_kw is not None
    assert found.depth_kw.high is not None
    assert found.depth_kw.high - value(found.depth_kw) == pytest.approx(
        3.0 * base.errors.quantile, rel=0.01
    )


def test_a_delivery_is_a_document() -> None:
    found = delivered(response(noise_kw=0.3), event(), service=product())
    assert Delivery.parse(found.to_json().encode()) == found
