"""What a cause costs, and how costs are summed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ebplan.checker.evidence import Evidence, FloatArray, PoolEvidence


@dataclass(frozen=True)
class Amount:
    """What a cause costs."""

    money: float
    size: float
    """Sum of the terms taken without sign."""
    may_be_more: float = 0.0
    """How much more a plan may charge itself, by its piecewise-linear curves."""
    may_be_less: float = 0.0
    """How much less."""


def total(terms: FloatArray, **allowed: float) -> Amount:
    """Return the sum of terms of any shape, with what a plan is allowed."""
    return Amount(float(terms.sum()), float(np.abs(terms).sum()), **allowed)


def over_pools(evidence: Evidence, of: Callable[[PoolEvidence, FloatArray], Amount]) -> Amount:
    """Add a cause up over the pools; ``of`` is given the epochs' hours."""
    return added(*(of(pool, evidence.epoch_s / 3600.0) for pool in evidence.pools))


def added(*amounts: Amount) -> Amount:
    """Return what the amounts cost together."""
    return Amount(
        money=sum(a.money for a in amounts),
        size=sum(a.size for a in amounts),
        may_be_more=sum(a.may_be_more for a in amounts),
        may_be_less=sum(a.may_be_less for a in amounts),
    )
