"""One tool on one problem in a process of its own, round by round, each kept as it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.peers.environments import interpreter, requirements, short

RUN = Path(__file__).parent / "tools" / "run.py"
ROOT = Path(__file__).parents[2]
THREADS = 1
ONCE_S = 3.0
"""What takes longer is measured once: the machine's noise is small beside it."""
WAITED_TIMES = 10.0
"""A run that waits, for other processes or for itself, is ended after so many times its limit."""
SMALLER = {"half_hours": "year", "rolling": "day", "year": "day"}
"""A tool that does not solve the one in time is not asked for the other."""


@dataclass
class Measured:
    """All runs of one tool on one problem."""

    tool: str
    problem: str
    runs: list[dict[str, float]] = field(default_factory=list)
    left_out: str | None = None
    """Why there are none."""

    def median(self, number: str) -> float:
        """Return the median of a number over the runs."""
        return median(run[number] for run in self.runs)


def run_once(tool: str, problem: str, data: Path, limit_s: float) -> dict[str, object]:
    """Run one tool on one problem; return what it told, or ``left_out`` and why."""
    numbers = [str(THREADS), f"{limit_s:g}"]
    command = [str(interpreter(tool)), str(RUN), tool, problem, str(data), *numbers]
    settings = {"OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}
    if not requirements(tool).exists():
        settings["PYTHONPATH"] = str(ROOT)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=WAITED_TIMES * limit_s,
            env={**os.environ, **settings},
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"not within {limit_s:g} s"}
    if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
        return {"left_out": f"not within {limit_s:g} s"}
    if done.returncode:
        return {"left_out": f"failed: {short(done.stderr)}"}
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def run_all(
    pairs: Iterable[tuple[str, str]],
    data: dict[str, Path],
    *,
    rounds: int,
    limit_s: float,
    kept: Path,
    told: Callable[[str], None],
) -> list[Measured]:
    """Run every tool on every problem in turn, then all again; finished runs are not repeated.

    Args:
        pairs: tools and problems.
        data: file of arrays by problem.
        rounds: how often everything is run.
        limit_s: a run is ended after this.
        kept: runs as lines of JSON; read first, added to.
        told: is given a line for each run.
    """
    measured = {pair: Measured(*pair) for pair in pairs}
    done = _read(kept, measured)
    for number in range(rounds):
        for (tool, problem), runs in measured.items():
            slow = bool(runs.runs) and runs.runs[0]["total_s"] > ONCE_S
            if runs.left_out is not None or slow or (tool, problem, number) in done:
                continue
            smaller = measured.get((tool, SMALLER.get(problem, "")))
            if smaller is not None and str(smaller.left_out).startswith("not "):
                why = str(smaller.left_out)
                if not why.startswith("not tried"):
                    why = f"not tried, for {SMALLER[problem]} was {why}"
                runs.left_out = why
                continue
            answer = run_once(tool, problem, data[problem], limit_s)
            with kept.open("a", encoding="utf-8") as file:
                line = {"tool": tool, "problem": problem, "round": number, **answer}
                file.write(json.dumps(line) + "\n")
            _add(runs, answer)
            seconds = answer.get("total_s", answer.get("left_out"))
            told(f"{number + 1}/{rounds} {problem:<10} {tool:<14} {seconds}")
    return list(measured.values())


def _read(kept: Path, measured: dict[tuple[str, str], Measured]) -> set[tuple[str, str, int]]:
    done: set[tuple[str, str, int]] = set()
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    for line in lines:
        answer = json.loads(line)
        pair = (answer.pop("tool"), answer.pop("problem"))
        number = answer.pop("round")
        if pair in measured:
            _add(measured[pair], answer)
            done.add((*pair, number))
    return done


def _add(runs: Measured, answer: dict[str, object]) -> None:
    if "left_out" in answer:
        runs.left_out = str(answer["left_out"])
    else:
        runs.runs.append({k: float(v) for k, v in answer.items() if isinstance(v, int | float)})
