"""Events of OpenADR 3 as calls: a table of what is read and what is refused, and laws."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openadr3_rigs import TERMS, event_body, spec_of

from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3.mapping import Mapped, Program, map_event, parse_event, told
from ebplan.adapters.events.openadr3.reports import duration_text
from ebplan.adapters.events.openadr3.spec import Descriptor, OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import PayloadDescriptor
from ebplan.adapters.events.terms import EventTerms
from ebplan.errors import InputError

NOW = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
START = "2026-06-01T04:00:00Z"
CHANGED = "2026-06-01T02:59:00.000123Z"
PROGRAM = Program("programs-1", EventTerms.parse(TERMS), name="dr")


def heard(
    body: dict[str, Any], *, now: datetime = NOW, program: Program = PROGRAM, **fields: Any
) -> Mapped:
    spec: OpenAdr3Spec = spec_of(**fields)
    event = parse_event({"id": "e1", "modificationDateTime": CHANGED, **body})
    return map_event(event, program, spec, received=now)


def one(
    kind: str, value: object, units: str | None = None, *, currency: str | None = None, **more: Any
) -> dict[str, Any]:
    descriptor = {"payloadType": kind, "units": units, "currency": currency}
    return {
        "programID": "programs-1",
        "payloadDescriptors": [descriptor],
        "intervalPeriod": {"start": START, "duration": "PT1H"},
        "intervals": [{"id": 0, "payloads": [{"type": kind, "values": [value]}]}],
        **more,
    }


@pytest.mark.parametrize(
    ("body", "fields", "asked"),
    [
        (one("SIMPLE", 2), {}, {"delta_kw": -1.0}),
        (one("SIMPLE", 3.0), {}, {"delta_kw": -2.0}),
        (one("DISPATCH_SETPOINT", 4.0, "KW"), {}, {"delta_kw": -1.0}),
        (one("DISPATCH_SETPOINT", 5500, "W"), {}, {"delta_kw": 0.5}),
        (one("DISPATCH_SETPOINT_RELATIVE", -1.5, "KW"), {}, {"delta_kw": -1.5}),
        (one("DISPATCH_SETPOINT_RELATIVE", 0.001, "MW"), {}, {"delta_kw": 1.0}),
        (
            one("DISPATCH_SETPOINT_RELATIVE", 1.5, "KW"),
            {"relative_is": "reduction"},
            {"delta_kw": -1.5},
        ),
        (
            one("DISPATCH_SETPOINT_RELATIVE", -0.2, "PERCENT"),
            {},
            {"fraction_of_baseline": -0.2},
        ),
        (one("IMPORT_CAPACITY_LIMIT", 3.5, "KW"), {}, {"import_limit_kw": 3.5}),
        (one("ALERT_GRID_EMERGENCY", "save"), {"emergency_level": 3}, {"delta_kw": -2.0}),
    ],
)
def test_a_payload_asks_what_it_says(
    body: dict[str, Any], fields: dict[str, Any], asked: dict[str, float]
) -> None:
    mapped = heard(body, **fields)
    assert mapped.refused == ()
    (call,) = mapped.calls
    assert (call.source, call.uid) == ("openadr3", "e1")
    (event,) = call.events
    assert event.target is not None
    assert event.target.model_dump(exclude_none=True) == asked
    assert (event.start, event.duration_s) == (datetime.fromisoformat(START), 3600.0)


@pytest.mark.parametrize(
    ("units", "value", "price"), [("KWH", 31.5, 31.5), ("MWH", 31500.0, 31.5), ("KWH", -2.0, -2.0)]
)
def test_a_price_is_per_kwh_in_the_sites_currency(units: str, value: float, price: float) -> None:
    (call,) = heard(one("PRICE", value, units, currency="JPY")).calls
    assert call.events[0].prices == ((0.0, price),)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (one("PRICE", 0.2, "KWH", currency="USD"), "payload PRICE.currency: got 'USD'"),
        (one("PRICE", 0.2, "KWH"), "payload PRICE.currency: got nothing"),
        (one("PRICE", 0.2, "THERMS", currency="JPY"), "payload PRICE.units: got 'THERMS'"),
        (one("DISPATCH_SETPOINT", 4.0), "payload DISPATCH_SETPOINT.units: got nothing"),
        (one("DISPATCH_SETPOINT", 4.0, "AMPS"), "payload DISPATCH_SETPOINT.units: got 'AMPS'"),
        (one("DISPATCH_SETPOINT", -4.0, "KW"), "payload DISPATCH_SETPOINT: got -4.0"),
        (one("IMPORT_CAPACITY_LIMIT", -1, "KW"), "payload IMPORT_CAPACITY_LIMIT: got -1"),
        (one("SIMPLE", 4), "payload SIMPLE: got 4"),
        (one("SIMPLE", 1.5), "payload SIMPLE: got 1.5"),
        (one("SIMPLE", True), "payload SIMPLE: got True"),
        (one("SIMPLE", "2"), "payload SIMPLE: got '2'"),
        (one("SIMPLE", float("nan")), "payload SIMPLE: got nan"),
        (one("ALERT_GRID_EMERGENCY", "save"), "emergency_level"),
        (one("CHARGE_STATE_SETPOINT", 0.5, "PERCENT"), "payload CHARGE_STATE_SETPOINT"),
        (one("EXPORT_CAPACITY_LIMIT", 2.0, "KW"), "payload EXPORT_CAPACITY_LIMIT"),
        (one("OF_OUR_OWN", 1), "payload OF_OUR_OWN"),
        (one("DISPATCH_SETPOINT_RELATIVE", -7.0, "PERCENT"), "fraction_of_baseline"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_line_that_names_it(
    body: dict[str, Any], said: str
) -> None:
    mapped = heard(body)
    assert mapped.ours
    assert mapped.calls == ()
    (line,) = mapped.refused
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"intervals": [{"id": 0, "payloads": 3}]}, "intervals.0.payloads"),
        ({"intervalPeriod": {"duration": "PT1H"}}, "a start"),
        ({"intervalPeriod": {"start": "2026-06-01T04:00:00", "duration": "PT1H"}}, "zone"),
        ({"intervalPeriod": {"start": START, "duration": "P1M"}}, "no fixed length"),
        ({"intervalPeriod": {"start": START, "duration": "1:00"}}, "ISO 8601"),
        ({"intervalPeriod": {"start": START, "duration": "-PT1H"}}, "duration"),
        ({"intervalPeriod": {"start": "9999-12-31T23:00:00Z", "duration": "P1D"}}, "calendar"),
        ({"modificationDateTime": None}, "modificationDateTime"),
        ({"id": "../x"}, "id"),
        ({"priority": -1}, "priority"),
        ({"duration": "P9999Y"}, "duration"),
    ],
)
def test_an_event_that_cannot_be_placed_is_refused(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        heard({**one("SIMPLE", 1), **broken})
    assert "\n" not in str(caught.value)


def test_the_revision_is_when_it_was_changed_and_grows_with_it() -> None:
    (first,) = heard(one("SIMPLE", 1)).calls
    (later,) = heard(one("SIMPLE", 1, modificationDateTime="2026-06-01T02:59:00.000124Z")).calls
    (made,) = heard(one("SIMPLE", 1, modificationDateTime=None, createdDateTime=CHANGED)).calls
    assert later.revision == first.revision + 1
    assert made.revision == first.revision
    assert first.issued == datetime.fromisoformat(CHANGED)


def test_now_is_when_the_server_made_the_revision_at_each_reading() -> None:
    for start in ("0001-01-01T00:00:00Z", "0001-01-01", "0000-00-00", "0001-01-01T00:00:00"):
        period = {"start": start, "duration": "PT1H"}
        readings = [
            heard(one("SIMPLE", 1, intervalPeriod=period), now=NOW + timedelta(seconds=s)).calls[0]
            for s in (0.0, 100.0)
        ]
        assert readings[0].events[0].start == datetime.fromisoformat(CHANGED)
        assert readings[0].same_as(readings[1])


@pytest.mark.parametrize("duration", ["P9999Y", "PT0S", None])
def test_an_event_without_end_is_extended_before_it_ends(duration: str | None) -> None:
    period = {"start": START} | ({} if duration is None else {"duration": duration})
    body = one("IMPORT_CAPACITY_LIMIT", 3.0, "KW", intervalPeriod=period)
    now = NOW
    inbox = Inbox(now=lambda: now)
    outcomes = []
    for hours in range(0, 100, 5):
        now = NOW + timedelta(hours=hours)
        (call,) = heard(body, now=now, horizon_s=86400.0).calls
        outcomes.append(inbox.take(call).outcome)
        (event,) = inbox.events()
        ahead_s = (end(event) - max(now, event.start)).total_seconds()
        assert 86400.0 <= ahead_s <= 2 * 86400.0
    assert outcomes[0] == "new"
    assert outcomes.count("modified") == 4
    assert set(outcomes) == {"new", "modified", "repeated"}


def test_intervals_follow_each_other_and_may_have_their_own_times() -> None:
    def interval(n: int, level: int, **period: str) -> dict[str, Any]:
        own = {"intervalPeriod": period} if period else {}
        return {"id": n, "payloads": [{"type": "SIMPLE", "values": [level]}], **own}

    intervals = [
        interval(2, 3, start="2026-06-01T09:00:00Z", duration="PT30M"),
        interval(0, 1, start=START),
        interval(1, 2, duration="PT15M"),
        interval(3, 0),
    ]
    (call,) = heard(one("SIMPLE", 0, intervals=intervals)).calls
    assert [(e.start.isoformat()[11:16], e.duration_s) for e in call.events] == [
        ("04:00", 3600.0),
        ("05:00", 900.0),
        ("09:00", 1800.0),
    ]


def test_several_numbers_share_their_interval() -> None:
    body = one("PRICE", 0.0, "KWH", currency="JPY")
    body["intervals"] = [{"id": 0, "payloads": [{"type": "PRICE", "values": [10, 20, 20, 30]}]}]
    (call,) = heard(body).calls
    assert call.events[0].price_steps == ((0.0, 10.0), (900.0, 20.0), (2700.0, 30.0))


def test_the_duration_of_an_event_cuts_it_short_or_lets_it_begin_anew() -> None:
    levels = [{"id": n, "payloads": [{"type": "SIMPLE", "values": [n + 1]}]} for n in range(2)]
    (cut,) = heard(one("SIMPLE", 0, intervals=levels, duration="PT90M")).calls
    assert [e.duration_s for e in cut.events] == [3600.0, 1800.0]
    (again,) = heard(one("SIMPLE", 0, intervals=levels, duration="PT5H30M")).calls
    assert [e.duration_s for e in again.events] == [3600.0] * 5 + [1800.0]
    with pytest.raises(InputError, match="repetitions"):
        heard(one("SIMPLE", 0, intervals=levels, duration="P999D"))


def test_several_payloads_are_calls_of_their_own_and_one_that_is_refused_stays_out() -> None:
    body = one("SIMPLE", 1)
    body["payloadDescriptors"] = [{"payloadType": "PRICE", "units": "KWH", "currency": "JPY"}]
    body["intervals"][0]["payloads"] += [
        {"type": "PRICE", "values": [20.0]},
        {"type": "GHG", "values": [300.0]},
    ]
    mapped = heard(body)
    assert [call.uid for call in mapped.calls] == ["e1/SIMPLE", "e1/PRICE"]
    (line,) = mapped.refused
    assert "payload GHG" in line


def test_level_0_asks_for_nothing_and_takes_back_what_stood() -> None:
    inbox = Inbox(now=lambda: NOW)
    inbox.take(heard(one("SIMPLE", 2)).calls[0])
    later = one("SIMPLE", 0, modificationDateTime="2026-06-01T02:59:30Z")
    assert inbox.take(heard(later).calls[0]).outcome == "cancelled"


def test_a_report_without_payloads_asks_for_nothing_and_is_not_refused() -> None:
    body = one("SIMPLE", 0, reportDescriptors=[{"payloadType": "USAGE"}])
    body["intervals"] = [{"id": 0, "payloads": []}]
    mapped = heard(body)
    assert (mapped.calls, mapped.refused) == ((), ())


def test_units_come_from_the_event_else_the_program_else_the_site() -> None:
    silent = one("DISPATCH_SETPOINT", 4.0)
    silent["payloadDescriptors"] = None
    terms = EventTerms.parse(TERMS)
    in_w = told((PayloadDescriptor(payloadType="DISPATCH_SETPOINT", units="W"),))
    in_kw = {"DISPATCH_SETPOINT": Descriptor(units="KW")}
    for program, event, asked_kw in (
        (Program("programs-1", terms, told=in_w, assumed=in_kw), silent, 0.004 - 5.0),
        (Program("programs-1", terms, assumed=in_kw), silent, -1.0),
        (Program("programs-1", terms, told=in_w), one("DISPATCH_SETPOINT", 4.0, "KW"), -1.0),
    ):
        target = heard(event, program=program).calls[0].events[0].target
        assert target is not None
        assert target.delta_kw == pytest.approx(asked_kw)


@pytest.mark.parametrize(
    ("targets", "ours"),
    [
        (None, True),
        ([], True),
        ([{"type": "VEN_NAME", "values": ["site-1"]}], True),
        ([{"type": "VEN_NAME", "values": ["site-2", "site-1"]}], True),
        ([{"type": "VEN_NAME", "values": ["site-2"]}], False),
        ([{"type": "RESOURCE_NAME", "values": ["hall-1"]}], True),
        ([{"type": "RESOURCE_NAME", "values": ["site-1"]}], False),
        ([{"type": "GROUP", "values": ["north"]}], True),
        ([{"type": "GROUP", "values": ["south"]}], False),
        ([{"type": "PROGRAM_NAME", "values": ["dr"]}], True),
        ([{"type": "GROUP", "values": ["site-1"]}], False),
        ([{"type": "OF_OUR_OWN", "values": [7]}], False),
        (["north"], True),
        (["site-1"], True),
        (["south"], False),
    ],
)
def test_an_event_that_is_targeted_at_somebody_else_is_not_ours(targets: Any, ours: bool) -> None:
    fields = {"targets": {"GROUP": ["north"]}, "resource_name": "hall-1"}
    mapped = heard(one("SIMPLE", 1, targets=targets), **fields)
    assert mapped.ours is ours
    assert bool(mapped.calls) is ours


def test_the_start_is_put_off_by_the_same_share_at_each_reading_and_revision() -> None:
    period = {"start": START, "duration": "PT1H", "randomizeStart": "PT5M"}
    body = one("SIMPLE", 1, intervalPeriod=period, priority=3)
    inboxes = [Inbox(site=site, now=lambda: NOW) for site in ("here", "here", "there")]
    starts = []
    for n, inbox in enumerate(inboxes):
        changed = f"2026-06-01T02:59:0{n}Z"
        inbox.take(heard(body | {"modificationDateTime": changed}).calls[0])
        starts.append(inbox.events()[0].start)
    earliest = datetime.fromisoformat(START)
    assert all(earliest <= start <= earliest + timedelta(minutes=5) for start in starts)
    assert starts[0] == starts[1] != starts[2]
    assert heard(body).calls[0].priority == 3
    own = [
        {"id": n, "payloads": [{"type": "SIMPLE", "values": [1]}],
         "intervalPeriod": {"start": f"2026-06-01T0{n + 4}:00:00Z", "randomizeStart": f"PT{n}M"}}
        for n in range(2)
    ]  # fmt: skip
    with pytest.raises(InputError, match="one range"):
        heard(one("SIMPLE", 1, intervals=own))


# --- laws -------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "delta_kw": ("DISPATCH_SETPOINT_RELATIVE", {"units": "KW"}),
    "fraction_of_baseline": ("DISPATCH_SETPOINT_RELATIVE", {"units": "PERCENT"}),
    "import_limit_kw": ("IMPORT_CAPACITY_LIMIT", {"units": "KW"}),
    "price": ("PRICE", {"units": "KWH", "currency": "JPY"}),
}
NUMBERS = {
    "delta_kw": st.floats(0.01, 9.0).flatmap(lambda x: st.sampled_from([x, -x])),
    "fraction_of_baseline": st.floats(-1.0, 1.0),
    "import_limit_kw": st.floats(0.0, 9.0),
    "price": st.floats(-500.0, 500.0),
}


@st.composite
def asks(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, float]]]:
    """What is asked, and intervals as (gap before it in ms, length in ms, number)."""
    what = draw(st.sampled_from(sorted(KINDS)))
    intervals = st.tuples(st.integers(0, 10**6), st.integers(1, 10**8), NUMBERS[what])
    return what, draw(st.lists(intervals, min_size=1, max_size=8))


@given(asked=asks(), shuffle=st.randoms(use_true_random=False))
@example(asked=("delta_kw", [(0, 8, -1.0), (1, 1, -1.0)]), shuffle=Random(0))
def test_a_call_written_as_openadr_is_read_as_the_same_call(
    asked: tuple[str, list[tuple[int, int, float]]], shuffle: Any
) -> None:
    what, intervals = asked
    kind, descriptor = KINDS[what]
    at, wanted, written = datetime.fromisoformat(START), {}, []
    for n, (gap_ms, length_ms, value) in enumerate(intervals):
        start = at + timedelta(milliseconds=gap_ms)
        at = start + timedelta(milliseconds=length_ms)
        wanted[start] = (at, value)
        period = {"start": start.isoformat(), "duration": duration_text(length_ms / 1e3)}
        payload = {"type": kind, "values": [value]}
        written.append({"id": n, "intervalPeriod": period, "payloads": [payload]})
    shuffle.shuffle(written)
    body = {
        "programID": "programs-1",
        "payloadDescriptors": [{"payloadType": kind, **descriptor}],
        "intervals": written,
    }
    mapped = heard(json.loads(json.dumps(body)))
    assert mapped.refused == ()
    (call,) = mapped.calls
    assert covered(call, what) == merged(wanted)
    assert GridEvent.parse(json.loads(call.to_json())) == call


def covered(call: GridEvent, what: str) -> list[tuple[datetime, datetime, float]]:
    """What a call asks from when till when."""
    found: list[tuple[datetime, datetime, float]] = []
    for event in call.events:
        if what == "price":
            edges = [at for at, _ in event.prices] + [event.duration_s]
            steps = [event.start + timedelta(seconds=at) for at in edges]
            found += [(steps[n], steps[n + 1], price) for n, (_, price) in enumerate(event.prices)]
        else:
            assert event.target is not None
            found.append((event.start, end(event), getattr(event.target, what)))
    return found


def merged(
    wanted: dict[datetime, tuple[datetime, float]],
) -> list[tuple[datetime, datetime, float]]:
    """The same as neighbours that ask the same are one."""
    found: list[tuple[datetime, datetime, float]] = []
    for start, (until, value) in sorted(wanted.items()):
        if found and found[-1][1] == start and found[-1][2] == value:
            found[-1] = (found[-1][0], until, value)
        else:
            found.append((start, until, value))
    return found


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_in_whatever_order_and_how_often_revisions_come_the_last_one_stands(
    seconds: list[int], shuffle: Any
) -> None:
    last = max(seconds)
    shuffle.shuffle(seconds)
    inbox = Inbox(now=lambda: NOW)
    for s in seconds:
        body = one("DISPATCH_SETPOINT_RELATIVE", -1.0 - s, "KW")
        inbox.take(heard(body | {"modificationDateTime": f"2026-06-01T02:00:0{s}Z"}).calls[0])
    (event,) = inbox.events()
    assert event.target is not None
    assert event.target.delta_kw == -1.0 - last


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["start", "duration", "payloads", "type", "values", "id"]), inner
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["intervals", "intervalPeriod", "targets", "payloadDescriptors", "duration"]),
)
def test_whatever_stands_in_an_event_is_read_or_refused(anything: Any, field: str) -> None:
    try:
        lines = heard({**event_body(), field: anything}).refused
    except InputError as error:
        lines = (str(error),)
    assert all("\n" not in line for line in lines)
