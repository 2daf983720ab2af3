"""A problem and a plan side by side as arrays. Names: T steps, K epochs, C request classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ebplan.checker.ways import Way, read_ways
from ebplan.plan import Plan, PoolEpoch, Step
from ebplan.problem import PoolProblem, Problem

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

INSTANT_S = 1e-9
"""Two times this close are one: far below a step, far above the rounding of a sum of steps."""


@dataclass(frozen=True)
class Finding:
    """One breach of a law, before the law's name is put to it."""

    at_s: float | None
    amount: float
    allowed: float
    message: str


def worst(
    amount: FloatArray | float,
    allowed: FloatArray | float,
    at_s: FloatArray | float | None,
    message: str,
) -> list[Finding]:
    """Return the worst breach, if any: where ``amount`` exceeds ``allowed`` most.

    What is not a number breaks every law.
    """
    if np.less_equal(np.subtract(amount, allowed), 0.0).all():
        return []
    amounts = np.atleast_1d(np.asarray(amount, dtype=float))
    limits = np.broadcast_to(np.asarray(allowed, dtype=float), amounts.shape)
    beyond = amounts - limits
    beyond = np.where(np.isnan(beyond), np.inf, beyond)
    i = int(beyond.argmax())
    when = None if at_s is None else float(np.broadcast_to(at_s, amounts.shape)[i])
    # a finding is written to a document, which holds finite numbers only
    found = np.nan_to_num(amounts[i], nan=np.inf)
    limit = np.nan_to_num(limits[i], nan=0.0, posinf=0.0)
    return [Finding(when, float(np.nan_to_num(found)), float(limit), message)]


@dataclass(frozen=True)
class PoolEvidence:
    """One pool's columns, each of shape (K,) unless said otherwise; what it has not is 0."""

    problem: PoolProblem
    ways: tuple[Way, ...]
    """The ways in which its instances run: its own first."""
    drained: FloatArray
    asleep: FloatArray
    in_transit: FloatArray
    put_to_sleep: FloatArray
    woken: FloatArray
    """All wake commands."""
    woken_warm: FloatArray
    """Those of them that count on a pre-warm."""
    prewarm: FloatArray
    """Pre-warm commands, 0 or 1."""
    tier_drained: FloatArray
    to_tier: FloatArray
    to_own: FloatArray
    offered_req_per_s: FloatArray
    """Shape (C, K)."""
    served_req_per_s: FloatArray
    """Shape (C, K)."""
    rejected_req_per_s: FloatArray
    """Shape (C, K)."""
    deferred_req_per_s: FloatArray
    """Put off (> 0) or worked off (< 0), shape (C, K)."""
    backlog_requests: FloatArray
    """Waiting at the end of each epoch, shape (C, K)."""
    pulled_req_per_s: FloatArray
    """Not due yet and served ahead, shape (C, K)."""
    lowered_req_per_s: FloatArray
    """Served at the lower precision, shape (C, K)."""

    @classmethod
    def of(cls, problem: PoolProblem, epochs: tuple[PoolEpoch, ...]) -> PoolEvidence:
        """Read the pool's epochs of a plan."""

        def column(field: str) -> FloatArray:
            return np.array([getattr(epoch, field) for epoch in epochs], dtype=float)

        def in_tier(field: str) -> FloatArray:
            if problem.tier is None:
                return np.zeros(len(epochs))
            return np.array([getattr(epoch.tier, field) for epoch in epochs], dtype=float)

        def by_class(field: str) -> FloatArray:
            return np.array(
                [[getattr(e.classes[c.name], field) for e in epochs] for c in problem.classes],
                dtype=float,
            )

        served, lowered = by_class("served_req_per_s"), by_class("lowered_req_per_s")
        rates = _rates(problem)
        loads = [(requests / rates).sum(axis=0) for requests in (served, lowered)]
        return cls(
            problem=problem,
            ways=read_ways(problem, epochs, *loads),
            drained=column("drained"),
            asleep=column("asleep"),
            in_transit=column("in_transit"),
            put_to_sleep=column("put_to_sleep"),
            woken=column("woken"),
            woken_warm=column("woken_warm"),
            prewarm=column("prewarm"),
            tier_drained=in_tier("drained"),
            to_tier=in_tier("to_tier"),
            to_own=in_tier("to_own"),
            offered_req_per_s=by_class("offered_req_per_s"),
            served_req_per_s=served,
            rejected_req_per_s=by_class("rejected_req_per_s"),
            deferred_req_per_s=by_class("deferred_req_per_s"),
            backlog_requests=by_class("backlog_requests"),
            pulled_req_per_s=by_class("pulled_req_per_s"),
            lowered_req_per_s=lowered,
        )

    @cached_property
    def rates(self) -> FloatArray:
        """Requests per second of one instance-equivalent, shape (C, 1)."""
        return _rates(self.problem)

    @cached_property
    def tier_active(self) -> FloatArray:
        """Active instances of the lower precision."""
        return self.ways[-1].active if self.problem.tier else np.zeros_like(self.drained)

    @cached_property
    def active(self) -> FloatArray:
        """Active instances, whichever way they run."""
        return np.asarray(np.sum([way.active for way in self.ways], axis=0))

    @cached_property
    def own_active(self) -> FloatArray:
        """Active instances of the pool's own precision, under a locked clock or not."""
        return self.active - self.tier_active

    @cached_property
    def power_kw(self) -> FloatArray:
        """Settled power of all active instances."""
        return np.asarray(np.sum([way.power_kw for way in self.ways], axis=0))

    @cached_property
    def own_newly_drained(self) -> FloatArray:
        """Instances fewer at work in the pool's own precision than an epoch before."""
        return _fewer(self.problem.active_at_start, self.own_active)

    @cached_property
    def tier_newly_drained(self) -> FloatArray:
        """Instances fewer at work in the lower precision than an epoch before."""
        tier = self.problem.tier
        return _fewer(0 if tier is None else tier.active_at_start, self.tier_active)


def _rates(pool: PoolProblem) -> FloatArray:
    return np.array([[c.requests_per_s_per_instance] for c in pool.classes])


def _fewer(at_start: int, active: FloatArray) -> FloatArray:
    return np.maximum(np.concatenate([[at_start], active[:-1]]) - active, 0.0)


@dataclass(frozen=True)
class Evidence:
    """A problem, a plan of the same shape, and the plan's columns, each of shape (T,)."""

    problem: Problem
    plan: Plan
    pools: tuple[PoolEvidence, ...]
    edges_s: FloatArray
    """Shape (T + 1,)."""
    hours: FloatArray
    grid_kw: FloatArray
    compute_kw: FloatArray
    battery_kw: FloatArray
    shortfall_kw: FloatArray
    target_kw: FloatArray
    baseline_kw: FloatArray
    other_kw: FloatArray

    @classmethod
    def of(cls, problem: Problem, plan: Plan) -> Evidence:
        """Lay a problem and a plan side by side; their shapes must agree."""

        def column(field: str) -> FloatArray:
            return np.array([getattr(step, field) for step in plan.steps], dtype=float)

        edges_s = np.array(problem.grid.edges_s)
        return cls(
            problem=problem,
            plan=plan,
            pools=tuple(PoolEvidence.of(pool, plan.pools[pool.name]) for pool in problem.pools),
            edges_s=edges_s,
            hours=np.diff(edges_s) / 3600.0,
            grid_kw=column("grid_kw"),
            compute_kw=column("compute_kw"),
            battery_kw=column("battery_kw"),
            shortfall_kw=column("shortfall_kw"),
            target_kw=np.array(problem.target_kw),
            baseline_kw=np.array(problem.baseline_kw),
            other_kw=np.array(problem.other_kw),
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the plan."""
        return self.plan.steps

    @cached_property
    def starts_s(self) -> FloatArray:
        """Start of each step."""
        return self.edges_s[:-1]

    @cached_property
    def epoch_starts_s(self) -> FloatArray:
        """Start of each epoch, shape (K,)."""
        return self.edges_s[list(self.problem.grid.epoch_steps)]

    @cached_property
    def epoch_s(self) -> FloatArray:
        """Duration of each epoch, shape (K,)."""
        return np.diff(np.append(self.epoch_starts_s, self.edges_s[-1]))

    @cached_property
    def epoch_of_step(self) -> NDArray[np.int64]:
        """Epoch of each step."""
        return np.searchsorted(self.epoch_starts_s, self.starts_s + INSTANT_S, "right") - 1

    @cached_property
    def asked(self) -> BoolArray:
        """Steps in which a response is asked: a band is held where 0 is asked as well."""
        return self.in_window if self.both_ways else np.asarray(self.target_kw != 0.0)

    @cached_property
    def both_ways(self) -> bool:
        """Whether a target is followed both ways, within a band."""
        return self.problem.asks == "both_ways"

    @cached_property
    def energy_price(self) -> FloatArray:
        """Price of energy drawn in each step."""
        price: FloatArray = np.array(self.problem.prices.energy_per_kwh)
        return np.zeros(len(self.hours)) + price

    def misses_kw(self, draw_kw: FloatArray, step: NDArray[np.int64] | None = None) -> FloatArray:
        """Return by how much draws, each in its step, lie outside what is asked (< 0: inside)."""
        off_kw = draw_kw - (self.aim_kw if step is None else self.aim_kw[step])
        missed_kw = np.abs(off_kw) if self.both_ways else self.sign * off_kw
        return np.asarray(missed_kw - self.problem.tolerance_kw)

    @cached_property
    def in_window(self) -> BoolArray:
        """Steps inside the event, also before its response is asked."""
        begin, end = self.problem.event_start_s, self.problem.event_end_s
        return (self.starts_s >= begin - INSTANT_S) & (self.starts_s < end - INSTANT_S)

    @cached_property
    def releases(self) -> bool:
        """Whether the draw is judged from above at least; False where more of it is asked for."""
        return self.problem.asks != "one_way" or not bool((self.target_kw > 0.0).any())

    @cached_property
    def sign(self) -> float:
        """1 where a higher draw misses the target (release), -1 where a lower one does."""
        return 1.0 if self.releases else -1.0

    @cached_property
    def aim_kw(self) -> FloatArray:
        """The draw that just meets the target: highest to release, lowest to absorb."""
        return self.baseline_kw + self.target_kw

    @cached_property
    def stored_kwh(self) -> FloatArray | None:
        """Energy in the battery at each edge as the plan states it, shape (T + 1,)."""
        battery = self.problem.battery
        if battery is None:
            return None
        soc = np.array([np.nan if s.soc is None else s.soc for s in self.steps])
        return np.concatenate([[battery.start_kwh], soc * battery.energy_kwh])


def each_pool(
    evidence: Evidence, law: Callable[[PoolEvidence, FloatArray], list[Finding]]
) -> list[Finding]:
    """Ask a law of each pool, at the epochs' starts."""
    return [f for pool in evidence.pools for f in law(pool, evidence.epoch_starts_s)]
