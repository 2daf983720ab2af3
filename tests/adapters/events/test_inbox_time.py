"""The law of the highest revision while time passes: before, after and around what is asked."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.inbox import CHANGES, Inbox
from ebplan.event import Event

T0 = datetime(2026, 11, 26, 12, tzinfo=UTC)
SITE = "hall-1"


def event(start_s: float, duration_s: float, kw: float) -> Event:
    return Event.parse(
        {
            "id": "e",
            "type": "demand_response",
            "start": (T0 + timedelta(seconds=start_s)).isoformat(),
            "duration_s": duration_s,
            "target": {"delta_kw": kw},
        }
    )


@st.composite
def contents(draw: st.DrawFn) -> dict[str, object]:
    """What a revision asks. Ends lie before, around and after the times at which it may come."""
    cancelled = draw(st.booleans())
    if cancelled and draw(st.booleans()):
        return {"cancelled": True, "events": ()}
    asked = event(
        draw(st.sampled_from((-600.0, -50.0, 0.0, 300.0, 86_400.0))),
        draw(st.sampled_from((60.0, 600.0))),
        draw(st.sampled_from((-2.0, -1.0, 1.0))),
    )
    return {
        "cancelled": cancelled,
        "events": (asked,),
        "test": draw(st.booleans()),
        "randomize_s": draw(st.sampled_from((0.0, 0.0, 300.0))),
    }


def message(uid: str, revision: int, content: dict[str, object], received: datetime) -> GridEvent:
    plain = dict(content)
    plain["events"] = [e.model_dump(mode="json") for e in plain["events"]]  # type: ignore[attr-defined]
    return GridEvent.parse(
        {"source": "utility", "uid": uid, "revision": revision, "received": received.isoformat()}
        | plain
    )


class Deliveries(RuleBasedStateMachine):
    """Revisions of three calls reach an inbox in any order, again and again, through restarts.

    The model is the highest revision of each call that came so far.
    """

    revisions: Bundle[tuple[str, int, dict[str, object]]] = Bundle("revisions")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = T0
        self.made: dict[tuple[str, int], dict[str, object]] = {}
        self.highest: dict[str, tuple[int, dict[str, object]]] = {}
        self.said: dict[tuple[str, int], str] = {}
        self.delays: dict[tuple[str, float], float] = {}
        self.inbox = self.opened()

    def opened(self) -> Inbox:
        return Inbox(path=Path(self.folder.name) / "inbox.json", site=SITE, now=lambda: self.now)

    @rule(
        target=revisions,
        uid=st.sampled_from("abc"),
        revision=st.integers(0, 5),
        content=contents(),
    )
    def is_made(
        self, uid: str, revision: int, content: dict[str, object]
    ) -> tuple[str, int, dict[str, object]]:
        return uid, revision, self.made.setdefault((uid, revision), content)

    @rule(made=revisions)
    def comes(self, made: tuple[str, int, dict[str, object]]) -> None:
        uid, revision, content = made
        before = self.inbox.events()
        taken = self.inbox.take(message(uid, revision, content, self.now))
        known, _ = self.highest.get(uid, (-1, {}))
        if revision > known:
            self.highest[uid] = revision, content
        else:
            assert taken.outcome not in CHANGES
        if taken.outcome not in CHANGES:
            assert self.inbox.events() == before
        if revision < known:
            assert taken.outcome == "outdated"
        if revision == known:  # a repeat is answered as a repeat, each time in the same way
            first = self.said[uid, revision]
            assert taken.outcome == ("over" if first == "over" else "repeated")
        else:
            self.said.setdefault((uid, revision), taken.outcome)

    @rule(passed_s=st.sampled_from((1.0, 60.0, 400.0, 3600.0)))
    def time_passes(self, passed_s: float) -> None:
        self.now += timedelta(seconds=passed_s)

    @rule()
    def is_started_anew(self) -> None:
        self.inbox = self.opened()

    @invariant()
    def every_call_is_as_its_highest_revision_has_it(self) -> None:
        if not hasattr(self, "inbox"):
            return
        assert {uid for _, uid in self.inbox.calls} == set(self.highest)
        for uid, (revision, content) in self.highest.items():
            call = self.inbox.calls["utility", uid]
            assert call.revision == revision
            if content["cancelled"]:
                assert call.cancelled
            else:
                assert call.same_as(message(uid, revision, content, self.now))

    @invariant()
    def what_stands_is_what_is_asked(self) -> None:
        if not hasattr(self, "inbox"):
            return
        wanted = []
        for uid, (revision, content) in self.highest.items():
            call = message(uid, revision, content, self.now)
            delay_s = self.inbox.delay_s(call)
            assert 0.0 <= delay_s <= call.randomize_s
            # the same delay through restarts and revisions that do not change its range
            assert self.delays.setdefault((uid, call.randomize_s), delay_s) == delay_s
            if not call.cancelled and not call.test:
                for one in call.events:
                    start = one.start + timedelta(seconds=delay_s)
                    if start + timedelta(seconds=one.duration_s) > self.now:
                        wanted.append((start, one.target))
        standing = self.inbox.events()
        assert all(end(one) > self.now for one in standing)
        assert sorted((one.start, str(one.target)) for one in standing) == sorted(
            (start, str(target)) for start, target in wanted
        )

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


Deliveries.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDeliveries = Deliveries.TestCase


@given(
    contents=st.lists(contents(), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=100)
def test_any_order_with_copies_ends_in_the_last_revision(
    contents: list[dict[str, object]], order: object
) -> None:
    messages = [message("a", n, content, T0) for n, content in enumerate(contents)]
    inbox = Inbox(now=lambda: T0)
    for one in messages:
        inbox.take(one)
    mixed = messages * 2
    order.shuffle(mixed)  # type: ignore[attr-defined]
    other = Inbox(now=lambda: T0)
    for one in mixed:
        other.take(one)
    for one in (inbox, other):
        assert one.calls["utility", "a"].cancelled == messages[-1].cancelled
    assert other.calls["utility", "a"].revision == len(messages) - 1
    assert inbox.events() == other.events()
