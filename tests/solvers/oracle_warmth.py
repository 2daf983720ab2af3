"""The pre-warm in the problem stated once more: a state of the whole pool that lasts a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cvxpy as cp
import numpy as np
from oracle_requests import Statement

from ebplan.problem import PoolProblem
from ebplan.timegrid import TimeGrid

Expression = Any
"""A cvxpy expression; cvxpy has no types."""


@dataclass(frozen=True)
class Warmth:
    """Whether a pool is warm, epoch by epoch."""

    of_all: Expression
    """1 where it is warm, the same for every instance, (N, K)."""
    power_kw: Expression
    """Draw of the work that warms it, (K,)."""
    given: Expression = None
    """Commands to warm it, (K,); none where it cannot be warmed."""
    keeps: Any = None
    """1 where a command given at epoch j keeps epoch k warm, (K, K) by j and k."""
    uses: list[Expression] = field(default_factory=list)
    """What is done warm, by epoch, (K,) each: drains and wakes."""

    def each_is_used(self, said: Statement) -> None:
        """Warm nothing that no drain and no wake makes use of."""
        if self.given is not None:
            said.constraints += [self.given <= self.keeps @ sum(self.uses)]


def state_warmth(said: Statement, pool: PoolProblem, grid: TimeGrid) -> Warmth:
    """Follow the pool from cold to working on it, to warm, to cold again."""
    t, everyone = grid.epoch_starts_s, np.ones((pool.instances, 1))
    if pool.prewarm is None:
        return Warmth(everyone @ np.zeros((1, len(t))), np.zeros(len(t)))
    given, keeps = cp.Variable(len(t), boolean=True), np.zeros((len(t), len(t)))
    working, warm = (cp.Variable(len(t), boolean=True) for _ in range(2))
    for k in range(len(t)):
        old = 1.0 if t[k] < pool.prewarm.warm_until_s else 0.0
        at_work, done = 0.0, old
        for j in range(k + 1):
            ready_s = t[j] + pool.prewarm.lead_s
            if t[k] < ready_s - 1e-9:
                at_work = at_work + given[j]
            elif t[k] < ready_s + pool.prewarm.expires_s - 1e-9:
                done = done + given[j]
                keeps[j, k] = 1.0
        # Each is 0 or 1, and not both: nothing is warmed again while it is worked on or warm.
        said.constraints += [working[k] == at_work, warm[k] == done, working[k] + warm[k] <= 1]
    said.charge("prewarming", pool.prewarm.price * cp.sum(given))
    return Warmth(
        everyone @ cp.reshape(warm, (1, len(t)), order="F"),
        pool.prewarm.power_kw * working,
        given,
        keeps,
    )
