"""A pool of the site and its state become numbers at the connection point."""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.errors import InputError
from ebplan.models.cap import CapModel
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.pose.classes import pose_classes
from ebplan.pose.corrections import corrected, correction_caveats
from ebplan.pose.known import KnownPool, know_pool, lowest_kw
from ebplan.pose.latency import pose_latency
from ebplan.pose.ways import tries, way_caveats
from ebplan.problem import ArrivalCount, ClassProblem, PoolProblem
from ebplan.site import Pool, Site
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
    known = know_pool(name, pool, site, state)
    fleet = known.fleet
    fitted = _at_connection_point(name, pool, state, known)
    device_kw = pool.cap_range_w_per_gpu[0] / 1000.0 * fleet.gpus_per_instance * known.factor
    plain = corrected(fitted, state.correction, pool.max_utilisation, device_kw)
    posed, loosened = pose_latency(name, pool, fleet, plain)
    return PosedPool(
        problem=posed,
        constant_loss_kw=known.offset_kw,
        measured_at=fleet.measurement_point,
        caveats=(
            *_caveats(name, pool, fleet, known.cap, known.curve, plain.classes),
            *way_caveats(name, pool, fleet, fleet.idle_kw / fleet.gpus_per_instance),
            *loosened,
            *correction_caveats(name, state.correction, may_cap=plain.may_cap),
        ),
    )


def _at_connection_point(name: str, pool: Pool, state: PoolState, known: KnownPool) -> PoolProblem:
    """Return the pool without its latency."""
    fleet, factor, gpus = known.fleet, known.factor, known.fleet.gpus_per_instance
    # An instance that takes requests while there are none is drained.
    active = state.active if sum(known.loads.values()) > 0.0 else 0
    drained = state.active + state.drained - active
    asleep_kw = known.asleep_kw_per_gpu * gpus
    classes = pose_classes(pool, known, state, active + drained)
    failing = pool.sleep.wake_failure_probability
    return PoolProblem(
        name=name,
        instances=pool.instances - state.lost,
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
        usually_active=state.usually_active,
        settling=state.settling,
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
    if cap.gpus_per_instance != fleet.gpus_per_instance:
        caveats.append(
            f"Pool {name}: the cap model was read on instances of {_gpus(cap.gpus_per_instance)} "
            f"and is used for instances of {_gpus(fleet.gpus_per_instance)}, by power per GPU."
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


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' * (count > 1)}"


def _cap_curve(
    pool: Pool, fleet: FleetModel, cap: CapModel, curve: LoadCurve, factor: float
) -> CapCurve:
    """Return the cautious cap curve, floored at the caps that the model covers."""
    at_model = cap.curve(
        float(curve.power_kw(pool.max_utilisation)),
        min(lowest_kw(pool, fleet, cap), float(curve.power_kw(curve.valid_from_utilisation))),
        gpus=fleet.gpus_per_instance,
        allow_extrapolation=pool.allow_extrapolation,
    )
    return CapCurve(
        full_kw=at_model.full_kw * factor,
        elasticity=at_model.elasticity,
        floor_kw=at_model.floor_kw * factor,
    )
