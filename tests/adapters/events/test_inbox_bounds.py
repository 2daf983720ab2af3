"""What is over, what is remembered for how long, and how much of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from inbox_rigs import HOUR, NOW, Heard, asking, call, event

import ebplan.adapters.events.inbox as inbox_module
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import KEPT, Inbox, InboxFile, Taken
from ebplan.document import read_json

PAST = NOW - HOUR
FAR = NOW + timedelta(days=30)


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path / "inbox.json")


def outcomes(heard: Heard, *messages: GridEvent) -> list[str]:
    return [heard.take(message) for message in messages]


def at(start, uid: str = "a", revision: int = 0, **changes: object) -> GridEvent:  # type: ignore[no-untyped-def]
    return call(uid, revision, events=[event(start=start)], **changes)


def many(count: int, uid: str = "a", revision: int = 0, **changes: object) -> GridEvent:
    starts = [NOW + HOUR + timedelta(seconds=600.0 * n) for n in range(count)]
    events = [event(name=str(n), start=start) for n, start in enumerate(starts)]
    return call(uid, revision, **({"events": events} | changes))


# --- what is over ---------------------------------------------------------------------------


def test_a_copy_of_an_earlier_revision_does_not_bring_back_what_was_ended(heard: Heard) -> None:
    """The change that ended a call may come before the call itself."""
    ended = at(PAST, revision=2)
    assert outcomes(heard, ended, at(FAR, revision=1)) == ["over", "outdated"]
    heard.restart()
    assert outcomes(heard, at(FAR, revision=1), ended) == ["outdated", "over"]
    assert heard.inbox.events() == ()


def test_what_is_ended_early_is_changed_and_says_so_again(heard: Heard) -> None:
    heard.now = NOW + 2 * HOUR
    first, ended = at(heard.now + HOUR), at(NOW + HOUR, revision=1)
    assert outcomes(heard, first, ended, ended) == ["new", "modified", "repeated"]
    assert heard.inbox.events() == ()


def test_to_ask_again_for_what_is_past_is_over(heard: Heard) -> None:
    outcomes(heard, call("a"), call("a", 1, cancelled=True))
    heard.now = NOW + timedelta(days=1)
    assert outcomes(heard, call("a", 2), call("a", 2)) == ["over", "over"]


def test_one_that_was_over_and_is_put_off_is_new(heard: Heard) -> None:
    assert outcomes(heard, at(PAST), at(FAR, revision=1)) == ["over", "new"]
    heard.restart()
    assert outcomes(heard, at(FAR, revision=1)) == ["repeated"]


def test_two_ways_to_take_back_are_one(heard: Heard) -> None:
    outcomes(heard, call("a"), call("a", 1, cancelled=True))
    assert outcomes(heard, at(FAR, revision=1, cancelled=True)) == ["repeated"]


# --- for how long ---------------------------------------------------------------------------


def test_moved_to_an_earlier_time_the_first_time_asked_counts(heard: Heard) -> None:
    outcomes(heard, at(FAR), at(NOW + HOUR, revision=1))
    heard.now = NOW + KEPT + timedelta(days=2)
    heard.restart()
    heard.take(at(FAR, uid="b"))  # a change forgets
    assert outcomes(heard, at(FAR)) == ["outdated"]
    heard.now = FAR + KEPT + timedelta(days=1)
    heard.take(at(heard.now + HOUR, uid="b", revision=1))
    assert list(heard.inbox.calls) == [("s", "b")]
    assert InboxFile.parse(read_json(heard.path)).notes == ()
    assert outcomes(heard, at(FAR)) == ["over"]


def test_a_late_copy_with_a_later_end_is_remembered_for_as_long(heard: Heard) -> None:
    outcomes(heard, call("a", 1, cancelled=True), at(FAR))
    heard.now = NOW + timedelta(days=20)
    heard.restart()
    heard.take(at(FAR, uid="b"))
    assert outcomes(heard, at(FAR)) == ["outdated"]


# --- how much -------------------------------------------------------------------------------


def test_no_source_crowds_out_another_and_what_is_past_makes_room(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_CALLS", 3)
    assert outcomes(heard, *(call(f"{n}") for n in range(4))) == ["new"] * 3 + ["full"]
    assert heard.take(call("3", source="t")) == "new"
    assert heard.take(at(PAST, uid="4")) == "over"  # and there is no room to remember it
    assert len(heard.inbox.calls) == 4
    heard.now = NOW + timedelta(days=1)  # past, and not yet to be forgotten
    assert outcomes(heard, at(FAR, uid="5"), at(FAR, uid="6")) == ["new", "new"]
    assert sorted(uid for source, uid in heard.inbox.calls if source == "s") == ["2", "5", "6"]
    heard.restart()
    assert outcomes(heard, at(FAR, uid="7"), at(FAR, uid="8")) == ["new", "full"]


def test_a_call_of_many_events_counts_as_many(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_CALLS", 3)
    assert outcomes(heard, call("b"), many(2, revision=1)) == ["new", "new"]
    assert outcomes(heard, many(3, revision=2), many(3, revision=2)) == ["full", "full"]
    assert len(heard.inbox.events()) == 3  # what stood stands on
    assert heard.take(many(3, revision=3, cancelled=True)) == "cancelled"
    assert len(heard.inbox.events()) == 1
    assert outcomes(heard, many(3, revision=4), many(1, revision=5)) == ["full", "modified"]


def test_a_flood_of_taking_back_has_an_end_and_harms_nothing_that_stands(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_CALLS", 10)
    heard.take(call("stands"))
    for n in range(50):
        heard.take(call(f"{n}", cancelled=True))
    assert len(heard.inbox.calls) == 10
    assert heard.take(call("stands", 1, cancelled=True)) == "cancelled"


# --- who looks at it ------------------------------------------------------------------------


def test_what_became_of_a_message_is_one_line() -> None:
    told = str(Taken("new", asking("a\nERROR \x1b[31m\u2028b", 0, -1.0)))
    assert len(told.splitlines()) == 1
    assert "\x1b" not in told


def test_an_inbox_in_memory_holds_nothing() -> None:
    inbox = Inbox()
    inbox.hold()
    inbox.close()
