"""Intervals become events by what the contract adds; nothing that was asked is lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.terms import Ask, EventTerms, Interval, events_of
from ebplan.errors import InputError
from ebplan.event import Event

START = datetime(2026, 6, 1, 4, tzinfo=UTC)
LEVELS = {"1": -50.0, "2": -100.0, "3": 0.0}


def terms(**said: Any) -> EventTerms:
    return EventTerms.parse(said)


def row(*stretches: tuple[float, float], start: datetime = START) -> list[Interval]:
    """Intervals from (length in s, value), each at the end of the one before."""
    intervals = []
    for length_s, value in stretches:
        intervals.append(Interval(start, length_s, value))
        start += timedelta(seconds=length_s)
    return intervals


def asked(events: tuple[Event, ...]) -> list[tuple[str, float, float, float | None]]:
    return [
        (e.id, (e.start - START).total_seconds(), e.duration_s, e.target and e.target.delta_kw)
        for e in events
    ]


# --- merging ----------------------------------------------------------------------------------


def test_neighbours_that_ask_the_same_become_one() -> None:
    events = events_of("u", "delta_kw", row((60, -1), (30, -1), (10, -2), (5, -2)), terms())
    assert asked(events) == [("u/0", 0.0, 90.0, -1.0), ("u/1", 90.0, 15.0, -2.0)]


def test_one_that_is_left_bears_the_name_of_the_call() -> None:
    assert asked(events_of("u", "delta_kw", row((60, -1), (30, -1)), terms())) == [
        ("u", 0.0, 90.0, -1.0)
    ]


def test_a_gap_keeps_what_asks_the_same_apart() -> None:
    late = START + timedelta(seconds=60.01)
    intervals = row((60, -1)) + row((30, -1), start=late)
    assert asked(events_of("u", "delta_kw", intervals, terms())) == [
        ("u/0", 0.0, 60.0, -1.0),
        ("u/1", 60.01, 30.0, -1.0),
    ]


@pytest.mark.parametrize("off_s", [-0.0009, 0.0009])
def test_starts_that_were_rounded_are_no_gap_and_do_not_add_up(off_s: float) -> None:
    apart = timedelta(seconds=60 + off_s)
    intervals = [Interval(START + n * apart, 60.0, -1.0) for n in range(1000)]
    (one,) = events_of("u", "delta_kw", intervals, terms())
    assert end(one) == intervals[-1].start + timedelta(seconds=60)
    prices = [Interval(i.start, 60.0, float(n)) for n, i in enumerate(intervals)]
    (window,) = events_of("u", "price", prices, terms())
    assert end(window) == end(one)


def test_nothing_asks_nothing() -> None:
    for ask in ("delta_kw", "level", "price"):
        assert events_of("u", ask, [], terms()) == ()


@st.composite
def intervals(draw: st.DrawFn, values: st.SearchStrategy[float]) -> list[Interval]:
    start, made = START, list[Interval]()
    for _ in range(draw(st.integers(1, 12))):
        start += timedelta(seconds=draw(st.sampled_from([0, 0, 0, 1, 900])))
        length_s = float(draw(st.integers(1, 7200)))
        made.append(Interval(start, length_s, draw(values)))
        start += timedelta(seconds=length_s)
    return made


LONG = {"response": {"initial_delay_s": 10.0, "full_activation_s": 300.0}, "handoff": {"by_s": 60}}


@given(told=intervals(st.sampled_from([-3.0, -1.5, 0.0, 2.0])), said=st.sampled_from([{}, LONG]))
def test_time_and_energy_asked_are_kept(told: list[Interval], said: dict[str, Any]) -> None:
    events = events_of("u", "delta_kw", told, terms(**said))
    assert sum(e.duration_s for e in events) == sum(i.duration_s for i in told)
    assert sum(kw(e) * e.duration_s for e in events) == sum(i.value * i.duration_s for i in told)
    for interval in told:
        assert [kw(e) for e in events if covers(e, interval)] == [interval.value]
    for before, after in pairwise(events):
        assert end(before) < after.start or kw(before) != kw(after)
    # what comes out is a call
    GridEvent(source="s", uid="u", received=START, events=events)


@given(told=intervals(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0])))
def test_levels_ask_what_they_mean_and_level_0_asks_nothing(told: list[Interval]) -> None:
    events = events_of("u", "level", told, terms(level_kw=LEVELS))
    asking = [i for i in told if i.value != 0.0]
    assert sum(e.duration_s for e in events) == sum(i.duration_s for i in asking)
    for interval in told:
        wanted = [LEVELS[f"{interval.value:g}"]] if interval.value else []
        assert [kw(e) for e in events if covers(e, interval)] == wanted


@given(told=intervals(st.sampled_from([-1.0, 0.0, 12.5, 40.0])))
def test_prices_hold_at_each_moment(told: list[Interval]) -> None:
    events = events_of("u", "price", told, terms(**LONG))
    assert sum(e.duration_s for e in events) == sum(i.duration_s for i in told)
    for interval in told:
        (window,) = [e for e in events if covers(e, interval)]
        at_s = (interval.start - window.start).total_seconds()
        assert [price for from_s, price in window.prices if from_s <= at_s][-1] == interval.value
    for window in events:
        prices = [price for _, price in window.prices]
        assert all(a != b for a, b in pairwise(prices))


def kw(event: Event) -> float:
    assert event.target is not None
    assert event.target.delta_kw is not None
    return event.target.delta_kw


def covers(event: Event, interval: Interval) -> bool:
    middle = interval.start + timedelta(seconds=interval.duration_s / 2)
    return event.start <= middle < end(event)


# --- what numbers ask -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "value", "kind", "target"),
    [
        ("delta_kw", -3.0, "demand_response", {"delta_kw": -3.0}),
        ("fraction", -0.2, "demand_response", {"fraction_of_baseline": -0.2}),
        ("limit_kw", 0.0, "import_limit", {"import_limit_kw": 0.0}),
        ("level", 2.0, "demand_response", {"delta_kw": -100.0}),
        ("level", 3.0, "demand_response", {"delta_kw": 0.0}),
        ("draw_kw", 470.0, "demand_response", {"delta_kw": -30.0}),
        ("draw_kw", 520.0, "demand_response", {"delta_kw": 20.0}),
        ("draw_kw", 500.0, "demand_response", {"delta_kw": 0.0}),
    ],
)
def test_what_a_number_asks(ask: Ask, value: float, kind: str, target: dict[str, float]) -> None:
    said = terms(
        level_kw=LEVELS,
        baseline={"rule": "fixed", "kw": 500.0},
        payment_per_kwh=2.0,
        penalty_per_kwh=3.0,
    )
    (event,) = events_of("u", ask, row((600, value)), said)
    assert event.type == kind
    assert event.target is not None
    assert event.target.model_dump(exclude_none=True) == target
    assert (event.payment_per_kwh, event.penalty_per_kwh) == (2.0, 3.0)
    assert event.baseline == said.baseline


@pytest.mark.parametrize("value", [0.0, -0.0])
def test_level_0_alone_asks_nothing(value: float) -> None:
    assert events_of("u", "level", row((600, value)), terms(level_kw=LEVELS)) == ()


def test_level_0_parts_what_asks_the_same() -> None:
    told = row((60, 1), (30, 0), (60, 1))
    assert asked(events_of("u", "level", told, terms(level_kw=LEVELS))) == [
        ("u/0", 0.0, 60.0, -50.0),
        ("u/1", 90.0, 60.0, -50.0),
    ]


@pytest.mark.parametrize("value", [4.0, 1.5, -1.0, 1e6, float("nan"), float("inf")])
def test_a_level_that_is_not_declared_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"^level: got '.*'; allowed: 1, 2, 3; remedy: declare"):
        events_of("u", "level", row((60, 1), (60, value)), terms(level_kw=LEVELS))
    with pytest.raises(InputError, match="no level; none is declared"):
        events_of("u", "level", row((60, value)), terms())


def test_a_draw_without_a_fixed_baseline_is_refused() -> None:
    with pytest.raises(InputError, match=r"^baseline: got 'last_value'; allowed: rule 'fixed'"):
        events_of("u", "draw_kw", row((60, 470.0)), terms())


@pytest.mark.parametrize(
    ("ask", "length_s", "value", "field"),
    [
        ("delta_kw", 60.0, float("nan"), "delta_kw"),
        ("delta_kw", 60.0, 1e-4, "delta_kw"),
        ("fraction", 60.0, -2.1, "fraction_of_baseline"),
        ("limit_kw", 60.0, -1.0, "import_limit_kw"),
        ("limit_kw", 0.0, 1.0, "duration_s"),
        ("price", 60.0, float("inf"), "price_steps"),
        ("price", 0.0, 1.0, "duration_s"),
    ],
)
def test_what_no_event_can_be_is_one_line(
    ask: Ask, length_s: float, value: float, field: str
) -> None:
    with pytest.raises(InputError, match=f"^{field}") as refused:
        events_of("u", ask, row((length_s, value)), terms())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("level", ["0", "01", "-1", "1.0", "1000", "", "high"])
def test_a_level_that_no_message_can_ask_for_is_not_declared(level: str) -> None:
    with pytest.raises(InputError, match="level_kw"):
        terms(level_kw={level: -1.0})


# --- response and hand-off --------------------------------------------------------------------

RESPONSE = {"initial_delay_s": 20.0, "full_activation_s": 120.0, "recovery_s": 30.0}


@pytest.mark.parametrize(
    ("length_s", "delay_s", "full_s"),
    [(121.0, 20.0, 120.0), (120.0, 0.0, 0.0), (10.0, 0.0, 0.0)],
)
def test_a_stretch_too_short_for_the_ramp_is_asked_in_full(
    length_s: float, delay_s: float, full_s: float
) -> None:
    (event,) = events_of("u", "delta_kw", row((length_s, -1)), terms(response=RESPONSE))
    assert event.response.initial_delay_s == delay_s
    assert event.response.full_activation_s == full_s
    assert event.response.recovery_s == 30.0


def test_short_neighbours_are_fitted_after_they_are_merged() -> None:
    (event,) = events_of("u", "delta_kw", row((100, -1), (100, -1)), terms(response=RESPONSE))
    assert event.response.full_activation_s == 120.0


@pytest.mark.parametrize(("length_s", "kept"), [(61.0, True), (60.0, True), (59.0, False)])
def test_a_hand_off_that_would_come_too_late_is_dropped(length_s: float, kept: bool) -> None:
    said = terms(handoff={"by_s": 60.0, "battery_fraction": 0.2})
    (event,) = events_of("u", "delta_kw", row((length_s, -1)), said)
    assert event.handoff == (said.handoff if kept else None)


# --- prices -----------------------------------------------------------------------------------


def test_prices_become_one_window_with_a_step_where_they_change() -> None:
    said = terms(response=RESPONSE, handoff={"by_s": 60.0}, payment_per_kwh=2.0)
    (window,) = events_of("u", "price", row((60, 10), (60, 10), (60, -5), (60, 10)), said)
    assert (window.id, window.type, window.duration_s) == ("u", "price_window", 240.0)
    assert window.price_steps == ((0.0, 10.0), (120.0, -5.0), (180.0, 10.0))
    assert (window.target, window.handoff, window.payment_per_kwh) == (None, None, 0.0)
    assert (window.response.full_activation_s, window.response.recovery_s) == (0.0, 30.0)


def test_a_gap_in_prices_makes_two_windows() -> None:
    late = START + timedelta(seconds=120)
    told = row((60, 10)) + row((60, 10), (60, 20), start=late)
    first, second = events_of("u", "price", told, terms())
    assert (first.id, first.price_steps) == ("u/0", ((0.0, 10.0),))
    assert (second.id, second.start) == ("u/1", late)
    assert second.price_steps == ((0.0, 10.0), (60.0, 20.0))
