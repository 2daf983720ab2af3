"""The baseline of a call is what was drawn before it, whoever answers it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ebplan import Planner, load_case
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.controller import controller as controller_module
from ebplan.controller.baselines import Baselines, file_beside
from ebplan.errors import InputError
from ebplan.event import Baseline, Event
from ebplan.plan import Plan
from tests.controller.test_controller_memory import Bench

CASE = load_case("examples/under_frequency.json")
CALL = CASE.event
NOW = CALL.start + timedelta(seconds=10)


class Burst(Bench):
    """A site that draws more than its planners know, for a while."""

    more_kw = 0.0

    def grid_kw(self) -> float:
        return super().grid_kw() + self.more_kw


async def test_a_controller_that_begins_within_a_call_goes_on_from_its_baseline(
    tmp_path: Path,
) -> None:
    """The first ends, a kilowatt more is drawn for a while, and the second one begins."""
    bench, path = Burst(), tmp_path / "inbox.baselines.json"
    with Planner(CASE.site).start(wait_s=10.0) as planner:
        async with bench.running(planner, baselines=Baselines(path)):
            bench.ask(-1.0)
            await bench.until(lambda s: s.event is not None)
            assert bench.status.plan is not None
            before_kw = bench.status.plan.steps[0].baseline_kw
    bench.more_kw = 1.0
    found = {}
    for name, kept in (("with", Baselines(path)), ("without", Baselines())):
        bench.status = type(bench.status)()
        with Planner(CASE.site).start(wait_s=10.0) as planner:
            async with bench.running(planner, baselines=kept):
                await bench.until(lambda s: s.event is not None)
                found[name] = bench.status.plan.steps[0].baseline_kw
    assert found["with"] == pytest.approx(before_kw)
    assert found["without"] > before_kw + 0.5


async def test_a_call_that_goes_on_after_another_one_has_its_first_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner forgets what was drawn when the interrupted call began: it is told."""
    bench, path = Burst(), tmp_path / "inbox.baselines.json"
    asked, found = [], []

    def other(**more: Any) -> GridEvent:
        return GridEvent(source="test", uid="other", received=datetime.now(UTC), **more)

    with Planner(CASE.site).start(wait_s=10.0) as planner:
        real = planner.aactivate

        async def aactivate(event: Event, *given: Any, **named: Any) -> Plan:
            plan = await real(event, *given, **named)
            asked.append((event.id, event.baseline.kw))
            found.append(plan.steps[0].baseline_kw)
            return plan

        monkeypatch.setattr(planner, "aactivate", aactivate)
        async with bench.running(planner, baselines=Baselines(path)):
            bench.ask(-1.0)
            await bench.until(lambda s: s.event is not None)
            bench.more_kw = 1.0
            await bench.cycles(2)
            interval = Interval(datetime.now(UTC), 60.0, -0.5)
            events = events_of("other", "delta_kw", [interval], EventTerms())
            bench.inbox.take(other(events=events))
            await bench.until(lambda s: s.event is not None and s.event.id == "other")
            bench.inbox.take(other(revision=1, cancelled=True))
            await bench.until(lambda s: s.event is not None and s.event.id == "call")
            (call,) = (one for one in bench.inbox.events() if one.id == "call")
    assert asked == [("call", None), ("other", None), ("call", found[0])]
    assert found[2] == pytest.approx(found[0])
    assert Baselines(path).told((call,))[0].baseline.kw == found[0]


async def test_the_baseline_of_a_first_plan_that_does_not_fit_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, path = Bench(), tmp_path / "inbox.baselines.json"
    real, failures = controller_module.disaggregate, iter((True,))

    def disaggregate(*given: object) -> object:
        if next(failures, False):
            raise InputError(field="active", value=3, allowed="2", remedy="none")
        return real(*given)

    with Planner(CASE.site).start(wait_s=10.0) as planner:
        async with bench.running(planner, baselines=Baselines(path)):
            monkeypatch.setattr(controller_module, "disaggregate", disaggregate)
            bench.ask(-1.0)
            await bench.until(lambda s: s.event is not None)
            assert any("does not fit" in said for said in bench.seen)
            assert bench.status.plan is not None
            (call,) = bench.inbox.events()
            (told,) = Baselines(path).told((call,))
            assert told.baseline.kw == pytest.approx(bench.status.plan.steps[0].baseline_kw)


def kept(path: Path, *events: tuple[Event, float]) -> Baselines:
    """Return what a controller knows after another one that answered these events."""
    first = Baselines(path)
    for event, kw in events:
        first.keep(event, kw, NOW)
    return Baselines(path)


def test_only_the_same_call_at_the_same_time_has_it(tmp_path: Path) -> None:
    later = CALL.model_copy(update={"start": CALL.start + timedelta(seconds=1)})
    other = CALL.model_copy(update={"id": "other"})
    fixed = Baseline(rule="fixed", kw=4.0)
    agreed = CALL.model_copy(update={"baseline": fixed})
    again = kept(tmp_path / "b.json", (CALL, 4.95))
    told = again.told((CALL, later, other, agreed))
    assert told[0].baseline == Baseline(rule="fixed", kw=4.95)
    assert told[1:] == (later, other, agreed)
    assert kept(tmp_path / "c.json", (agreed, 4.95)).told((CALL,)) == (CALL,)


def test_within_a_run_an_event_stays_what_it_was_and_what_is_over_is_forgotten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "b.json"
    running = Baselines(path)
    running.keep(CALL, 4.95, NOW)
    assert running.told((CALL,)) == (CALL,)  # else it would begin anew
    other = CALL.model_copy(update={"id": "other"})
    running.keep(other, 5.0, NOW + timedelta(hours=1))
    assert "under-frequency" not in path.read_text()
    assert Baselines().told((CALL,)) == (CALL,)


@pytest.mark.parametrize("content", ["{", '{"kind": "baselines", "drawn": [{}]}', ""])
def test_a_file_that_cannot_be_read_or_written_is_said_and_stops_nothing(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "b.json"
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        found = Baselines(path)
        assert found.told((CALL,)) == (CALL,)
        Baselines(tmp_path / "nowhere" / "b.json").keep(CALL, 5.0, datetime.now(UTC))
    assert "are not known" in caplog.text
    assert "is not kept" in caplog.text


def test_the_first_baseline_stays_as_long_as_the_call_lasts(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    longer = CALL.model_copy(update={"duration_s": CALL.duration_s + 60.0})
    other = CALL.model_copy(update={"id": "other", "duration_s": 7200.0})
    fixed = Baseline(rule="fixed", kw=4.95)
    for running in (Baselines(path), Baselines()):
        assert running.begun(CALL) == CALL
        running.keep(CALL, 4.95, NOW)
        running.keep(longer, 4.31, NOW)
        running.keep(other, 4.4, CALL.start + timedelta(seconds=CALL.duration_s + 30.0))
        assert running.begun(longer).baseline == fixed
    assert Baselines(path).told((longer,))[0].baseline == fixed


def test_a_baseline_below_zero_is_not_kept_as_another_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert kept(tmp_path / "b.json", (CALL, -2.0)).told((CALL,)) == (CALL,)
    assert f"the baseline of {CALL.id} is not kept: it is -2.00 kW" in caplog.text
    assert kept(tmp_path / "b.json", (CALL, 0.0)).told((CALL,))[0].baseline.kw == 0.0


@pytest.mark.parametrize(
    ("inbox", "beside"),
    [
        ("inbox.json", "inbox.baselines.json"),
        ("a.v1", "a.v1.baselines.json"),
        ("a.v2", "a.v2.baselines.json"),
        ("a.v1.json", "a.v1.baselines.json"),
        ("inbox", "inbox.baselines.json"),
    ],
)
def test_each_inbox_has_its_own_file(tmp_path: Path, inbox: str, beside: str) -> None:
    assert file_beside(tmp_path / inbox) == tmp_path / beside
