"""Pose the problem: an event, a site and a state become numbers at the connection point.

All input handling ends here: fitted models are looked up, powers carried to the connection point
through the site's loss stages, requests per second turned into instance-equivalents, wall times
into seconds from plan start.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.models.kernel import settling_at_start_kw
from ebplan.pose.asked import Asked, FloatArray, target_steps, what_is_asked, without_effect
from ebplan.pose.battery import pose_battery
from ebplan.pose.corrections import battery_as_found, battery_caveats
from ebplan.pose.margins import margin_caveats, pose_margins
from ebplan.pose.pools import check_pools_match, pose_pool
from ebplan.pose.prices import pose_prices
from ebplan.problem import PoolProblem, Problem
from ebplan.site import Site
from ebplan.state import State
from ebplan.timegrid import TimeGrid, build_time_grid

TRACKING_STEPS = 90
"""Steps in which a frequency response is followed."""
SHORTEST_TRACKED_S = 1.0
"""No shorter ones: what moves faster is the armed droop's."""
TRACKING_EPOCHS, PRICE_EPOCHS = 6, 8
"""Even parts of a frequency response, and of a price window, in which compute may change; at each
new price as well."""


class DrawsTooMuch(InputError):
    """The site draws more when the plan starts than its contract allows."""

    draw_kw = 0.0


def pose(
    event: Event,
    site: Site,
    state: State,
    *,
    grid: TimeGrid | None = None,
    other_kw: float | None = None,
) -> Problem:
    """Turn a case into a problem.

    Args:
        event: what the grid asks; it may have begun before the state was measured, and the rest of
            it is posed then.
        site: the site.
        state: the state when the plan starts.
        grid: steps and epochs from ``state.at`` to the end of the recovery; built if absent.
        other_kw: load that is not planned, where an estimate of it is better than one reading.

    Raises:
        InputError: the parts contradict each other or leave the models' ranges.
    """
    start_s = (event.start - state.at).total_seconds()
    end_s = start_s + event.duration_s
    _check_times(event, site, start_s, end_s)
    running = start_s < 0.0
    if site.battery is not None and not state.converter_available:
        site = site.model_copy(update={"battery": None})
        event = event.model_copy(
            update={
                "response": event.response.model_copy(update={"restore_soc": None}),
                "handoff": None,
            }
        )
    check_pools_match(site, state)
    posed = [pose_pool(name, pool, site, state.pools[name]) for name, pool in site.pools.items()]
    pools = tuple(p.problem for p in posed)
    # Losses that do not depend on load belong to the site, however many pools it has.
    constant_loss_kw = sum({p.measured_at: p.constant_loss_kw for p in posed}.values())
    if other_kw is None:
        other_kw = _other_load_kw(site, state, pools, constant_loss_kw)
    draw_kw = other_kw + sum(pool.power_at_start_kw() for pool in pools)
    if draw_kw > site.connection_point.import_limit_kw:
        error = DrawsTooMuch(
            field="site.connection_point.import_limit_kw",
            value=site.connection_point.import_limit_kw,
            allowed=f">= {draw_kw:.3f} kW, what the site draws when the plan starts",
            remedy="correct the contract, the load or the loss stages",
        )
        error.draw_kw = draw_kw
        raise error
    # commands from before may still be on their way: draw_kw is where they would end
    now_kw = draw_kw + sum(settling_at_start_kw(pool.settling) for pool in pools)
    baseline_kw = now_kw if event.baseline.kw is None else event.baseline.kw
    # what is drawn while it runs is the answer to it, and says nothing of what it asks
    asked = what_is_asked(event, baseline_kw, baseline_kw if running else now_kw)

    # An import limit above the draw asks for no response: there is none to hand over.
    handoff = event.handoff if asked.asks == "one_way" else None
    handoff_s = None if handoff is None else max(start_s + handoff.by_s, 0.0)
    grid = grid or _time_grid(event, site, start_s, handoff_s)
    edges = np.array(grid.edges_s)
    steps = grid.n_steps
    limit = _import_limit_steps(event, site, asked, baseline_kw, edges - start_s)
    battery = (
        pose_battery(site.battery, state, grid.horizon_s, currency=site.currency)
        if site.battery
        else None
    )
    handoff_kw = 0.0 if handoff is None else handoff.battery_fraction * abs(asked.delta_kw)
    margins = pose_margins(event, site, asked, pools, battery, edges - start_s)
    return Problem(
        event_id=event.id,
        start=state.at,
        currency=site.currency,
        grid=grid,
        event_start_s=start_s,
        event_end_s=end_s,
        asks=asked.asks,
        tolerance_kw=asked.tolerance_kw,
        target_kw=tuple(target_steps(event, asked, edges - start_s).tolist()),
        baseline_kw=(baseline_kw,) * steps,
        other_kw=(other_kw,) * steps,
        import_limit_kw=tuple(limit.tolist()),
        export_limit_kw=site.connection_point.export_limit_kw,
        handoff_from_s=handoff_s,
        handoff_kw=handoff_kw,
        pools=pools,
        battery=battery,
        restore_kwh=_restore_kwh(event, site, state),
        restore_limit_kw=None if battery is None else event.response.restore_limit_kw,
        prices=pose_prices(event, site, pools, battery, edges - start_s, margins),
        margins=margins,
        caveats=(
            *without_effect(event, asked),
            *margin_caveats(site, asked),
            *battery_caveats(site.battery, state),
            *(caveat for p in posed for caveat in p.caveats),
        ),
    )


def _check_times(event: Event, site: Site, start_s: float, end_s: float) -> None:
    if end_s <= 0.0:
        raise InputError(
            field="event.start",
            value=event.start.isoformat(),
            allowed="an event that ends after state.at",
            remedy="correct the times: this event is over",
        )
    if start_s < 0.0 and event.baseline.kw is None:
        raise InputError(
            field="event.baseline.rule",
            value=event.baseline.rule,
            allowed="'fixed' with kw, for an event that began before state.at",
            remedy="give the baseline that was agreed: what is drawn now is the answer already",
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


def _time_grid(event: Event, site: Site, start_s: float, handoff_s: float | None) -> TimeGrid:
    """Return the grid: fine where the response begins and ends, throughout where it moves."""
    shape, end_s = event.response, start_s + event.duration_s
    delay_s = site.battery.converter_delay_s if site.battery else 0.0
    moves_s = [start_s + from_s for from_s, _ in event.prices]
    decide_s, longest_s = None, None
    if event.type == "frequency_response":
        decide_s = start_s + np.linspace(0.0, event.duration_s, TRACKING_EPOCHS + 1)[:-1]
        longest_s = max(event.duration_s / TRACKING_STEPS, SHORTEST_TRACKED_S)
    elif moves_s:
        even_s = start_s + np.linspace(0.0, event.duration_s, PRICE_EPOCHS + 1)[1:-1]
        apart_s = event.duration_s / (4.0 * PRICE_EPOCHS)
        even = [t for t in even_s.tolist() if all(abs(t - m) > apart_s for m in moves_s)]
        decide_s = np.array(moves_s + even)
    return build_time_grid(
        start_s=max(start_s, 0.0),
        begin_s=max(start_s + shape.initial_delay_s, 0.0),
        full_s=max(start_s + shape.full_activation_s, 0.0),
        end_s=end_s,
        horizon_s=end_s + shape.recovery_s,
        marks_s=(start_s, start_s + delay_s, *(() if handoff_s is None else (handoff_s,))),
        longest_in_event_s=longest_s,
        decide_at_s=None if decide_s is None else decide_s.tolist(),
    )


def _import_limit_steps(
    event: Event, site: Site, asked: Asked, baseline_kw: float, edges_s: FloatArray
) -> FloatArray:
    """Return the draw allowed per step, shape (T,); times count from the start of the event.

    The contract holds throughout. Around a release, and around a target followed both ways, the
    draw may exceed the baseline a little: to prepare, and to recover. An import limit that asks for
    no change holds inside the event.
    """
    contract_kw = site.connection_point.import_limit_kw
    inside = (edges_s[:-1] >= -1e-9) & (edges_s[:-1] < event.duration_s - 1e-9)
    limit_kw = np.full(len(inside), contract_kw)
    if asked.delta_kw < 0.0 or asked.asks == "both_ways":
        limit_kw[~inside] = min(contract_kw, baseline_kw + event.response.rebound_limit_kw)
    if asked.import_limit_kw is not None:
        limit_kw[inside] = min(contract_kw, asked.import_limit_kw)
    return limit_kw


def _restore_kwh(event: Event, site: Site, state: State) -> float | None:
    """Return the energy to be restored by the end of the recovery, where that is asked."""
    soc, battery = event.response.restore_soc, site.battery
    if soc is None:
        return None
    if battery is None or not battery.soc_min <= soc <= battery.soc_max:
        raise InputError(
            field="event.response.restore_soc",
            value=soc,
            allowed="a site with a battery"
            if battery is None
            else f"{battery.soc_min} to {battery.soc_max} (soc_min to soc_max of the site)",
            remedy="ask for a state of charge that the battery can have, or leave it out",
        )
    return soc * battery_as_found(battery, state).energy_kwh


def _other_load_kw(
    site: Site, state: State, pools: tuple[PoolProblem, ...], constant_loss_kw: float
) -> float:
    """Return the load that is not planned: what the meter shows beyond the models."""
    if state.grid is None:
        return site.connection_point.other_load_kw + constant_loss_kw
    modelled_kw = sum(p.power_at_start_kw() + settling_at_start_kw(p.settling) for p in pools)
    other_kw = state.grid.kw + state.battery_kw - modelled_kw
    if other_kw < 0.0:
        raise InputError(
            field="state.grid.kw",
            value=state.grid.kw,
            allowed=f">= {state.grid.kw - other_kw:.3f}, what the models say the pools draw",
            remedy="check the meter, the loads and the loss stages; refit the fleet model",
        )
    return other_kw
