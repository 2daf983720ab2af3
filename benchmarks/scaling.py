"""The same site with more instances: everything that has a size grows with their number."""

from __future__ import annotations

import numpy as np

from ebplan.case import Case
from ebplan.event import Event
from ebplan.site import Battery, ConnectionPoint, Pool, Site
from ebplan.state import PoolState, State

LOAD_SPREAD = 0.15
"""Loads of several pools differ by up to this share either way. Equal pools could be exchanged
for one another, a symmetry that no real site has and that a branch-and-bound would pay for."""


def scaled(case: Case, *, instances: int, pools: int = 1, duration_s: float | None = None) -> Case:
    """Return the case with ``pools`` pools of ``instances`` each, made from its only pool.

    Args:
        case: a case with one pool, all of it active.
        instances: instances in each pool.
        pools: number of pools.
        duration_s: length of the event; the case's own if absent.
    """
    ((name, pool),) = case.site.pools.items()
    state = case.state.pools[name]
    per_pool = instances / pool.instances
    whole = per_pool * pools
    names = [name] if pools == 1 else [f"{name}-{i}" for i in range(pools)]
    spread = LOAD_SPREAD if pools > 1 else 0.0
    loads = per_pool * np.linspace(1.0 - spread, 1.0 + spread, pools)
    event = scaled_event(case.event, whole, duration_s)
    return case.model_copy(
        update={
            "event": event,
            "site": _scaled_site(case, event, pool, names, per_pool, whole),
            "state": _scaled_state(case.state, state, names, instances, loads.tolist()),
        }
    )


def scaled_event(event: Event, factor: float, duration_s: float | None) -> Event:
    """Return the event with every size times ``factor``, and another duration where given."""
    target, shape = event.target, event.response
    sizes = {
        field: value * factor
        for field in ("delta_kw", "import_limit_kw")
        if (value := getattr(target, field)) is not None
    }
    rebound_kw = shape.rebound_limit_kw * factor
    return event.model_copy(
        update={
            "target": target.model_copy(update=sizes),
            "response": shape.model_copy(update={"rebound_limit_kw": rebound_kw}),
            "duration_s": event.duration_s if duration_s is None else duration_s,
        }
    )


def _scaled_site(
    case: Case, event: Event, pool: Pool, names: list[str], per_pool: float, whole: float
) -> Site:
    site = case.site
    notice_s = (event.start - case.state.at).total_seconds()
    horizon_s = notice_s + event.duration_s + event.response.recovery_s
    longest_s = max(site.planning.max_horizon_s, horizon_s)
    bigger = pool.model_copy(update={"instances": round(pool.instances * per_pool)})
    return site.model_copy(
        update={
            "pools": dict.fromkeys(names, bigger),
            "losses": tuple(
                stage.model_copy(update={"offset_kw": stage.offset_kw * whole})
                for stage in site.losses
            ),
            "battery": None if site.battery is None else scaled_battery(site.battery, whole),
            "connection_point": scaled_connection_point(site.connection_point, whole),
            "planning": site.planning.model_copy(update={"max_horizon_s": longest_s}),
        }
    )


def scaled_battery(battery: Battery, factor: float) -> Battery:
    """Return the battery with every size times ``factor``."""
    sizes = (
        "energy_kwh",
        "discharge_limit_kw",
        "charge_limit_kw",
        "converter_rated_kw",
        "droop_reserve_kw",
    )
    return battery.model_copy(update={size: getattr(battery, size) * factor for size in sizes})


def scaled_connection_point(point: ConnectionPoint, factor: float) -> ConnectionPoint:
    """Return the connection point with every size times ``factor``."""
    sizes = ("import_limit_kw", "export_limit_kw", "other_load_kw")
    return point.model_copy(update={size: getattr(point, size) * factor for size in sizes})


def _scaled_state(
    state: State, pool: PoolState, names: list[str], instances: int, loads: list[float]
) -> State:
    if pool.active != pool.total or state.grid is not None:
        raise ValueError("only a state with every instance active and no meter reading is scaled")
    return state.model_copy(
        update={
            "pools": {
                name: PoolState(
                    active=instances,
                    load_req_per_s={key: rate * load for key, rate in pool.load_req_per_s.items()},
                )
                for name, load in zip(names, loads, strict=True)
            }
        }
    )
