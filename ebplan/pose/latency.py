"""Limits on latency become numbers of the problem, held to what the pool can keep at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.models.fleet import FleetModel
from ebplan.models.latency import ClassLatency, Queue
from ebplan.models.latency_bounds import finest_speed, latency_bounds
from ebplan.problem import ClassProblem, PoolProblem
from ebplan.site import Pool

LINES_MARGIN = 0.01
"""How far below the curves the planner's lines may lie, generously."""
_FIELDS = {"ttft_p95_limit_s": "ttft_p95_s", "itl_limit_s": "itl_s"}


def pose_latency(
    name: str, pool: Pool, fleet: FleetModel, posed: PoolProblem
) -> tuple[PoolProblem, tuple[str, ...]]:
    """Return the pool with the latency of its classes and their limits, and caveats.

    A limit that the load at the start leaves no way to keep, event or not, is loosened to what can
    be kept, and a caveat says so: an overloaded pool still gets a plan.

    Raises:
        InputError: a limit that not even an idle, uncapped instance could keep.
    """
    if not pool.latency:
        return posed, ()
    known = {key: _class_latency(name, pool, fleet, key) for key in pool.classes}
    if not any(known.values()):
        return posed, ()
    # A mixed queue is taken to be as slow as the slowest workload with load in it.
    loaded = [c.name for c in posed.classes if c.load > 0.0] or list(pool.classes)
    slots = fleet.concurrency_limit_per_instance
    queue = Queue(
        slots=slots,
        service_s=max(_service_s(fleet, pool.classes[key].workload) for key in loaded),
    )
    posed = posed.model_copy(update={"queue": queue, "classes": _with(posed.classes, known)})
    try:
        latency_bounds(posed)
    except FieldFault as fault:
        key, _, field = fault.field.split(".")
        raise InputError(
            field=f"site.pools.{name}.classes.{key}.limits.{_FIELDS[field]}",
            value=fault.value,
            allowed=fault.allowed,
            remedy=fault.remedy,
        ) from None
    return _loosened(name, posed)


def _service_s(fleet: FleetModel, workload: str) -> float:
    """Return the time in service with every slot taken, by Little's law."""
    return fleet.concurrency_limit_per_instance / fleet.capacity_req_per_s(workload)


def _class_latency(name: str, pool: Pool, fleet: FleetModel, key: str) -> ClassLatency | None:
    """Return the latency of a class; None where the site knows nothing of its workload."""
    requests = pool.classes[key]
    known = pool.latency.get(requests.workload)
    if known is None:
        return None
    service_s = _service_s(fleet, requests.workload)
    if known.prefill_s >= service_s:
        raise InputError(
            field=f"site.pools.{name}.latency.{requests.workload}.prefill_s",
            value=known.prefill_s,
            allowed=f"< {service_s:.3f} s, the time a request is in service",
            remedy="give the time to the first token of a request that does not wait, in s",
        )
    itl_s = known.itl_s
    tokens = fleet.workload(requests.workload).tokens_out_per_request
    if itl_s is None and tokens is not None and tokens > 1.0:
        itl_s = (service_s - known.prefill_s) / (tokens - 1.0)
    limits = requests.limits
    if limits is None:
        return ClassLatency(prefill_s=known.prefill_s, itl_s=itl_s)
    if limits.itl_s is not None and itl_s is None:
        raise InputError(
            field=f"site.pools.{name}.latency.{requests.workload}.itl_s",
            value=None,
            allowed="> 0: the fleet model knows no output tokens of this workload",
            remedy="give the inter-token latency, or remove the limit on it",
        )
    price = limits.price_per_late_request
    return ClassLatency(
        prefill_s=known.prefill_s,
        itl_s=itl_s,
        ttft_p95_limit_s=limits.ttft_p95_s,
        itl_limit_s=limits.itl_s,
        late_per_instance_s=None
        if price is None
        else price * fleet.capacity_req_per_s(requests.workload),
    )


def _with(
    classes: tuple[ClassProblem, ...], known: Mapping[str, ClassLatency | None]
) -> tuple[ClassProblem, ...]:
    """Return the classes with their latency."""
    return tuple(c.model_copy(update={"latency": known[c.name]}) for c in classes)


def _loosened(name: str, pool: PoolProblem) -> tuple[PoolProblem, tuple[str, ...]]:
    """Loosen hard limits on the first token that the protected load leaves no way to keep."""
    bound = latency_bounds(pool).max_utilisation
    if bound is None:
        return pool, ()
    least = _least_used(pool)
    if least <= bound:
        return pool, ()
    caveats, known = [], {c.name: c.latency for c in pool.classes}
    queue, slowest = pool.queue, finest_speed(pool)
    assert queue is not None  # a bound comes from it
    for key, latency in known.items():
        if latency is None or not latency.is_hard or latency.ttft_p95_limit_s is None:
            continue
        within_s = (latency.prefill_s + queue.wait_p95_s(least)) / slowest
        if within_s > latency.ttft_p95_limit_s:
            known[key] = latency.model_copy(update={"ttft_p95_limit_s": within_s})
            caveats.append(
                f"Pool {name}: the load leaves no way to keep the limit of "
                f"{latency.ttft_p95_limit_s:g} s on the time to first token of {key}, event or "
                f"not; the plan keeps {within_s:.3g} s."
            )
    return pool.model_copy(update={"classes": _with(pool.classes, known)}), tuple(caveats)


def _least_used(pool: PoolProblem) -> float:
    """Return the lowest utilisation of the capacity at which the protected load can be served.

    Uncapped, on as many of the instances awake as the load keeps busy enough; at most the highest
    utilisation planned for, beyond which protected requests are turned away.
    """
    awake = pool.active_at_start + pool.drained_at_start
    kept = sum(c.load - c.max_rejected for c in pool.classes)
    counts = [n for n in range(1, awake + 1) if pool.min_utilisation * n <= pool.load]
    if kept <= 0.0 or not counts:
        return 0.0
    each = np.array([max(kept / n, pool.min_utilisation) for n in counts])
    each = np.minimum(each, pool.max_utilisation)
    capacity = pool.cap_curve.capacity(pool.load_curve.power_kw(each)) * (1.0 - LINES_MARGIN)
    return min(float((each / capacity).min()), pool.max_utilisation)
