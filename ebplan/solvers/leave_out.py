"""Leave mechanisms out of a problem: what is left is a problem like any other.

One switch for each mechanism. A switch takes away what is free to decide and leaves what cannot be
avoided: too few instances for the load still means that some work, and an overloaded pool still
turns requests away. Whatever a plan without the mechanism may do, a plan with it may do as well, so
leaving out never makes a plan cheaper, but for two things: the finer lines of a pool without caps,
and what is asked of the battery alone (a state of charge to be restored, wear at rest), which goes
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ebplan.errors import InputError
from ebplan.mechanisms import least_impact_first
from ebplan.models.latency_bounds import latency_bounds
from ebplan.nearest import meant
from ebplan.problem import ClassProblem, PoolProblem, Problem
from ebplan.solvers.blocks.lens import cap_lines, load_lines

NEVER_S = 1e7
"""A lead that no plan lives to see."""


def leave_out(problem: Problem, names: Iterable[str]) -> Problem:
    """Return the problem without these mechanisms; its ``without`` names them.

    The order in which they are named does not matter: they are left out from least impact to most,
    so that admission, the last, is left what the others have made unavoidable.

    Raises:
        InputError: a name is not that of a mechanism that can be left out.
    """
    left = least_impact_first(names)
    check_switches(left)
    for name in left:
        problem = SWITCHES[name](problem)
    if not left:
        return problem
    without = least_impact_first((*problem.without, *left))
    return problem.model_copy(update={"without": without})


def check_switches(names: Iterable[str]) -> None:
    """Refuse a name that is not that of a mechanism that can be left out.

    Raises:
        InputError: for the first of them.
    """
    for name in names:
        if name not in SWITCHES:
            raise InputError(
                field="--without",
                value=name,
                allowed=", ".join(least_impact_first(SWITCHES)),
                remedy=meant(name, SWITCHES) or "choose one of these",
            )


def available(problem: Problem) -> tuple[str, ...]:
    """Return the mechanisms of a problem, least impact first: those whose absence changes it."""
    return tuple(
        name for name in least_impact_first(SWITCHES) if SWITCHES[name](problem) != problem
    )


def servable(pool: PoolProblem) -> tuple[float, float]:
    """Return the lowest and highest utilisation at which an uncapped instance can be operated.

    The lines of both curves are concave, so that the range has no holes: every pair of a line of
    the cap curve and one of the load curve bounds it once. Hard limits on latency count as well.
    """
    bounds = latency_bounds(pool)
    rho = pool.max_utilisation if bounds.max_utilisation is None else bounds.max_utilisation
    drawn = load_lines(pool)
    # u <= rho (a (f u + g) + b)
    rows = [(1.0 - rho * a * f, rho * (a * g + b)) for a, b in cap_lines(pool) for f, g in drawn]
    if bounds.power_share is not None:
        # k (alpha u + beta) <= f u + g
        k, (alpha, beta) = bounds.power_share, bounds.natural_line
        rows += [(k * alpha - f, g - k * beta) for f, g in drawn]
    low, high = pool.min_utilisation, rho
    for slope, room in rows:
        if slope > 0.0:
            high = min(high, room / slope)
        elif slope < 0.0:
            low = max(low, room / slope)
    return low, high


def _each_pool(switch: Callable[[PoolProblem], PoolProblem]) -> Callable[[Problem], Problem]:
    def on_problem(problem: Problem) -> Problem:
        return problem.model_copy(update={"pools": tuple(map(switch, problem.pools))})

    return on_problem


def _without_battery(problem: Problem) -> Problem:
    """There is no battery, and nothing is handed off or restored."""
    changes = {"battery": None, "handoff_from_s": None, "handoff_kw": 0.0, "restore_kwh": None}
    return problem if problem.battery is None else problem.model_copy(update=changes)


def _without_consolidation(pool: PoolProblem) -> PoolProblem:
    """As many instances serve as did at the start, as far as they can serve the load.

    In whichever precision: what the lower one serves at the start it goes on serving.
    """
    start, awake = pool.active_at_start, pool.active_at_start + pool.drained_at_start
    lower, carried = pool.serving_at_start - start, pool.load_in_tier_at_start
    load = pool.load - carried
    nearest = [*range(start, -1, -1), *range(start + 1, awake + 1)]
    kept = max(sum(c.load - c.max_rejected for c in pool.classes) - carried, 0.0)
    can = [n for n in nearest if _serves(pool, n, load, load)]
    can = can or [n for n in nearest if _serves(pool, n, kept, load)]
    stays = can[0] if can else start
    return pool.model_copy(
        update={
            "fewest_active": max(min(start, stays) + lower, pool.fewest_active),
            "most_active": min(max(start, stays) + lower, pool.highest_active),
        }
    )


def _serves(pool: PoolProblem, active: int, least: float, most: float) -> bool:
    """Tell whether so many uncapped instances can serve a load between these two."""
    low, high = servable(pool)
    lower = pool.serving_at_start - pool.active_at_start
    if not pool.fewest_active <= active + lower <= pool.highest_active:
        return False
    return max(least, low * active) <= min(most, high * active) + 1e-9


def _without_sleep(pool: PoolProblem) -> PoolProblem:
    return pool.model_copy(update={"may_sleep": False})


def _without_power_cap(pool: PoolProblem) -> PoolProblem:
    return pool.model_copy(update={"may_cap": False})


def _without_deferral(pool: PoolProblem) -> PoolProblem:
    """Nothing more is put off; what waits at the start is worked off or goes on waiting."""
    classes = []
    for requests in pool.classes:
        deferral = requests.deferral
        if deferral is not None:
            deferral = deferral.model_copy(update={"may_put_off": False})
        classes.append(requests.model_copy(update={"deferral": deferral}))
    return pool.model_copy(update={"classes": tuple(classes)})


def _without_admission(pool: PoolProblem) -> PoolProblem:
    """Turn away only the load that no choice of instances awake can serve, cheapest first."""
    low, high = servable(pool)
    lower = pool.serving_at_start - pool.active_at_start
    load = pool.load - pool.load_in_tier_at_start  # the lower precision goes on with its part
    awake = min(pool.active_at_start + pool.drained_at_start, pool.highest_active - lower)
    counts = np.arange(max(pool.fewest_active - lower, 0), awake + 1)
    counts = counts[low * counts <= load + 1e-9]
    left = min((max(load - high * n, 0.0) for n in counts.tolist()), default=load)
    most: dict[str, float] = {}
    for requests in sorted(pool.classes, key=_value):
        most[requests.name] = min(requests.max_rejected, left)
        left -= most[requests.name]
    return pool.model_copy(
        update={
            "classes": tuple(
                c.model_copy(update={"max_rejected": most[c.name]}) for c in pool.classes
            )
        }
    )


def _without_precision(pool: PoolProblem) -> PoolProblem:
    """No weights are loaded and no more is routed to the lower precision than at the start."""
    tier = pool.tier
    if tier is None:
        return pool
    coming = any(arrival.to == "tier" for arrival in pool.arrivals)
    eligible = sum(c.lowered.eligible_share * c.load for c in pool.classes if c.lowered)
    kept = min(tier.load_at_start / eligible, 1.0) if eligible > 0.0 else 0.0
    classes = []
    for requests in pool.classes:
        lowered = requests.lowered
        if lowered is not None:
            share = kept * lowered.eligible_share
            lowered = lowered.model_copy(update={"eligible_share": share}) if share else None
        classes.append(requests.model_copy(update={"lowered": lowered}))
    still = tier.model_copy(update={"swap_s": NEVER_S})
    return pool.model_copy(
        update={
            "classes": tuple(classes),
            "tier": still if pool.in_tier_at_start or coming else None,
        }
    )


def _without_clock_lock(pool: PoolProblem) -> PoolProblem:
    return pool.model_copy(update={"clock_lock": None})


def _without_prewarm(pool: PoolProblem) -> PoolProblem:
    return pool.model_copy(update={"prewarm": None})


def _without_pull_forward(pool: PoolProblem) -> PoolProblem:
    classes = (c.model_copy(update={"pull_forward": None}) for c in pool.classes)
    return pool.model_copy(update={"classes": tuple(classes)})


def _value(requests: ClassProblem) -> float:
    return requests.value_per_instance_s


SWITCHES: dict[str, Callable[[Problem], Problem]] = {
    "battery": _without_battery,
    "consolidation": _each_pool(_without_consolidation),
    "sleep": _each_pool(_without_sleep),
    "precision": _each_pool(_without_precision),
    "power_cap": _each_pool(_without_power_cap),
    "clock_lock": _each_pool(_without_clock_lock),
    "prewarm": _each_pool(_without_prewarm),
    "deferral": _each_pool(_without_deferral),
    "pull_forward": _each_pool(_without_pull_forward),
    "admission": _each_pool(_without_admission),
}
"""How each mechanism is left out of a problem, by its name; a new mechanism is one entry."""
