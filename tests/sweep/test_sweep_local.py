"""Sweeps on this machine: what they hold, resumed, and with workers that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sweep_cases import Done, command, environment, knowing, run, write_sweep

from ebplan.cli import main
from ebplan.study.asked import read_answer
from ebplan.sweep.farm import Processes, WorkersLost, done_by
from ebplan.sweep.frontiers import firm, kept_share

pytestmark = pytest.mark.slow


def test_every_scenario_is_there_once(done: Done) -> None:
    rows = pq.read_table(done.output / "results.parquet").to_pylist()
    gains = [
        (row["battery_energy_kwh"], row["battery_power_kw"], row["services"])
        for row in rows
        if row["kpi"] == "gain" and row["policy"] == "receding"
    ]
    assert sorted(gains) == sorted(
        (e, p, s) for e in (2.0, 5.0, 10.0) for p in (4.0, 8.0) for s in ("none", "jp_fcr")
    )
    assert done.outcome["chunks"] == len(list((done.output / "chunks").iterdir())) == 12


def test_a_scenario_is_what_its_study_alone_gives(done: Done, tmp_path: Path) -> None:
    study = json.loads((done.sweep.parent / "study.json").read_text())
    study["portfolio"][0]["battery"] = {"energy_kwh": 5.0, "power_kw": 8.0}
    path = tmp_path / "alone.json"
    path.write_text(json.dumps(study))
    alone = CliRunner().invoke(main, ["study", str(path), "--no-ranges", "--json"])
    assert alone.exit_code == 0, alone.output
    expected = json.loads(alone.stdout)[0]["kpis"]["gain"]["value"]
    filters = [
        ("battery_energy_kwh", "=", 5.0),
        ("battery_power_kw", "=", 8.0),
        ("services", "=", "jp_fcr"),
        ("policy", "=", "receding"),
        ("kpi", "=", "gain"),
    ]
    rows = pq.read_table(done.output / "results.parquet", filters=filters).to_pylist()
    assert [row["value"] for row in rows] == pytest.approx([expected])


def test_nothing_that_is_finished_is_worked_out_again(done: Done) -> None:
    before = {p: p.stat().st_mtime_ns for p in (done.output / "chunks").iterdir()}
    again = run(done.sweep, done.output, "--jobs", "1")
    assert again["kept"] == 12
    assert again["result_sha256"] == done.sha256
    assert before == {p: p.stat().st_mtime_ns for p in (done.output / "chunks").iterdir()}


def test_interrupted_and_resumed(done: Done, tmp_path: Path) -> None:
    output = knowing(tmp_path / "out", done.output)
    first = subprocess.Popen(
        command(done.sweep, output, "--jobs", "1"),
        env=environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _wait_for_chunks(output, first)
    first.send_signal(signal.SIGINT)
    first.wait(60)
    left = len(list((output / "chunks").glob("*.parquet")))
    outcome = run(done.sweep, output)
    assert outcome["kept"] == left >= 1
    assert outcome["result_sha256"] == done.sha256


def test_a_process_killed_in_the_middle(done: Done, tmp_path: Path) -> None:
    output = knowing(tmp_path / "out", done.output)
    whole = subprocess.Popen(
        command(done.sweep, output, "--jobs", "2", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    _wait_for_chunks(output, whole)
    for worker in _workers_of(whole.pid)[:1]:
        os.kill(worker, signal.SIGKILL)
    out, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0
    assert json.loads(out)["result_sha256"] == done.sha256
    assert len(list((output / "chunks").iterdir())) == 12


def _wait_for_chunks(output: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200.0
    while not list((output / "chunks").glob("*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)


def _workers_of(pid: int) -> list[int]:
    """Return the processes that a pool of this one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            line = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"spawn_main" in line:
            found.append(int(path.parent.name))
    return found


def _die(_: int) -> int:
    os._exit(1)


def _double(task: int) -> int:
    return 2 * task


def _look(_workers: int, _out: int) -> None:
    pass


def test_work_that_kills_its_worker_is_given_up() -> None:
    pool = Processes(1)
    try:
        with pytest.raises(WorkersLost, match="nothing finished between"):
            list(done_by(pool, _die, [1], _look))
    finally:
        pool.close()


def test_only_as_much_is_handed_out_as_keeps_workers_busy() -> None:
    taken: list[int] = []

    def tasks() -> Iterable[int]:
        for i in range(50):
            taken.append(i)
            yield i

    pool, finished = Processes(1), []
    try:
        for task, result in done_by(pool, _double, tasks(), _look):
            finished.append((task, result))
            assert len(taken) - len(finished) <= 2
    finally:
        pool.close()
    assert sorted(finished) == [(i, 2 * i) for i in range(50)]


def test_confidence_takes_a_share_of_what_compute_gives(done: Done) -> None:
    share = kept_share(0.95, 0.1)
    assert share == pytest.approx(1.0 - 1.6448536 * 0.1)
    name = next((done.output / "frontiers").iterdir()).stem
    found = read_answer(done.output / "frontiers", name)
    assert found is not None
    less = firm(found, share)
    assert less.most_kw == pytest.approx(share * found.most_kw)
    # whatever is promised, the money for all of it is the same
    cost = [sum(s.kw * s.price_per_kwh for s in f.segments) for f in (found, less)]
    assert cost[0] == pytest.approx(cost[1])
    assert kept_share(0.5, 0.1) == 1.0


def test_months_are_chunks(done: Done, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, days=28, split="month", axes={"battery_energy_kwh": [5]})
    knowing(tmp_path / "out", done.output)
    run(sweep, tmp_path / "out", "--jobs", "1")
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    periods = {(row["period_start"], row["days"]) for row in rows}
    assert periods == {("2026-10-05", 27), ("2026-11-01", 1)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"axes": {"services": [["jp_none"]]}}, "axes.services.0: got 'jp_none'"),
        ({"axes": {"sites": [0]}}, "axes.sites: got 0"),
        ({"axes": {"sites": [2, 2]}}, "and each once"),
        ({"axes": {"confidence": [0.9]}}, "response_std: got nothing"),
        ({"axes": {"confidence": [0.3]}, "response_std": 0.1}, "axes.confidence: got 0.3"),
        ({"axes": {"confidence": [0.99]}, "response_std": 0.5}, "margin of at most 50%"),
        ({"axes": {"fields": {"market.nothing.x": [1]}}}, "axes.fields: got 'market.nothing.x'"),
        ({"axes": {"fields": {"policy": ["x"]}}}, "deeper than a column"),
        ({"group": "nobody"}, "group: got 'nobody'"),
        ({"study": "absent.json"}, "absent.json"),
        ({"axes": {"battery_energy_kwh": [-1]}}, "axes.battery_energy_kwh.0: got -1"),
    ],
)
def test_bad_sweeps_are_refused_in_one_line(
    more: dict[str, object], message: str, tmp_path: Path
) -> None:
    sweep = write_sweep(tmp_path, **more)
    result = CliRunner().invoke(main, ["sweep", str(sweep), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
