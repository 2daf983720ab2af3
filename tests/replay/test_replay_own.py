"""A run of the controller, replayed from its audit log: the same plans from the same inputs."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.day24.run import StandingPlanner
from benchmarks.day24.site import PlantSite
from ebplan import cli, load_case
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.audit import AuditLog, SigningKey
from ebplan.audit.folder import document_path, segments
from ebplan.audit.journal import Journal
from ebplan.audit.line import canonical
from ebplan.controller import Controller
from ebplan.errors import InputError
from ebplan.event import ResponseShape
from ebplan.planner.deadline import Clock
from ebplan.replay.decisions import counted, decide_again
from ebplan.replay.own import Made, Seen, entries, read_own
from ebplan.replay.results import ReplaySummary
from ebplan.twin import FluidPlant, LoadNoise, MeterModel
from ebplan.twin.virtual_time import LoopClock, run_in_virtual_time

pytestmark = pytest.mark.slow

CASE = load_case("examples/under_frequency.json")
BEGINS_S, LASTS_S, ENDS_S = 60.0, 60.0, 200.0


def record(folder: Path, clock: Clock, **more: Any) -> None:
    """Let the controller live through a call on the plant, in virtual time, and keep its log."""
    case, clocks = CASE, LoopClock()

    def now() -> Any:
        return case.state.at + timedelta(seconds=clocks.now_s())

    async def live(journal: Journal) -> None:
        plant = FluidPlant(
            case.site,
            case.state,
            load_noise=LoadNoise(std=0.02),
            meter=MeterModel(noise_kw=0.01),
            pool_meter=MeterModel(noise_share=0.005),
        )
        site = PlantSite(case.site, plant, clocks)
        inbox = Inbox(now=now, listen=journal.event)
        with StandingPlanner(case.site, clock=clock).start(wait_s=30.0) as planner:
            controller = Controller(
                case.site,
                site.devices,
                planner,
                inbox,
                journal=journal,
                clock=clocks,
                now=now,
                **more,
            )
            running = asyncio.create_task(controller.run())
            await clocks.sleep(BEGINS_S - 10.0)
            event = case.event.model_copy(
                update={
                    "start": case.state.at + timedelta(seconds=BEGINS_S),
                    "duration_s": LASTS_S,
                    "response": ResponseShape(recovery_s=30.0, full_activation_s=5.0),
                }
            )
            inbox.take(GridEvent(source="grid", uid="one", received=now(), events=(event,)))
            await clocks.sleep(ENDS_S - clocks.now_s())
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    key = SigningKey("ebplan.example.com/replay", bytes(range(32)))
    with AuditLog(folder, key) as log:
        run_in_virtual_time(live(Journal(log)))


@pytest.fixture(scope="module")
def by_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "audit"
    record(folder, "work")
    return folder


def test_every_decision_of_a_run_is_found_again(by_work: Path) -> None:
    made = decide_again(by_work)
    found = counted([one.row() for one in made])
    assert found.recorded >= 3  # ready, the call, ready again
    assert {one.event for one in made} >= {"standing", CASE.event.id}
    assert found.same == found.recorded
    assert (found.also_made, found.differ_by_work) == (0, 0)
    # byte for byte but for how it was asked
    for one in made:
        assert one.recorded is not None
        assert one.again is not None
        assert one.recorded.problem_hash == one.again.problem_hash
        assert one.recorded.steps == one.again.steps


def test_a_log_that_says_another_load_is_found_out(by_work: Path, tmp_path: Path) -> None:
    """What was planned from is part of the plan: other inputs do not pass for the same."""
    (segment,) = segments(by_work)
    lines, changed = [], 0
    for line in segment.path.read_text("utf-8").splitlines():
        told = json.loads(line)
        if told["kind"] == "state":
            loads = told["body"]["state"]["pools"]["llama70b"]["load_req_per_s"]
            loads["interactive"] = 0.9 * loads["interactive"]
            changed += 1
        lines.append(canonical(told).decode())
    assert changed
    copy = tmp_path / "audit"
    (copy / "documents").mkdir(parents=True)
    for document in (by_work / "documents").iterdir():
        (copy / "documents" / document.name).write_bytes(document.read_bytes())
    (copy / segment.path.name).write_text("\n".join(lines) + "\n", "utf-8")
    found = counted([one.row() for one in decide_again(copy)])
    assert found.same < found.recorded
    assert found.differ_by_work > 0


def test_a_plan_that_was_not_made_then_does_not_pass(by_work: Path, tmp_path: Path) -> None:
    """Without the last decision in the log the replay makes one more: nothing else differs."""
    (segment,) = segments(by_work)
    lines = segment.path.read_text("utf-8").splitlines()
    last = max(i for i, line in enumerate(lines) if json.loads(line)["kind"] == "decision")
    copy = tmp_path / "audit"
    (copy / "documents").mkdir(parents=True)
    for document in (by_work / "documents").iterdir():
        (copy / "documents" / document.name).write_bytes(document.read_bytes())
    kept = [*lines[:last], *lines[last + 1 :]]
    (copy / segment.path.name).write_text("\n".join(kept) + "\n", "utf-8")
    rows = [one.row() for one in decide_again(copy)]
    found = counted(rows)
    assert found.same == found.recorded
    assert found.also_made >= 1
    assert found.differ_by_work == found.also_made  # what ends the command with exit code 4
    # under a deadline a plan may come that did not come then
    timed = [row | {"recorded_clock": row["recorded_clock"] and "seconds"} for row in rows]
    assert counted(timed).differ_by_work == 0


def test_a_log_becomes_a_recording(by_work: Path) -> None:
    own = read_own(by_work, 10.0)
    seen = [entry for entry in entries(by_work) if isinstance(entry, Seen)]
    assert own.site == CASE.site
    assert own.beginning.pools["llama70b"].active == 4
    assert {"grid_kw", "battery_kw", "soc", "load.llama70b.interactive"} <= set(own.meter.values)
    assert own.meter.end_s == pytest.approx(ENDS_S, abs=20.0)
    (event,) = own.events
    assert event.id == CASE.event.id
    assert len(seen) > 100
    total = sum(state.state.grid.kw for state in seen if state.state.grid is not None)
    assert own.meter.grid_kw.mean() == pytest.approx(total / len(seen), rel=0.01)


def test_the_command_says_that_all_was_found_again(by_work: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "replay.toml"
    file.write_text(
        f"kind = 'replay'\nname = 'own'\nbaseline = 'last_value:0.5'\n[recording]\n"
        f"audit = '{by_work}'\n",
        "utf-8",
    )
    report = tmp_path / "report"
    done = CliRunner().invoke(cli.main, ["replay", str(file), "-o", str(report), "--no-figure"])
    assert done.exit_code == 0, done.output
    assert "found again: the same plans from the same inputs" in " ".join(done.output.split())
    told = ReplaySummary.parse((report / "summary.json").read_bytes())
    assert told.decisions is not None
    assert told.decisions.same == told.decisions.recorded
    table = parquet.read_table(report / "decisions.parquet")
    assert set(table.column("verdict").to_pylist()) == {"same"}
    (event,) = told.events
    # the run was ebplan's: its twin delivers what it delivered
    apart = event.ebplan.delivered_kwh - event.recorded.delivered_kwh
    assert abs(apart) < 0.1 * event.recorded.asked_kwh


def test_a_run_under_a_deadline_goes_on_from_what_was_done(tmp_path: Path) -> None:
    """Where a search was cut off another point is found, and the decisions after it still are."""
    record(tmp_path / "audit", "seconds")
    made = decide_again(tmp_path / "audit")
    # how often a plan is bettered depends on what searches had time for, then and now; that between
    # events and that for the call are made from the same inputs
    told = [one for one in made if one.why.startswith(("nothing was planned yet", "event "))]
    assert {one.event for one in told} == {"standing", CASE.event.id}
    assert {one.verdict for one in told} <= {"same", "another_plan"}


def test_what_a_log_does_not_say_is_one_line(by_work: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder of a"):
        read_own(tmp_path / "nothing", 10.0)
    record(tmp_path / "bare", "work", record_states=False)
    with pytest.raises(InputError, match="states = true"):
        read_own(tmp_path / "bare", 10.0)
    plans = [entry for entry in entries(by_work) if isinstance(entry, Made)]
    assert plans
    copy = tmp_path / "copy"
    copy.mkdir()
    (segment,) = segments(by_work)
    (copy / segment.path.name).write_bytes(segment.path.read_bytes())
    assert not document_path(copy, "0" * 64).exists()
    with pytest.raises(InputError, match="is gone"):
        read_own(copy, 10.0)
