"""The inbox law by law: delays, what is over, what is full, what is forgotten, what ids show."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_rigs import HOUR, NOW, Heard, asking, call, event

import ebplan.adapters.events.inbox as inbox_module
from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.inbox import KEPT, Inbox, Taken
from ebplan.errors import InputError
from ebplan.event import Event


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path / "inbox.json")


# --- revisions that the machine does not name -------------------------------------------------


def test_a_repeat_with_a_higher_number_outdates_what_came_between(heard: Heard) -> None:
    assert heard.take(asking("a", 1, -1.0)) == "new"
    assert heard.take(asking("a", 3, -1.0)) == "repeated"
    heard.restart()
    assert heard.take(asking("a", 2, -2.0)) == "outdated"
    assert heard.asked_kw == [-1.0]


def test_taken_is_the_call_as_it_stands(heard: Heard) -> None:
    first = asking("a", 1, -1.0)
    heard.take(first)
    for other in (asking("a", 1, -2.0), asking("a", 0, -3.0)):
        assert heard.inbox.take(other).message == first
    assert [str(taken) for taken in heard.told] == [
        "s: a revision 1: new",
        "s: a revision 1: conflict",
        "s: a revision 1: outdated",
    ]


def test_a_cancel_before_its_call_holds_until_a_later_revision(heard: Heard) -> None:
    assert heard.take(call("a", 2, cancelled=True)) == "cancelled"
    heard.restart()
    assert heard.take(asking("a", 1, -1.0)) == "outdated"
    assert heard.take(asking("a", 2, -1.0)) == "conflict"
    assert heard.asked_kw == []
    assert heard.take(asking("a", 3, -1.0)) == "modified"
    assert heard.asked_kw == [-1.0]


def test_unlisted_stands_again_when_listed_and_taken_back_does_not(heard: Heard) -> None:
    for uid in ("a", "b"):
        heard.take(asking(uid, 1, -1.0))
    heard.take(call("b", 2, cancelled=True))
    (taken,) = heard.inbox.take_back_absent("s", set())
    assert (taken.message.uid, taken.message.absent) == ("a", True)
    assert heard.inbox.take_back_absent("s", set()) == []
    assert heard.inbox.take_back_absent("other", set()) == []
    assert heard.take(asking("a", 1, -1.0)) == "modified"
    assert heard.take(asking("b", 2, -1.0)) == "conflict"
    assert heard.asked_kw == [-1.0]


def test_what_is_over_is_not_taken_back(heard: Heard) -> None:
    heard.take(call())
    heard.now = NOW + 2 * HOUR
    assert heard.inbox.take_back_absent("s", set()) == []


def test_a_test_of_the_line_is_answered_and_not_carried_out(heard: Heard) -> None:
    assert heard.take(call(test=True)) == "new"
    assert heard.inbox.events() == ()


# --- time -------------------------------------------------------------------------------------


def test_what_is_past_is_over_with_the_longest_delay_it_might_have(heard: Heard) -> None:
    heard.now = NOW + HOUR + timedelta(seconds=700)
    assert heard.take(call("a", randomize_s=99.0)) == "over"
    assert heard.take(call("b", randomize_s=101.0)) == "new"
    assert heard.take(call("a", randomize_s=99.0)) == "over"  # and not a repeat of what stands


def test_an_event_that_has_begun_stands_until_it_ends(heard: Heard) -> None:
    heard.take(call())
    for after_s, stands in ((0.0, 1), (3600.0, 1), (4199.9, 1), (4200.0, 0)):
        heard.now = NOW + timedelta(seconds=after_s)
        assert len(heard.inbox.events()) == stands


def test_a_running_event_that_is_changed_does_not_jump_in_time(heard: Heard) -> None:
    heard.take(asking("a", 0, -1.0, randomize_s=600.0))
    (before,) = heard.inbox.events()
    heard.now = before.start + timedelta(seconds=60)
    assert heard.take(asking("a", 1, -2.0, randomize_s=600.0)) == "modified"
    (after,) = heard.inbox.events()
    assert (after.start, end(after), after.id) == (before.start, end(before), before.id)
    assert heard.asked_kw == [-2.0]


@pytest.mark.parametrize("day", [25, 26])
def test_seconds_are_counted_across_a_change_of_the_clocks(heard: Heard, day: int) -> None:
    heard.now = datetime(2026, 10, 20, tzinfo=ZoneInfo("UTC"))
    start = datetime(2026, 10, day, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    asked = Event.parse(event()).model_copy(update={"start": start, "duration_s": 3 * 3600.0})
    heard.take(GridEvent(source="s", uid="a", received=heard.now, events=(asked,)))
    (before,) = heard.inbox.events()
    heard.restart()
    (after,) = heard.inbox.events()
    assert (end(before) - before.start.astimezone(ZoneInfo("UTC"))) == 3 * HOUR
    assert end(before) == end(after)


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="now: got '2026-11-26T12:00:00'; allowed: a clock"):
        Inbox(now=lambda: NOW.replace(tzinfo=None))


# --- the random delay -------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(uid=names, site=names, randomize_s=st.floats(0.0, 86400.0))
def test_a_delay_is_in_range_and_the_same_through_revisions(
    uid: str, site: str, randomize_s: float
) -> None:
    inbox = Inbox(site=site, now=lambda: NOW)
    delays = {
        inbox.delay_s(asking(uid, revision, -1.0 - revision, randomize_s=randomize_s))
        for revision in range(3)
    }
    assert len(delays) == 1
    assert 0.0 <= min(delays) <= randomize_s


def test_a_delay_is_the_same_after_a_restart_and_moves_all_intervals(heard: Heard) -> None:
    second = event(-2.0, name="y", start=NOW + HOUR + timedelta(seconds=600))
    asked = call(randomize_s=600.0, events=[event(), second])
    heard.take(asked)
    before = heard.inbox.events()
    heard.restart()
    assert heard.inbox.events() == before
    moved = timedelta(seconds=heard.inbox.delay_s(asked))
    assert moved > timedelta(0)
    assert [e.start for e in before] == [e.start + moved for e in asked.events]
    assert list(asked.events) == [Event.parse(event()), Event.parse(second)]


def test_delays_are_uniform_over_calls_and_over_sites() -> None:
    count = 2000
    here = Inbox(site="hall-1", now=lambda: NOW)
    by_call = [here.delay_s(call(f"dr-{n}", randomize_s=1.0)) for n in range(count)]
    asked = call(randomize_s=1.0)
    by_site = [Inbox(site=f"hall-{n}", now=lambda: NOW).delay_s(asked) for n in range(count)]
    for delays in (sorted(by_call), sorted(by_site)):
        assert len(set(delays)) == count
        apart = max(max(abs(d - n / count), abs(d - (n + 1) / count)) for n, d in enumerate(delays))
        assert apart < 1.63 / count**0.5  # Kolmogorov-Smirnov, 1 %


def test_a_delay_differs_between_sites_and_sources() -> None:
    sites = [Inbox(site=site, now=lambda: NOW) for site in ("hall-1", "hall-2")]
    calls = [call(randomize_s=600.0, source=source) for source in ("s", "t")]
    assert len({inbox.delay_s(one) for inbox in sites for one in calls}) == 4


# --- memory -----------------------------------------------------------------------------------


def test_a_full_inbox_takes_no_new_call_and_still_changes_those_it_knows(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_CALLS", 3)
    outcomes = [heard.take(call(f"{n}", cancelled=n % 2 == 1)) for n in range(6)]
    assert outcomes == ["new", "cancelled", "new", "full", "full", "full"]
    assert heard.take(asking("0", 1, -2.0)) == "modified"
    assert heard.take(call("2", 1, cancelled=True)) == "cancelled"
    assert len(heard.inbox.calls) == 3


def test_a_full_inbox_has_room_again_when_its_calls_are_long_over(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_CALLS", 2)
    heard.take(call("a"))
    heard.take(call("b"))
    heard.now = NOW + KEPT + 2 * HOUR
    later = call("c", received=heard.now.isoformat(), events=[event(start=heard.now + HOUR)])
    assert heard.take(later) == "new"
    assert list(heard.inbox.calls) == [("s", "c")]
    heard.restart()
    assert list(heard.inbox.calls) == [("s", "c")]


def test_one_that_was_taken_back_is_known_as_long_as_a_copy_of_it_may_come(heard: Heard) -> None:
    asked = call("a", 1, events=[event(start=NOW + timedelta(days=30))])
    heard.take(asked)
    assert heard.take(call("a", 2, cancelled=True)) == "cancelled"
    assert heard.take(call("a", 2, cancelled=True)) == "repeated"
    heard.now = NOW + timedelta(days=29)
    heard.take(call("b", events=[event(start=heard.now + HOUR)]))  # a change forgets
    assert heard.take(asked) == "outdated"
    heard.restart()
    assert heard.take(asked) == "outdated"


def test_a_call_is_not_forgotten_before_its_delay_is_past(heard: Heard) -> None:
    heard.take(call("a", randomize_s=30 * 86400.0))
    heard.now = NOW + timedelta(days=20)
    heard.take(call("b", received=heard.now.isoformat(), events=[event(start=heard.now + HOUR)]))
    assert ("s", "a") in heard.inbox.calls


# --- who consumes it --------------------------------------------------------------------------


def test_calls_of_two_sources_with_one_id_are_told_apart(heard: Heard) -> None:
    heard.take(asking("a", 0, -1.0))
    heard.take(asking("a", 0, -2.0, source="t"))
    heard.take(asking("b", 0, -3.0, source="t"))
    ids = {"x": -1.0, "x (t a)": -2.0, "x (t b)": -3.0}
    shown = {e.id: e.target and e.target.delta_kw for e in heard.inbox.events()}
    assert shown == ids
    # who keeps the id does not depend on what stands, is changed or is over
    heard.take(call("a", 1, cancelled=True))
    heard.take(asking("a", 1, -2.5, source="t"))
    heard.restart()
    assert [e.id for e in heard.inbox.events()] == ["x (t a)", "x (t b)"]


def test_one_that_was_heard_cancelled_first_takes_no_id_from_another(heard: Heard) -> None:
    heard.take(call("a", 1, cancelled=True))
    heard.take(asking("b", 0, -2.0))
    heard.take(asking("a", 2, -1.0))
    shown = {e.id: e.target and e.target.delta_kw for e in heard.inbox.events()}
    assert shown == {"x": -2.0, "x (s a)": -1.0}


def test_an_id_that_reads_like_one_told_apart_is_told_apart_too(heard: Heard) -> None:
    alike = event(-3.0, name="x (t a)", start=NOW + 2 * HOUR)
    heard.take(call("a"))
    heard.take(call("a", source="t", events=[event(-2.0), alike]))
    heard.take(call("z", events=[event(-4.0, name="x (t a)")]))
    ids = [e.id for e in heard.inbox.events()]
    assert len(ids) == len(set(ids)) == 4


def test_events_are_in_the_same_order_whatever_order_they_came_in() -> None:
    asked = [call(uid, events=[event(name=uid)]) for uid in "cab"]
    orders = []
    for messages in (asked, asked[::-1]):
        inbox = Inbox(now=lambda: NOW)
        for one in messages:
            inbox.take(one)
        orders.append([e.id for e in inbox.events()])
    assert orders == [["a", "b", "c"]] * 2


def test_a_listener_that_fails_takes_nothing_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def listen(taken: Taken) -> None:
        told.append(taken.outcome)
        raise OSError("no pipe")

    inbox = Inbox(path=tmp_path / "inbox.json", now=lambda: NOW, listen=listen)
    with caplog.at_level(logging.ERROR):
        assert inbox.take(call()).outcome == "new"
        assert inbox.take(call()).outcome == "repeated"
    assert told == ["new", "repeated"]
    assert "s: a revision 0: new" in caplog.text
    assert len(inbox.events()) == 1
