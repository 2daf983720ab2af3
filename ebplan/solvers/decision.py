"""What the fleet does: the decisions that everything else follows from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import FloatArray

NOTHING_KW = 1e-6
"""Powers below a milliwatt are rounding of the solver."""


@dataclass(frozen=True)
class PoolDecision:
    """What one pool does, per epoch, each of shape (K,)."""

    pool: PoolProblem
    active: FloatArray
    drained: FloatArray
    asleep: FloatArray
    to_sleep: FloatArray
    to_wake: FloatArray
    load: FloatArray
    """Load served in instance-equivalents."""
    power_kw: FloatArray
    """Settled power of the active instances."""
    rejected: dict[str, FloatArray]
    """Rejected load by class in instance-equivalents."""
    deferred: dict[str, FloatArray] = field(default_factory=dict)
    """Load put off (> 0) or worked off (< 0) by class, in instance-equivalents."""

    def newly_drained(self) -> FloatArray:
        """Return how many instances fewer are active than an epoch before, shape (K,)."""
        before = np.r_[self.pool.active_at_start, self.active[:-1]]
        return np.asarray(np.maximum(before - self.active, 0.0))

    def capacity(self) -> FloatArray:
        """Return the load that the active instances can serve at their power, shape (K,)."""
        active = self.active
        each = np.divide(self.power_kw, active, out=np.zeros(len(active)), where=active > 0)
        return np.where(active > 0, active * self.pool.cap_curve.capacity(each), 0.0)


def decide(problem: Problem, formulation: Formulation, x: FloatArray) -> tuple[PoolDecision, ...]:
    """Return what each pool does in a solution ``x``."""
    parts = zip(
        problem.pools, formulation.counts, formulation.lenses, formulation.services, strict=True
    )
    return tuple(
        PoolDecision(
            pool=pool,
            active=np.round(x[counts.active]),
            drained=np.round(x[counts.drained]),
            asleep=np.round(x[counts.asleep]),
            to_sleep=np.round(x[counts.to_sleep]),
            to_wake=np.round(x[counts.to_wake]),
            load=clean(x[lens.load]),
            power_kw=clean(x[lens.power]),
            rejected={name: clean(x[columns]) for name, columns in service.rejected.items()},
            deferred={name: round_off(x[columns]) for name, columns in service.deferred.items()},
        )
        for pool, counts, lens, service in parts
    )


def round_off(values: FloatArray) -> FloatArray:
    """Cut the solver's rounding next to zero, on either side of it."""
    return np.where(np.abs(values) < NOTHING_KW, 0.0, values)


def clean(values: FloatArray) -> FloatArray:
    """Cut the solver's rounding below zero and next to it."""
    return np.where(values < NOTHING_KW, 0.0, values)
