"""A pool of the site and its state become numbers at the connection point."""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.cap import CapModel
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.models.tier import TierModel
from ebplan.pose.latency import pose_latency
from ebplan.pose.ways import (
    check_ways,
    look_up,
    pose_clock_lock,
    pose_lowered,
    pose_prewarm,
    pose_pull_forward,
    pose_tier,
    tier_model,
    tries,
    way_caveats,
)
from ebplan.problem import (
    ArrivalCount,
    ClassProblem,
    ClockLockProblem,
    DeferralProblem,
    PoolProblem,
    PrewarmProblem,
    TierProblem,
)
from ebplan.site import Pool, RequestClass, Site
from ebplan.state import PoolState, State


@dataclass(frozen=True)
class PosedPool:
    """A posed pool, and what it adds to the rest of the problem."""

    problem: PoolProblem
    constant_loss_kw: float
    """Losses between its models' measurement point and the meter that no load changes."""
    measured_at: str
    """Measurement point of its models."""
    caveats: tuple[str, ...]
    """Where its models are used outside what their data cover."""


def check_pools_match(site: Site, state: State) -> None:
    """Refuse a state that does not speak of exactly the site's pools."""
    if set(site.pools) != set(state.pools):
        raise InputError(
            field="state.pools",
            value=sorted(state.pools),
            allowed=f"the pools of the site: {sorted(site.pools)}",
            remedy="give the state of each pool, and of no other",
        )


def pose_pool(name: str, pool: Pool, site: Site, state: PoolState) -> PosedPool:
    """Return a pool at the connection point.

    Raises:
        InputError: models, site and state contradict each other or leave the models' ranges.
    """
    known = _known(name, pool, site, state)
    fleet, factor, gpus = known.fleet, known.factor, known.fleet.gpus_per_instance
    # An instance that takes requests while there are none is drained.
    active = state.active if sum(known.loads.values()) > 0.0 else 0
    drained = state.active + state.drained - active
    asleep_kw = known.asleep_kw_per_gpu * gpus
    in_tier = known.tier.active_at_start + known.tier.drained_at_start if known.tier else 0
    classes = _pose_classes(pool, known, state, active + drained + in_tier)
    failing = pool.sleep.wake_failure_probability
    posed = PoolProblem(
        name=name,
        instances=pool.instances,
        load_curve=known.curve.scaled(factor),
        cap_curve=_cap_curve(pool, fleet, known.cap, known.curve, factor),
        drained_kw=fleet.idle_kw * factor,
        asleep_kw=asleep_kw * factor,
        may_sleep="asleep" in pool.modes,
        min_utilisation=known.lowest,
        max_utilisation=pool.max_utilisation,
        route_response=pool.route_response,
        cap_response=pool.cap_response,
        rise_response=pool.rise_response,
        sleep_s=pool.sleep.sleep_s,
        wake_s=pool.sleep.wake_s * tries(pool.sleep),
        min_asleep_s=pool.sleep.min_asleep_s,
        min_awake_s=pool.sleep.min_awake_s,
        active_at_start=active,
        drained_at_start=drained,
        asleep_at_start=state.asleep,
        arrivals=tuple(
            ArrivalCount(to=t.to, count=t.count, at_s=t.remaining_s) for t in state.in_transit
        ),
        classes=classes,
        congestion=pool.prices.congestion,
        cap_depth_per_kwh=pool.prices.cap_depth_per_kwh,
        readiness_per_instance_h=pool.prices.readiness_per_instance_h,
        drain_per_instance=pool.prices.drain_per_instance,
        # a wake that fails now and then is tried 1 / (1 - p) times on average
        wake_per_instance=pool.prices.wake_per_instance / (1.0 - failing),
        clock_lock=known.clock_lock,
        tier=known.tier,
        prewarm=known.prewarm,
        gpus_per_instance=gpus,
        gpu_kw_per_kw=1.0 / factor,
    )
    posed, loosened = pose_latency(name, pool, fleet, posed)
    return PosedPool(
        problem=posed,
        constant_loss_kw=known.offset_kw,
        measured_at=fleet.measurement_point,
        caveats=(
            *_caveats(name, pool, fleet, known.cap, known.curve, classes),
            *way_caveats(name, pool, fleet, fleet.idle_kw / gpus),
            *loosened,
        ),
    )


@dataclass(frozen=True)
class _Known:
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


def _known(name: str, pool: Pool, site: Site, state: PoolState) -> _Known:
    """Look the models up and hold the pool and its state to their ranges."""
    where = f"site.pools.{name}"
    try:
        fleet = look_up("fleet_model", library.load_fleet, pool.fleet_model)
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
        floor_kw = _floor_kw(pool, fleet, cap)
        return _Known(
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


def _caveats(
    name: str,
    pool: Pool,
    fleet: FleetModel,
    cap: CapModel,
    curve: LoadCurve,
    classes: tuple[ClassProblem, ...],
) -> tuple[str, ...]:
    """Say where a model is used outside what its data cover, or the load does not fit."""
    caveats = []
    served = zip(pool.classes.values(), classes, strict=True)
    if any(c.protected and part.max_rejected > 0.0 for c, part in served):
        caveats.append(
            f"Pool {name}: the load does not fit the instances awake, event or not; protected "
            "requests are turned away because of that."
        )
    others = sorted({c.workload for c in pool.classes.values()} - {cap.workload})
    if others:
        caveats.append(
            f"Pool {name}: the cap model was read with {cap.workload} and is used for "
            f"{', '.join(others)} at its cautious end."
        )
    natural_w = float(curve.power_kw(pool.max_utilisation)) * 1000.0 / fleet.gpus_per_instance
    covered_w = cap.valid_to_kw_per_gpu * 1000.0
    if natural_w > covered_w:
        caveats.append(
            f"Pool {name}: the cap model covers caps up to {covered_w:.0f} W per GPU, the natural "
            f"draw reaches {natural_w:.0f} W; in between it is extrapolated."
        )
    if pool.allow_extrapolation:
        caveats.append(
            f"Pool {name}: loads and caps outside the range of the fitted models are allowed."
        )
    return tuple(caveats)


def _check_counts(name: str, pool: Pool, state: PoolState) -> None:
    if state.total != pool.instances:
        raise InputError(
            field=f"state.pools.{name}",
            value=f"{state.total} instances",
            allowed=f"active + drained + asleep + in_transit = {pool.instances}",
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
    per_active = total / state.active if state.active else 0.0
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
            remedy="read the limits from the device, in W; a cap above the draw does nothing",
        )
    if pool.max_utilisation <= lowest:
        raise FieldFault(
            field="max_utilisation",
            value=pool.max_utilisation,
            allowed=f"> {lowest:.3f}, the lowest utilisation that is planned for",
            remedy="leave less headroom, or set allow_extrapolation on the pool",
        )
    if total > 0.0 and (total < lowest or per_active < lowest):
        raise InputError(
            field=f"state.pools.{name}.load_req_per_s",
            value=f"utilisation {min(total, per_active):.3f} of an active instance",
            allowed=f">= {lowest:.3f}, the lowest that the fleet model covers here",
            remedy="drain instances first, or set allow_extrapolation on the pool"
            if not pool.allow_extrapolation
            else "drain instances first: less than one request is in flight per instance",
        )
    return lowest


def _cap_curve(
    pool: Pool, fleet: FleetModel, cap: CapModel, curve: LoadCurve, factor: float
) -> CapCurve:
    """Return the cautious cap curve, floored at the caps that the model covers."""
    at_model = cap.curve(
        float(curve.power_kw(pool.max_utilisation)),
        min(_floor_kw(pool, fleet, cap), float(curve.power_kw(curve.valid_from_utilisation))),
        gpus=fleet.gpus_per_instance,
        allow_extrapolation=pool.allow_extrapolation,
    )
    return CapCurve(
        full_kw=at_model.full_kw * factor,
        elasticity=at_model.elasticity,
        floor_kw=at_model.floor_kw * factor,
    )


def _floor_kw(pool: Pool, fleet: FleetModel, cap: CapModel) -> float:
    """Return the lowest power of an instance that both the GPUs and the cap model allow."""
    accepted_kw = pool.cap_range_w_per_gpu[0] / 1000.0
    covered_kw = accepted_kw if pool.allow_extrapolation else cap.valid_from_kw_per_gpu
    return max(accepted_kw, covered_kw) * fleet.gpus_per_instance


def _pose_classes(
    pool: Pool, known: _Known, state: PoolState, awake: int
) -> tuple[ClassProblem, ...]:
    """Return the classes; protected ones may be rejected only where no instance could serve."""
    loads, lowest = known.loads, known.lowest
    unprotected = sum(loads[key] for key, c in pool.classes.items() if not c.protected)
    protected = sum(loads.values()) - unprotected
    beyond = max(0.0, _unavoidable(pool, sum(loads.values()), awake, lowest) - unprotected)
    share = min(beyond / protected, 1.0) if protected > 0.0 else 0.0
    classes = []
    for key, requests in pool.classes.items():
        capacity = known.fleet.capacity_req_per_s(requests.workload)
        classes.append(
            ClassProblem(
                name=key,
                load=loads[key],
                requests_per_s_per_instance=capacity,
                value_per_instance_s=requests.value_per_request * capacity,
                max_rejected=loads[key] * (share if requests.protected else 1.0),
                deferral=_pose_deferral(requests, capacity, state.backlog_requests.get(key, 0.0)),
                pull_forward=pose_pull_forward(
                    requests, capacity, state.queued_requests.get(key, 0.0)
                ),
                lowered=pose_lowered(requests, known.precision, capacity),
            )
        )
    return tuple(classes)


def _pose_deferral(
    requests: RequestClass, capacity_req_per_s: float, waiting: float
) -> DeferralProblem | None:
    if requests.deferral is None:
        return None
    return DeferralProblem(
        deadline_s=requests.deferral.deadline_s,
        price_per_work_h=requests.deferral.price_per_request_h * capacity_req_per_s,
        backlog_at_start=waiting / capacity_req_per_s,
    )


def _unavoidable(pool: Pool, load: float, awake: int, lowest: float) -> float:
    """Return the load that no choice of active instances, among those awake, can serve."""
    counts = [n for n in range(1, awake + 1) if lowest * n <= load]
    return min((max(0.0, load - pool.max_utilisation * n) for n in counts), default=load)
