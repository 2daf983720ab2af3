"""Make sense of a measured state that contradicts its site: a controller needs a plan anyway.

A state in a file is a person's, and is refused where it is wrong. A measured one is what there is:
readings drift out of range, devices drop out, counts do not add up for a second. Each repair takes
the cautious reading, is said in one sentence, and goes with the plan.

First what a pool of this site cannot be is put right (``as_the_pool_is``), and what no meter can
show is left out; then what the models refuse, one error after the other; at last power on its way
that would have the site draw less than nothing.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.pose import DrawsTooMuch, pose
from ebplan.pose.known import TooLittleLoad
from ebplan.pose.pool_state import as_the_pool_is
from ebplan.problem import Problem
from ebplan.site import Pool, Site
from ebplan.state import PoolState, State
from ebplan.timegrid import TimeGrid

MOST_REPAIRS = 10
"""Repairs for each pool and the site before a state is given up: each takes away what was wrong."""
BELIEVABLE = 2.0
"""A reading beyond this many times what the connection and the converter are made for is none."""

Case = tuple[Site, State]


def pose_measured(
    event: Event,
    site: Site,
    state: State,
    *,
    grid: TimeGrid | None = None,
    other_kw: float | None = None,
) -> tuple[Problem, Site, State, tuple[str, ...]]:
    """Pose an event under a measured state, repaired where it has to be.

    Returns:
        The problem, the site and the state as they were posed, and what was repaired.

    Raises:
        InputError: the event or the site is wrong, or nothing is left to plan with.
    """
    notes: list[str] = []
    site, state = _same_pools(site, state, notes)
    if not believable(site, state):
        assert state.grid is not None
        notes.append(f"a meter reading of {state.grid.kw:g} kW is not believed; it is left out")
        state = state.model_copy(update={"grid": None})
    for _ in range(MOST_REPAIRS * (1 + len(site.pools))):
        try:
            problem = pose(event, site, state, grid=grid, other_kw=other_kw)
        except InputError as error:
            repaired = _repair(site, state, error)
            if repaired is None:
                raise
            site, state, note = repaired
            notes.append(note)
            continue
        if (below_kw := -_lowest_draw_kw(problem)) > 0.0:
            if any(told.settling for told in state.pools.values()):
                state = _settled(state)
                notes.append("more power is on its way than is drawn; it counts as settled")
            else:
                other_kw = problem.other_kw[0] + below_kw
                notes.append("the load that no pool explains would feed in; it counts as none")
            continue
        caveats = (*problem.caveats, *(f"Measured state: {note}." for note in notes))
        return problem.model_copy(update={"caveats": caveats}), site, state, tuple(notes)
    raise InputError(
        field="state",
        value=f"{len(notes)} contradictions",
        allowed="a state of this site",
        remedy="check what is measured: " + notes[-1],
    )


def believable(site: Site, state: State) -> bool:
    """Tell whether a meter reading, and the battery power that goes with it, may be true."""
    if state.grid is None:
        return True
    point, battery = site.connection_point, site.battery
    most_kw = BELIEVABLE * max(point.import_limit_kw, point.export_limit_kw)
    rated_kw = 0.0 if battery is None else BELIEVABLE * battery.converter_rated_kw
    return abs(state.grid.kw) <= most_kw and abs(state.battery_kw) <= rated_kw


def _same_pools(site: Site, state: State, notes: list[str]) -> Case:
    """Leave the pools that both speak of and of which an instance is left."""
    pools: dict[str, Pool] = {}
    states: dict[str, PoolState] = {}
    for name, pool in site.pools.items():
        told = state.pools.get(name)
        if told is None:
            notes.append(f"nothing is known of pool {name}; it is left out")
            continue
        pool, told = as_the_pool_is(name, pool, told, notes)
        if told.total - told.lost <= 0:
            notes.append(f"pool {name} has lost every instance")
            continue
        pools[name], states[name] = pool, told
    notes += [f"pool {name} is not the site's" for name in state.pools if name not in site.pools]
    if not pools:
        raise InputError(
            field="state.pools",
            value=sorted(state.pools),
            allowed="at least one instance of one pool of the site",
            remedy="there is no compute to plan with: leave the event to the converter's droop",
        )
    return (
        site.model_copy(update={"pools": pools, "assumptions": ()}),
        state.model_copy(update={"pools": states}),
    )


def _repair(site: Site, state: State, error: InputError) -> tuple[Site, State, str] | None:
    """Return a case without the contradiction that an error speaks of; None if it is another."""
    field = error.field
    if field == "state.soc" and site.battery is not None:
        return _repair_soc(site, state, site.battery.soc_min, site.battery.soc_max)
    if field == "state.grid.kw":
        note = "the meter shows less than the models say the pools draw; it is left out"
        return site, state.model_copy(update={"grid": None}), note
    if isinstance(error, DrawsTooMuch):
        return _raise_limit(site, state, error.draw_kw)
    for name, told in state.pools.items():
        if field.startswith((f"state.pools.{name}.", f"site.pools.{name}.")):
            return _repair_pool(site, state, name, told, error)
    return None


def _repair_soc(
    site: Site, state: State, lowest: float, highest: float
) -> tuple[Site, State, str] | None:
    if state.soc is None:
        # as after a trip: what the event asks of the battery is dropped with it
        without = state.model_copy(update={"converter_available": False})
        return site, without, "the state of charge is unknown; the battery is left out"
    soc = min(max(state.soc, lowest), highest)
    if soc == state.soc:
        return None
    note = f"a state of charge of {state.soc:g} counts as {soc:g}"
    return site, state.model_copy(update={"soc": soc}), note


def _raise_limit(site: Site, state: State, draw_kw: float) -> tuple[Site, State, str]:
    """Plan from where the site is, though it draws more than it may."""
    point = site.connection_point
    wider = point.model_copy(update={"import_limit_kw": draw_kw * (1.0 + 1e-9)})
    note = f"more than the contracted {point.import_limit_kw:g} kW is drawn"
    return site.model_copy(update={"connection_point": wider}), state, note


def _repair_pool(
    site: Site, state: State, name: str, told: PoolState, error: InputError
) -> tuple[Site, State, str] | None:
    pool = site.pools[name]
    if not isinstance(error, TooLittleLoad):
        return None
    if not pool.allow_extrapolation:
        wider = pool.model_copy(update={"allow_extrapolation": True})
        note = f"the load of pool {name} is outside what its models cover"
        return site.model_copy(update={"pools": {**site.pools, name: wider}}), state, note
    if error.busy:
        drained = max(told.active - error.busy, 0)
        changes: dict[str, object] = {
            "active": told.active - drained,
            "drained": told.drained + drained,
            "usually_active": min(told.usually_active or told.active, error.busy),
        }
        note = f"the load of pool {name} keeps {error.busy} instances busy; more count as drained"
    else:
        nothing = dict.fromkeys(told.load_req_per_s, 0.0)
        tier = told.tier and told.tier.model_copy(update={"load_req_per_s": {}})
        changes = {"load_req_per_s": nothing, "usually_active": None, "tier": tier}
        note = f"less than one request is in flight in pool {name}; it counts as idle"
    changed = told.model_copy(update=changes)
    if changed == told:
        return None
    return site, state.model_copy(update={"pools": {**state.pools, name: changed}}), note


def _settled(state: State) -> State:
    pools = {name: p.model_copy(update={"settling": ()}) for name, p in state.pools.items()}
    return state.model_copy(update={"pools": pools})


def _lowest_draw_kw(problem: Problem) -> float:
    """Return the least the site draws, or a pool, if nobody changes anything; at most 0."""
    at_s = np.concatenate([[0.0], np.geomspace(0.01, 1e5, 60)])
    lowest, site_kw = 0.0, np.full(len(at_s), problem.other_kw[0])
    for pool in problem.pools:
        draw_kw = np.full(len(at_s), pool.power_at_start_kw())
        for part in pool.settling:
            since_s = np.maximum(at_s - part.delay_s, 0.0)
            draw_kw += part.kw * np.exp(-since_s / part.time_constant_s)
        lowest = min(lowest, float(draw_kw.min()))
        site_kw += draw_kw
    return min(lowest, float(site_kw.min()))
