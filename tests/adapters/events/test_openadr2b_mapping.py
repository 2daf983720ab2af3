"""What an event of OpenADR 2.0b means: tables, and laws that hold for all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr2b.heard import HeardEvent, HeardInterval, HeardSignal
from ebplan.adapters.events.openadr2b.hearing import Hearing
from ebplan.adapters.events.openadr2b.mapping import to_grid_event
from ebplan.adapters.events.openadr2b.signals import SignalRefused
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.openadr2b.targets import elsewhere
from ebplan.adapters.events.openadr2b.times import duration_s, instant
from ebplan.errors import InputError
from ebplan.event import Target

START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
NOW = START - timedelta(hours=1)
KW = {"quantity": "powerReal", "units": "W", "scale": "k"}
YEN = {"quantity": "currencyPerKWh", "units": "JPY", "scale": "none"}


def spec(**programme: object) -> OpenAdr2bSpec:
    return OpenAdr2bSpec.parse(
        {
            "url": "http://localhost:1/x",
            "ven_name": "site-1",
            "currency": "JPY",
            "programmes": {"http://dr": programme},
            "resources": ["hall-1", "hall-2"],
            "groups": ["north"],
            "parties": ["us"],
            "device_classes": ["Storage"],
        }
    )


def signal(name: str, kind: str, *values: str, **units: object) -> HeardSignal:
    return HeardSignal(
        name,
        kind,
        tuple(HeardInterval(None, "PT15M", v) for v in values),
        **units,  # type: ignore[arg-type]
    )


def heard(*signals: HeardSignal, **changed: object) -> HeardEvent:
    length = max((len(s.intervals) for s in signals), default=1)
    said = HeardEvent(
        uid="e1", revision=2, status="far", market_context="http://dr",
        created="2026-06-01T00:00:00Z", start="2026-06-01T03:00:00Z",
        duration=f"PT{15 * length}M", signals=signals,
    )  # fmt: skip
    return replace(said, **changed)  # type: ignore[arg-type]


def mapped(said: HeardEvent, **programme: object) -> GridEvent:
    return to_grid_event(said, spec(**programme), NOW)


def targets(call: GridEvent) -> list[Target | None]:
    return [e.target for e in call.events]


FIXED = {"terms": {"baseline": {"rule": "fixed", "kw": 500.0}}}
LEVELS = {"terms": {"level_kw": {"1": -50.0, "2": -100.0}}}
WATT = {**KW, "scale": "none"}
MEGAWATT = {**KW, "scale": "M"}


@pytest.mark.parametrize(
    ("said", "programme", "target"),
    [
        (signal("LOAD_DISPATCH", "delta", "-100", **KW), {}, {"delta_kw": -100.0}),
        (signal("LOAD_DISPATCH", "delta", "100", **KW), {}, {"delta_kw": 100.0}),
        (signal("LOAD_DISPATCH", "delta", "-100000", **WATT), {}, {"delta_kw": -100.0}),
        (signal("LOAD_DISPATCH", "delta", "-0.1", **MEGAWATT), {}, {"delta_kw": -100.0}),
        (
            signal("LOAD_DISPATCH", "delta", "100", **KW),
            {"delta_is": "reduction"},
            {"delta_kw": -100.0},
        ),
        (signal("LOAD_DISPATCH", "setpoint", "420", **KW), FIXED, {"delta_kw": -80.0}),
        (
            signal("LOAD_DISPATCH", "setpoint", "420", **KW),
            {"setpoint_is": "limit"},
            {"import_limit_kw": 420.0},
        ),
        (
            signal("LOAD_DISPATCH", "multiplier", "0.75"),
            {},
            {"fraction_of_baseline": -0.25},
        ),
        (signal("LOAD_DISPATCH", "level", "1"), LEVELS, {"delta_kw": -50.0}),
        (signal("SIMPLE", "level", "2.0"), LEVELS, {"delta_kw": -100.0}),
        (signal("simple", "level", "1"), LEVELS, {"delta_kw": -50.0}),
    ],
)
def test_a_signal_asks(
    said: HeardSignal, programme: dict[str, object], target: dict[str, float]
) -> None:
    assert targets(mapped(heard(said), **programme)) == [Target.parse(target)]


def test_prices_become_one_window() -> None:
    call = mapped(heard(signal("ELECTRICITY_PRICE", "price", "12.5", "12.5", "40", **YEN)))
    (window,) = call.events
    assert window.type == "price_window"
    assert window.price_steps == ((0.0, 12.5), (1800.0, 40.0))


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (signal("LOAD_DISPATCH", "delta", "1"), "LOAD_DISPATCH delta"),
        (signal("LOAD_DISPATCH", "delta", "1", **{**KW, "quantity": "energyReal"}), "delta"),
        (signal("LOAD_DISPATCH", "delta", "1", **{**KW, "quantity": "powerApparent"}), "delta"),
        (signal("LOAD_DISPATCH", "delta", "1", **{**KW, "scale": "h"}), "delta"),
        (signal("ELECTRICITY_PRICE", "price", "1", **{**YEN, "units": "EUR"}), "price"),
        (signal("ELECTRICITY_PRICE", "price", "1"), "price"),
        (signal("ELECTRICITY_PRICE", "priceRelative", "1", **YEN), "ELECTRICITY_PRICE"),
        (signal("ENERGY_PRICE", "price", "1", **YEN), "ENERGY_PRICE"),
        (signal("DEMAND_CHARGE", "price", "1", **YEN), "DEMAND_CHARGE"),
        (signal("LOAD_CONTROL", "x-loadControlCapacity", "0.5"), "LOAD_CONTROL"),
        (signal("CHARGE_STATE", "setpoint", "1"), "CHARGE_STATE"),
        (signal("BID_LOAD", "setpoint", "1", **KW), "BID_LOAD"),
        (signal("x-own", "level", "1"), "x-own"),
    ],
)
def test_a_signal_that_is_not_understood_is_refused_by_name(said: HeardSignal, field: str) -> None:
    with pytest.raises(SignalRefused, match=field):
        mapped(heard(said), **LEVELS)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"market_context": "http://other"}, "marketContext"),
        ({"start": "2026-06-01T03:00:00"}, "dtstart"),
        ({"start": "yesterday"}, "dtstart"),
        ({"duration": "P1M"}, "duration"),
        ({"duration": "-PT15M"}, "duration"),
        ({"duration": "PT20M"}, "signal LOAD_DISPATCH"),
        ({"start_after": "P1Y"}, "startafter"),
        ({"uid": "x" * 201}, "uid"),
        ({"uid": ""}, "uid"),
        ({"signals": ()}, "eiEventSignals"),
    ],
)
def test_an_event_that_is_not_understood_is_refused_by_field(
    changed: dict[str, object], field: str
) -> None:
    said = heard(signal("LOAD_DISPATCH", "delta", "-1", **KW), **changed)
    with pytest.raises(InputError) as refused:
        mapped(said)
    assert field in refused.value.line()
    assert "\n" not in refused.value.line()


@pytest.mark.parametrize("value", ["NaN", "INF", "-INF", "", "ten"])
def test_a_payload_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="signalPayload"):
        mapped(heard(signal("LOAD_DISPATCH", "delta", value, **KW)))


def test_level_0_alone_takes_the_call_back() -> None:
    call = mapped(heard(signal("SIMPLE", "level", "0"), start_after="PT5M"), **LEVELS)
    assert call.cancelled
    assert not call.absent
    assert len(mapped(heard(signal("SIMPLE", "level", "0", "1", "0")), **LEVELS).events) == 1


def test_simple_beside_numbers_gives_way_to_them() -> None:
    both = heard(signal("SIMPLE", "level", "3"), signal("LOAD_DISPATCH", "delta", "-7", **KW))
    assert targets(mapped(both)) == [Target(delta_kw=-7.0)]


def test_two_signals_that_may_ask_different_things_are_refused() -> None:
    both = heard(
        signal("ELECTRICITY_PRICE", "price", "9", **YEN),
        signal("LOAD_DISPATCH", "delta", "-7", **KW),
    )
    with pytest.raises(SignalRefused, match="one signal"):
        mapped(both)


def test_a_signal_for_other_devices_is_left_out() -> None:
    ours = signal("LOAD_DISPATCH", "delta", "-7", device_classes=("Storage",), **KW)
    others = signal("LOAD_DISPATCH", "delta", "-9", device_classes=("Thermostat",), **KW)
    assert targets(mapped(heard(others, ours))) == [Target(delta_kw=-7.0)]
    with pytest.raises(SignalRefused):
        mapped(heard(others))


@pytest.mark.parametrize(
    ("named", "ours"),
    [
        ((), True),
        ((("venID", "ven-1"),), True),
        ((("venID", "ven-2"), ("venID", "ven-1")), True),
        ((("venID", "ven-2"),), False),
        ((("resourceID", "hall-2"),), True),
        ((("venID", "ven-1"), ("resourceID", "hall-9")), False),
        ((("groupID", "north"), ("partyID", "us")), True),
        ((("groupName", "north"),), True),
        ((("groupName", "south"),), False),
        ((("serviceArea", ""),), False),
        ((("meterAsset", ""), ("venID", "ven-1")), False),
    ],
)
def test_an_event_is_for_us_if_each_kind_of_target_names_us(
    named: tuple[tuple[str, str], ...], ours: bool
) -> None:
    assert (elsewhere(named, spec(), "ven-1") is None) == ours


def test_before_registration_no_id_is_ours() -> None:
    assert elsewhere((("venID", "None"),), spec(), None) is not None


def test_a_call_without_an_end_lasts_as_long_as_is_declared() -> None:
    said = heard(
        HeardSignal(
            "LOAD_DISPATCH", "delta",
            (HeardInterval(None, "PT15M", "-5"), HeardInterval(None, "PT0S", "-9")), **KW,
        ),
        duration="PT0S",
    )  # fmt: skip
    call = mapped(said)
    assert [e.duration_s for e in call.events] == [900.0, 86400.0 - 900.0]


def test_an_interval_without_a_length_is_refused_before_the_end() -> None:
    parts = (HeardInterval(None, "PT0S", "-5"), HeardInterval(None, "PT15M", "-9"))
    with pytest.raises(InputError, match="interval 0 duration"):
        mapped(heard(HeardSignal("LOAD_DISPATCH", "delta", parts, **KW), duration="PT15M"))


def test_intervals_that_say_when_they_start_must_be_in_order() -> None:
    parts = (
        HeardInterval("2026-06-01T03:00:00Z", "PT15M", "-5"),
        HeardInterval("2026-06-01T03:10:00Z", "PT15M", "-9"),
    )
    with pytest.raises(InputError, match="interval 1 dtstart"):
        mapped(heard(HeardSignal("LOAD_DISPATCH", "delta", parts, **KW), duration="PT25M"))


def test_the_recovery_of_the_message_counts() -> None:
    call = mapped(heard(signal("LOAD_DISPATCH", "delta", "-5", **KW), recovery="PT10M"))
    assert call.events[0].response.recovery_s == 600.0


def test_a_cancelled_event_needs_nothing_that_is_understood() -> None:
    call = mapped(
        heard(signal("x-own", "x-kind", "?"), status="cancelled", market_context="http://other")
    )
    assert call.cancelled
    assert call.events == ()
    assert call.revision == 2


@pytest.mark.parametrize(("said", "ranked"), [(0, None), (1, 1), (9, 9)])
def test_priority_0_says_nothing(said: int, ranked: int | None) -> None:
    call = mapped(heard(signal("LOAD_DISPATCH", "delta", "-5", **KW), priority=said))
    assert call.priority == ranked


def test_a_creation_time_that_is_not_understood_is_left_out() -> None:
    call = mapped(heard(signal("LOAD_DISPATCH", "delta", "-5", **KW), created="soon"))
    assert call.issued is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0.0), ("P", 0.0), ("PT1H30M", 5400.0), ("P1DT1S", 86401.0), ("P1D", 86400.0),
        ("1W", 604800.0), ("P1W", 604800.0), ("+PT5S", 5.0), ("P0Y0M1D", 86400.0),
        ("-PT0S", 0.0), (" PT5S ", 5.0),
    ],
)  # fmt: skip
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration_s(text, at="duration") == seconds


@pytest.mark.parametrize(
    "text", ["", "P1M", "P1Y", "-PT5S", "PT1.5S", "PT5", "5", "P367D", "PT" + "9" * 30 + "S", "x"]
)
def test_a_duration_that_has_no_definite_length_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="duration"):
        duration_s(text, at="duration")


@pytest.mark.parametrize("text", ["2026-06-01T12:00:00+09:00", "2026-06-01T03:00:00.000Z"])
def test_an_instant_is_read(text: str) -> None:
    assert instant(text, at="dtstart") == START


@given(st.integers(0, 366 * 86400 - 1))
def test_a_duration_written_in_any_parts_is_read_back(seconds: int) -> None:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    written = f"P{days}DT{hours}H{rest // 60}M{rest % 60}S"
    assert duration_s(written, at="duration") == seconds
    assert duration_s(f"PT{seconds}S", at="duration") == seconds


@given(
    spans=st.lists(
        st.tuples(
            st.integers(1, 7200),
            st.floats(-1e5, 1e5).filter(lambda kw: kw == 0.0 or abs(kw) >= 0.01),
        ),
        min_size=1,
        max_size=20,
    ),
    reduction=st.booleans(),
    scale=st.sampled_from([("none", 1e3), ("k", 1.0), ("M", 1e-3)]),
)
def test_intervals_fill_the_period_and_keep_their_numbers(
    spans: list[tuple[int, float]], reduction: bool, scale: tuple[str, float]
) -> None:
    code, factor = scale
    sign = -1.0 if reduction else 1.0
    said = HeardSignal(
        "LOAD_DISPATCH", "delta",
        tuple(HeardInterval(None, f"PT{s}S", repr(sign * kw * factor)) for s, kw in spans),
        quantity="powerReal", units="W", scale=code,
    )  # fmt: skip
    total_s = sum(s for s, _ in spans)
    call = mapped(
        heard(said, duration=f"PT{total_s}S"), delta_is="reduction" if reduction else "change"
    )
    at = START
    for event in call.events:
        assert event.start == at
        at = end(event)
    assert at == START + timedelta(seconds=total_s)
    asked_kws = sum(
        (e.target.delta_kw or 0.0) * e.duration_s for e in call.events if e.target is not None
    )
    assert asked_kws == pytest.approx(sum(s * kw for s, kw in spans), rel=1e-9, abs=1e-6)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_a_server_writes_is_taken_or_refused_in_one_line(
    start: str, duration: str, value: str, kind: str
) -> None:
    said = heard(
        signal("LOAD_DISPATCH", kind or "delta", value, **KW), start=start, duration=duration
    )
    line = ""
    try:
        mapped(said)
    except InputError as error:
        line = error.line()
    assert "\n" not in line


@pytest.mark.parametrize("revision", [2**53 - 1, 2**53, 10**30])
def test_a_change_beyond_all_revisions_takes_back_what_stood(revision: int) -> None:
    inbox = Inbox(now=lambda: NOW)
    hearing = Hearing(spec(), inbox)
    shed = signal("LOAD_DISPATCH", "delta", "-100", **KW)
    assert hearing.hear([heard(shed)], None)[0].opt == "optIn"
    others = [heard(shed, revision=revision), heard(shed, uid="e2")]
    assert [answer.opt for answer in hearing.hear(others, None)] == ["optOut", "optIn"]
    assert [asked.id for asked in inbox.events()] == ["e2"]
