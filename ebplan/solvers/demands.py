"""Demands: what may become of a pool's load, ordered by impact, several choices side by side.

Requests are first put off, then turned away, cheapest first, in shares of ``SHARES``. Every load
is one number, or an array of shape (D,): that many demands, from the least impact to the most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ebplan.problem import ClassProblem, PoolProblem
from ebplan.solvers.operations import Operation
from ebplan.solvers.program import FloatArray

SHARES = np.linspace(0.05, 1.0, 20)
"""Shares of a class that are tried when requests are put off or turned away."""

Load = float | FloatArray
"""Instance-equivalents of one demand, or of D demands, shape (D,)."""


@dataclass(frozen=True)
class Demand:
    """What becomes of the load offered to a pool, in instance-equivalents by class."""

    rejected: dict[str, Load]
    deferred: dict[str, Load]
    """Put off (> 0) or worked off (< 0); only classes that may wait."""
    pulled: dict[str, Load] = field(default_factory=dict)
    """Served ahead."""
    lowered: dict[str, Load] = field(default_factory=dict)
    """Served at the lower precision."""

    def served(self, pool: PoolProblem) -> Load:
        """Return the load that is left to serve."""
        away = sum(self.rejected.values()) + sum(self.deferred.values())
        return pool.load - away + sum(self.pulled.values())

    def served_by_own(self, pool: PoolProblem) -> Load:
        """Return what is left of it to the pool's own precision."""
        return self.served(pool) - sum(self.lowered.values())

    def at(self, i: int) -> Demand:
        """Return one of the demands, with plain numbers."""
        return Demand(
            rejected=_each_at(self.rejected, i),
            deferred=_each_at(self.deferred, i),
            pulled=_each_at(self.pulled, i),
            lowered=_each_at(self.lowered, i),
        )


def _each_at(loads: dict[str, Load], i: int) -> dict[str, Load]:
    return {name: one_at(load, i) for name, load in loads.items()}


def one_at(load: Load, i: int) -> float:
    """Return one of D numbers, or the number that all share."""
    return float(load[i]) if isinstance(load, np.ndarray) and load.ndim else float(load)


def nothing_served(pool: PoolProblem) -> Demand:
    """Turn everything away."""
    return Demand(
        rejected={c.name: c.load for c in pool.classes},
        deferred={c.name: 0.0 for c in pool.classes if c.deferral is not None},
    )


def everything_served(pool: PoolProblem, lowered: float) -> Demand:
    """Serve everything, as much of it as given at the lower precision."""
    return Demand(
        rejected={c.name: 0.0 for c in pool.classes},
        deferred={c.name: 0.0 for c in pool.classes if c.deferral is not None},
        lowered=_share_out(pool, lowered),
    )


def lowered_more(pool: PoolProblem, lower: Operation, demand: Demand) -> Demand:
    """Route as much to the lower precision as is eligible and its instances can serve."""
    if pool.tier is None:
        return demand
    most = pool.in_tier_at_start * lower.max_utilisation * lower.capacity_factor
    served = _share_out(pool, min(most, sum(_eligible(pool).values())))
    enough = lower.min_utilisation * lower.capacity_factor
    return replace(demand, lowered=served) if sum(served.values()) >= enough else demand


def _eligible(pool: PoolProblem) -> dict[str, float]:
    """Return the load of each class that a lower precision may serve."""
    return {
        c.name: c.lowered.eligible_share * c.load for c in pool.classes if c.lowered is not None
    }


def _share_out(pool: PoolProblem, load: float) -> dict[str, Load]:
    """Share the load of the lower precision out over the classes in proportion to what may."""
    eligible = _eligible(pool)
    whole = sum(eligible.values())
    share = min(load / whole, 1.0) if whole > 0.0 else 0.0
    return {name: share * part for name, part in eligible.items()}


def put_off(pool: PoolProblem, lower: Operation, demand: Demand, held_s: float) -> Iterator[Demand]:
    """Yield demands with more and more of the cheapest class put off, then of the next."""
    waiting = [
        (c.deferral.price_per_work_h, c.deferral.deadline_s, c)
        for c in pool.classes
        if c.deferral is not None and c.deferral.may_put_off
    ]
    for _, deadline_s, requests in sorted(waiting, key=lambda choice: choice[0]):
        # Held for the whole event, no request waits longer than its deadline.
        most = requests.load * min(1.0, deadline_s / held_s)
        deferred = {**demand.deferred, requests.name: SHARES * most}
        demands = _eligible_still(pool, lower, replace(demand, deferred=deferred))
        yield demands
        demand = demands.at(-1)


def turned_away(pool: PoolProblem, lower: Operation, demand: Demand) -> Iterator[Demand]:
    """Yield demands with more and more of the cheapest class turned away, then of the next."""
    for requests in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        if requests.max_rejected <= 0.0:
            continue
        demands = _eligible_still(pool, lower, _turned_away(requests, demand))
        yield demands
        demand = demands.at(-1)


def just_enough(pool: PoolProblem, lower: Operation, demand: Demand, awake: int) -> Demand:
    """Turn away what the instances awake cannot serve and no more, cheapest first.

    For loads so far beyond them that no share of ``SHARES`` fits.
    """
    most = awake * pool.max_utilisation
    for requests in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        beyond = float(demand.served_by_own(pool)) - most
        away = min(max(beyond, 0.0), requests.max_rejected)
        rejected = {**demand.rejected, requests.name: away}
        demand = _eligible_still(pool, lower, replace(demand, rejected=rejected)).at(0)
    return demand


def _turned_away(requests: ClassProblem, demand: Demand) -> Demand:
    """Turn each share of a class away."""
    name, rejected = requests.name, SHARES * requests.max_rejected
    deferred, waiting = demand.deferred, demand.deferred.get(requests.name, 0.0)
    if waiting:
        # The same share of what is still admitted waits, so that it keeps its deadline.
        deferred = {**deferred, name: waiting * (1.0 - rejected / requests.load)}
    return replace(demand, rejected={**demand.rejected, name: rejected}, deferred=deferred)


def _eligible_still(pool: PoolProblem, lower: Operation, demand: Demand) -> Demand:
    """Take back from the lower precision what is no longer served of its classes."""
    lowered: dict[str, Load] = {}
    for requests in pool.classes:
        if requests.name not in demand.lowered or requests.lowered is None:
            continue
        served = requests.load - demand.rejected[requests.name]
        served = served - demand.deferred.get(requests.name, 0.0)
        eligible = requests.lowered.eligible_share * np.maximum(served, 0.0)
        lowered[requests.name] = np.minimum(demand.lowered[requests.name], eligible)
    enough = sum(lowered.values()) >= lower.min_utilisation * lower.capacity_factor
    still: dict[str, Load] = {name: np.where(enough, load, 0.0) for name, load in lowered.items()}
    return replace(demand, lowered=still)
