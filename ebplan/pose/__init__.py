"""Pose the problem: an event, a site and a state become numbers at the connection point.

All input handling ends here: fitted models are looked up, powers carried to the connection point
through the site's loss stages, requests per second turned into instance-equivalents, wall times
into seconds from plan start.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.pose.battery import pose_battery
from ebplan.pose.pools import check_pools_match, pose_pool
from ebplan.pose.prices import pose_prices
from ebplan.problem import PoolProblem, Problem
from ebplan.site import Site
from ebplan.state import State
from ebplan.timegrid import build_time_grid


def pose(event: Event, site: Site, state: State) -> Problem:
    """Turn a case into a problem.

    Raises:
        InputError: the parts contradict each other or leave the models' ranges.
    """
    start_s = (event.start - state.at).total_seconds()
    end_s = start_s + event.duration_s
    _check_times(event, site, start_s, end_s)
    check_pools_match(site, state)
    posed = [pose_pool(name, pool, site, state.pools[name]) for name, pool in site.pools.items()]
    pools = tuple(p.problem for p in posed)
    # Losses that do not depend on load belong to the site, however many pools it has.
    constant_loss_kw = sum({p.measured_at: p.constant_loss_kw for p in posed}.values())
    other_kw = _other_load_kw(site, state, pools, constant_loss_kw)
    draw_kw = other_kw + sum(pool.power_at_start_kw() for pool in pools)
    if draw_kw > site.connection_point.import_limit_kw:
        raise InputError(
            field="site.connection_point.import_limit_kw",
            value=site.connection_point.import_limit_kw,
            allowed=f">= {draw_kw:.3f} kW, what the site draws when the plan starts",
            remedy="correct the contract, the load or the loss stages",
        )
    baseline_kw = draw_kw if event.baseline.kw is None else event.baseline.kw
    delta_kw = _target_kw(event, baseline_kw)

    shape = event.response
    delay_s = site.battery.converter_delay_s if site.battery else 0.0
    handoff_s = start_s + event.handoff.by_s if event.handoff else None
    grid = build_time_grid(
        start_s=start_s,
        begin_s=start_s + shape.initial_delay_s,
        full_s=start_s + shape.full_activation_s,
        end_s=end_s,
        horizon_s=end_s + shape.recovery_s,
        marks_s=(start_s, start_s + delay_s, *(() if handoff_s is None else (handoff_s,))),
    )
    edges = np.array(grid.edges_s)
    steps = grid.n_steps
    battery = pose_battery(site.battery, state, grid.horizon_s) if site.battery else None
    apart = (edges[:-1] >= end_s - 1e-9) | (edges[:-1] < start_s - 1e-9)
    limit = site.connection_point.import_limit_kw
    # Around a release the draw may exceed the baseline a little: to prepare, and to recover.
    rebound = min(limit, baseline_kw + shape.rebound_limit_kw) if delta_kw < 0.0 else limit
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
        import_limit_kw=tuple(np.where(apart, rebound, limit).tolist()),
        export_limit_kw=site.connection_point.export_limit_kw,
        handoff_from_s=handoff_s,
        handoff_kw=0.0 if event.handoff is None else event.handoff.battery_fraction * abs(delta_kw),
        pools=pools,
        battery=battery,
        prices=pose_prices(event, site, pools, battery),
        caveats=tuple(caveat for p in posed for caveat in p.caveats),
    )


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
    if delta_kw == 0.0 or (target.import_limit_kw is not None and delta_kw > 0.0):
        raise InputError(
            field=field,
            value=next(value for value in target.model_dump().values() if value is not None),
            allowed=f"not 0; an import limit below the baseline of {baseline_kw:.3f} kW",
            remedy="ask for less draw (< 0, release) or more (> 0, absorb)",
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
