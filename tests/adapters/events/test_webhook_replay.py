"""What somebody can do with a signed message that he saw, and has not the key: nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhook_rigs import NOW, Line, call, event, running, secrets_in, signed

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.message import read_message
from ebplan.adapters.events.webhook import signed_before
from ebplan.adapters.events.webhook.proof import LetIn
from ebplan.adapters.events.webhook.signed_before import SignedBefore


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, object]:
    return secrets_in(tmp_path)


def bare(delta_kw: float) -> bytes:
    return json.dumps({"kind": "event", "event": event(delta_kw)}).encode()


def asked_kw(line: Line) -> list[float | None]:
    return [e.target.delta_kw for e in line.inbox.events() if e.target is not None]


async def test_the_body_of_a_call_does_not_take_one_back(secrets) -> None:
    body = json.dumps(call()).encode()
    async with running(secrets) as line:
        assert (await line.send(body=body, headers=signed(body)))[0] == 202
        for method, path in (("DELETE", "/events/dr-17"), ("GET", "/events")):
            assert (await line.send(method, path, body=body, headers=signed(body)))[0] == 401
        assert asked_kw(line) == [-1.0]


async def test_a_signed_path_is_for_that_path_only(secrets) -> None:
    async with running(secrets) as line:
        for uid in ("dr-17", "dr-18"):
            body = json.dumps(call(uid=uid)).encode()
            assert (await line.send(body=body, headers=signed(body)))[0] == 202
        shown = signed(method="DELETE", path="/events/dr-17")
        assert (await line.send("DELETE", "/events/dr-18", headers=shown))[0] == 401
        assert (await line.send("DELETE", "/events/dr-17?x=1", headers=shown))[0] == 401
        assert (await line.send("DELETE", "/events/dr-17", body=b"x", headers=shown))[0] == 401


async def test_the_end_of_a_path_is_no_beginning_of_a_body(secrets) -> None:
    async with running(secrets) as line:
        body = json.dumps(call(uid="dr")).encode()
        await line.send(body=body, headers=signed(body))
        for longer, rest in (("/events/dr.17", b".17"), ("/events/dr%0A17", b"17")):
            shown = signed(method="DELETE", path=longer)
            assert (await line.send("DELETE", "/events/dr", body=rest, headers=shown))[0] == 401
        assert asked_kw(line) == [-1.0]


async def test_a_signed_call_is_for_its_path_only(secrets) -> None:
    body = json.dumps(call()).encode()
    async with running(secrets) as line:
        for path in ("/", "/reports", "/events?x=1"):
            shown = signed(body, path=path)
            assert (await line.send(body=body, headers=shown))[0] == 401
        assert line.inbox.calls == {}


async def test_an_event_without_revision_that_comes_again_undoes_nothing(secrets) -> None:
    moment, first, second = [NOW], bare(-1.0), bare(-5.0)
    async with running(secrets, now=lambda: moment[0]) as line:
        assert (await line.send(body=first, headers=signed(first)))[1]["outcome"] == "new"
        assert (await line.send(body=first, headers=signed(first)))[1]["outcome"] == "repeated"
        moment[0] += timedelta(seconds=10)
        assert (await line.send(body=second, headers=signed(second)))[1]["outcome"] == "modified"
        moment[0] += timedelta(seconds=10)
        assert (await line.send(body=first, headers=signed(first)))[1]["outcome"] == "outdated"
        assert asked_kw(line) == [-5.0]
        later = signed(first, ago_s=-20)
        assert (await line.send(body=first, headers=later))[1]["outcome"] == "modified"
        assert asked_kw(line) == [-1.0]


async def test_a_taking_back_that_comes_again_undoes_nothing(secrets) -> None:
    async with running(secrets) as line:
        shown = signed(method="DELETE", path="/events/dr-17")
        body = json.dumps(call()).encode()
        await line.send(body=body, headers=signed(body))
        assert (await line.send("DELETE", "/events/dr-17", headers=shown))[1]["revision"] == 1
        assert (await line.send("DELETE", "/events/dr-17", headers=shown))[0] == 200
        again = json.dumps(call(revision=2)).encode()
        assert (await line.send(body=again, headers=signed(again)))[1]["outcome"] == "modified"
        status, said = await line.send("DELETE", "/events/dr-17", headers=shown)
        assert (status, said["outcome"]) == (409, "outdated")
        assert asked_kw(line) == [-1.0]


async def test_after_a_restart_what_was_signed_earlier_undoes_nothing(secrets) -> None:
    inbox = Inbox(now=lambda: NOW)
    first, second = bare(-1.0), bare(-5.0)
    delete = signed(ago_s=5, method="DELETE", path="/events/dr-17")
    async with running(secrets, inbox) as line:
        await line.send(body=first, headers=signed(first, ago_s=10))
        assert (await line.send("DELETE", "/events/dr-17", headers=delete))[0] == 202
        assert (await line.send(body=second, headers=signed(second)))[1]["outcome"] == "modified"
    async with running(secrets, inbox) as line:
        status, said = await line.send("DELETE", "/events/dr-17", headers=delete)
        assert (status, said["outcome"]) == (409, "outdated")
        status, _ = await line.send(body=first, headers=signed(first, ago_s=10))
        assert (status, asked_kw(line)) == (409, [-5.0])
        delete = signed(method="DELETE", path="/events/dr-17")
        assert (await line.send("DELETE", "/events/dr-17", headers=delete))[0] == 202
        assert (await line.send("DELETE", "/events/dr-17", headers=delete))[0] == 200
    async with running(secrets, inbox) as line:
        assert (await line.send("DELETE", "/events/dr-17", headers=delete))[0] == 200
        assert asked_kw(line) == []


async def test_a_call_that_was_posted_again_is_not_taken_back_by_an_earlier_delete(secrets) -> None:
    inbox = Inbox(now=lambda: NOW)
    delete = signed(ago_s=5, method="DELETE", path="/events/dr-17")
    async with running(secrets, inbox) as line:
        for revision, ago_s in ((0, 10), (2, 0)):
            body = json.dumps(call(revision=revision)).encode()
            assert (await line.send(body=body, headers=signed(body, ago_s=ago_s)))[0] == 202
            await line.send("DELETE", "/events/dr-17", headers=delete)
    async with running(secrets, inbox) as line:
        assert (await line.send("DELETE", "/events/dr-17", headers=delete))[0] == 409
        assert asked_kw(line) == [-1.0]


async def test_what_was_kept_from_us_does_not_come_after_what_repeats_the_call(secrets) -> None:
    first, kept_back = bare(-1.0), bare(-5.0)
    async with running(secrets) as line:
        await line.send(body=first, headers=signed(first, ago_s=20))
        assert (await line.send(body=first, headers=signed(first)))[1]["outcome"] == "repeated"
        late = signed(kept_back, ago_s=10)
        assert (await line.send(body=kept_back, headers=late))[1]["outcome"] == "outdated"
        assert asked_kw(line) == [-1.0]


async def test_two_changes_in_a_second_and_a_clock_set_back(secrets) -> None:
    moment = [NOW]
    async with running(secrets, now=lambda: moment[0]) as line:
        for n, headers in enumerate((True, True, False, False)):
            body = bare(-1.0 - n)
            proof = signed(body) if headers else None
            assert (await line.send(body=body, headers=proof))[0] == 202
            assert asked_kw(line) == [-1.0 - n]
            moment[0] -= timedelta(seconds=100)


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=5), st.integers(-900, 900))
def test_in_whatever_order_they_come_the_one_signed_last_counts(
    order: list[int], again: list[int], clock_s: int
) -> None:
    inbox = Inbox(now=lambda: NOW)
    for n, signed_s in enumerate([*order, *again]):
        message = read_message(
            {"kind": "event", "event": event(-1.0 - signed_s % 2)},
            source="utility",
            received=NOW + timedelta(seconds=n * clock_s / 10),
            known=inbox.calls,
            signed=NOW + timedelta(seconds=signed_s),
        )
        inbox.take(message)
    assert [e.target.delta_kw for e in inbox.events() if e.target is not None] == [-1.0]


CALL = GridEvent.parse(call() | {"source": "utility", "received": NOW.isoformat()})


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1000)), max_size=60))
def test_what_counts_still_is_remembered_and_nothing_for_longer(
    heard: list[tuple[int, int]],
) -> None:
    before, until_s = SignedBefore(), dict[str, float]()
    for now_s, (n, counts_s) in enumerate(heard):
        mark = f"{n}/{counts_s}"
        until_s[mark] = now_s + counts_s
        before.keep(LetIn(mark, until_s[mark]), CALL, now_s)
        for other, last_s in until_s.items():
            known = before.get(LetIn(other, last_s)) is not None
            assert known == (last_s >= now_s)
    before.keep(LetIn(), CALL, 0.0)
    assert before.get(LetIn()) is None


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_before, "MOST", 3)
    before = SignedBefore()
    for n in range(5):
        before.keep(LetIn(str(n), 1.0), CALL, 0.0)
    assert [before.get(LetIn(str(n), 1.0)) is not None for n in range(5)] == [0, 0, 1, 1, 1]
