"""What a pool is told in each epoch, and what becomes of its requests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ebplan.plan import ClassEpoch, ClassService, ClockLockEpoch, PoolEpoch, TierEpoch
from ebplan.problem import ClassProblem, ClockLockProblem, PoolProblem, Problem
from ebplan.solvers.decision import NOTHING_KW, PoolDecision, Running
from ebplan.solvers.operations import CLOCK_LOCK
from ebplan.solvers.program import FloatArray
from ebplan.solvers.quality import Latency, late_load, worst_latency

NATURAL_DRAW_MARGIN = 0.002
"""A power this close to the natural draw needs no cap: the piecewise-linear load curve lies up to
0.2 % below the law, and a cap within it would only trim noise."""


Column = Sequence[Any]
"""One value for each epoch, as a plan holds it."""


def pool_epochs(problem: Problem, decision: PoolDecision) -> tuple[PoolEpoch, ...]:
    """Return counts, set-points and requests of a pool, one entry for each epoch."""
    pool, nothing = decision.pool, np.zeros(problem.grid.n_epochs)
    swapped = nothing if decision.swaps is None else decision.swaps.drained
    settled = decision.serving + decision.drained + decision.asleep + swapped
    late = late_load(decision)
    classes = {c.name: _class_epochs(problem, decision, c, late) for c in pool.classes}
    prewarm = nothing if decision.prewarm is None else decision.prewarm
    columns: dict[str, Column] = {
        "t_s": problem.grid.epoch_starts_s.tolist(),
        "drained": _whole(decision.drained),
        "asleep": _whole(decision.asleep),
        "in_transit": _whole(pool.instances - settled),
        "put_to_sleep": _whole(decision.to_sleep),
        "woken": _whole(decision.to_wake),
        **_running(decision.own),
        "cap_w_per_gpu": _cap_w_per_gpu(pool, decision.own),
        "clock_lock": _clock_lock_epochs(decision) or [None] * len(nothing),
        "tier": _tier_epochs(decision) or [None] * len(nothing),
        "prewarm": (prewarm != 0.0).tolist(),
        "woken_warm": _whole(nothing if decision.woken_warm is None else decision.woken_warm),
        "classes": _by_epoch(classes),
    }
    return tuple(PoolEpoch(**epoch) for epoch in _by_epoch(columns))


def _by_epoch(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Turn columns into the values of each epoch by name."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _whole(counts: FloatArray) -> list[int]:
    return [int(count) for count in counts.tolist()]


def _running(way: Running) -> dict[str, Column]:
    """Return what every way of running says of its epochs."""
    running, capacity = way.active > 0.0, way.capacity()
    nothing = np.zeros(len(running))
    return {
        "active": _whole(way.active),
        "utilisation": np.divide(way.load, way.active, out=nothing.copy(), where=running).tolist(),
        "capacity_used": np.divide(way.load, capacity, out=nothing, where=running).tolist(),
        "power_kw": way.power_kw.tolist(),
    }


def _clock_lock_epochs(decision: PoolDecision) -> list[ClockLockEpoch]:
    """Return the instances under a locked clock; nothing where the pool has none."""
    lock = decision.pool.clock_lock
    if lock is None:
        return []
    way = next(way for way in decision.ways if way.operation.key == CLOCK_LOCK)
    set_to = [None if kw is None else _clock_mhz(lock, kw) for kw in _below_natural_kw(way)]
    return [ClockLockEpoch(**e) for e in _by_epoch({**_running(way), "clock_mhz": set_to})]


def _clock_mhz(lock: ClockLockProblem, each_kw: float) -> float:
    """Return the clock at which an instance draws so much."""
    share = math.pow(each_kw / lock.cap_curve.full_kw, 1.0 / lock.power_exponent)
    return round(lock.max_clock_mhz * min(share, 1.0), 1)


def _tier_epochs(decision: PoolDecision) -> list[TierEpoch]:
    """Return the instances of the lower precision; nothing where the pool has none."""
    swaps = decision.swaps
    if swaps is None:
        return []
    way = decision.ways[-1]
    columns: dict[str, Column] = {
        **_running(way),
        "drained": _whole(swaps.drained),
        "to_tier": _whole(swaps.to_tier),
        "to_own": _whole(swaps.to_own),
        "cap_w_per_gpu": _cap_w_per_gpu(decision.pool, way),
    }
    return [TierEpoch(**epoch) for epoch in _by_epoch(columns)]


def _class_epochs(
    problem: Problem,
    decision: PoolDecision,
    requests: ClassProblem,
    late: dict[str, FloatArray],
) -> list[ClassEpoch]:
    rate, load, name = requests.requests_per_s_per_instance, requests.load, requests.name
    nothing = np.zeros(problem.grid.n_epochs)
    rejected, put_off = decision.rejected[name], _put_off(problem, decision, requests)
    ahead, lowered = decision.pulled.get(name, nothing), decision.lowered.get(name, nothing)
    served = load - rejected - put_off + ahead
    columns: dict[str, Column] = {
        "offered_req_per_s": [load * rate] * len(nothing),
        "served_req_per_s": np.where(served > NOTHING_KW, served * rate, 0.0).tolist(),
        "rejected_req_per_s": (rejected * rate).tolist(),
        "deferred_req_per_s": (put_off * rate).tolist(),
        "backlog_requests": _waiting(problem, requests, put_off)[1:],
        "pulled_req_per_s": (ahead * rate).tolist(),
        "lowered_req_per_s": (lowered * rate).tolist(),
        **_times(decision, requests, served),
        "late_req_per_s": (late.get(name, nothing) * rate).tolist(),
    }
    return [ClassEpoch(**epoch) for epoch in _by_epoch(columns)]


def _times(decision: PoolDecision, requests: ClassProblem, served: FloatArray) -> dict[str, Column]:
    """Return the latency of a class where one is known; there is none where it is not served."""
    if requests.latency is None:
        return {}
    nobody = Latency(None, None)
    found = [
        worst_latency(decision, requests, k) if load > NOTHING_KW else nobody
        for k, load in enumerate(served.tolist())
    ]
    return {"ttft_p95_s": [f.ttft_p95_s for f in found], "itl_s": [f.itl_s for f in found]}


def _put_off(problem: Problem, decision: PoolDecision, requests: ClassProblem) -> FloatArray:
    """Return the load of a class put off (> 0) or worked off (< 0), shape (K,)."""
    return decision.deferred.get(requests.name, np.zeros(problem.grid.n_epochs))


def _waiting(problem: Problem, requests: ClassProblem, put_off: FloatArray) -> list[float]:
    """Return the requests waiting at the start and at the end of each epoch, K + 1 values."""
    start = 0.0 if requests.deferral is None else requests.deferral.backlog_at_start
    work = np.full(len(put_off) + 1, start)
    work[1:] += np.cumsum(put_off * problem.grid.epoch_durations_s)
    # A thousandth of a request is rounding of the solver.
    waiting = work * requests.requests_per_s_per_instance
    return [float(w) for w in np.where(waiting < 1e-3, 0.0, waiting)]


def _cap_w_per_gpu(pool: PoolProblem, way: Running) -> list[float | None]:
    """Return the limit for each GPU, or None where the natural draw is no higher."""
    if not pool.may_cap:
        return [None] * len(way.active)

    def watts(each_kw: float) -> float:
        # Drivers take whole watts; a tenth is finer than any of them.
        return round(each_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance, 1)

    natural_kw = _natural_kw(way).tolist()
    # a cap that takes less than it is meant to is set so much deeper
    set_to = [
        None if kw is None else natural - (natural - kw) / pool.cap_delivery
        for kw, natural in zip(_below_natural_kw(way), natural_kw, strict=True)
    ]
    return [None if kw is None else watts(kw) for kw in set_to]


def _natural_kw(way: Running) -> FloatArray:
    """Return the uncapped power of one active instance, shape (K,)."""
    return way.operation.load_curve.power_kw(way.load / np.maximum(way.active, 1.0))


def _below_natural_kw(way: Running) -> list[float | None]:
    """Return the power of one active instance where it lies below its natural draw, else None."""
    each_kw = way.power_kw / np.maximum(way.active, 1.0)
    natural_kw = _natural_kw(way)
    below = (way.active > 0.0) & (each_kw < natural_kw * (1.0 - NATURAL_DRAW_MARGIN))
    return [kw if is_below else None for kw, is_below in zip(each_kw.tolist(), below, strict=True)]


def pool_service(problem: Problem, decision: PoolDecision) -> dict[str, ClassService]:
    """Return the requests of each class over the whole plan, by what became of them."""
    seconds, late = problem.grid.epoch_durations_s, late_load(decision)
    service = {}
    for requests in decision.pool.classes:
        rate = requests.requests_per_s_per_instance
        offered = requests.load * rate * float(seconds.sum())
        rejected = float(decision.rejected[requests.name] @ seconds) * rate
        put_off = _put_off(problem, decision, requests)
        waiting = _waiting(problem, requests, put_off)
        nothing = np.zeros(len(seconds))
        pulled = float(decision.pulled.get(requests.name, nothing) @ seconds) * rate
        served = offered - rejected - float(put_off @ seconds) * rate + pulled
        service[requests.name] = ClassService(
            offered=offered,
            served=max(served, 0.0),
            pulled=pulled,
            lowered=float(decision.lowered.get(requests.name, nothing) @ seconds) * rate,
            rejected=rejected,
            backlog_at_start=waiting[0],
            backlog_at_end=waiting[-1],
            late_requests=float(late.get(requests.name, nothing) @ seconds) * rate,
        )
    return service
