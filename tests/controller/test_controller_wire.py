"""The controller on a whole site on loopback: converter, GPUs, router, engines, with traffic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which

import aiohttp
import pytest

from benchmarks.kills.bench import SiteBench, site_bench
from ebplan import Planner, load_case
from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.adapters.open_devices import open_devices
from ebplan.audit import AuditLog, SigningKey, verify
from ebplan.audit.folder import segments
from ebplan.audit.journal import Journal
from ebplan.audit.walk import walk
from ebplan.controller import Controller, Status
from ebplan.document import read_data
from ebplan.twin.wire.vllm_double import MODEL

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"
LEASE_S = 3.0
RELEASE_KW = 1.0

KEY = SigningKey("bench", bytes(32))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        which("haproxy") is None or which("gcc") is None,
        reason="haproxy or gcc is not installed: make test-adapters",
    ),
]


@contextlib.asynccontextmanager
async def traffic(bench: SiteBench, req_per_s: float) -> AsyncIterator[dict[str, set[int]]]:
    """Send requests, four interactive ones for each of the batch; yield the statuses of each."""
    statuses: dict[str, set[int]] = {"": set(), "/batch": set()}
    url = f"http://{bench.router._config.listen}"

    async def ask(path: str) -> None:
        body = {"model": MODEL, "prompt": "x", "max_tokens": 2}
        async with http.post(f"{url}{path}/v1/completions", json=body) as reply:
            await reply.read()
            statuses[path].add(reply.status)

    async def send() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(10**6):
                group.create_task(ask("/batch" if n % 5 == 0 else ""))
                await asyncio.sleep(1.0 / req_per_s)

    async with aiohttp.ClientSession() as http:
        sending = asyncio.create_task(send())
        try:
            yield statuses
        finally:
            sending.cancel()
            await asyncio.wait([sending])


class Watched:
    """Statuses of a controller, to be waited for."""

    def __init__(self) -> None:
        self.status = Status()
        self._news = asyncio.Event()

    def __call__(self, status: Status) -> None:
        self.status = status
        self._news.set()

    async def until(self, true: Callable[[Status], object], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not true(self.status):
                self._news.clear()
                await self._news.wait()


async def test_a_call_is_answered_taken_back_and_the_site_handed_back(tmp_path: Path) -> None:
    case, inbox, watched = load_case(EXAMPLE), Inbox(), Watched()
    async with (
        site_bench(tmp_path, lease_s=LEASE_S, timeout_s=1.0) as bench,
        traffic(bench, 30.0) as statuses,
    ):
        spec = DevicesSpec.parse(read_data(bench.devices_file))
        devices = open_devices(spec, folder=tmp_path)
        with (
            AuditLog(tmp_path / "audit", KEY) as log,
            Planner(case.site).start(wait_s=10.0, standby=True) as planner,
        ):
            controller = Controller(
                case.site,
                devices,
                planner,
                inbox,
                lease_s=LEASE_S,
                journal=Journal(log),
                listen=watched,
            )
            running = asyncio.create_task(controller.run())
            await watched.until(lambda s: s.plan is not None and all(s.leased.values()))
            assert not watched.status.degradations
            before_kw = bench.grid_kw()

            now = datetime.now(UTC)
            asked = Interval(now + timedelta(seconds=1.0), 60.0, -RELEASE_KW)
            call = GridEvent(
                source="test",
                uid="call",
                received=now,
                events=events_of("call", "delta_kw", [asked], EventTerms()),
            )
            inbox.take(call)
            await watched.until(lambda s: s.event is not None)
            await watched.until(
                lambda s: bench.grid_kw() == pytest.approx(before_kw - RELEASE_KW, abs=0.15)
            )
            assert watched.status.plan is not None
            assert watched.status.plan.event_id == "call"

            inbox.take(call.model_copy(update={"revision": 1, "cancelled": True, "events": ()}))
            await watched.until(lambda s: s.event is None)
            await watched.until(
                lambda s: bench.grid_kw() + bench.battery_kw == pytest.approx(before_kw, abs=0.15)
            )
            # the battery may take back what it gave, within the rebound that the event allows; it
            # follows the compute that comes back within a cycle of its own
            await watched.until(lambda s: before_kw - 0.1 < bench.grid_kw() < before_kw + 0.6)

            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert (bench.battery_kw, bench.capped, bench.asleep) == (0.0, 0, 0)
        await devices.close()
        assert statuses[""] == {200}  # protected
        assert statuses["/batch"] <= {200, 429}  # may be turned away, for its price

    verdict = verify(tmp_path / "audit", KEY.verify_key)
    assert verdict.ok
    assert verdict.unsigned == 0
    (segment,) = segments(tmp_path / "audit")
    said = [line.record for line in walk(segment.path) if line.record is not None]
    decided = [r.body["event"] for r in said if r.kind == "decision"]
    assert decided[0] == "standing"
    assert "call" in decided
    assert decided[-1] == "standing"
    kinds = {record.kind for record in said}
    assert {"decision", "command", "answer", "window", "model"} <= kinds
    models = {r.body["name"] for r in said if r.kind == "model"}
    assert {"site", "tracking", case.site.pools["llama70b"].fleet_model} <= models
    held = [r.body for r in said if r.kind == "answer" and r.body["command"] == "hold"]
    assert any(body["asked"] != 0.0 for body in held)


async def test_a_dry_run_tells_nobody_anything(tmp_path: Path) -> None:
    case, inbox, watched = load_case(EXAMPLE), Inbox(), Watched()
    async with site_bench(tmp_path, lease_s=LEASE_S, timeout_s=1.0) as bench, traffic(bench, 30.0):
        spec = DevicesSpec.parse(read_data(bench.devices_file))
        devices = open_devices(spec, folder=tmp_path)
        with Planner(case.site).start(wait_s=10.0) as planner:
            controller = Controller(
                case.site, devices, planner, inbox, dry_run=True, listen=watched
            )
            running = asyncio.create_task(controller.run())
            await watched.until(lambda s: s.plan is not None)
            now = datetime.now(UTC)
            asked = Interval(now, 60.0, -RELEASE_KW)
            events = events_of("call", "delta_kw", [asked], EventTerms())
            inbox.take(GridEvent(source="test", uid="call", received=now, events=events))
            await watched.until(lambda s: s.event is not None)
            cycles = watched.status.cycles
            await watched.until(lambda s: s.cycles >= cycles + 2)
            reading = await bench.router.read()
            assert not reading.leased
            assert (bench.battery_kw, bench.capped, bench.asleep) == (0.0, 0, 0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        await devices.close()
