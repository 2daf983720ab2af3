"""Pose the problem: an event, a site and a state become numbers at the connection point.

All input handling ends here: fitted models are looked up, powers carried to the connection point
through the site's loss stages, requests per second turned into instance-equivalents, wall times
into seconds from plan start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.models import library
from ebplan.models.cap import CapModel
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.problem import (
    ArrivalCount,
    BatteryProblem,
    ClassProblem,
    PoolProblem,
    Prices,
    Problem,
    ValueSegment,
)
from ebplan.site import Battery, Pool, Site
from ebplan.state import PoolState, State
from ebplan.timegrid import build_time_grid

FIRM_ABOVE_MECHANISMS = 1.3
"""Shortfall costs this much more than the dearest mechanism, so that the target is firm. Energy
from the reserve loses some 10 % on its way out and must still be cheaper than a shortfall."""
RESERVE_ABOVE_MECHANISMS = 1.1
"""The reserve costs this much more than the dearest mechanism, so that it is not bought out."""


def pose(event: Event, site: Site, state: State) -> Problem:
    """Turn a case into a problem.

    Raises:
        InputError: the parts contradict each other or leave the models' ranges.
    """
    start_s = (event.start - state.at).total_seconds()
    end_s = start_s + event.duration_s
    _check_times(event, site, start_s, end_s)
    _check_pools_match(site, state)
    posed = [_pose_pool(name, pool, site, state.pools[name]) for name, pool in site.pools.items()]
    pools = tuple(p.problem for p in posed)
    constant_loss_kw = sum(p.constant_loss_kw for p in posed)
    other_kw = _other_load_kw(site, state, pools, constant_loss_kw)
    draw_kw = other_kw + sum(pool.power_at_start_kw() for pool in pools)
    baseline_kw = draw_kw if event.baseline.kw is None else event.baseline.kw
    delta_kw = _target_kw(event, baseline_kw)

    shape = event.response
    delay_s = site.battery.converter_delay_s if site.battery else 0.0
    moves = (start_s, start_s + shape.initial_delay_s, start_s + shape.full_activation_s, end_s)
    handoff_s = start_s + event.handoff.by_s if event.handoff else None
    grid = build_time_grid(
        moves,
        end_s + shape.recovery_s,
        marks_s=(start_s + delay_s, *(() if handoff_s is None else (handoff_s,))),
    )
    edges = np.array(grid.edges_s)
    steps = grid.n_steps
    after = edges[:-1] >= end_s - 1e-9
    limit = site.connection_point.import_limit_kw
    rebound = min(limit, baseline_kw + shape.rebound_limit_kw)
    return Problem(
        event_id=event.id,
        start=state.at,
        currency=site.currency,
        grid=grid,
        event_start_s=start_s,
        event_end_s=end_s,
        target_kw=tuple(_target_steps(event, delta_kw, start_s, edges).tolist()),
        baseline_kw=(baseline_kw,) * steps,
        other_kw=(other_kw,) * steps,
        import_limit_kw=tuple(np.where(after, rebound, limit).tolist()),
        export_limit_kw=site.connection_point.export_limit_kw,
        handoff_from_s=handoff_s,
        handoff_kw=0.0 if event.handoff is None else event.handoff.battery_fraction * -delta_kw,
        pools=pools,
        battery=None if site.battery is None else _pose_battery(site.battery, state),
        prices=_prices(event, site, pools),
        caveats=tuple(caveat for p in posed for caveat in p.caveats),
    )


# --- event and connection point -------------------------------------------------------------


def _check_times(event: Event, site: Site, start_s: float, end_s: float) -> None:
    if start_s < 0.0:
        raise InputError(
            field="event.start",
            value=event.start.isoformat(),
            allowed="at or after state.at",
            remedy="measure the state before the event, or plan the rest of it as a new event",
        )
    horizon_s = end_s + event.response.recovery_s
    if horizon_s > site.planning.max_horizon_s:
        raise InputError(
            field="event.duration_s",
            value=event.duration_s,
            allowed=f"notice + duration + recovery <= site.planning.max_horizon_s = "
            f"{site.planning.max_horizon_s:g} s (here {horizon_s:g} s)",
            remedy="split the event or lengthen the horizon",
        )


def _target_kw(event: Event, baseline_kw: float) -> float:
    """Return the asked change of the draw in kW."""
    target = event.target
    if target.delta_kw is not None:
        field, delta_kw = "event.target.delta_kw", target.delta_kw
    elif target.fraction_of_baseline is not None:
        field = "event.target.fraction_of_baseline"
        delta_kw = target.fraction_of_baseline * baseline_kw
    else:
        limit_kw = target.import_limit_kw or 0.0
        field, delta_kw = "event.target.import_limit_kw", limit_kw - baseline_kw
    if delta_kw >= 0.0:
        raise InputError(
            field=field,
            value=delta_kw,
            allowed="a release: < 0 kW against the baseline",
            remedy="absorb events (> 0) are not planned by this version; an import limit must lie "
            "below the baseline",
        )
    return delta_kw


def _target_steps(
    event: Event,
    delta_kw: float,
    start_s: float,
    edges: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the target per step, shape (T,): the deepest it asks within the step."""
    shape = event.response
    begin, full = start_s + shape.initial_delay_s, start_s + shape.full_activation_s
    end = start_s + event.duration_s
    rise_s = full - begin
    until = edges[1:]
    reached = np.ones_like(until) if rise_s <= 0.0 else np.clip((until - begin) / rise_s, 0.0, 1.0)
    asked = (edges[:-1] >= begin - 1e-9) & (edges[:-1] < end - 1e-9)
    return np.asarray(np.where(asked, delta_kw * reached, 0.0))


def _other_load_kw(
    site: Site, state: State, pools: tuple[PoolProblem, ...], constant_loss_kw: float
) -> float:
    """Return the load that is not planned: what the meter shows beyond the models."""
    if state.grid is None:
        return site.connection_point.other_load_kw + constant_loss_kw
    other_kw = state.grid.kw - sum(pool.power_at_start_kw() for pool in pools)
    if other_kw < 0.0:
        raise InputError(
            field="state.grid.kw",
            value=state.grid.kw,
            allowed=f">= {state.grid.kw - other_kw:.3f}, what the models say the pools draw",
            remedy="check the meter, the loads and the loss stages; refit the fleet model",
        )
    return other_kw


def _prices(event: Event, site: Site, pools: tuple[PoolProblem, ...]) -> Prices:
    dearest = max(_dearest_mechanism_per_kwh(pool) for pool in pools)
    dearest = max(dearest, site.planning.handoff_excess_per_kwh, abs(site.energy_price_per_kwh))
    shortfall = event.payment_per_kwh + event.penalty_per_kwh
    reserve = RESERVE_ABOVE_MECHANISMS * dearest
    firmness = max(FIRM_ABOVE_MECHANISMS * dearest - shortfall, 0.0)
    prices = Prices(
        energy_per_kwh=site.energy_price_per_kwh,
        shortfall_per_kwh=shortfall,
        firmness_per_kwh=firmness,
        reserve_per_kwh=reserve,
        handoff_excess_per_kwh=site.planning.handoff_excess_per_kwh,
        overrun_per_kwh=shortfall + firmness,
    )
    _check_order(prices, dearest)
    return prices


def _check_order(prices: Prices, dearest: float) -> None:
    """Hold the order of last resort: shortfall above reserve above every mechanism."""
    last = prices.shortfall_per_kwh + prices.firmness_per_kwh
    if not last >= prices.reserve_per_kwh >= dearest:
        raise InputError(
            field="prices",
            value=f"shortfall {last:g}, reserve {prices.reserve_per_kwh:g}, mechanism {dearest:g}",
            allowed="shortfall >= reserve >= dearest mechanism",
            remedy="report this: the order is made by construction",
        )


def _dearest_mechanism_per_kwh(pool: PoolProblem) -> float:
    """Return the highest price of a kWh released by turning load away.

    Rejecting dU of load without draining saves f'(u) dU, least at u = 1 where the load curve is
    flattest; every other mechanism is cheaper.
    """
    step = 0.05
    slope_kw = (pool.full_kw - float(pool.load_curve.power_kw(1.0 - step))) / step
    value_per_s = max((c.value_per_instance_s for c in pool.classes), default=0.0)
    congestion_per_s = sum(c.price_per_instance_h for c in pool.congestion) / 3600.0
    return max((value_per_s + congestion_per_s) * 3600.0 / slope_kw, pool.cap_depth_per_kwh)


# --- pools ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _PosedPool:
    problem: PoolProblem
    constant_loss_kw: float
    caveats: tuple[str, ...]


def _check_pools_match(site: Site, state: State) -> None:
    if set(site.pools) != set(state.pools):
        raise InputError(
            field="state.pools",
            value=sorted(state.pools),
            allowed=f"the pools of the site: {sorted(site.pools)}",
            remedy="give the state of each pool, and of no other",
        )


def _pose_pool(name: str, pool: Pool, site: Site, state: PoolState) -> _PosedPool:
    where = f"site.pools.{name}"
    try:
        fleet = library.load_fleet(pool.fleet_model)
        cap = library.load_cap(pool.cap_model)
        if cap.measurement_point != fleet.measurement_point:
            raise FieldFault(
                field="cap_model",
                value=f"{cap.name} at {cap.measurement_point!r}",
                allowed=f"a cap model at {fleet.measurement_point!r}, as {fleet.name}",
                remedy="choose models of one measurement point; they are not mixed",
            )
        factor, offset_kw = site.loss_to_connection_point(fleet.measurement_point)
        _check_counts(name, pool, state)
        loads = _loads(name, pool, fleet, state)
        curve = fleet.load_curve(_mix(pool, loads))
        lowest = _lowest_utilisation(name, pool, curve, loads, state)
    except FieldFault as fault:
        at = "site" if fault.field == "losses" else where
        raise InputError(
            field=f"{at}.{fault.field}",
            value=fault.value,
            allowed=fault.allowed,
            remedy=fault.remedy,
        ) from None
    gpus = fleet.gpus_per_instance
    idle_kw = fleet.idle_kw * factor
    asleep_kw = (
        idle_kw if pool.asleep_kw_per_gpu is None else pool.asleep_kw_per_gpu * gpus * factor
    )
    return _PosedPool(
        problem=PoolProblem(
            name=name,
            instances=pool.instances,
            load_curve=curve.scaled(factor),
            cap_curve=_cap_curve(pool, fleet, cap, curve, factor),
            drained_kw=idle_kw,
            asleep_kw=asleep_kw,
            may_sleep="asleep" in pool.modes,
            min_utilisation=lowest,
            max_utilisation=pool.max_utilisation,
            route_response=pool.route_response,
            cap_response=pool.cap_response,
            sleep_s=pool.sleep.sleep_s,
            wake_s=pool.sleep.wake_s,
            min_asleep_s=pool.sleep.min_asleep_s,
            min_awake_s=pool.sleep.min_awake_s,
            active_at_start=state.active,
            drained_at_start=state.drained,
            asleep_at_start=state.asleep,
            arrivals=tuple(
                ArrivalCount(to=t.to, count=t.count, at_s=t.remaining_s) for t in state.in_transit
            ),
            classes=_pose_classes(pool, fleet, loads, state),
            congestion=pool.prices.congestion,
            cap_depth_per_kwh=pool.prices.cap_depth_per_kwh,
            readiness_per_instance_h=pool.prices.readiness_per_instance_h,
            drain_per_instance=pool.prices.drain_per_instance,
            wake_per_instance=pool.prices.wake_per_instance,
            gpus_per_instance=gpus,
            gpu_kw_per_kw=1.0 / factor,
        ),
        constant_loss_kw=offset_kw,
        caveats=_caveats(name, pool, cap),
    )


def _caveats(name: str, pool: Pool, cap: CapModel) -> tuple[str, ...]:
    """Say where a model is used outside what its data cover."""
    caveats = []
    others = sorted({c.workload for c in pool.classes.values()} - {cap.workload})
    if others:
        caveats.append(
            f"Pool {name}: the cap model was read with {cap.workload} and is used for "
            f"{', '.join(others)} at its cautious end."
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
    return {
        key: state.load_req_per_s[key] / fleet.capacity_req_per_s(requests.workload)
        for key, requests in pool.classes.items()
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
    name: str, pool: Pool, curve: LoadCurve, loads: dict[str, float], state: PoolState
) -> float:
    """Return the lowest utilisation that may be planned for, and hold the state to it."""
    lowest = (
        curve.one_request_utilisation if pool.allow_extrapolation else curve.valid_from_utilisation
    )
    total = sum(loads.values())
    per_active = total / state.active if state.active else 0.0
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
    accepted_kw = pool.cap_range_w_per_gpu[0] / 1000.0
    covered_kw = accepted_kw if pool.allow_extrapolation else cap.valid_from_kw_per_gpu
    floor_kw = max(accepted_kw, covered_kw) * fleet.gpus_per_instance
    at_model = cap.curve(
        curve.full_kw,
        min(floor_kw, float(curve.power_kw(curve.valid_from_utilisation))),
        allow_extrapolation=pool.allow_extrapolation,
    )
    return CapCurve(
        full_kw=at_model.full_kw * factor,
        elasticity=at_model.elasticity,
        floor_kw=at_model.floor_kw * factor,
    )


def _pose_classes(
    pool: Pool, fleet: FleetModel, loads: dict[str, float], state: PoolState
) -> tuple[ClassProblem, ...]:
    """Return the classes; protected ones may be rejected only where no instance could serve."""
    awake = state.active + state.drained
    excess = max(0.0, sum(loads.values()) - pool.max_utilisation * awake)
    open_to_rejection = sum(loads[k] for k, c in pool.classes.items() if not c.protected)
    beyond = max(0.0, excess - open_to_rejection)
    protected = sum(loads[k] for k, c in pool.classes.items() if c.protected)
    classes = []
    for key, requests in pool.classes.items():
        capacity = fleet.capacity_req_per_s(requests.workload)
        share = loads[key] / protected if requests.protected and protected > 0.0 else 0.0
        classes.append(
            ClassProblem(
                name=key,
                load=loads[key],
                requests_per_s_per_instance=capacity,
                value_per_instance_s=requests.value_per_request * capacity,
                max_rejected=min(beyond * share, loads[key]) if requests.protected else loads[key],
            )
        )
    return tuple(classes)


# --- battery --------------------------------------------------------------------------------


def _pose_battery(battery: Battery, state: State) -> BatteryProblem:
    if state.soc is None:
        raise InputError(
            field="state.soc",
            value=None,
            allowed=f"{battery.soc_min} to {battery.soc_max}: the site has a battery",
            remedy="give the measured state of charge",
        )
    if not battery.soc_min <= state.soc <= battery.soc_max:
        raise InputError(
            field="state.soc",
            value=state.soc,
            allowed=f"{battery.soc_min} to {battery.soc_max} (soc_min to soc_max of the site)",
            remedy="correct the reading or the limits",
        )
    energy = battery.energy_kwh
    ends = [0.0, *(min(s.up_to_soc, 1.0) for s in battery.terminal_value)]
    return BatteryProblem(
        energy_kwh=energy,
        start_kwh=state.soc * energy,
        min_kwh=battery.soc_min * energy,
        max_kwh=battery.soc_max * energy,
        reserve_kwh=battery.reserve_soc * energy,
        discharge_limit_kw=battery.discharge_limit_kw - battery.droop_reserve_kw,
        charge_limit_kw=battery.charge_limit_kw - battery.droop_reserve_kw,
        droop_reserve_kw=battery.droop_reserve_kw,
        rated_kw=battery.converter_rated_kw,
        loss_linear=battery.converter_loss_linear,
        loss_quadratic=battery.converter_loss_quadratic,
        cell_efficiency=battery.cell_efficiency,
        delay_s=battery.converter_delay_s,
        wear_per_kwh=battery.wear_per_kwh,
        terminal=tuple(
            ValueSegment(width_kwh=(high - low) * energy, price_per_kwh=segment.price_per_kwh)
            for low, high, segment in zip(ends[:-1], ends[1:], battery.terminal_value, strict=True)
        ),
    )
