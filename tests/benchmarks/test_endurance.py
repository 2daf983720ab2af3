"""Minutes of the real controller in virtual time: calls, faults, and every second judged."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from benchmarks.day24.calls import Trouble, make_calls, share_of_day
from benchmarks.day24.judge import TOLERANCE_SHARE
from benchmarks.day24.page import section, slope
from benchmarks.day24.run import Day
from benchmarks.subjects import example
from ebplan.twin.virtual_time import LoopClock, run_in_virtual_time

pytestmark = pytest.mark.slow

CASE = example("under_frequency")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict:
    kept = tmp_path_factory.mktemp("day") / "day.json"
    lived = Day(CASE, hours=0.3, events=4, faults=2, seed=3, keep=kept).live()
    assert json.loads(kept.read_text())["hours"] == pytest.approx(0.3)
    return lived


def test_minutes_of_calls_and_faults_are_held(record: dict) -> None:
    assert record["ended"] == ""
    assert record["cycles"] >= 1080
    assert record["unchecked"] == 0
    settled = record["by_kind"]["settled"]
    assert settled["samples"] > 60
    assert settled["worst_kw"] <= TOLERANCE_SHARE * record["draw_kw"]
    assert record["soc_out_s"] == 0.0
    assert all(r["requests"] == 0.0 for r in record["rejected"].values() if r["protected"])
    assert [one["back"] for one in record["back"]] == [True] * 2
    text = section(record)
    assert "| settled |" in text
    assert "engine dies" in text
    every = sum(tally["samples"] for tally in record["by_kind"].values())
    assert f"Of {every:,} seconds of calls" in text, "the headline leaves no second out"
    assert record["between"]["samples"] + every <= record["cycles"]
    assert record["between"]["samples"] > 100
    shorter = section({**record, "planned": {"hours": 24.0, "events": 4, "faults": 2}})
    assert "ended after 0.3 of 24 h" in shorter


def test_the_judge_sees_what_was_not_held(record: dict) -> None:
    # a battery that is away misses what it would have carried: the judge must say so
    day = Day(CASE, hours=0.04, events=1, faults=1, seed=3)
    call = make_calls(CASE, day.draw_kw, hours=1.0, count=1, seed=3)[0]
    target = call.event.target.model_copy(
        update={"delta_kw": -0.6 * day.draw_kw, "import_limit_kw": None}
    )
    event = call.event.model_copy(
        update={"type": "under_frequency", "target": target, "duration_s": 60.0}
    )
    day.calls = [type(call)(event, 60.0, 0.0, None, 1.0, None)]
    day.troubles = [Trouble("converter trips", 75.0, 20.0, 1.0)]
    assert day.live()["by_kind"]["fault"]["missed"] > 0


def test_time_passes_only_while_everybody_waits() -> None:
    async def main() -> list[float]:
        clock, woke = LoopClock(), []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woke.append(clock.now_s())

        await asyncio.gather(*(sleeper(s) for s in (86_400.0, 1.0, 3600.0)))
        return woke

    assert run_in_virtual_time(main()) == pytest.approx([1.0, 3600.0, 86_400.0])

    async def for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="none of them for a time"):
        run_in_virtual_time(for_ever())


def test_the_day_is_drawn_from_its_seed() -> None:
    days = [make_calls(CASE, 5.0, hours=24.0, count=200, seed=s) for s in (1, 1, 2)]
    assert days[0] == days[1] != days[2]
    assert len({call.event.type for call in days[0]}) == 6
    starts = [call.at_s for call in days[0]]
    assert starts == sorted(starts)
    ends = [call.at_s + call.event.duration_s for call in days[0]]
    assert any(a > b for a, b in zip(ends, starts[1:], strict=False)), "some overlap"
    assert min(share_of_day(3600.0 * h) for h in range(24)) == pytest.approx(share_of_day(4 * 3600))
    assert math.isclose(slope([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]]), 2.0)
    assert not Path("day.json").exists()
