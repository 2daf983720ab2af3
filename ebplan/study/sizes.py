"""What the portfolio gains with batteries of other sizes: everything else as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ebplan.errors import InputError
from ebplan.study.asked import Told
from ebplan.study.run import Run, run_study
from ebplan.study.spec import BatterySize, Group, StudySpec
from ebplan.study.tables import Columns


def with_sizes(
    spec: StudySpec,
    folder: Path,
    runs: Sequence[Run],
    factors: Sequence[float],
    *,
    told: Told | None = None,
) -> Columns:
    """Return gain and profit of the whole portfolio by size of its batteries.

    Energy and power of every battery are multiplied alike; a group without one stays without.

    Args:
        spec: the study.
        folder: where it lies.
        runs: of the study as it is.
        factors: multiples of the batteries, > 0, or 0 for none.
        told: called with progress.

    Raises:
        InputError: no group has a battery.
    """
    groups = runs[0].built.numbers.groups
    if not any(group.battery for group in groups):
        raise InputError(
            field="--sizes",
            value=list(factors),
            allowed="a study with a battery",
            remedy="give a group a battery, or leave the option out",
        )
    found: list[tuple[float, Run]] = []
    for n, factor in enumerate(sorted(set(factors))):
        if told is not None:
            told("battery sizes", n, len(set(factors)))
        if factor == 1.0:
            found += [(factor, run) for run in runs]
            continue
        portfolio = tuple(
            group.model_copy(update={"battery": _scaled(group, runs[0], i, factor)})
            for i, group in enumerate(spec.portfolio)
        )
        scaled = spec.model_copy(update={"portfolio": portfolio})
        found += [(factor, run) for run in run_study(scaled, folder)]
    if told is not None:
        told("battery sizes", len(set(factors)), len(set(factors)))
    energy = sum(g.battery.problem.energy_kwh for g in groups if g.battery)
    power = sum(g.battery.problem.discharge_limit_kw for g in groups if g.battery)
    of = np.array([factor for factor, _ in found])
    return {
        "policy": [run.policy for _, run in found],
        "corner": [run.corner for _, run in found],
        "factor": of,
        "energy_kwh": of * energy,
        "power_kw": of * power,
        "gain": np.array([_kpi(run, "gain") for _, run in found]),
        "profit": np.array([_kpi(run, "profit") for _, run in found]),
    }


def _scaled(group: Group, run: Run, at: int, factor: float) -> BatterySize | str:
    battery = run.built.numbers.groups[at].battery
    if battery is None or factor == 0.0:
        return "none"
    sites = group.count
    return BatterySize(
        energy_kwh=factor * battery.problem.energy_kwh / sites,
        power_kw=factor * battery.problem.discharge_limit_kw / sites,
    )


def _kpi(run: Run, name: str) -> float:
    return next(kpi.value for kpi in run.kpis if kpi.name == name)
