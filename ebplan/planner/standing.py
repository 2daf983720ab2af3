"""What is planned between events: nothing is asked but that the battery is ready for the next one.

Events leave the battery emptier or fuller than it should be; held where it is, it would drift until
it can answer nothing. So each plan between events brings it closer to the state of charge from
which it is ready, as far as one such plan can without moving compute:

    below    charge what room there is above the draw:  min(P_charge, 0.95 room) h eta
    above    draw less than the pools by what is too much over the plan's time
    room     power of the restoration, as far as connection point and recovery leave it

A restoration that asked for more than the plan can would have compute drained or capped for it,
which no readiness is worth.
"""

from __future__ import annotations

from ebplan.event import Event, ResponseShape, Target
from ebplan.planner.restoration import CLOSE_SOC, charging_kw, kept_share
from ebplan.pose.corrections import battery_as_found
from ebplan.site import Battery, Site
from ebplan.state import State

SPARE_S = 10.0
"""A plan between events reaches so far past the time after which another is made."""
RECOVERY_S = 1.0
"""Nothing is left to recover from."""
DRAW_SHARE = 0.9
"""Share of the draw that discharging may take away, so that nothing is fed in."""


def standing_event(
    site: Site,
    measured: State,
    *,
    draw_kw: float,
    ready_soc: float | None,
    power_kw: float,
    lasts_s: float,
    limit_kw: float | None = None,
) -> Event:
    """Return what is asked between events.

    Args:
        site: the site.
        measured: the state now.
        draw_kw: what the site draws without its battery.
        ready_soc: state of charge to restore; held where it is if absent.
        power_kw: how far the battery may move the draw to get there.
        lasts_s: how long the plan is followed at most.
        limit_kw: what may be drawn, where an event's recovery allows less than the contract.
    """
    contract_kw = site.connection_point.import_limit_kw
    # where more is drawn already nobody is asked to draw less: battery alone acts between events
    limit_kw = contract_kw if limit_kw is None else min(max(limit_kw, draw_kw), contract_kw)
    restore_soc = None
    battery = None if site.battery is None else battery_as_found(site.battery, measured)
    if battery is not None and measured.soc is not None and measured.converter_available:
        soc = min(max(measured.soc, battery.soc_min), battery.soc_max)
        wanted = soc if ready_soc is None else ready_soc
        wanted = min(max(wanted, battery.soc_min), battery.soc_max)
        room_kw = min(limit_kw - draw_kw, power_kw)
        restore_soc = min(max(wanted, soc), _reached(battery, soc, room_kw, lasts_s))
        if soc < wanted:
            limit_kw = min(limit_kw, draw_kw + power_kw)
        if soc > wanted + CLOSE_SOC:
            restore_soc = wanted
            less_kw = min(_too_much_kw(battery, soc - wanted, draw_kw, lasts_s), power_kw)
            limit_kw = min(limit_kw, draw_kw - less_kw)
    return Event(
        id="standing",
        type="import_limit",
        start=measured.at,
        duration_s=lasts_s + SPARE_S,
        target=Target(import_limit_kw=max(limit_kw, 0.0)),
        response=ResponseShape(
            recovery_s=RECOVERY_S, restore_soc=restore_soc, restore_limit_kw=power_kw
        ),
    )


def _reached(battery: Battery, soc: float, room_kw: float, lasts_s: float) -> float:
    """Return the state of charge that charging within the room reaches in time."""
    kept_kw = charging_kw(battery, room_kw) * kept_share(battery)
    return soc + kept_kw * lasts_s / 3600.0 / battery.energy_kwh


def _too_much_kw(battery: Battery, soc_too_much: float, draw_kw: float, lasts_s: float) -> float:
    """Return the power that gives off what is too much in time, as far as the draw takes it."""
    hours = lasts_s / 3600.0
    kw = soc_too_much * battery.energy_kwh * battery.cell_efficiency / hours
    most_kw = battery.discharge_limit_kw - battery.droop_reserve_kw
    return max(min(kw, most_kw, DRAW_SHARE * draw_kw), 0.0)
