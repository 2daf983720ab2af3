"""The oracle's wear: a battery for each depth, and a price for every hour at rest."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_requests import Statement

from ebplan.problem import BatteryProblem

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""


def wear_by_depth(
    said: Statement, battery: BatteryProblem, into_kwh: Expression, out_kwh: Expression
) -> None:
    """Split the cells into a battery for each depth: any may take and give, deep ones cost more.

    Each has its own balance, as Xu et al. (2018) write it; together they take and give what the
    cells do.
    """
    if not battery.depth_segments:
        return
    begins = [segment.from_kwh for segment in battery.depth_segments]
    usable_kwh = battery.max_kwh - battery.min_kwh
    left_kwh, taken, given = battery.start_kwh - battery.min_kwh, 0.0, 0.0
    for j, segment in enumerate(battery.depth_segments):
        end = usable_kwh if j + 1 == len(begins) else min(begins[j + 1], usable_kwh)
        size_kwh = max(0.0, end - segment.from_kwh)
        takes = cp.Variable(out_kwh.shape, nonneg=True)
        gives = cp.Variable(out_kwh.shape, nonneg=True)
        held = min(left_kwh, size_kwh) + cp.cumsum(takes - gives)
        left_kwh -= min(left_kwh, size_kwh)
        said.constraints += [held >= 0.0, held <= size_kwh]
        said.charge("wear", segment.price_per_kwh * cp.sum(gives))
        taken, given = taken + takes, given + gives
    said.constraints += [taken == into_kwh, given == out_kwh]


def wear_by_calendar(
    said: Statement, battery: BatteryProblem, energy: Expression, hours: FloatArray
) -> None:
    """Charge every hour by what is stored, the mean of both ends of a step, beyond resting."""
    if not battery.calendar:
        return
    slopes = np.array([[line.price_per_kwh_h] for line in battery.calendar])
    rests = np.array([[line.price_per_h] for line in battery.calendar])
    of_lines = slopes @ cp.reshape(energy, (1, energy.size), order="C") + rests
    rate = cp.max(of_lines, axis=0)
    resting = float(np.max(slopes * battery.start_kwh + rests))
    said.charge("calendar", 0.5 * (rate[:-1] + rate[1:]) @ hours - resting * hours.sum())
