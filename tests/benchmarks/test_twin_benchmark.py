"""The benchmarks of the request-level plant run and say what they found; no time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import plants, twin_traces
from benchmarks.twin import bench, consolidation, fleet_map
from benchmarks.twin.caps import snapshot, sweep
from benchmarks.twin.page import section
from benchmarks.twin.plans import CarriedOut
from ebplan.models import library
from ebplan.models.fit.source import Source, read_source

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure seconds in place of minutes."""
    monkeypatch.setattr(bench, "SETTLE_S", 20.0)
    monkeypatch.setattr(bench, "MEASURE_S", 40.0)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source()


def test_every_cell_is_compared_and_the_page_says_what_is_off(source: Source) -> None:
    cells = fleet_map.cells(source, 0)
    assert len(cells) == 25
    assert [c.run.name for c in cells if c.excluded] == ["medium_in_short_out/32"]
    assert max(abs(c.power_error) for c in cells if not c.excluded) < 0.02
    assert max(abs(c.throughput_error) for c in cells if not c.excluded) < 0.12
    capped = snapshot(source, 0)
    assert capped.simulated_kw == pytest.approx(capped.measured_kw, rel=0.015)
    assert capped.low_req_per_s < capped.measured_req_per_s < capped.high_req_per_s
    swept = sweep(source, 0)
    assert swept[0][0] == 600.0
    assert swept[-1][1].gpu_kw < swept[0][1].gpu_kw
    found = consolidation.consolidations(0)
    assert len(found.loads) == 12
    assert all(c.released_w > 0.0 for c in found.loads)
    assert consolidation.NAME not in library.names()
    plan = CarriedOut("a", (1.0, 1.01), (0.5, 0.5), (10.0, 11.0), 2.0, 0)
    text = section(cells, capped, swept, found, [plan])
    assert "nothing here was measured" in text
    assert text.count("| yes |") + text.count("| **no** |") == 25 + 12
    assert "+1.00%" in text


def test_speeds_are_printed_for_both_plants() -> None:
    done = CliRunner().invoke(plants.main, ["--repeat", "1", "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.count("| fluid |") == done.output.count("| requests |") == 4


def test_traces_that_are_not_there_are_left_out_by_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(twin_traces.main, ["--data", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.count("left out: no llm_traces/") == len(twin_traces.REPLAYS)


def test_a_trace_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,input_tokens,output_tokens\n0,100,20\n1,200,20\n2,300,20\n")
    replay = twin_traces.Replay("trace.csv", "three", twin_traces.read_trace, 10.0)
    row = twin_traces.replayed(replay, path)
    assert row[:4] == ("three", "3", "3", "0")
