"""A law of hearing: whatever was lost, doubled, late or disordered, one list sets it right."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openadr3_rigs import TERMS, event_body, spec_of

from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3.hearing import Hearing
from ebplan.adapters.events.openadr3.mapping import Program
from ebplan.adapters.events.terms import EventTerms

steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "move", "delete", "notify", "ask", "hear", "restart"]),
        st.integers(0, 99),
    ),
    max_size=40,
)


class World:
    """A server's events, its notifications under way, and a list that was asked for."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)
        self.events: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        self.made = 0
        self.inbox = Inbox(now=lambda: self.now)
        self.listed: tuple[int, list[Any]] | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew with the inbox as it is."""
        self.hearing = Hearing(spec_of(), self.inbox, lambda: self.now)
        self.hearing.programs = {"p1": Program("p1", EventTerms.parse(TERMS), name="dr")}
        self.listed = None

    def step(self, what: str, n: int) -> None:
        self.now += timedelta(seconds=1)
        names = sorted(self.events)
        name = names[n % len(names)] if names else None
        match what:
            case "create":
                self.made += 1
                self._put(f"e{self.made}", -1.0 - n, "POST")
            case "update" if name is not None:
                self._put(name, -1.0 - n, "PUT")
            case "move" if name is not None:  # to somebody else
                elsewhere = [{"type": "VEN_NAME", "values": ["site-2"]}]
                self._put(name, -1.0, "PUT", targets=elsewhere)
            case "delete" if name is not None:
                self._send("DELETE", self.events.pop(name))
            case "notify" if self.sent:  # any of them, any number of times; others are lost
                self.hearing.hear_notification(self.sent[n % len(self.sent)])
            case "ask":
                self.listed = (self.hearing.mark(), copy.deepcopy([*self.events.values()]))
            case "hear" if self.listed is not None:
                since, listed = self.listed
                self.hearing.hear_list(listed, pages=1, since=since)
                self.listed = None
            case "restart":
                self.restart()

    def _put(self, name: str, change_kw: float, operation: str, **fields: Any) -> None:
        at = self.now.isoformat()
        payloads = [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [change_kw]}]
        period = {"start": "2026-06-02T00:00:00Z", "duration": "PT1H"}
        body = event_body("p1", intervals=[{"id": 0, "payloads": payloads}], **fields)
        self.events[name] = body | {
            "id": name, "modificationDateTime": at, "intervalPeriod": period
        }  # fmt: skip
        self._send(operation, self.events[name])

    def _send(self, operation: str, made: dict[str, Any]) -> None:
        told = {"objectType": "EVENT", "operation": operation, "object": copy.deepcopy(made)}
        self.sent.append(told)

    def asked(self) -> dict[str, float]:
        """What the server asks of this site."""
        return {
            name: event["intervals"][0]["payloads"][0]["values"][0]
            for name, event in self.events.items()
            if "targets" not in event
        }


@given(steps)
def test_after_one_list_the_inbox_asks_what_the_server_asks(took: list[tuple[str, int]]) -> None:
    world = World()
    for what, n in took:
        world.step(what, n)
    world.step("ask", 0)
    world.step("hear", 0)
    heard = {event.id: event.target for event in world.inbox.events()}
    assert {name: target and target.delta_kw for name, target in heard.items()} == world.asked()
    assert list(world.hearing.refused) == []


def test_a_deletion_beyond_all_revisions_is_a_deletion() -> None:
    world = World()
    world.step("create", 0)
    world.step("notify", 0)
    assert len(world.inbox.events()) == 1
    world.events["e1"] |= {"modificationDateTime": "2300-01-01T00:00:00Z"}
    world.step("delete", 0)
    world.step("notify", 1)
    assert world.inbox.events() == ()
