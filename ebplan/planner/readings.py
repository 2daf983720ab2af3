"""Which readings of a measured state are believed, before anything is asked of them.

Sensors fail as numbers that are none, as a value that cannot be, or by saying nothing. A reading
that is not believed is left out: without a state of charge the battery is not planned with, without
a meter the models speak for it, a load that cannot be is taken as it was planned. What contradicts
the site but could be true of some site is repaired where it is posed (``pose/repair.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from ebplan.errors import InputError
from ebplan.pose.repair import believable
from ebplan.site import Site
from ebplan.state import PoolState, State

Loads = Mapping[str, Mapping[str, float]]
"""Requests per second by pool and class."""


def believed(
    site: Site, measured: State, planned: Loads
) -> tuple[State, tuple[str, ...], tuple[str, ...]]:
    """Return a state of readings that may be believed, what was changed, and what else is odd.

    Args:
        site: the site.
        measured: what was read.
        planned: loads to take where one was not read.

    Raises:
        InputError: a load cannot be, and none was planned; or the time has no zone.
    """
    if measured.at.tzinfo is None:
        raise InputError(
            field="state.at",
            value=measured.at.isoformat(),
            allowed="a time with its offset from UTC",
            remedy="add the UTC offset, as in 2026-06-01T12:00:00+00:00",
        )
    doubts: list[str] = []
    odd: list[str] = []
    changes: dict[str, object] = {}
    soc, battery = measured.soc, site.battery
    if battery is not None and measured.converter_available:
        if soc is None:
            odd.append("no state of charge was read")
        elif not 0.0 <= soc <= 1.0:
            doubts.append(f"a state of charge of {soc:g} is not believed")
            changes["soc"] = None
    if not isfinite(measured.battery_kw):
        doubts.append(f"a battery power of {measured.battery_kw:g} kW is not believed")
        changes |= {"battery_kw": 0.0, "grid": None}
    elif measured.grid is not None and not (
        isfinite(measured.grid.kw) and believable(site, measured)
    ):
        doubts.append(f"a meter reading of {measured.grid.kw:g} kW is not believed")
        changes["grid"] = None
    pools = {
        name: _believed(name, told, planned.get(name, {}), doubts)
        for name, told in measured.pools.items()
    }
    for name, told in pools.items():
        at_site = site.pools[name].instances if name in site.pools else None
        if at_site is not None and told.total != at_site:
            odd.append(f"pool {name}: {told.total} instances were counted of {at_site}")
    odd += [f"nothing was read of pool {name}" for name in site.pools if name not in pools]
    if doubts:
        measured = measured.model_copy(update={**changes, "pools": pools})
    return measured, tuple(doubts), tuple(odd)


def _believed(
    name: str, told: PoolState, planned: Mapping[str, float], doubts: list[str]
) -> PoolState:
    changes: dict[str, object] = {}
    loads = dict(told.load_req_per_s)
    for key, load in told.load_req_per_s.items():
        if isfinite(load) and load >= 0.0:
            continue
        if key not in planned:
            raise InputError(
                field=f"state.pools.{name}.load_req_per_s.{key}",
                value=load,
                allowed=">= 0 req/s",
                remedy="give the load that was forecast where none could be read",
            )
        doubts.append(f"pool {name}: a load of {load:g} req/s of {key} is not believed")
        loads[key] = planned[key]
    if loads != told.load_req_per_s:
        changes["load_req_per_s"] = loads
    if told.power_kw is not None and not (isfinite(told.power_kw) and told.power_kw >= 0.0):
        doubts.append(f"pool {name}: a draw of {told.power_kw:g} kW is not believed")
        changes["power_kw"] = None
    for field in ("served_req_per_s", "waiting_requests"):
        if any(not (isfinite(n) and n >= 0.0) for n in getattr(told, field).values()):
            doubts.append(f"pool {name}: {field.replace('_', ' ')} that cannot be are not believed")
            changes[field] = {}
    if any(not (isfinite(part.kw) and part.delay_s >= 0.0) for part in told.settling):
        doubts.append(f"pool {name}: power on its way that is no number is not believed")
        changes["settling"] = ()
    if any(not moving.remaining_s >= 0.0 for moving in told.in_transit):
        doubts.append(f"pool {name}: who should have arrived counts as arriving now")
        changes["in_transit"] = tuple(
            moving if moving.remaining_s >= 0.0 else moving.model_copy(update={"remaining_s": 0.0})
            for moving in told.in_transit
        )
    return told.model_copy(update=changes) if changes else told
