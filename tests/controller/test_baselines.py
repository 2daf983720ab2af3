"""The baseline of a call is what was drawn before it, whoever answers it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ebplan import Planner, load_case
from ebplan.controller.baselines import Baselines
from ebplan.event import Baseline, Event
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
