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
from ebplan.planner.restoration import CLOSE_SOC, drawn_at_most_kw, gained_kw, given_off_kw
from ebplan.pose.corrections import battery_as_found
from ebplan.site import Battery, Site
from ebplan.state import State

SPARE_S = 10.0
"""A plan between events reaches so far past the time after which another is made."""
RECOVERY_S = 1.0
"""Nothing is left to recover from."""


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
    limit_kw = drawn_at_most_kw(site, draw_kw, limit_kw)
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
            spread_kw = (soc - wanted) * battery.energy_kwh * 3600.0 / lasts_s
            cells_kw = min(spread_kw, given_off_kw(battery, draw_kw, power_kw))
            limit_kw = min(limit_kw, draw_kw - cells_kw * battery.cell_efficiency)
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
    return soc + gained_kw(battery, room_kw) * lasts_s / 3600.0 / battery.energy_kwh
