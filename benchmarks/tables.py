"""Measurements as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.options import SETTINGS, TIME_LIMIT_S, Setting
from benchmarks.phases import OUTSIDE_SOLVER, PHASES, Measurement
from benchmarks.reference import Run


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; every column but the first is right-aligned."""
    ruler = [":--", *("--:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, ruler, *rows)]


def size_table(measured: Sequence[Measurement]) -> list[str]:
    """Return size and proof of each subject."""
    sizes_of = ("steps", "epochs", "rows", "columns", "whole", "nonzeros")
    head = ("case", *sizes_of, "LP gap at root", "rounds", "nodes", "gap", "checked")
    rows = []
    for m in measured:
        first = m.replans[0]
        program, solution = first.program, first.solution
        sizes = (
            first.problem.grid.n_steps,
            first.problem.grid.n_epochs,
            program.n_rows,
            program.n_columns,
            int(program.integer.sum()),
            len(program.entry_value),
        )
        rows.append(
            (
                m.subject.name,
                *(f"{size:,}" for size in sizes),
                _percent(m.root_gap),
                str(len(first.references)),
                str(solution.nodes),
                _percent(first.gap),
                "yes" if all(replan.verdict.ok for replan in m.replans) else "NO",
            )
        )
    return table(head, rows)


def time_table(measured: Sequence[Measurement]) -> list[str]:
    """Return median and p90 by phase, in milliseconds, and HiGHS alone beside them."""
    head = ("case", "n", *PHASES, "outside the solver", "HiGHS defaults", "ratio")
    rows = [
        (
            m.subject.name,
            str(len(m.replans)),
            *(_ms(m.seconds(phase)) for phase in PHASES),
            _ms(m.seconds(*OUTSIDE_SOLVER)),
            _reference_ms(m),
            f"{m.solver_ratio():.2f}",
        )
        for m in measured
    ]
    return table(head, rows)


def process_table(seconds_of: dict[str, list[float]]) -> list[str]:
    """Return median and p90 of whole processes, in milliseconds."""
    return table(("command", "ms"), [(f"`{c}`", _ms(s)) for c, s in seconds_of.items()])


def options_table(measured: Sequence[Setting]) -> list[str]:
    """Return median and slowest seed by setting and subject, in milliseconds."""
    subjects = list(dict.fromkeys(m.subject for m in measured))
    runs_of = {(m.setting, m.subject): m.runs for m in measured}
    rows = []
    for setting in SETTINGS:
        medians = [_median_s(runs_of[setting, subject]) for subject in subjects]
        together = float(np.exp(np.mean(np.log(medians)))) * 1000.0
        cells = [_seeds_ms(runs_of[setting, subject]) for subject in subjects]
        rows.append((setting, *cells, f"{together:.0f}"))
    return table(("setting", *subjects, "geometric mean of medians"), rows)


def _median_s(runs: Sequence[Run]) -> float:
    return float(np.median([run.seconds for run in runs]))


def _seeds_ms(runs: Sequence[Run]) -> str:
    slowest = max(run.seconds for run in runs)
    unproven = sum(not run.proven for run in runs)
    failed = f" ({unproven} stopped at {TIME_LIMIT_S:g} s)" if unproven else ""
    return f"{_median_s(runs) * 1000.0:.0f} / {slowest * 1000.0:.0f}{failed}"


def _reference_ms(m: Measurement) -> str:
    unproven = [run for replan in m.replans for run in replan.references if not run.proven]
    if not unproven:
        return _ms(m.reference_seconds())
    run = unproven[0]
    left = (run.objective - run.bound) / max(abs(run.objective), 1e-9)
    return f"{_ms(m.reference_seconds())}, stopped at a gap of {_percent(left)}"


def _ms(seconds: Sequence[float]) -> str:
    """Return ``median / p90`` in milliseconds."""
    values = np.quantile(np.array(seconds) * 1000.0, [0.5, 0.9])
    return " / ".join(f"{value:.1f}" if value < 10.0 else f"{value:,.0f}" for value in values)


def _percent(share: float | None) -> str:
    return "no bound" if share is None or not np.isfinite(share) else f"{share * 100.0:.2f} %"
