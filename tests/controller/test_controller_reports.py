"""Senders are told what was delivered of their calls; nodes are metered beside the loop."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from test_controller_memory import CASE, Bench

from ebplan import Planner
from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.adapters.fake.node_power import FakeNodePower
from ebplan.controller import node_meters, reporting
from ebplan.controller.numbers import numbers


@pytest.fixture(scope="module")
def planner():
    with Planner(CASE.site).start(wait_s=10.0, standby=True) as planner:
        yield planner


class Source:
    """Takes reports, or fails as it is told."""

    name = "test"

    def __init__(self, *failures: type[Answer]) -> None:
        self.failures = list(failures)
        self.asked = 0
        self.taken: list[SiteReport] = []
        self.news = asyncio.Event()

    async def run(self, inbox: Inbox) -> None:
        raise AssertionError("it is run by whoever runs the controller")

    async def report(self, report: SiteReport) -> Answer:
        self.asked += 1
        told = {"device": self.name, "command": "report", "asked": report.uid}
        if self.failures:
            if self.failures.pop(0) is Refused:
                return Refused(**told, why="not asked for")
            return Unreachable(**told, why="gone", executed=False)
        self.taken.append(report)
        self.news.set()
        return Applied(**told, confirmed=report.uid)


def ask(bench: Bench, duration_s: float, source: str = "test") -> None:
    now = datetime.now(UTC)
    events = events_of("call", "delta_kw", [Interval(now, duration_s, -1.0)], EventTerms())
    bench.inbox.take(GridEvent(source=source, uid="call", received=now, events=events))


async def test_what_was_delivered_goes_back_to_the_sender(planner) -> None:
    bench, source = Bench(), Source()
    async with bench.running(planner, sources=[source], report_every_s=1.0):
        ask(bench, 60.0)
        async with asyncio.timeout(30.0):
            while len(source.taken) < 3:
                source.news.clear()
                await source.news.wait()
        last = source.taken[-1]
        assert last.uid == "call"
        assert last.online
        assert last.soc == pytest.approx(bench.status.sensed.state.soc, abs=0.01)
        assert last.storage_kwh == pytest.approx(last.soc * CASE.site.battery.energy_kwh)
        assert [len(report.stretches) for report in source.taken] == [1, 2, 3]
        settled = last.stretches[-1]
        assert settled.values["delivered_kw"] == pytest.approx(-1.0, abs=0.1)
        assert settled.values["delivered_kw"] == pytest.approx(
            settled.values["grid_kw"] - settled.values["baseline_kw"]
        )
        ends = last.stretches[0].start.timestamp() + last.stretches[0].duration_s
        assert last.stretches[1].start.timestamp() == pytest.approx(ends, abs=0.01)


async def test_the_end_of_a_call_is_reported_at_once(planner) -> None:
    bench, source = Bench(), Source()
    async with bench.running(planner, sources=[source], report_every_s=600.0):
        ask(bench, 3.0)
        await bench.until(lambda s: s.event is not None)
        await bench.until(lambda s: s.event is None)
        async with asyncio.timeout(10.0):
            await source.news.wait()
    (report,) = source.taken
    assert report.stretches[0].duration_s == pytest.approx(3.0, abs=1.0)


async def test_a_report_that_does_not_arrive_is_sent_again(planner, monkeypatch) -> None:
    monkeypatch.setattr(reporting, "AGAIN_S", 0.05)
    bench, source = Bench(), Source(Unreachable, Unreachable)
    async with bench.running(planner, sources=[source], report_every_s=600.0):
        ask(bench, 2.0)
        async with asyncio.timeout(30.0):
            await source.news.wait()
    assert source.asked == 3


async def test_a_sender_that_takes_no_reports_is_told_once(planner) -> None:
    bench, source = Bench(), Source(Refused)
    async with bench.running(planner, sources=[source], report_every_s=0.5):
        ask(bench, 60.0)
        await bench.until(lambda s: s.event is not None)
        await bench.cycles(25)
    assert source.asked == 1


async def test_calls_of_others_and_dry_runs_are_reported_to_nobody(planner) -> None:
    bench, source = Bench(), Source()
    async with bench.running(planner, sources=[source], report_every_s=0.3):
        ask(bench, 2.0, source="another")
        await bench.until(lambda s: s.event is not None)
        await bench.until(lambda s: s.event is None)
        await bench.cycles(3)
    dry = Bench()
    async with dry.running(planner, sources=[source], report_every_s=0.3, dry_run=True):
        ask(dry, 2.0)
        await dry.until(lambda s: s.event is not None)
        await dry.until(lambda s: s.event is None)
        await dry.cycles(3)
    assert source.asked == 0


async def test_a_node_is_metered_beside_the_loop(planner, monkeypatch) -> None:
    monkeypatch.setattr(node_meters, "EVERY_S", 0.05)
    monkeypatch.setattr(node_meters, "SILENT_S", 0.5)
    bench = Bench()
    meter = FakeNodePower(lambda: 4.5)
    bench.devices.node_power["node"] = meter  # type: ignore[index]
    async with bench.running(planner):
        await bench.until(lambda s: "power node" in s.nodes)
        assert numbers(bench.status)["node_kw"] == {("power node", "node"): 4.5}
        meter.fault = "silent"
        await bench.until(lambda s: any(d.of == "power node" for d in s.degradations))
        assert bench.status.nodes == {}
        assert bench.status.event is None
        meter.fault = None
        await bench.until(lambda s: not s.degradations)


def test_an_event_is_known_by_its_call() -> None:
    inbox, now = Inbox(), datetime.now(UTC)
    events = events_of("call", "delta_kw", [Interval(now, 60.0, -1.0)], EventTerms())
    for source in ("one", "two"):
        inbox.take(GridEvent(source=source, uid="call", received=now, events=events))
    keys = {inbox.sender_of(event.id) for event in inbox.events()}
    assert keys == {("one", "call"), ("two", "call")}
    assert inbox.sender_of("nobody's") is None
