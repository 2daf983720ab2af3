"""Baselines: by hand, by law, and what is refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_histories import MONDAY, TOKYO, days, levels, on, without

from ebplan.errors import InputError
from ebplan.settlement.baselines import Baseline, Fixed, LastValue, Rule
from ebplan.settlement.day_calendar import DayCalendar, parse_zone, read_days
from ebplan.settlement.high_of import HighOf
from ebplan.settlement.regression import Regression
from ebplan.settlement.rules import every_rule, parse_rule
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.window import Window

NEXT_MONDAY = 7
EVENT = Window(on(NEXT_MONDAY), 7200.0)
"""Monday 17:00 to 19:00, after a week of five working days."""


def test_a_fixed_baseline_is_what_was_agreed() -> None:
    found = Fixed(500.0).baseline(levels(1.0), EVENT)
    assert found.mean_kw(EVENT.start, EVENT.end) == 500.0


def test_the_last_value_is_the_mean_before_the_notice() -> None:
    """Notice at 14:00: the half-hours from 13:00 and 13:30 of a draw of 10 kW per hour."""
    history = days(8, lambda day, hour: 10.0 * hour)
    window = Window(on(7), 3600.0, notice=on(7, 14.0))
    found = LastValue(60.0).baseline(history, window)
    assert found.kw.tolist() == [pytest.approx((130.0 + 135.0) / 2.0)]


def test_high_4_of_5_by_hand() -> None:
    """Days 100, 140, 120, 110, 130: the lowest goes, (140 + 120 + 110 + 130) / 4 = 125.

    Today 135 in the hours of the adjustment: 135 - 125 = 10 is added.
    """
    history = levels(100.0, 140.0, 120.0, 110.0, 130.0, 50.0, 60.0, 135.0)
    found = HighOf().baseline(history, EVENT)
    assert found.kw.tolist() == [135.0] * 4
    assert found.adjustment_kw == pytest.approx(10.0)
    assert found.days == tuple(date(2026, 6, day) for day in (5, 4, 3, 2))
    assert [(out.day, out.reason) for out in found.left_out] == [
        (date(2026, 6, 1), "the lowest draw")
    ]
    plain = HighOf(adjusted=False).baseline(history, EVENT)
    assert plain.kw.tolist() == [125.0] * 4
    assert plain.adjustment_kw == 0.0


def test_slots_keep_their_shape_and_the_adjustment_looks_from_5_h_to_2_h_before() -> None:
    """Every day draws 10 kW per hour; today 6 kW more, in 12:00 to 15:00 only."""

    def kw(day: int, hour: np.ndarray) -> np.ndarray:
        return 10.0 * hour + np.where((day == 7) & (hour >= 12.0) & (hour < 15.0), 6.0, 0.0)

    found = HighOf().baseline(days(8, kw), EVENT)
    assert found.kw.tolist() == pytest.approx([176.0, 181.0, 186.0, 191.0])
    assert found.start == EVENT.start


def test_of_equal_days_the_one_furthest_back_goes() -> None:
    found = HighOf().baseline(levels(*[100.0] * 8), EVENT)
    assert date(2026, 6, 1) not in found.days


def test_on_a_weekend_two_of_three_days_that_are_none_of_work() -> None:
    """Saturday the 13th: Sundays and Saturdays 14... of 6, 7 and the holiday of the 3rd."""
    kw = [0.0] * 14
    kw[2], kw[5], kw[6] = 90.0, 100.0, 80.0  # Wednesday (a holiday), Saturday, Sunday
    calendar = DayCalendar(holidays=frozenset([date(2026, 6, 3)]))
    rule = HighOf(calendar=calendar, adjusted=False)
    found = rule.baseline(levels(*kw), Window(on(12), 3600.0))
    assert found.kw.tolist() == [95.0, 95.0]
    assert found.days == (date(2026, 6, 6), date(2026, 6, 3))


def test_a_holiday_and_the_day_of_another_event_are_no_working_days() -> None:
    kw = [100.0, 101.0, 102.0, 103.0, 104.0, 0.0, 0.0, 105.0, 500.0, 500.0, 106.0]
    calendar = DayCalendar(
        holidays=frozenset([date(2026, 6, 9)]), left_out=frozenset([date(2026, 6, 10)])
    )
    rule = HighOf(calendar=calendar, adjusted=False)
    found = rule.baseline(levels(*kw), Window(on(10), 3600.0))
    assert found.days == tuple(date(2026, 6, day) for day in (8, 5, 4, 3))
    assert found.left_out[0].reason == "named as left out"


def test_a_day_below_a_quarter_of_the_mean_is_replaced() -> None:
    """Candidates 100, 20, 100, 100, 100 have the mean 84; 20 < 21 goes, the day before comes in."""
    kw = [100.0, 90.0, 100.0, 100.0, 20.0, 0.0, 0.0, 100.0, 100.0, 100.0]
    found = HighOf(adjusted=False).baseline(levels(*kw), Window(on(9), 3600.0))
    assert {out.day: out.reason for out in found.left_out} == {
        date(2026, 6, 5): "below 25% of the mean of the candidates",
        date(2026, 6, 2): "the lowest draw",
    }
    assert found.kw.tolist() == [100.0, 100.0]


def test_a_day_with_a_gap_is_left_out_by_name() -> None:
    history = without(levels(*[100.0] * 9), on(3, 17.5), on(3, 18.0))
    found = HighOf(adjusted=False).baseline(history, Window(on(8), 7200.0))
    assert found.left_out[0].day == date(2026, 6, 4)
    assert found.left_out[0].reason == "not measured throughout"


def test_too_few_days_say_how_many_are_needed() -> None:
    history = without(levels(*[100.0] * 8), on(3, 17.5), on(3, 18.0))
    with pytest.raises(InputError) as caught:
        HighOf().baseline(history, EVENT)
    line = str(caught.value)
    assert "4 like day(s) before 2026-06-08" in line
    assert "(left out: 2026-06-04 not measured throughout)" in line
    assert "5 of the kind working day" in line
    assert "in the last 30 days" in line


def test_a_gap_in_the_hours_of_the_adjustment_is_an_error() -> None:
    history = without(levels(*[100.0] * 8), on(7, 13.0), on(7, 13.5))
    with pytest.raises(InputError, match="high_4_of_5_unadjusted"):
        HighOf().baseline(history, EVENT)
    assert HighOf(adjusted=False).baseline(history, EVENT).kw.tolist() == [100.0] * 4


def test_high_10_of_10_takes_every_day() -> None:
    kw = [float(100 + day) for day in range(15)]
    history = levels(*kw)
    rule = parse_rule("high_10_of_10_unadjusted", history)
    found = rule.baseline(history, Window(on(14), 3600.0))
    assert len(found.days) == 10
    working = [100.0 + day for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    assert found.kw.tolist() == pytest.approx([sum(working) / 10.0] * 2)


def test_days_are_those_of_the_wall_where_clocks_change() -> None:
    """Berlin, 29 March 2026: the wall's 17:00 is an hour earlier in UTC from then on."""
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 16, tzinfo=berlin)  # a Monday
    count = 48 * 16
    moments = [start.astimezone(ZoneInfo("UTC")) + timedelta(minutes=30 * i) for i in range(count)]
    kw = np.array(
        [10.0 * (m := moment.astimezone(berlin)).hour + m.minute / 6 for moment in moments]
    )
    history = MeterSeries(start, 1800.0, 1800.0 * np.arange(count), {"grid_kw": kw})
    window = Window(datetime(2026, 3, 30, 17, tzinfo=berlin), 3600.0)
    with pytest.raises(InputError, match=r"zone: .*--zone Europe/Berlin"):
        HighOf(adjusted=False).baseline(history, window)
    zoned = DayCalendar(zone=parse_zone("Europe/Berlin"))
    found = HighOf(calendar=zoned, adjusted=False).baseline(history, window)
    assert found.kw.tolist() == pytest.approx([170.0, 175.0])
    by_hour = Regression(calendar=zoned).baseline(history, window)
    assert by_hour.kw.tolist() == pytest.approx([172.5, 172.5])
    # the night of the change has no 02:30; the Saturday before is left out by no one
    night = Window(datetime(2026, 4, 4, 2, tzinfo=berlin), 3600.0)
    longer = MeterSeries(start, 1800.0, 1800.0 * np.arange(48 * 21), {"grid_kw": np.ones(48 * 21)})
    rule = HighOf(calendar=zoned, adjusted=False)
    assert {out.day: out.reason for out in rule.baseline(longer, night).left_out} == {
        date(2026, 3, 29): "its clock changes during these hours",
        date(2026, 3, 21): "the lowest draw",
    }
    with pytest.raises(InputError, match="hours that every day has once"):
        rule.baseline(longer, Window(datetime(2026, 3, 29, 1, tzinfo=berlin), 7200.0))


def test_regression_finds_the_line_it_was_made_from() -> None:
    """Draw 100 + 10 h + 3 x: the event's x makes its baseline, whatever the meter said then."""
    x = np.random.default_rng(1).normal(50.0, 5.0, 48 * 8)
    truth = days(8, lambda day, hour: 100.0 + 10.0 * np.floor(hour))
    kw = truth.grid_kw + 3.0 * x
    in_event = (truth.time_s >= truth.seconds(EVENT.start)) & (
        truth.time_s < truth.seconds(EVENT.end)
    )
    history = truth.with_columns(grid_kw=np.where(in_event, 0.0, kw), x=x)
    found = Regression(columns=("x",)).baseline(history, EVENT)
    assert found.kw.tolist() == pytest.approx(kw[in_event].tolist())


@pytest.mark.parametrize(
    ("rule", "extra", "told"),
    [
        (Regression(columns=("x",)), {"x": np.ones(48 * 8)}, "constant"),
        (
            Regression(columns=("x", "y")),
            {"x": np.arange(384.0), "y": 2.0 * np.arange(384.0)},
            "none of them a sum of the others",
        ),
        (Regression(columns=("z",)), {}, "grid_kw"),
    ],
)
def test_columns_that_tell_nothing_are_refused(
    rule: Regression, extra: dict[str, np.ndarray], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        rule.baseline(levels(*[100.0] * 8).with_columns(**extra), EVENT)


def test_regression_needs_more_readings_than_parameters() -> None:
    history = days(2, lambda day, hour: hour, x=np.arange(96.0))
    with pytest.raises(InputError, match="more than the 2 parameters"):
        Regression(columns=("x",), time_of_day=False).baseline(history, Window(on(0, 1.0), 3600.0))
    with pytest.raises(InputError, match="no reading of the hour from 17 h"):
        Regression().baseline(history, Window(on(0), 3600.0))
    with pytest.raises(InputError, match="covers the event"):
        Regression(columns=("x",)).baseline(history, Window(on(2), 3600.0))


def wavy(shift: float = 0.0, scale: float = 1.0, seed: int = 3) -> MeterSeries:
    """Return three weeks of an uneven load with a column ``x``."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 1.0, 48 * 21)
    base = days(21, lambda day, hour: 200.0 + 50.0 * np.sin(hour / 4.0) + 7.0 * (day % 3))
    kw = base.grid_kw + 20.0 * x + rng.normal(0.0, 5.0, len(x))
    return base.with_columns(grid_kw=scale * (kw + shift), x=x)


LAW = Window(on(17), 7200.0, notice=on(17, 14.0))
RULES = every_rule(wavy())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-20.0, 500.0), scale=st.floats(0.1, 20.0))
def test_what_is_added_to_every_reading_is_added_to_the_baseline_and_so_with_a_factor(
    rule: Rule, shift: float, scale: float
) -> None:
    plain = rule.baseline(wavy(), LAW).kw
    other = rule.baseline(wavy(shift, scale), LAW).kw
    assert other.tolist() == pytest.approx((scale * (plain + shift)).tolist(), rel=1e-8)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_nothing_that_was_metered_from_the_event_on_counts(rule: Rule) -> None:
    """High 4 of 5 reads its own day until 2 h before the start, the others until the notice."""
    history = wavy()
    until = on(17, 15.0) if rule.name == "high_4_of_5" else LAW.known_at
    late = history.time_s >= history.seconds(until)
    spoilt = history.with_columns(grid_kw=np.where(late, 1e6, history.grid_kw))
    assert rule.baseline(spoilt, LAW).kw.tolist() == rule.baseline(history, LAW).kw.tolist()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_baseline_reaches_around_the_event_without_changing_in_it(rule: Rule) -> None:
    around = Window(LAW.start, LAW.duration_s, LAW.notice, before_s=3600.0, after_s=3600.0)
    narrow, wide = rule.baseline(wavy(), LAW), rule.baseline(wavy(), around)
    inside = wavy().between(LAW.start, LAW.end)
    assert wide.on(inside).tolist() == pytest.approx(narrow.on(inside).tolist())
    assert wide.on(wavy().between(around.begin, around.until)).shape == (8,)
    with pytest.raises(InputError, match="before_s, after_s"):
        narrow.on(wavy().between(around.begin, around.until))


def test_a_baseline_is_averaged_over_the_intervals_of_a_meter() -> None:
    found = Baseline("fixed", MONDAY, 1800.0, np.array([100.0, 200.0]))
    meter = days(1, lambda day, hour: hour, interval_s=1200.0).between(MONDAY, on(0, 1.0))
    assert found.on(meter).tolist() == pytest.approx([100.0, 150.0, 200.0])
    assert found.mean_kw(on(0, 0.25), on(0, 0.75)) == pytest.approx(150.0)
    assert found.to_csv().splitlines()[1] == "2026-06-01T00:00:00+09:00,100.0"


def test_a_rule_is_found_by_its_name() -> None:
    history = wavy()
    assert parse_rule("last_value:15", history) == LastValue(15.0)
    assert parse_rule("fixed:500", history) == Fixed(500.0)
    assert parse_rule("regression", history) == Regression(columns=("x",))
    assert parse_rule("regression:x", history) == Regression(columns=("x",), time_of_day=False)
    for rule in RULES:
        assert parse_rule(rule.name, history) == rule
    hourly = days(8, lambda day, hour: hour, interval_s=3600.0)
    assert parse_rule("last_value", hourly) == LastValue(60.0)
    assert parse_rule("high_4_of_5", hourly) == HighOf(slot_s=3600.0)


@pytest.mark.parametrize(
    "name",
    [
        "high_5_of_4",
        "high_0_of_4",
        "high_4",
        "fixed",
        "fixed:x",
        "fixed:-1",
        "last_value:nan",
        "regression:grid_kw",
        "regression:x,x",
        "regression:q",
        "median",
        "",
    ],
)
def test_what_is_no_rule_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_rule(name, wavy())


def test_the_last_value_needs_its_minutes_measured() -> None:
    history = without(levels(*[1.0] * 8), on(7, 16.0), on(7, 17.0))
    with pytest.raises(InputError, match="last_value:60: got 'a gap"):
        LastValue(60.0).baseline(history, EVENT)
    with pytest.raises(InputError, match="an interval of 1800 s in it"):
        LastValue(10.0).baseline(levels(*[1.0] * 8), EVENT)


@pytest.mark.parametrize(
    ("start", "duration_s", "notice", "told"),
    [
        (datetime(2026, 6, 8, 17), 3600.0, None, "start: .*with its zone"),
        (on(7), 0.0, None, "duration_s"),
        (on(7), 90_000.0, None, "day by day"),
        (on(7), 3600.0, on(8), "not after the start"),
    ],
)
def test_what_is_no_window_is_refused(
    start: datetime, duration_s: float, notice: datetime | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        Window(start, duration_s, notice)


def test_days_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text("# of Japan\n2026-07-20,海の日\n\n2026-08-11  # 山の日\n", encoding="utf-8")
    assert read_days(file) == {date(2026, 7, 20), date(2026, 8, 11)}
    file.write_text("20 July\n")
    with pytest.raises(InputError, match="line 1"):
        read_days(file)


def test_a_zone_is_a_name_or_an_offset() -> None:
    assert parse_zone("+09:00") == TOKYO
    assert parse_zone("Asia/Tokyo") == ZoneInfo("Asia/Tokyo")
    for text in ("Tokio", "+9 hours", "/etc/passwd", ""):
        with pytest.raises(InputError, match="--zone"):
            parse_zone(text)
