"""What a pool is told in each epoch, and what becomes of its requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebplan.plan import ClassEpoch, ClassService, ClockLockEpoch, PoolEpoch, TierEpoch
from ebplan.problem import ClassProblem, PoolProblem, Problem
from ebplan.solvers.decision import NOTHING_KW, PoolDecision, Running
from ebplan.solvers.operations import CLOCK_LOCK
from ebplan.solvers.program import FloatArray
from ebplan.solvers.quality import late_load, worst_latency

NATURAL_DRAW_MARGIN = 0.002
"""A power this close to the natural draw needs no cap: the piecewise-linear load curve lies up to
0.2 % below the law, and a cap within it would only trim noise."""


def pool_epochs(problem: Problem, decision: PoolDecision) -> tuple[PoolEpoch, ...]:
    """Return counts, set-points and requests of a pool, one entry for each epoch."""
    pool = decision.pool
    starts = problem.grid.epoch_starts_s
    late = late_load(decision)
    epochs = []
    for k in range(problem.grid.n_epochs):
        swapped = decision.swaps.drained[k] if decision.swaps else 0.0
        settled = decision.serving[k] + decision.drained[k] + decision.asleep[k] + swapped
        epochs.append(
            PoolEpoch(
                t_s=float(starts[k]),
                drained=int(decision.drained[k]),
                asleep=int(decision.asleep[k]),
                in_transit=pool.instances - int(settled),
                put_to_sleep=int(decision.to_sleep[k]),
                woken=int(decision.to_wake[k]),
                **_running(decision.own, k),
                cap_w_per_gpu=_cap_w_per_gpu(pool, decision.own, k),
                clock_lock=_clock_lock_epoch(decision, k),
                tier=_tier_epoch(decision, k),
                prewarm=decision.prewarm is not None and bool(decision.prewarm[k]),
                woken_warm=0 if decision.woken_warm is None else int(decision.woken_warm[k]),
                classes={c.name: _class_epoch(problem, decision, c, late, k) for c in pool.classes},
            )
        )
    return tuple(epochs)


def _running(way: Running, k: int) -> dict[str, Any]:
    """Return what every way of running says of an epoch."""
    active, load, power_kw = int(way.active[k]), float(way.load[k]), float(way.power_kw[k])
    used = 0.0
    if active:
        used = load / (active * float(way.operation.cap_curve.capacity(power_kw / active)))
    return {
        "active": active,
        "utilisation": load / active if active else 0.0,
        "capacity_used": used,
        "power_kw": power_kw,
    }


def _clock_lock_epoch(decision: PoolDecision, k: int) -> ClockLockEpoch | None:
    lock = decision.pool.clock_lock
    if lock is None:
        return None
    way = next(way for way in decision.ways if way.operation.key == CLOCK_LOCK)
    each_kw = _below_natural_kw(way, k)
    clock_mhz = None
    if each_kw is not None:
        share = (each_kw / lock.cap_curve.full_kw) ** (1.0 / lock.power_exponent)
        clock_mhz = round(lock.max_clock_mhz * min(share, 1.0), 1)
    return ClockLockEpoch(**_running(way, k), clock_mhz=clock_mhz)


def _tier_epoch(decision: PoolDecision, k: int) -> TierEpoch | None:
    swaps = decision.swaps
    if swaps is None:
        return None
    way = decision.ways[-1]
    return TierEpoch(
        **_running(way, k),
        drained=int(swaps.drained[k]),
        to_tier=int(swaps.to_tier[k]),
        to_own=int(swaps.to_own[k]),
        cap_w_per_gpu=_cap_w_per_gpu(decision.pool, way, k),
    )


def _class_epoch(
    problem: Problem,
    decision: PoolDecision,
    requests: ClassProblem,
    late: dict[str, FloatArray],
    k: int,
) -> ClassEpoch:
    rate, load = requests.requests_per_s_per_instance, requests.load
    rejected = float(decision.rejected[requests.name][k])
    put_off = _put_off(problem, decision, requests)
    ahead = float(decision.pulled[requests.name][k]) if requests.name in decision.pulled else 0.0
    lowered = decision.lowered.get(requests.name)
    served = load - rejected - float(put_off[k]) + ahead
    return ClassEpoch(
        offered_req_per_s=load * rate,
        served_req_per_s=served * rate if served > NOTHING_KW else 0.0,
        rejected_req_per_s=rejected * rate,
        deferred_req_per_s=float(put_off[k]) * rate,
        backlog_requests=_waiting(problem, requests, put_off)[k + 1],
        pulled_req_per_s=ahead * rate,
        lowered_req_per_s=0.0 if lowered is None else float(lowered[k]) * rate,
        **_times(decision, requests, served, k),
        late_req_per_s=float(late[requests.name][k]) * rate if requests.name in late else 0.0,
    )


def _times(
    decision: PoolDecision, requests: ClassProblem, served: float, k: int
) -> dict[str, float | None]:
    """Return the latency of a class; there is none where it is not served."""
    if served <= NOTHING_KW:
        return {}
    found = worst_latency(decision, requests, k)
    return {"ttft_p95_s": found.ttft_p95_s, "itl_s": found.itl_s}


def _put_off(problem: Problem, decision: PoolDecision, requests: ClassProblem) -> FloatArray:
    """Return the load of a class put off (> 0) or worked off (< 0), shape (K,)."""
    return decision.deferred.get(requests.name, np.zeros(problem.grid.n_epochs))


def _waiting(problem: Problem, requests: ClassProblem, put_off: FloatArray) -> list[float]:
    """Return the requests waiting at the start and at the end of each epoch, K + 1 values."""
    start = 0.0 if requests.deferral is None else requests.deferral.backlog_at_start
    work = start + np.r_[0.0, np.cumsum(put_off * problem.grid.epoch_durations_s)]
    # A thousandth of a request is rounding of the solver.
    waiting = work * requests.requests_per_s_per_instance
    return [float(w) for w in np.where(waiting < 1e-3, 0.0, waiting)]


def _cap_w_per_gpu(pool: PoolProblem, way: Running, k: int) -> float | None:
    """Return the limit for each GPU, or None where the natural draw is no higher."""
    each_kw = _below_natural_kw(way, k)
    if each_kw is None or not pool.may_cap:
        return None
    # Drivers take whole watts; a tenth is finer than any of them.
    return round(each_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance, 1)


def _below_natural_kw(way: Running, k: int) -> float | None:
    """Return the power of one active instance where it lies below its natural draw, else None."""
    active = int(way.active[k])
    if not active:
        return None
    each_kw = float(way.power_kw[k]) / active
    natural_kw = float(way.operation.load_curve.power_kw(float(way.load[k]) / active))
    return each_kw if each_kw < natural_kw * (1.0 - NATURAL_DRAW_MARGIN) else None


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
