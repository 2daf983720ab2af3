"""How instances that take requests run, in the problem stated once more: load, power and price."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_requests import Statement

from ebplan.models.curves import Lines, LoadCurve
from ebplan.problem import PoolProblem
from ebplan.site import CongestionStep
from ebplan.solvers.blocks.lens import cap_lines, load_lines
from ebplan.solvers.operations import operations
from ebplan.timegrid import TimeGrid

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""

OWN, LOCKED, LOWER = "own", "locked", "lower"
"""The ways in which an instance takes requests."""


def running(
    said: Statement, pool: PoolProblem, grid: TimeGrid, working: dict[str, Expression]
) -> tuple[dict[str, Expression], dict[str, Expression]]:
    """Keep each working instance in the lens of its way, and charge for running it close.

    Returns:
        By way the load served, in what one of the pool's own instances can serve at most, and the
        power, each of shape (N, K); zero where an instance does not run that way.
    """
    hours = grid.epoch_durations_s / 3600.0
    loads, powers = {}, {}
    # Only the numbers of the lines are taken over.
    for numbers in operations(pool):
        way = {None: OWN, "clock_lock": LOCKED}.get(numbers.key, LOWER)
        curve, floor_kw, factor, at_start = _way(pool, way)
        who, rho = working[way], pool.max_utilisation
        load, power = (cp.Variable(who.shape, nonneg=True) for _ in range(2))
        said.constraints += [
            load >= pool.min_utilisation * who,
            load <= rho * who,
            power >= floor_kw * who,
            power <= curve.full_kw * who,
        ]
        capacities = [slope * power + rest * who for slope, rest in cap_lines(numbers)]
        said.constraints += [
            power <= slope * load + rest * who for slope, rest in load_lines(numbers)
        ]
        said.constraints += [load <= rho * capacity for capacity in capacities]
        if way != LOCKED and not pool.may_cap:
            _never_capped(said, who, load, power, load_lines(numbers))
        for step in pool.congestion:
            _congest(said, step, capacities, load, factor * hours)
        at = max(at_start, curve.one_request_utilisation)
        slope = sum(j.amplitude_kw * j.exponent * at ** (j.exponent - 1.0) for j in curve.terms)
        touch = curve.idle_kw + sum(j.amplitude_kw * at**j.exponent for j in curve.terms)
        natural = slope * load + (touch - slope * at) * who
        cause = "clocking" if way == LOCKED else "capping"
        said.charge(cause, pool.cap_depth_per_kwh * cp.sum(cp.pos(natural - power) @ hours))
        loads[way], powers[way] = factor * load, power
    return loads, powers


def _never_capped(
    said: Statement, who: Expression, load: Expression, power: Expression, lines: Lines
) -> None:
    """Keep instances at the natural draw, which the lowest of the lines of their curve says.

    Without caps a router shares the load evenly. To draw no less takes a choice between the lines.
    """
    for i in range(who.shape[0]):
        for j in range(who.shape[0]):
            if i != j:
                said.constraints += [load[i] - load[j] <= 1 - who[j]]
    lowest = [cp.Variable(load.shape, boolean=True) for _ in lines]
    said.constraints += [sum(lowest) == 1]
    for (slope, intercept), chosen in zip(lines, lowest, strict=True):
        most_kw = slope + intercept
        said.constraints += [power >= slope * load + intercept * who - most_kw * (1 - chosen)]


def _way(pool: PoolProblem, way: str) -> tuple[LoadCurve, float, float, float]:
    """Return load curve, lowest power, what one serves at most, and utilisation at the start."""
    load = pool.load - (pool.tier.load_at_start if pool.tier else 0.0)
    own_at_start = min(load / pool.active_at_start, 1.0) if pool.active_at_start else 1.0
    if way == LOCKED:
        assert pool.clock_lock is not None
        return pool.load_curve, pool.clock_lock.cap_curve.floor_kw, 1.0, own_at_start
    if way == OWN:
        return pool.load_curve, pool.cap_curve.floor_kw, 1.0, own_at_start
    tier = pool.tier
    assert tier is not None
    at_start, most = 0.0, tier.active_at_start * tier.capacity_factor
    if most:
        at_start = min(tier.load_at_start / most, 1.0)
    # Who serves nothing there yet is judged like the pool's own.
    at_start = at_start or own_at_start
    return tier.load_curve, tier.cap_curve.floor_kw, tier.capacity_factor, at_start


def _congest(
    said: Statement,
    step: CongestionStep,
    capacities: list[Expression],
    load: Expression,
    hours: FloatArray,
) -> None:
    """Charge each instance for what it serves above a share of its capacity."""
    above = cp.Variable(load.shape, nonneg=True)
    said.constraints += [above >= load - step.above_utilisation * c for c in capacities]
    said.charge("congestion", step.price_per_instance_h * cp.sum(above @ hours))
