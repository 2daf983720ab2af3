"""What a pool may be allowed besides routing, sleeping and capping becomes numbers.

Each function takes the site's words and the models and returns the problem's part, or None where
the site does not allow it; ``FieldFault`` names the field of the pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.cap import CapModel
from ebplan.models.clock import ClockModel
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.models.tier import TierModel
from ebplan.problem import (
    ClockLockProblem,
    LoweredProblem,
    PrewarmProblem,
    PullForwardProblem,
    TierProblem,
)
from ebplan.site import Pool, RequestClass, SleepTiming
from ebplan.state import PoolState

T = TypeVar("T")

WAKE_CONFIDENCE = 0.99
"""The planner reckons with as many tries of a wake as leave one in a hundred not awake."""


def look_up(field: str, loader: Callable[[str], T], name: str) -> T:
    """Look a model up by name; where it is unknown, the error names the pool's field.

    Where its file is broken, the error stays that of the file.
    """
    try:
        return loader(name)
    except InputError as error:
        if error.file:
            raise
        raise FieldFault(
            field=field, value=name, allowed=error.allowed, remedy=error.remedy
        ) from None


def tries(sleep: SleepTiming) -> int:
    """Return how many tries of a wake are reckoned with."""
    p = sleep.wake_failure_probability
    return 1 if p == 0.0 else max(1, math.ceil(math.log(1.0 - WAKE_CONFIDENCE) / math.log(p)))


def clock_model(pool: Pool) -> ClockModel | None:
    """Return the pool's clock model, if it has one."""
    if pool.clock_lock is None:
        return None
    return look_up("clock_lock.clock_model", library.load_clock, pool.clock_lock.clock_model)


def tier_model(pool: Pool) -> TierModel | None:
    """Return the pool's tier model, if it has one."""
    if pool.tier is None:
        return None
    return look_up("tier.tier_model", library.load_tier, pool.tier.tier_model)


def check_cap_reach(
    pool: Pool, fleet: FleetModel, cap: CapModel, curve: LoadCurve, precision: str = ""
) -> None:
    """Refuse a cap model that begins above what a GPU draws at the lowest load planned for.

    An instance may be capped at every load that is planned, down to its draw at the lowest.

    Args:
        pool: the pool.
        fleet: its fleet model.
        cap: its cap model.
        curve: load curve at the models' measurement point.
        precision: the lower precision that the curve is of; the pool's own where empty.
    """
    if pool.allow_extrapolation:
        return
    to_watts = 1000.0 / fleet.gpus_per_instance
    lightest_w = float(curve.power_kw(curve.valid_from_utilisation)) * to_watts
    if cap.valid_from_kw_per_gpu * 1000.0 > lightest_w * (1.0 + 1e-9):
        raise FieldFault(
            field="cap_model",
            value=f"{cap.name}: caps from {cap.valid_from_kw_per_gpu * 1000.0:.0f} W per GPU",
            allowed=f"a cap model that begins at {lightest_w:.0f} W or below, the draw of a GPU at "
            f"the lowest load planned for{precision and ' in ' + precision}",
            remedy="sweep caps down to there, or set allow_extrapolation on the pool",
        )


def pose_clock_lock(
    pool: Pool, fleet: FleetModel, curve: LoadCurve, factor: float
) -> ClockLockProblem | None:
    """Return the locked clock at the cautious end of its model."""
    model = clock_model(pool)
    if model is None or pool.clock_lock is None:
        return None
    _same_point("clock_lock.clock_model", model.name, model.measurement_point, fleet)
    low, high = pool.clock_lock.clock_range_mhz
    if high > model.max_clock_mhz * (1.0 + 1e-9):
        raise FieldFault(
            field="clock_lock.clock_range_mhz",
            value=high,
            allowed=f"<= {model.max_clock_mhz:g} MHz, the highest clock of {model.name}",
            remedy="correct the range, or choose the model of your GPU",
        )
    try:
        capped = model.curve(
            float(curve.power_kw(pool.max_utilisation)),
            low,
            allow_extrapolation=pool.allow_extrapolation,
        )
    except InputError as error:
        raise FieldFault(
            field="clock_lock.clock_range_mhz",
            value=low,
            allowed=error.allowed,
            remedy="raise the lowest clock, or set allow_extrapolation on the pool",
        ) from None
    return ClockLockProblem(
        cap_curve=_scaled(capped, factor),
        power_exponent=model.power_exponent,
        max_clock_mhz=model.max_clock_mhz,
    )


def pose_tier(
    pool: Pool, fleet: FleetModel, cap: CapModel, curve: LoadCurve, floor_kw: float, factor: float,
    loads: dict[str, float], state: PoolState,
) -> TierProblem | None:  # fmt: skip
    """Return the lower precision: it serves more, and draws what its model says.

    Args:
        pool: the pool.
        fleet: its fleet model.
        cap: its cap model, taken over for the lower precision.
        curve: load curve of its own precision at the models' measurement point.
        floor_kw: lowest power that an instance is capped to there.
        factor: power at the connection point per power at the measurement point.
        loads: load that the lower precision serves at the start, by class.
        state: the pool's state.
    """
    model = tier_model(pool)
    if model is None or pool.tier is None:
        return None
    _same_point("tier.tier_model", model.name, model.measurement_point, fleet)
    # a site may name the tier model of a larger instance, whose range in requests is another one
    lowered = model.load_curve(curve, allow_extrapolation=True)
    check_cap_reach(pool, fleet, cap, lowered, model.precision)
    capped = cap.curve(
        float(lowered.power_kw(pool.max_utilisation)),
        min(floor_kw, float(lowered.power_kw(lowered.valid_from_utilisation))),
        gpus=fleet.gpus_per_instance,
        allow_extrapolation=pool.allow_extrapolation,
    )
    there = state.tier
    return TierProblem(
        name=model.precision,
        capacity_factor=model.capacity_factor,
        load_curve=lowered.scaled(factor),
        cap_curve=_scaled(capped, factor),
        swap_s=pool.tier.swap_s,
        swap_price_per_instance=pool.tier.swap_price_per_instance,
        active_at_start=there.active if there else 0,
        drained_at_start=there.drained if there else 0,
        load_at_start=sum(loads.values()),
    )


def _same_point(field: str, name: str, point: str, fleet: FleetModel) -> None:
    if point != fleet.measurement_point:
        raise FieldFault(
            field=field,
            value=f"{name} at {point!r}",
            allowed=f"a model at {fleet.measurement_point!r}, as {fleet.name}",
            remedy="choose models of one measurement point; they are not mixed",
        )


def _scaled(curve: CapCurve, factor: float) -> CapCurve:
    return CapCurve(
        full_kw=curve.full_kw * factor,
        elasticity=curve.elasticity,
        floor_kw=curve.floor_kw * factor,
    )


def pose_prewarm(pool: Pool, gpus: int, factor: float, state: PoolState) -> PrewarmProblem | None:
    """Return the pre-warm; its draw is that of all GPUs of the pool."""
    warm = pool.prewarm
    if warm is None:
        return None
    for field, value, most in (
        ("drain_per_instance", warm.drain_per_instance, pool.prices.drain_per_instance),
        ("wake_s", warm.wake_s, pool.sleep.wake_s),
    ):
        if value > most:
            raise FieldFault(
                field=f"prewarm.{field}",
                value=value,
                allowed=f"<= {most:g}, that of the pool without it",
                remedy="a warm cache makes no drain dearer and no wake slower: correct either",
            )
    return PrewarmProblem(
        lead_s=warm.lead_s,
        expires_s=warm.expires_s,
        power_kw=warm.kw_per_gpu * gpus * pool.instances * factor,
        price=warm.price,
        drain_per_instance=warm.drain_per_instance,
        wake_s=warm.wake_s * tries(pool.sleep),
        warm_until_s=state.warm_remaining_s,
    )


def pose_pull_forward(
    requests: RequestClass, capacity_req_per_s: float, queued: float
) -> PullForwardProblem | None:
    """Return the work of a class that may be done ahead; None where nothing is queued."""
    if requests.pull_forward is None or queued <= 0.0:
        return None
    return PullForwardProblem(
        available=queued / capacity_req_per_s,
        value_per_work_h=requests.pull_forward.value_per_request * capacity_req_per_s * 3600.0,
    )


def pose_lowered(
    requests: RequestClass, tier: TierModel | None, capacity_req_per_s: float
) -> LoweredProblem | None:
    """Return what of a class the lower precision may serve."""
    for name in requests.tiers:
        if tier is None or name != tier.precision:
            raise FieldFault(
                field=f"tiers.{name}",
                value=name,
                allowed=tier.precision if tier else "no tier: the pool has none",
                remedy="name the precision of the pool's tier model, or leave the tier out",
            )
    admissible = requests.tiers.get(tier.precision) if tier else None
    if admissible is None:
        return None
    return LoweredProblem(
        eligible_share=admissible.eligible_share,
        price_per_instance_s=admissible.price_per_request * capacity_req_per_s,
    )


def check_ways(name: str, pool: Pool, state: PoolState) -> None:
    """Hold the state to what the pool is allowed.

    Raises:
        InputError: the state speaks of a tier, a warmth or a queue that the site does not know.
    """
    tier = state.tier
    in_tier = tier is not None and (tier.active or tier.drained)
    if (in_tier or any(t.to == "tier" for t in state.in_transit)) and pool.tier is None:
        raise _unknown(name, "tier", "the pool has no tier", "give the pool its tier in the site")
    if state.warm_remaining_s > 0.0 and pool.prewarm is None:
        raise _unknown(
            name, "warm_remaining_s", "0: the pool has no prewarm", "give the pool its prewarm"
        )
    for key, waiting in state.queued_requests.items():
        if waiting > 0.0 and (key not in pool.classes or pool.classes[key].pull_forward is None):
            raise _unknown(
                name,
                f"queued_requests.{key}",
                "only classes of the pool that have a pull_forward",
                "give the class a pull_forward in the site, or leave its queue out",
            )
    for key, rate in (tier.load_req_per_s if tier else {}).items():
        if rate > state.load_req_per_s.get(key, 0.0) * (1.0 + 1e-9):
            raise InputError(
                field=f"state.pools.{name}.tier.load_req_per_s.{key}",
                value=rate,
                allowed=f"<= {state.load_req_per_s.get(key, 0.0):g}, the load of the class",
                remedy="give the part of the class's load that the lower precision serves",
            )
        admissible = pool.classes[key].tiers if key in pool.classes else {}
        share = max((tier.eligible_share for tier in admissible.values()), default=0.0)
        if rate > share * state.load_req_per_s.get(key, 0.0) * (1.0 + 1e-9):
            raise InputError(
                field=f"state.pools.{name}.tier.load_req_per_s.{key}",
                value=rate,
                allowed=f"<= {share * state.load_req_per_s.get(key, 0.0):g}, the eligible share "
                f"({share:g}) of the class",
                remedy="correct the rate, or the eligible share that was verified",
            )


def _unknown(name: str, field: str, allowed: str, remedy: str) -> InputError:
    return InputError(
        field=f"state.pools.{name}.{field}", value="given", allowed=allowed, remedy=remedy
    )


def way_caveats(name: str, pool: Pool, fleet: FleetModel, idle_kw_per_gpu: float) -> Iterator[str]:
    """Yield where the models of these ways are used outside what they were made from."""
    clock, tier = clock_model(pool), tier_model(pool)
    if clock is not None:
        yield (
            f"Pool {name}: the clock model was read on {clock.hardware} with {clock.workload} and "
            f"is used for {fleet.hardware} at its cautious end."
        )
    if tier is not None:
        yield (
            f"Pool {name}: the {tier.precision} model was measured with {tier.model} on "
            f"{tier.hardware} and is used for {fleet.model} on {fleet.hardware} at its cautious "
            "end."
        )
    stated = idle_kw_per_gpu if pool.asleep_kw_per_gpu is None else pool.asleep_kw_per_gpu
    if stated < idle_kw_per_gpu and not pool.asleep_measured:
        yield (
            f"Pool {name}: sleep is credited with no less than idle, {idle_kw_per_gpu:g} kW per "
            "GPU, until asleep_measured says that somebody measured it."
        )
    if (n := tries(pool.sleep)) > 1:
        yield (
            f"Pool {name}: a wake fails now and then; {n} tries of {pool.sleep.wake_s:g} s are "
            "reckoned with."
        )
