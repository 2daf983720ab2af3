"""What the fitted models say of a pool in its state, held to the ranges that they cover."""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.cap import CapModel
from ebplan.models.curves import LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.models.tier import TierModel
from ebplan.pose.corrections import with_capacity
from ebplan.pose.ways import (
    check_cap_reach,
    check_ways,
    look_up,
    pose_clock_lock,
    pose_prewarm,
    pose_tier,
    tier_model,
)
from ebplan.problem import ClockLockProblem, PrewarmProblem, TierProblem
from ebplan.site import Pool, Site
from ebplan.state import PoolState


class TooLittleLoad(InputError):
    """The load leaves the active instances below the lowest utilisation that is planned for."""

    busy = 0
    """Instances that it keeps busy enough."""


@dataclass(frozen=True)
class KnownPool:
    """What the models say of a pool in its state."""

    fleet: FleetModel
    cap: CapModel
    factor: float
    """Power at the connection point per power at the models' measurement point."""
    offset_kw: float
    loads: dict[str, float]
    """Load of each class in instance-equivalents."""
    curve: LoadCurve
    """Uncapped power of one instance at the models' measurement point."""
    lowest: float
    """Lowest utilisation that may be planned for."""
    asleep_kw_per_gpu: float
    """Power asleep at the models' measurement point; that of idle where nobody measured it."""
    precision: TierModel | None
    """Model of the lower precision."""
    clock_lock: ClockLockProblem | None
    tier: TierProblem | None
    prewarm: PrewarmProblem | None


def know_pool(name: str, pool: Pool, site: Site, state: PoolState) -> KnownPool:
    """Look the models up and hold the pool and its state to their ranges."""
    where = f"site.pools.{name}"
    try:
        fleet = look_up("fleet_model", library.load_fleet, pool.fleet_model)
        fleet = with_capacity(fleet, state.correction)
        cap = look_up("cap_model", library.load_cap, pool.cap_model)
        for key, requests in pool.classes.items():
            look_up(f"classes.{key}.workload", fleet.workload, requests.workload)
        if cap.measurement_point != fleet.measurement_point:
            raise FieldFault(
                field="cap_model",
                value=f"{cap.name} at {cap.measurement_point!r}",
                allowed=f"a cap model at {fleet.measurement_point!r}, as {fleet.name}",
                remedy="choose models of one measurement point; they are not mixed",
            )
        _check_gpus(fleet, cap)
        factor, offset_kw = site.loss_to_connection_point(fleet.measurement_point)
        _check_counts(name, pool, state)
        check_ways(name, pool, state)
        loads = _loads(name, pool, fleet, state)
        lowered = _in_tier(pool, fleet, state)
        curve = fleet.load_curve(_mix(pool, loads))
        own = sum(loads.values()) - sum(lowered.values())
        lowest = _lowest_utilisation(name, pool, fleet, curve, own, state)
        idle_kw = fleet.idle_kw / fleet.gpus_per_instance
        stated_kw = idle_kw if pool.asleep_kw_per_gpu is None else pool.asleep_kw_per_gpu
        floor_kw = lowest_kw(pool, fleet, cap)
        check_cap_reach(pool, fleet, cap, curve)
        return KnownPool(
            fleet=fleet,
            cap=cap,
            factor=factor,
            offset_kw=offset_kw,
            loads=loads,
            curve=curve,
            lowest=lowest,
            asleep_kw_per_gpu=stated_kw if pool.asleep_measured else max(stated_kw, idle_kw),
            precision=tier_model(pool),
            clock_lock=pose_clock_lock(pool, fleet, curve, factor),
            tier=pose_tier(pool, fleet, cap, curve, floor_kw, factor, lowered, state),
            prewarm=pose_prewarm(pool, fleet.gpus_per_instance, factor, state),
        )
    except FieldFault as fault:
        at = "site" if fault.field == "losses" else where
        raise InputError(
            field=f"{at}.{fault.field}",
            value=fault.value,
            allowed=fault.allowed,
            remedy=fault.remedy,
        ) from None


def _check_gpus(fleet: FleetModel, cap: CapModel) -> None:
    """Refuse a cap model of this very fleet that takes its instances for others.

    One of another fleet is used by power per GPU, and the plan says so.
    """
    if cap.fleet == fleet.name and cap.gpus_per_instance != fleet.gpus_per_instance:
        raise FieldFault(
            field="cap_model",
            value=f"{cap.name}: {cap.gpus_per_instance} GPUs per instance",
            allowed=f"{fleet.gpus_per_instance}, as {fleet.name}, to which it says it belongs",
            remedy="fit the caps again with the right gpus_per_instance, or choose another model",
        )


def _check_counts(name: str, pool: Pool, state: PoolState) -> None:
    if state.total != pool.instances:
        raise InputError(
            field=f"state.pools.{name}",
            value=f"{state.total} instances",
            allowed=f"active + drained + asleep + in_transit + lost = {pool.instances}",
            remedy="account for every instance of the pool",
        )


def _loads(name: str, pool: Pool, fleet: FleetModel, state: PoolState) -> dict[str, float]:
    """Return each class's load in instance-equivalents."""
    if set(state.load_req_per_s) != set(pool.classes):
        raise InputError(
            field=f"state.pools.{name}.load_req_per_s",
            value=sorted(state.load_req_per_s),
            allowed=f"the request classes of the pool: {sorted(pool.classes)}",
            remedy="give the load of each class, and of no other",
        )
    for key, waiting in state.backlog_requests.items():
        if waiting > 0.0 and (key not in pool.classes or pool.classes[key].deferral is None):
            raise InputError(
                field=f"state.pools.{name}.backlog_requests.{key}",
                value=waiting,
                allowed="requests waiting only in classes of the pool that have a deferral",
                remedy="give the class a deferral in the site, or leave its backlog out",
            )
    return {
        key: state.load_req_per_s[key] / fleet.capacity_req_per_s(requests.workload)
        for key, requests in pool.classes.items()
    }


def _in_tier(pool: Pool, fleet: FleetModel, state: PoolState) -> dict[str, float]:
    """Return the load that the lower precision serves at the start, by class."""
    served = state.tier.load_req_per_s if state.tier else {}
    return {
        key: rate / fleet.capacity_req_per_s(pool.classes[key].workload)
        for key, rate in served.items()
    }


def _mix(pool: Pool, loads: dict[str, float]) -> dict[str, float]:
    """Return each workload's share of the utilisation; equal shares where there is no load."""
    total = sum(loads.values())
    mix: dict[str, float] = {}
    for key, requests in pool.classes.items():
        share = loads[key] / total if total > 0.0 else 1.0 / len(loads)
        mix[requests.workload] = mix.get(requests.workload, 0.0) + share
    return mix


def _lowest_utilisation(
    name: str,
    pool: Pool,
    fleet: FleetModel,
    curve: LoadCurve,
    total: float,
    state: PoolState,
) -> float:
    """Return the lowest utilisation that may be planned for, and hold the state to it.

    ``total`` is the load of the pool's own precision, in instance-equivalents.
    """
    lowest = (
        curve.one_request_utilisation if pool.allow_extrapolation else curve.valid_from_utilisation
    )
    usual = state.active if state.usually_active is None else state.usually_active
    per_active = total / usual if usual else 0.0
    gpus = fleet.gpus_per_instance
    natural_w = float(curve.power_kw(pool.max_utilisation)) * 1000.0 / gpus
    if natural_w > pool.cap_range_w_per_gpu[1]:
        raise FieldFault(
            field="cap_range_w_per_gpu",
            value=pool.cap_range_w_per_gpu,
            allowed=f"a highest limit of at least {natural_w:.0f} W, the natural draw of a GPU",
            remedy="correct the limits, or fit the fleet model under the limit that is set",
        )
    lightest_w = float(curve.power_kw(lowest)) * 1000.0 / gpus
    if pool.cap_range_w_per_gpu[0] > lightest_w:
        raise FieldFault(
            field="cap_range_w_per_gpu",
            value=pool.cap_range_w_per_gpu,
            allowed=f"a lowest limit of at most {lightest_w:.0f} W, the least a loaded GPU draws",
            remedy="read the limits from the device, in W; if they are right, fit the fleet model "
            "without its lightest loads: no cap can be planned there",
        )
    if pool.max_utilisation <= lowest:
        raise FieldFault(
            field="max_utilisation",
            value=pool.max_utilisation,
            allowed=f"> {lowest:.3f}, the lowest utilisation that is planned for",
            remedy="leave less headroom, or set allow_extrapolation on the pool",
        )
    # Where nobody serves yet there is no utilisation to hold to the range: the plan decides it.
    if total > 0.0 and (total < lowest or (usual and per_active < lowest)):
        error = TooLittleLoad(
            field=f"state.pools.{name}.load_req_per_s",
            value=f"utilisation {min(total, per_active):.3f} of an active instance",
            allowed=f">= {lowest:.3f}, the lowest that the fleet model covers here",
            remedy="drain instances first, or set allow_extrapolation on the pool"
            if not pool.allow_extrapolation
            else "drain instances first: less than one request is in flight per instance",
        )
        error.busy = int(total / lowest)
        raise error
    return lowest


def lowest_kw(pool: Pool, fleet: FleetModel, cap: CapModel) -> float:
    """Return the lowest power of an instance that both the GPUs and the cap model allow."""
    accepted_kw = pool.cap_range_w_per_gpu[0] / 1000.0
    covered_kw = accepted_kw if pool.allow_extrapolation else cap.valid_from_kw_per_gpu
    return max(accepted_kw, covered_kw) * fleet.gpus_per_instance
