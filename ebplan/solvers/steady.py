"""A battery that does not change its power where nothing changes.

Between the bends of the planned converter loss, a kWh taken at one power costs as much as at
another, and over neighbouring steps of one price it does not matter when it is taken. So an optimum
is one of many, and a solver returns a corner of them: 0.5 and 2 kW by turns, where 1.2 kW
throughout fills the cells as well. Such a run gets the one power that moves the same energy in the
cells,

    sum_t h_t c(p) = sum_t h_t c(p_t),    c(p) = (p + l(p)) / eta to give, eta (p - l(p)) to take,

in the steps where nothing is asked, if no limit is in the way and it draws no dearer energy. The
loss is convex: to level it never takes more from the grid.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.blocks.battery import charge_limits_kw, directions, loss_lines
from ebplan.solvers.program import FloatArray

STEADY_KW = 1e-6
"""Powers this close are one."""
ROUNDING = 1e-9
"""In kW and in money."""


def steadied(problem: Problem, battery_kw: FloatArray, compute_kw: FloatArray) -> FloatArray | None:
    """Return the battery's power (T,) with its runs levelled; None where there is none to level.

    Args:
        problem: the problem.
        battery_kw: what the battery does, > 0 gives, shape (T,).
        compute_kw: mean draw of the pools, shape (T,).
    """
    battery = problem.battery
    if battery is None or not battery_kw[~problem.in_event].any():
        return None
    hours, prices = problem.grid.durations_s / 3600.0, problem.energy_prices_per_kwh
    low_kw, high_kw = _range_kw(problem, battery, compute_kw)
    level_kw = battery_kw.copy()
    for run in _runs(problem, battery_kw):
        now_kw, h = battery_kw[run], hours[run]
        one_kw = _one_power(battery, now_kw, h)
        fits = low_kw[run].max() - ROUNDING <= one_kw <= high_kw[run].min() + ROUNDING
        drawn_kwh = float(((now_kw - one_kw) * h).sum())
        if fits and prices[run.start] * drawn_kwh <= ROUNDING:
            level_kw[run] = one_kw
    return None if np.abs(level_kw - battery_kw).max() <= STEADY_KW else level_kw


def _range_kw(
    problem: Problem, battery: BatteryProblem, compute_kw: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the least and the most that the battery may give in each step, (T,) each."""
    gives, takes = directions(problem, battery)
    site_kw = compute_kw + np.array(problem.other_kw)
    above_kw = site_kw - np.array(problem.import_limit_kw)
    low_kw = np.maximum(-charge_limits_kw(problem, battery) * takes, above_kw)
    high_kw = np.minimum(battery.discharge_limit_kw * gives, site_kw + problem.export_limit_kw)
    return low_kw, np.maximum(high_kw, 0.0)


def _runs(problem: Problem, battery_kw: FloatArray) -> Iterator[slice]:
    """Yield neighbouring steps of one price and one direction in which nothing is asked."""
    prices, asked = problem.energy_prices_per_kwh, problem.in_event
    begin, sign = 0, 0.0
    for t, kw in enumerate(battery_kw):
        turns = kw * sign < 0.0
        if t > begin and (asked[t] or asked[t - 1] or prices[t] != prices[t - 1] or turns):
            yield from _uneven(battery_kw, begin, t)
            begin, sign = t, 0.0
        sign = sign or float(np.sign(kw))
    if not asked[begin]:
        yield from _uneven(battery_kw, begin, len(battery_kw))


def _uneven(battery_kw: FloatArray, begin: int, end: int) -> Iterator[slice]:
    powers_kw = battery_kw[begin:end]
    if powers_kw.max() - powers_kw.min() > STEADY_KW:
        yield slice(begin, end)


def _one_power(battery: BatteryProblem, powers_kw: FloatArray, hours: FloatArray) -> float:
    """Return the steady power that moves the same energy in the cells, with the sign of the run."""
    lines = loss_lines(battery)
    loss_kw = np.max([slope * np.abs(powers_kw) + above for slope, above in lines], axis=0)
    dc_kw = float(((powers_kw + loss_kw) * hours).sum() / hours.sum())
    if powers_kw.max() > 0.0:
        return min((dc_kw - above) / (1.0 + slope) for slope, above in lines)
    return -max((-dc_kw + above) / (1.0 - slope) for slope, above in lines)
