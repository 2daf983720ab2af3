"""The model curves, written out once more from their parameters.

Recomputed on purpose: the checker shares no code with what made the plan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import ClockLockProblem, PoolProblem, TierProblem

FloatArray = NDArray[np.float64]
HasLoadCurve = PoolProblem | TierProblem
"""What draws by its load."""
HasCapCurve = PoolProblem | ClockLockProblem | TierProblem
"""What serves by its power."""


def load_curve_kw(of: HasLoadCurve, utilisation: FloatArray) -> FloatArray:
    """Return the uncapped power f(u): idle + sum a u^g, and linear in duty below one request."""
    curve = of.load_curve
    first = curve.one_request_utilisation
    law = np.zeros_like(utilisation)
    for term in curve.terms:
        law += term.amplitude_kw * np.maximum(utilisation, first) ** term.exponent
    return curve.idle_kw + law * np.minimum(utilisation / first, 1.0)


def saturated_kw(of: HasLoadCurve) -> float:
    """Return f(1)."""
    return float(load_curve_kw(of, np.ones(1))[0])


def capacity(of: HasCapCurve, power_kw: FloatArray) -> FloatArray:
    """Return s(p): the power law where it is concave, else its tangent at full power."""
    curve = of.cap_curve
    share = power_kw / curve.full_kw
    if curve.elasticity <= 1.0:
        return np.minimum(share**curve.elasticity, 1.0)
    return np.minimum(1.0 + curve.elasticity * (share - 1.0), 1.0)


def load_at_start(pool: PoolProblem) -> float:
    """Return the load per active instance at the start, at most 1; 1 without active ones.

    What a lower precision serves then is not theirs.
    """
    if not pool.active_at_start:
        return 1.0
    lowered = 0.0 if pool.tier is None else pool.tier.load_at_start
    offered = sum(c.load for c in pool.classes)
    return min((offered - lowered) / pool.active_at_start, 1.0)


def usual_load(pool: PoolProblem) -> float:
    """Return the load per instance that is usually active, at most 1; 1 where none is."""
    usual = pool.active_at_start if pool.usually_active is None else pool.usually_active
    if not usual:
        return 1.0
    lowered = 0.0 if pool.tier is None else pool.tier.load_at_start
    return min((sum(c.load for c in pool.classes) - lowered) / usual, 1.0)


def tier_load_at_start(pool: PoolProblem) -> float:
    """Return the load per active instance of the lower precision, of its own capacity; or 0."""
    tier = pool.tier
    if tier is None or not tier.active_at_start:
        return 0.0
    return min(tier.load_at_start / (tier.capacity_factor * tier.active_at_start), 1.0)
