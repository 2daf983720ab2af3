"""A call of the grid: what is refused, in one line that names the field, and what comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_rigs import NOW, call, event

from ebplan.adapters.events.grid_event import HIGHEST, GridEvent, end, later
from ebplan.errors import InputError


def data(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "grid_event",
        "source": "s",
        "uid": "a",
        "received": NOW.isoformat(),
        "events": [event()],
    } | changes


def row(count: int, length_s: float = 600.0, apart_s: float = 600.0) -> list[dict[str, Any]]:
    starts = [NOW + timedelta(seconds=n * apart_s) for n in range(count)]
    return [event(name=f"x/{n}", start=at, length_s=length_s) for n, at in enumerate(starts)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": ""}, "source: got ''"),
        ({"source": "s" * 201}, "source: got 's"),
        ({"uid": ""}, "uid: got ''"),
        ({"uid": "u\n" * 101}, "uid: got 'u"),
        ({"uid": 7}, "uid: got 7"),
        ({"revision": -1}, "revision: got -1"),
        ({"revision": 2**53}, f"revision: got {2**53}"),
        ({"revision": HIGHEST}, f"revision: got {HIGHEST}; allowed: up to {HIGHEST - 1}"),
        ({"revision": 1.5}, "revision: got 1.5"),
        ({"revision": "1"}, "revision: got '1'"),
        ({"issued": "2026-11-26T12:00:00"}, "issued: got '2026-11-26T12:00:00'"),
        ({"received": "yesterday"}, "received: got 'yesterday'"),
        ({"received": 0}, "received: got 0"),
        ({"cancelled": "no"}, "cancelled: got 'no'"),
        ({"test": 1}, "test: got 1"),
        ({"absent": True}, "absent: got True; allowed: only with cancelled = true"),
        ({"priority": -1}, "priority: got -1"),
        ({"randomize_s": -0.1}, "randomize_s: got -0.1"),
        ({"randomize_s": float("nan")}, "randomize_s: got nan"),
        ({"randomize_s": float("inf")}, "randomize_s: got inf"),
        ({"randomize_s": 1e300}, "events.0.duration_s: got 600.0; allowed: a start, and an end"),
        ({"events": []}, "events: got []; allowed: at least one event, or cancelled = true"),
        ({"events": [event()] * 2}, "events: got 'x'; allowed: ids of their own"),
        ({"events": row(1001)}, "events: got"),
        ({"events": [event(length_s=0.0)]}, "events.0.duration_s: got 0.0"),
        ({"events": [event(length_s=1e300)]}, "events.0.duration_s: got 1e+300"),
        ({"events": [event() | {"start": "9999-12-31T23:59:00Z"}]}, "events.0.duration_s"),
        ({"events": [event() | {"start": "0001-01-01T00:00:00+09:00"}]}, "events.0.duration_s"),
        ({"events": [event() | {"target": None}]}, "events.0.target: got nothing"),
        ({"events": row(3, apart_s=599.0)}, "events.1.start: got '2026-11-26T12:09:59+00:00'"),
        ({"events": row(3)[::-1]}, "events.1.start: got '2026-11-26T12:10:00+00:00'"),
        ({"events": [*row(2), event(start=NOW)]}, "events.2.start"),
        ({"surprise": 1}, "surprise: got 1"),
        ({"kind": "event"}, "kind: got 'event'"),
        ({"schema_version": "2.0"}, "schema_version: got '2.0'"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        GridEvent.parse(data(**changes), file="call.json")
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith(f"call.json: {said}")


@pytest.mark.parametrize("field", ["source", "uid", "received"])
def test_what_is_missing_is_named(field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: got nothing"):
        GridEvent.parse({name: value for name, value in data().items() if name != field})


def test_neighbours_and_gaps_are_no_overlap() -> None:
    for apart_s in (600.0, 601.0):
        asked = GridEvent.parse(data(events=row(3, apart_s=apart_s)))
        assert [e.id for e in asked.events] == ["x/0", "x/1", "x/2"]


def test_overlap_is_seen_across_zones() -> None:
    first, second = row(2)
    tokyo = timezone(timedelta(hours=9))
    at = datetime.fromisoformat(second["start"]).astimezone(tokyo)
    GridEvent.parse(data(events=[first, second | {"start": at.isoformat()}]))
    early = at - timedelta(seconds=1)
    with pytest.raises(InputError, match=r"^events\.1\.start"):
        GridEvent.parse(data(events=[first, second | {"start": early.isoformat()}]))


def test_one_taken_back_may_ask_nothing_or_what_it_asked() -> None:
    assert call(cancelled=True).events == ()
    assert call(cancelled=True, revision=HIGHEST).revision == HIGHEST
    assert len(GridEvent.parse(data(cancelled=True)).events) == 1


zones = st.integers(-14 * 4, 14 * 4).map(lambda n: timezone(timedelta(minutes=15 * n)))
moments = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=zones)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(
    source=texts,
    uid=texts,
    revision=st.integers(0, HIGHEST - 1),
    received=moments,
    issued=st.none() | moments,
    start=moments,
    randomize_s=st.floats(0.0, 1e6),
    delta_kw=st.floats(-1e6, -1e-3),
    flags=st.sampled_from([(False, False), (True, False), (True, True)]),
    priority=st.none() | st.integers(0, 100),
)
def test_it_comes_back_from_its_json_as_it_was(
    source: str,
    uid: str,
    revision: int,
    received: datetime,
    issued: datetime | None,
    start: datetime,
    randomize_s: float,
    delta_kw: float,
    flags: tuple[bool, bool],
    priority: int | None,
) -> None:
    asked = GridEvent.parse(
        {
            "source": source,
            "uid": uid,
            "revision": revision,
            "received": received.isoformat(),
            "issued": None if issued is None else issued.isoformat(),
            "cancelled": flags[0],
            "absent": flags[1],
            "priority": priority,
            "randomize_s": randomize_s,
            "events": [event(delta_kw, start=start)],
        }
    )
    again = GridEvent.parse(asked.to_json().encode())
    assert again == asked
    assert again.key == (source, uid)
    assert again.same_as(asked)
    assert GridEvent.parse(json.loads(asked.to_json())) == asked


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"revision": 5}, True),
        ({"received": (NOW + timedelta(days=1)).isoformat()}, True),
        ({"issued": NOW.isoformat()}, True),
        ({"events": [event(start=datetime(2026, 11, 26, 13, tzinfo=UTC))]}, True),
        ({"events": [event(-2.0)]}, False),
        ({"randomize_s": 1.0}, False),
        ({"test": True}, False),
        ({"priority": 1}, False),
        ({"cancelled": True}, False),
    ],
)
def test_what_counts_as_the_same(changes: dict[str, Any], same: bool) -> None:
    assert GridEvent.parse(data()).same_as(GridEvent.parse(data(**changes))) is same


@given(moment=moments, by_s=st.floats(0.0, 1e9))
def test_later_is_seconds_later_in_the_same_zone(moment: datetime, by_s: float) -> None:
    after = later(moment, by_s)
    assert after - moment == timedelta(seconds=by_s)
    assert after.utcoffset() == moment.utcoffset()


def test_an_event_ends_after_its_duration() -> None:
    (asked,) = call().events
    assert (end(asked) - asked.start).total_seconds() == asked.duration_s
