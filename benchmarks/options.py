"""Which HiGHS options pay: the settings of ``solvers/highs.py`` and their neighbours.

HiGHS is deterministic: the same run repeated measures the machine. Each setting is run with
several random seeds instead, which measures the luck of the search too. To be run again when HiGHS
is upgraded: ``make options``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.reference import Run, run_highs
from benchmarks.registry import HEAVY_REPEATS, Subject
from ebplan.pose import pose
from ebplan.solvers.formulation import formulate
from ebplan.solvers.highs import OPTIONS

TIME_LIMIT_S = 10.0
"""A setting that takes longer has lost."""
TRIED_ON = (
    "under_frequency",
    "curtailment_3h",
    "5 min, 16",
    "5 min, 64",
    "4 h, 64",
    "5 min, 10 x 100",
)
"""Subjects whose programs differ in size and shape; the rest would repeat them."""
SUB_MIP = (
    "mip_heuristic_run_rins",
    "mip_heuristic_run_rens",
    "mip_heuristic_run_root_reduced_cost",
)

SETTINGS: dict[str, dict[str, Any]] = {
    "ebplan": OPTIONS,
    "HiGHS defaults": {},
    "sub-MIP heuristics off": dict.fromkeys(SUB_MIP, False),
    "only RENS of them": {**dict.fromkeys(SUB_MIP, False), "mip_heuristic_run_rens": True},
    "only RINS of them": {**dict.fromkeys(SUB_MIP, False), "mip_heuristic_run_rins": True},
    "ebplan + RINS": {**OPTIONS, "mip_heuristic_run_rins": True},
    "ebplan + root reduced cost": {**OPTIONS, "mip_heuristic_run_root_reduced_cost": True},
    "presolve off": {"presolve": "off"},
    "symmetry off": {"mip_detect_symmetry": False},
    "feasibility jump off": {"mip_heuristic_run_feasibility_jump": False},
    "no heuristic effort": {"mip_heuristic_effort": 0.0},
    "ebplan + presolve off": {**OPTIONS, "presolve": "off"},
    "ebplan + symmetry off": {**OPTIONS, "mip_detect_symmetry": False},
}
"""Options on top of ``reference.SAME_TASK`` (threads, gap) by setting."""


@dataclass(frozen=True)
class Setting:
    """One setting on one subject."""

    setting: str
    subject: str
    runs: tuple[Run, ...]
    """By random seed."""


def measure_settings(subjects: Iterable[Subject], seeds: int) -> list[Setting]:
    """Run every setting on every subject with ``seeds`` random seeds, fewer on a heavy one."""
    measured = []
    for subject in subjects:
        case = subject.build()
        program = formulate(pose(case.event, case.site, case.state)).program
        times = min(seeds, HEAVY_REPEATS) if subject.heavy else seeds
        for name, options in SETTINGS.items():
            limited = {**options, "time_limit": TIME_LIMIT_S}
            runs = tuple(run_highs(program, {**limited, "random_seed": s}) for s in range(times))
            measured.append(Setting(setting=name, subject=subject.name, runs=runs))
    return measured
