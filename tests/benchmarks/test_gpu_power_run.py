"""The measurement of a GPU, without one: plan, budget, cells that fail, tables, the command.

The load and the clock are stand-ins; no torch is needed.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gpu_power import tables
from benchmarks.gpu_power.__main__ import _blocks, _parser
from benchmarks.gpu_power.block import unaccounted
from benchmarks.gpu_power.cells import WRITTEN_S, Files, Task, measure_cells
from benchmarks.gpu_power.meter import MeterUnavailable, NvmlMeter, Sample
from benchmarks.gpu_power.plan import (
    SHORTEST_S,
    START_S,
    BudgetSpent,
    Cell,
    Durations,
    cell_seconds,
    plan_blocks,
)

ROOT = Path(__file__).parents[2]
MACHINE = {"gpu": "a stand-in", "driver": "1", "torch": "2"}


def reading(t_s: float, watts: float) -> Sample:
    return Sample(t_s, watts, watts, None, 1980.0, 2619.0, 50.0, 1.0, 700.0)


# -- plan and budget


def blocks_of(options: Sequence[str] = ()) -> list[tuple[Cell, ...]]:
    return _blocks(_parser().parse_args(["--out", "x", *options]))


def test_the_default_plan_has_what_was_asked() -> None:
    blocks = blocks_of()
    cells = [cell for block in blocks for cell in block]
    for precision in ("bf16", "fp8"):
        for phase in ("decode", "prefill"):
            batches = {c.batch for c in cells if (c.phase, c.precision) == (phase, precision)}
            assert len(batches) >= 8
        assert sum(c.phase == "loaded_idle" and c.precision == precision for c in cells) == 1
    assert [block[-1].phase for block in blocks] == ["decode", "decode", "prefill", "prefill"]
    assert Durations().cell_s == 60.0
    assert sum(cell.ramp for cell in cells) == 12
    assert len(set(cells)) == len(cells)


def test_a_part_of_the_plan_keeps_its_loaded_idle() -> None:
    (block,) = blocks_of(["--phases", "prefill", "--precisions", "fp8"])
    assert block[0] == Cell("loaded_idle", "fp8")
    assert {cell.phase for cell in block[1:]} == {"prefill"}


def test_without_a_budget_each_cell_gets_what_is_wanted() -> None:
    assert cell_seconds(Durations(60.0), None, [Cell("decode", "bf16", 1, 8)]) == 60.0


@pytest.mark.parametrize("budget_s", [400.0, 480.0, 540.0, 5000.0])
def test_the_whole_plan_fits_its_budget(budget_s: float) -> None:
    durations = Durations()
    blocks = blocks_of()
    left_s, given = budget_s, []
    for place, block in enumerate(blocks):
        left_s -= START_S
        later = [cell for after in blocks[place + 1 :] for cell in after]
        for i, cell in enumerate(block):
            starts = len(blocks) - place - 1
            seconds = cell_seconds(durations, left_s, [*block[i:], *later], starts)
            given.append(seconds)
            left_s -= seconds + durations.overhead_s(cell)
    assert left_s > -1e-6
    assert len(given) == sum(map(len, blocks))
    # the same for all while the overheads are as granted; what is wanted at most
    assert max(given) - min(given) < START_S / 36 + 1e-6
    assert max(given) <= 60.0
    assert (min(given) == 60.0) == (budget_s == 5000.0)


def test_what_a_cell_saves_goes_to_the_others_and_the_last_are_given_up() -> None:
    cells = [Cell("decode", "bf16", 1, 8)] * 10
    durations = Durations(60.0)
    assert cell_seconds(durations, 200.0, cells[1:]) > cell_seconds(durations, 200.0, cells)
    # too little for all, enough for this one
    assert cell_seconds(durations, 20.0, cells) == SHORTEST_S
    with pytest.raises(BudgetSpent, match=r"5\.0 s of the budget"):
        cell_seconds(durations, 5.0, cells)


# -- cells


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeGpu:
    """A load that takes 100 ms a step and draws 100 W at rest, 400 W while it runs."""

    def __init__(self, clock: FakeClock, broken: Sequence[int] = (), wrong: int = 0) -> None:
        self.clock, self.broken, self.wrong = clock, broken, wrong
        self.batch = 0
        self.is_open = False
        self.on: list[tuple[float, float]] = []

    def open(self, cell: Cell) -> None:
        assert not self.is_open
        self.is_open, self.batch = True, cell.batch
        if cell.batch in self.broken:
            raise RuntimeError(f"no memory\nfor batch {cell.batch}")
        self.clock.sleep(1.0)

    def run(self, seconds: float) -> list[float]:
        begin_s = self.clock.now_s
        steps = round(seconds / 0.1)
        self.clock.sleep(0.1 * steps)
        self.on.append((begin_s, self.clock.now_s))
        return [0.1] * steps

    def check(self) -> None:
        if self.batch == self.wrong:
            raise ArithmeticError("not finite")

    def close(self) -> None:
        self.is_open = False

    def between(self, begin_s: float, end_s: float) -> list[Sample]:
        assert self.clock.now_s >= end_s + WRITTEN_S or end_s > self.clock.now_s
        times = [1000.0 + 0.05 * i for i in range(round((self.clock.now_s - 1000.0) / 0.05))]
        return [
            reading(t, 400.0 if any(a <= t < b for a, b in self.on) else 100.0)
            for t in times
            if begin_s <= t <= end_s
        ]


def measured(tmp_path: Path, block: tuple[Cell, ...], gpu: FakeGpu, **changes: object) -> Files:
    files = Files(tmp_path)
    task = Task(block, (), Durations(10.0), None, MACHINE, files)
    measure_cells(replace(task, **changes), gpu, gpu, gpu.clock)
    return files


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_block_is_measured(tmp_path: Path) -> None:
    block = plan_blocks(["bf16"], ["decode"], [(1, 1024), (4, 1024)], [])[0]
    files = measured(tmp_path, block, FakeGpu(FakeClock()))
    idle, one, four = rows_of(files.runs)
    assert (idle["phase"], idle["power_instant_mean_w"], idle["steps"]) == (
        "loaded_idle",
        "100.0",
        "",
    )
    assert (one["batch"], one["context_tokens"], one["prompt_tokens"]) == ("1", "1024", "")
    assert (one["seconds"], one["steps"], one["tokens_per_s"]) == ("10.0", "100", "10.0")
    assert (four["tokens_per_s"], four["itl_ms"]) == ("40.0", "100.0")
    # rest and warm-up are outside the window
    assert float(one["power_instant_mean_w"]) > 398.0
    assert one["gpu"] == "a stand-in"
    assert not files.failed.exists()


def test_prefill_counts_the_tokens_of_prompts(tmp_path: Path) -> None:
    files = measured(tmp_path, (Cell("prefill", "fp8", 4, 256),), FakeGpu(FakeClock()))
    (row,) = rows_of(files.runs)
    assert (row["prompt_tokens"], row["context_tokens"], row["itl_ms"]) == ("256", "", "")
    assert row["tokens_per_s"] == "10240.0"


def test_a_ramp_shows_both_sides_of_start_and_stop(tmp_path: Path) -> None:
    block = (Cell("decode", "bf16", 1, 8, ramp=True), Cell("decode", "bf16", 2, 8))
    files = measured(tmp_path, block, FakeGpu(FakeClock()))
    rows = rows_of(files.transitions)
    assert {row["batch"] for row in rows} == {"1"}
    for kind, before_w, after_w in (("start", 100.0, 400.0), ("stop", 400.0, 100.0)):
        part = [row for row in rows if row["kind"] == kind]
        before = {float(r["power_instant_w"]) for r in part if float(r["t_s"]) < -0.06}
        after = {float(r["power_instant_w"]) for r in part if float(r["t_s"]) > 0.06}
        assert (before, after) == ({before_w}, {after_w})


def test_a_cell_that_fails_costs_its_own_row(tmp_path: Path) -> None:
    block = tuple(Cell("decode", "bf16", batch, 8) for batch in (1, 2, 4, 8))
    gpu = FakeGpu(FakeClock(), broken=(2,), wrong=4)
    files = measured(tmp_path, block, gpu)
    assert [row["batch"] for row in rows_of(files.runs)] == ["1", "8"]
    reasons = {row["batch"]: row["reason"] for row in rows_of(files.failed)}
    assert reasons == {
        "2": "RuntimeError: no memory for batch 2",
        "4": "ArithmeticError: not finite",
    }
    assert not gpu.is_open
    assert unaccounted(files, block) == []
    assert unaccounted(files, [Cell("decode", "fp8", 1, 8)]) == [Cell("decode", "fp8", 1, 8)]


def test_no_readings_are_no_row(tmp_path: Path) -> None:
    gpu = FakeGpu(FakeClock())
    gpu.between = lambda begin_s, end_s: []
    files = measured(tmp_path, (Cell("idle", None),), gpu)
    assert not files.runs.exists()
    assert "sampling process" in rows_of(files.failed)[0]["reason"]


def test_a_spent_budget_gives_up_the_last_cells(tmp_path: Path) -> None:
    gpu = FakeGpu(FakeClock())
    block = tuple(Cell("decode", "bf16", batch, 8) for batch in (1, 2, 4, 8))
    files = measured(tmp_path, block, gpu, deadline_s=gpu.clock.now_s + 16.0)
    assert gpu.clock.now_s <= 1016.0
    assert [row["batch"] for row in rows_of(files.runs)] == ["1", "2"]
    assert {row["reason"][:11] for row in rows_of(files.failed)} == {"BudgetSpent"}


# -- tables


def test_each_row_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    tables.append(path, ("a", "b"), [{"a": 1, "b": None}])
    assert path.read_text() == "a,b\n1,\n"
    with pytest.raises(ValueError, match="c"):
        tables.append(path, ("a", "b"), [{"a": 2}, {"c": 3}])
    # what failed half-way has not touched the rows before it
    assert path.read_text() == "a,b\n1,\n"
    tables.append(path, ("a", "b"), [{"a": 2, "b": "x,y"}])
    assert path.read_text() == 'a,b\n1,\n2,"x,y"\n'


# -- the command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu_power", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_without_a_gpu_the_command_says_so_and_writes_nothing(tmp_path: Path) -> None:
    try:
        NvmlMeter(0)
    except MeterUnavailable:
        ended = run("--out", str(tmp_path / "new"))
        assert ended.returncode == 2
        assert ended.stderr.startswith("gpu_power: ")
        assert ended.stderr.count("\n") == 1
        assert not (tmp_path / "new").exists()
    else:
        pytest.skip("this machine has a GPU")


def test_the_package_needs_nothing_of_ebplan() -> None:
    modules = "block, cells, meter, plan, sampler, statistics, tables, __main__"
    code = (
        f"import sys; from benchmarks.gpu_power import {modules};"
        "print([m for m in sys.modules if m.split('.')[0] in ('ebplan', 'numpy', 'torch')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
