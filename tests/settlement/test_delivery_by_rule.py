"""Delivery against a baseline that a rule makes: days of other events, and what is not known."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_histories import TOKYO, days, on
from responses import product

from ebplan.event import Event
from ebplan.services import load_service
from ebplan.settlement.by_rule import around, baseline_of
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.pack_spec import PackSpec, event_of_test
from ebplan.settlement.series import FloatArray, MeterSeries

EVENT_DAYS = (7, 8, 9, 10)
"""Days with an event before that of day 11, a Friday; day 0 is a Monday."""
LAST = 11
FIVE_MIN_S = 300.0


def drawn(day: int, hour: FloatArray) -> FloatArray:
    """Return 111 kW, and 40 kW less in the hours of the events."""
    inside = (hour >= 17.0) & (hour < 19.0)
    return np.where(inside & (day in (*EVENT_DAYS, LAST)), 71.0, 111.0)


def called(day: int = LAST, **other: object) -> Event:
    return Event.parse(
        {
            "id": "by-rule",
            "type": "demand_response",
            "start": on(day).isoformat(),
            "duration_s": 7200.0,
            "target": {"delta_kw": -40.0},
            "response": {"full_activation_s": 600.0},
            **other,
        }
    )


def baseline_kw(history: MeterSeries, event: Event, days_known: DayCalendar | None) -> float:
    part = around(history, event)
    base = baseline_of(history, part, event, "high_4_of_5", calendar=days_known)
    inside = (part.time_s >= part.seconds(event.start)) & (
        part.time_s < part.seconds(event.start) + event.duration_s
    )
    return float(base.kw[inside].mean())


def named(*numbers: int) -> list[date]:
    return [on(day).date() for day in numbers]


def test_days_of_other_events_are_no_candidates_of_a_rule() -> None:
    history, event = days(14, drawn, interval_s=FIVE_MIN_S), called()
    assert baseline_kw(history, event, None) == pytest.approx(81.0)
    known = DayCalendar.of_event(event.start, event.duration_s, others=named(*EVENT_DAYS))
    assert baseline_kw(history, event, known) == pytest.approx(111.0)


def test_holidays_are_no_working_days_of_a_rule() -> None:
    history, event = days(14, drawn, interval_s=FIVE_MIN_S), called()
    known = DayCalendar.of_event(event.start, event.duration_s, holidays=named(*EVENT_DAYS))
    assert baseline_kw(history, event, known) == pytest.approx(111.0)


def test_the_day_of_the_event_is_left_out_of_tests_on_later_days() -> None:
    """The level error on later days would be that of a baseline made from the event itself."""

    def lower_once(day: int, hour: FloatArray) -> FloatArray:
        inside = (hour >= 17.0) & (hour < 19.0)
        return np.where(inside & (day == 8), 20.0, 100.0) + 0.0 * hour

    history, event = (
        days(19, lower_once, interval_s=FIVE_MIN_S),
        called(8, target={"delta_kw": -80.0}),
    )
    base = baseline_of(history, around(history, event), event, "high_5_of_5")
    assert base.errors.lasting_kw == pytest.approx(0.0, abs=1e-9)


def test_an_event_over_midnight_has_two_days_and_one_until_midnight_has_one() -> None:
    late = DayCalendar.of_event(on(3, 23.0), 7200.0)
    assert late.left_out == set(named(3, 4))
    assert DayCalendar.of_event(on(3, 22.0), 7200.0).left_out == set(named(3))
    # 23:00 in Tokyo is 14:00 in UTC
    assert DayCalendar.of_event(on(3, 23.0).astimezone(), 7200.0, zone=TOKYO) == DayCalendar(
        left_out=frozenset(named(3, 4)), zone=TOKYO
    )


def test_runs_of_a_pack_leave_one_another_out(tmp_path: Path) -> None:
    (tmp_path / "holidays.txt").write_text("2026-06-03  # a holiday\n")
    starts = [on(day) for day in (*EVENT_DAYS, LAST)]
    spec = PackSpec.parse(
        {
            "kind": "prequalification",
            "resource": "site-1",
            "service": "jp_rr",
            "holidays": "holidays.txt",
            "exclude_days": [date(2026, 6, 2)],
            "zone": "+09:00",
            "tests": [
                {
                    "name": "endurance",
                    "kind": "endurance",
                    "direction": "release",
                    "kw": 40.0,
                    "hold_s": 3600.0,
                    "baseline": "high_4_of_5",
                    "runs": [{"meter": "m.csv", "start": s} for s in starts],
                }
            ],
        }
    )
    service = load_service("jp_rr")
    event = event_of_test(spec.tests[0], service, starts[-1])
    known = spec.calendar(event, tmp_path)
    assert known.left_out == {date(2026, 6, 2), *named(*EVENT_DAYS, LAST)}
    assert known.holidays == {date(2026, 6, 3)}


def noisy(day: int, hour: FloatArray) -> FloatArray:
    """Return days that lie apart by some kW, each quiet in itself."""
    rng = np.random.default_rng(day)
    return 100.0 + rng.normal(0.0, 6.0) + rng.normal(0.0, 0.3, hour.shape)


def settled(count: int, **other: Any) -> Delivery:
    history, event = days(count, noisy, interval_s=60.0), called(count - 1)
    part = around(history, event)
    base = baseline_of(history, part, event, "high_4_of_5_unadjusted", **other)
    return measure_delivery(part, event, base, service=product(sustain_s=6600.0))


def test_an_unknown_error_of_the_level_is_said_and_makes_nothing_certain() -> None:
    few, many = settled(8), settled(30)
    assert few.baseline_error_kw < 0.1
    assert many.baseline_error_kw > 3.0
    assert any("level is not known" in note for note in few.notes)
    assert not any("level is not known" in note for note in many.notes)
    assert few.criteria
    assert not any(c.certain for c in few.criteria)
    assert any(c.certain for c in many.criteria)


def test_an_error_that_is_given_is_known() -> None:
    given = settled(8, error_kw=2.0)
    assert given.baseline_error_kw == 2.0
    assert not any("level is not known" in note for note in given.notes)
    assert any(c.certain for c in given.criteria)


def test_a_baseline_from_a_file_does_not_tell_its_error(tmp_path: Path) -> None:
    history, event = days(3, noisy, interval_s=60.0), called(1)
    rows = [f"{on(day, 0.0).isoformat()},100.0" for day in range(4)]
    (tmp_path / "base.csv").write_text("\n".join(["begins_at,baseline_kw", *rows]) + "\n")
    part = around(history, event)
    base = baseline_of(history, part, event, "base.csv", folder=tmp_path)
    found = measure_delivery(part, event, base)
    assert any("the file does not tell it" in note for note in found.notes)
