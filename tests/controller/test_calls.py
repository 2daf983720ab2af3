"""One call is answered at a time, the one that began last; a change is seen in the next cycle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.controller.calls import Calls
from ebplan.event import Event

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def event(name: str, start_s: float, duration_s: float, delta_kw: float = -1.0) -> Event:
    return Event.parse(
        {
            "id": name,
            "type": "demand_response",
            "start": (NOON + timedelta(seconds=start_s)).isoformat(),
            "duration_s": duration_s,
            "target": {"delta_kw": delta_kw},
        }
    )


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_call_begins_once_and_ends_by_itself() -> None:
    calls, one = Calls(), event("one", 10.0, 20.0)
    assert calls.turn((one,), at(9.0)) == (None, None, ())
    assert calls.turn((one,), at(10.0)).begins == one
    assert calls.turn((one,), at(11.0)) == (None, None, ())
    assert calls.running == one
    assert calls.turn((one,), at(30.0)) == (None, None, ())
    assert calls.running is None


def test_a_call_that_is_taken_back_is_told_once() -> None:
    calls, one = Calls(), event("one", 0.0, 20.0)
    calls.turn((one,), at(1.0))
    assert calls.turn((), at(2.0)).taken_back == one
    assert calls.turn((), at(3.0)) == (None, None, ())


def test_a_call_that_is_changed_begins_anew() -> None:
    calls, one = Calls(), event("one", 0.0, 20.0)
    calls.turn((one,), at(1.0))
    more = event("one", 0.0, 20.0, delta_kw=-2.0)
    turn = calls.turn((more,), at(2.0))
    assert turn.begins == more
    assert turn.taken_back is None


def test_of_two_calls_the_later_one_is_answered_and_then_the_other_again() -> None:
    calls, long, short = Calls(), event("long", 0.0, 60.0), event("short", 10.0, 10.0)
    assert calls.turn((long, short), at(1.0)).begins == long
    turn = calls.turn((long, short), at(11.0))
    assert turn.begins == short
    assert turn.passed_over == (long,)
    assert calls.turn((long, short), at(12.0)) == (None, None, ())
    assert calls.turn((long, short), at(20.0)).begins == long


def test_of_two_calls_the_one_that_is_ranked_first_is_answered() -> None:
    first, later = event("first", 0.0, 60.0), event("later", 10.0, 60.0)
    plain = event("plain", 20.0, 60.0)
    standing = (first, later, plain)
    for rank, answered in (
        ({"first": 0, "later": 1}, first),  # the lower number
        ({"first": 1, "later": 0}, later),
        ({"later": 3, "plain": None}, later),  # a rank before none
        ({"first": 2, "later": 2}, later),  # of the same rank the one that began last
        ({}, plain),
    ):
        assert Calls().turn(standing, at(30.0), rank).begins == answered
    calls = Calls()
    assert calls.turn(standing, at(5.0), {"first": 0}).begins == first
    turn = calls.turn(standing, at(30.0), {"first": 0})
    assert turn.begins is None
    assert set(turn.passed_over) == {later, plain}
    # and the one passed over is answered once it is its turn
    assert calls.turn(standing, at(61.0), {"first": 0, "later": 1}).begins == later


def test_the_inbox_says_how_each_event_is_ranked() -> None:
    inbox = Inbox(now=lambda: NOON)
    for uid, priority in (("1", 4), ("2", None)):
        asked = (event(f"call-{uid}", 0.0, 60.0),)
        inbox.take(GridEvent(source="a", uid=uid, received=NOON, events=asked, priority=priority))
    assert inbox.priorities() == {"call-1": 4, "call-2": None}


def test_a_turn_that_could_not_be_carried_out_is_said_again() -> None:
    calls, one, more = Calls(), event("one", 0.0, 20.0), event("one", 0.0, 20.0, delta_kw=-2.0)
    assert calls.turn((one,), at(1.0)).begins == one
    calls.put_back()
    assert calls.running is None
    assert calls.turn((one,), at(2.0)).begins == one
    assert calls.turn((more,), at(3.0)).begins == more
    calls.put_back()
    assert calls.running == one
    assert calls.turn((more,), at(4.0)).begins == more
    assert calls.turn((), at(5.0)).taken_back == more
    calls.put_back()
    assert calls.turn((), at(6.0)).taken_back == more
    calls.turn((one,), at(7.0))
    calls.turn((), at(20.0))
    calls.put_back()
    assert calls.running is None


def test_who_subscribes_hears_of_changes_alone_and_until_the_end() -> None:
    inbox, heard = Inbox(now=lambda: NOON), []

    def broken() -> None:
        raise RuntimeError("no")

    inbox.subscribe(broken)
    end = inbox.subscribe(lambda: heard.append(len(inbox.events())))
    call = GridEvent(source="a", uid="1", received=NOON, events=(event("one", 0.0, 60.0),))
    for message in (call, call, call.model_copy(update={"revision": 1, "cancelled": True})):
        inbox.take(message)
    assert heard == [1, 0]
    end()
    inbox.take(call.model_copy(update={"revision": 2}))
    assert heard == [1, 0]
