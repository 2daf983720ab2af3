"""Delivery with meters of half an hour: like days tell what two readings before an event do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_histories import days, on
from responses import product

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.services import ServiceDefinition
from ebplan.settlement.by_rule import around, baseline_of
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.series import FloatArray, MeterSeries

LAST = 25
"""Day of the event, a Friday; 19 working days lie before it."""
RELEASED_KW = 40.0
CALL = Event.parse(
    {
        "id": "coarse",
        "type": "demand_response",
        "start": on(LAST).isoformat(),
        "duration_s": 7200.0,
        "target": {"delta_kw": -RELEASED_KW},
    }
)


def metered(seed: int = 0, interval_s: float = 1800.0, count: int = LAST + 1) -> MeterSeries:
    """Return days whose levels lie 5 kW apart, readings 2 kW, with a release on the last."""
    rng = np.random.default_rng(seed)

    def drawn(day: int, hour: FloatArray) -> FloatArray:
        called = (day == count - 1) & (hour >= 17.0) & (hour < 19.0)
        usual = 200.0 + rng.normal(0.0, 5.0) + rng.normal(0.0, 2.0, hour.shape)
        return np.asarray(usual - RELEASED_KW * called)

    return days(count, drawn, start=on(LAST + 1 - count, 0.0), interval_s=interval_s)


def settled(
    meter: MeterSeries,
    given: str | None,
    *,
    history: MeterSeries | None = None,
    service: ServiceDefinition | None = None,
    folder: Path | None = None,
) -> Delivery:
    part = around(meter, CALL, given, folder)
    base = baseline_of(history or meter, part, CALL, given, folder=folder)
    return measure_delivery(part, CALL, base, service=service)


def ends(found: Delivery) -> tuple[float, float]:
    assert found.depth_kw is not None
    assert found.depth_kw.low is not None
    assert found.depth_kw.high is not None
    return found.depth_kw.low, found.depth_kw.high


def test_half_hours_are_settled_with_the_errors_of_like_days() -> None:
    found = settled(metered(), "regression:time_of_day")
    low, high = ends(found)
    assert low < RELEASED_KW < high
    assert 10.0 < high - low < 40.0
    assert found.errors_from == "18 like days without an event"
    assert any("before the event has 2 readings" in note for note in found.notes)
    assert found.energy_kwh.value == pytest.approx(2.0 * (low + high) / 2.0)


@pytest.mark.parametrize("given", ["regression:time_of_day", "last_value:60", None])
def test_intervals_of_like_days_hold_the_truth_as_often_as_they_say(given: str | None) -> None:
    """Of 60 events at 90 %, at most 12 miss (a binomial of 10 % has that at 99 %)."""
    missed = 0
    for seed in range(60):
        low, high = ends(settled(metered(seed), given))
        missed += not low <= RELEASED_KW <= high
    assert missed <= 12


def test_an_agreed_baseline_has_the_noise_of_readings_alone() -> None:
    found = settled(metered(), "fixed:200")
    assert found.baseline_error_kw == 0.0
    assert found.noise_kw == pytest.approx(2.0, abs=0.4)


def test_a_file_of_the_event_alone_is_tested_on_the_same_hours(tmp_path: Path) -> None:
    rows = [f"{on(LAST, hour).isoformat()},200.0" for hour in (17.0, 17.5, 18.0, 18.5)]
    (tmp_path / "base.csv").write_text("\n".join(["begins_at,baseline_kw", *rows]) + "\n")
    found = settled(metered(), "base.csv", folder=tmp_path)
    assert found.baseline_error_kw == pytest.approx(5.0, abs=2.0)
    assert found.rebound is None
    assert any("How far like days lay from it" in note for note in found.notes)
    # a meter of a minute has its noise from the hour that the file does not reach
    fine = settled(metered(count=2, interval_s=60.0), "base.csv", folder=tmp_path)
    assert fine.noise_kw == pytest.approx(2.0, abs=0.8)
    short = "\n".join(["begins_at,baseline_kw", *rows[:2]]) + "\n"
    (tmp_path / "short.csv").write_text(short)
    with pytest.raises(InputError, match="a baseline of the whole event"):
        settled(metered(), "short.csv", folder=tmp_path)


def test_a_rule_that_no_like_day_tests_is_held_against_the_same_hours() -> None:
    """Seven working days before: five of them make the baseline, and only two could test it."""
    found = settled(metered(count=8), "high_5_of_5_unadjusted")
    assert found.errors_from.endswith("without an event")
    assert any("can be tested on no like day" in note for note in found.notes)
    low, high = ends(found)
    assert low < RELEASED_KW < high


def test_depth_and_energy_are_judged_and_the_delay_is_not() -> None:
    lax = product(
        initial_delay_s=10.0,
        full_activation_s=600.0,
        sustain_s=3600.0,
        tolerance={"under": 0.5, "over": 0.6, "share_outside": 0.05},
    )
    found = settled(metered(), "regression:time_of_day", service=lax)
    judged = {c.name: c for c in found.criteria}
    assert (judged["depth"].verdict, judged["depth"].certain) == ("pass", True)
    delay = judged["initial delay"]
    assert (delay.verdict, delay.supply) == (None, "meter_interval_s")
    assert delay.why == "readings of 30 min do not tell a delay of 10 s"


def test_what_nothing_tells_is_refused_with_what_to_give() -> None:
    with pytest.raises(InputError, match="remedy: give earlier days") as fault:
        settled(metered(count=1), "fixed:200")
    assert "begins earlier" not in str(fault.value)
    fine = metered(count=1, interval_s=60.0).between(on(LAST), on(LAST, 20.0))
    with pytest.raises(InputError, match=r"--history: readings of 1800 s.*begins an hour before"):
        settled(fine, "fixed:200", history=metered())
    assert settled(metered(), "fixed:200", history=metered(interval_s=300.0)).noise_kw < 2.0


def test_battery_and_compute_are_not_told_apart_without_readings_before() -> None:
    meter = metered()
    meter = meter.with_columns(battery_kw=np.zeros(len(meter)))
    part = around(meter, CALL).between(on(LAST), on(LAST, 20.0))
    base = baseline_of(meter, part, CALL, "regression:time_of_day")
    found = measure_delivery(part, CALL, base)
    assert found.shares == ()
    assert any("Too few readings tell what the battery did" in note for note in found.notes)
    with_two = measure_delivery(
        around(meter, CALL), CALL, baseline_of(meter, around(meter, CALL), CALL, "fixed:200")
    )
    assert [share.name for share in with_two.shares] == ["battery", "compute"]
