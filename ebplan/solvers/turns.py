"""A battery that does not give only to take it again.

Where burning energy pays, a plan may hide it across the edges of the event or inside a band: give
more than the response asks for and take it back later, or take more because it gave before. Bounds
and runs do not see that. What is given without need is taken out of a plan; it costs what it
earned, and the gap shows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.blocks.battery import burning_pays, event_window, loss_lines, price_runs
from ebplan.solvers.program import FloatArray


def without_burning(problem: Problem, battery_kw: FloatArray, compute_kw: FloatArray) -> FloatArray:
    """Return the battery's power (T,) without what it gives for nothing but to take it again.

    Args:
        problem: the problem.
        battery_kw: what the battery is planned to do, > 0 gives, shape (T,).
        compute_kw: mean draw of the pools, shape (T,).
    """
    battery = problem.battery
    if battery is None:
        return battery_kw
    burns = burning_pays(battery, problem.energy_prices_per_kwh)
    burns &= price_runs(problem, battery) < 0  # there the program itself sees to it
    if not burns.any():
        return battery_kw
    site_kw = compute_kw + np.array(problem.other_kw)
    aim_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    above_kw = site_kw - np.array(problem.import_limit_kw)
    if problem.direction < 0:  # a release, or both ways
        beyond_kw = np.where(problem.in_event, site_kw - aim_kw - problem.tolerance_kw, -np.inf)
        needed_kw = np.maximum(np.maximum(above_kw, beyond_kw), 0.0)
        return np.where(burns, np.minimum(battery_kw, needed_kw), battery_kw)
    return _room_for_what_is_asked(
        problem,
        battery,
        battery_kw,
        burns & ~event_window(problem),
        gives_kw=np.maximum(above_kw, 0.0),
        takes_kw=np.where(problem.in_event, np.maximum(aim_kw - site_kw, 0.0), 0.0),
    )


def _room_for_what_is_asked(
    problem: Problem,
    battery: BatteryProblem,
    battery_kw: FloatArray,
    burns: NDArray[np.bool_],
    *,
    gives_kw: FloatArray,
    takes_kw: FloatArray,
) -> FloatArray:
    """Let an absorb make no more room than it is asked to fill, and fill no more than there is.

    ``gives_kw`` and ``takes_kw`` are what limits and target need in each step, (T,).
    """
    hours, eta = problem.grid.durations_s / 3600.0, battery.cell_efficiency

    def kept_kwh(taken_kw: FloatArray) -> FloatArray:
        loss = np.max([slope * taken_kw + above for slope, above in loss_lines(battery)], axis=0)
        return np.asarray(eta * (taken_kw - loss) * hours)

    given = np.maximum(battery_kw, 0.0)
    freely = np.where(burns, np.maximum(given - gives_kw, 0.0), 0.0)
    taken = np.maximum(-battery_kw, 0.0)
    asked = np.minimum(taken, takes_kw)
    room_kwh = battery.max_kwh - battery.start_kwh
    out_kwh = float((freely * (1.0 + battery.loss_linear) / eta * hours).sum())
    asked_kwh = float(kept_kwh(asked).sum())
    if out_kwh <= 0.0 or asked_kwh >= room_kwh + out_kwh:
        return battery_kw
    share = float(np.clip((asked_kwh - room_kwh) / out_kwh, 0.0, 1.0))
    more_kwh = float(kept_kwh(taken).sum()) - asked_kwh
    left_kwh = max(room_kwh + share * out_kwh - asked_kwh, 0.0)
    filled = min(left_kwh / more_kwh, 1.0) if more_kwh > 0.0 else 1.0
    return given - (1.0 - share) * freely - (asked + filled * (taken - asked))
