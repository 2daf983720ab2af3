"""Make sense of a measured state that contradicts its site: a controller needs a plan anyway.

A state in a file is a person's, and is refused where it is wrong. A measured one is what there is:
readings drift out of range, devices drop out, counts do not add up for a second. Each repair takes
the cautious reading, is said in one sentence, and goes with the plan.
"""

from __future__ import annotations

from collections.abc import Callable

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Pool, Site
from ebplan.state import PoolState, State
from ebplan.timegrid import TimeGrid

MOST_REPAIRS = 60
"""Repairs before a state is given up: every one takes something away that was wrong."""

Case = tuple[Site, State]
Repair = Callable[[Site, State], tuple[Site, State, str] | None]


def pose_measured(
    event: Event, site: Site, state: State, *, grid: TimeGrid | None = None
) -> tuple[Problem, Site, State, tuple[str, ...]]:
    """Pose an event under a measured state, repaired where it has to be.

    Returns:
        The problem, the site and the state as they were posed, and what was repaired.

    Raises:
        InputError: the event or the site is wrong, or nothing is left to plan with.
    """
    notes: list[str] = []
    site, state = _same_pools(site, state, notes)
    for _ in range(MOST_REPAIRS):
        try:
            problem = pose(event, site, state, grid=grid)
        except InputError as error:
            repaired = _repair(site, state, error)
            if repaired is None:
                raise
            site, state, note = repaired
            notes.append(note)
            continue
        caveats = (*problem.caveats, *(f"Measured state: {note}." for note in notes))
        return problem.model_copy(update={"caveats": caveats}), site, state, tuple(notes)
    raise InputError(
        field="state",
        value=f"{MOST_REPAIRS} contradictions",
        allowed="a state of this site",
        remedy="check what is measured: " + notes[-1],
    )


def _same_pools(site: Site, state: State, notes: list[str]) -> Case:
    """Leave the pools that both speak of and of which an instance is left."""
    pools: dict[str, Pool] = {}
    states: dict[str, PoolState] = {}
    for name, pool in site.pools.items():
        told = state.pools.get(name)
        if told is None:
            notes.append(f"nothing is known of pool {name}; it is left out")
            continue
        pool, told = _counted(name, pool, told, notes)
        if told.total - told.lost <= 0:
            notes.append(f"pool {name} has lost every instance")
            continue
        pools[name], states[name] = pool, _classes_match(name, pool, told, notes)
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


def _counted(name: str, pool: Pool, told: PoolState, notes: list[str]) -> tuple[Pool, PoolState]:
    """Let the counts add up: who is not accounted for is lost; who is too many is there."""
    apart = pool.instances - told.total
    if apart > 0:
        notes.append(f"{apart} of {pool.instances} instances of pool {name} are not accounted for")
        told = told.model_copy(update={"lost": told.lost + apart})
    elif apart < 0:
        notes.append(f"pool {name} has {told.total} instances, {-apart} more than the site says")
        pool = pool.model_copy(update={"instances": told.total})
    here = told.total - told.lost
    if told.usually_active is not None and told.usually_active > here:
        told = told.model_copy(update={"usually_active": here})
    return pool, told


def _classes_match(name: str, pool: Pool, told: PoolState, notes: list[str]) -> PoolState:
    """Leave what is said of the pool's classes; a class of which nothing is said has no load."""
    loads = {key: told.load_req_per_s.get(key, 0.0) for key in pool.classes}
    if set(loads) != set(told.load_req_per_s):
        notes.append(f"the request classes of pool {name} are not those of the site")
    may_wait = {key for key, c in pool.classes.items() if c.deferral is not None}
    backlog = {key: n for key, n in told.backlog_requests.items() if key in may_wait}
    if any(n > 0.0 for key, n in told.backlog_requests.items() if key not in may_wait):
        notes.append(f"requests of pool {name} wait that may not; they count as served")
    return told.model_copy(update={"load_req_per_s": loads, "backlog_requests": backlog})


def _repair(site: Site, state: State, error: InputError) -> tuple[Site, State, str] | None:
    """Return a case without the contradiction that an error speaks of; None if it is another."""
    field = error.field
    if field == "state.soc" and site.battery is not None:
        if state.soc is None:
            without = site.model_copy(update={"battery": None})
            return without, state, "the state of charge is unknown; the battery is left out"
        low, high = site.battery.soc_min, site.battery.soc_max
        soc = min(max(state.soc, low), high)
        note = f"a state of charge of {state.soc:g} counts as {soc:g}"
        return site, state.model_copy(update={"soc": soc}), note
    if field == "event.response.restore_soc":
        return None
    if field == "state.grid.kw":
        note = "the meter shows less than the models say the pools draw; it is left out"
        return site, state.model_copy(update={"grid": None}), note
    if field == "site.connection_point.import_limit_kw":
        return _raise_limit(site, state, error)
    for name, told in state.pools.items():
        if field.startswith((f"state.pools.{name}.", f"site.pools.{name}.")) or field in (
            f"state.pools.{name}",
        ):
            return _repair_pool(site, state, name, told, error)
    return None


def _raise_limit(site: Site, state: State, error: InputError) -> tuple[Site, State, str] | None:
    """Plan from where the site is, though it draws more than it may."""
    point = site.connection_point
    wider = point.model_copy(update={"import_limit_kw": 1.05 * point.import_limit_kw + 1.0})
    note = f"more than the contracted {point.import_limit_kw:g} kW is drawn"
    return site.model_copy(update={"connection_point": wider}), state, note


def _repair_pool(
    site: Site, state: State, name: str, told: PoolState, error: InputError
) -> tuple[Site, State, str] | None:
    pool = site.pools[name]

    def with_state(**changes: object) -> State:
        changed = told.model_copy(update=changes)
        return state.model_copy(update={"pools": {**state.pools, name: changed}})

    if ".tier" in error.field and told.tier is not None:
        if pool.tier is None:
            held = told.tier.active + told.tier.drained
            changed = with_state(tier=None, drained=told.drained + held)
            return site, changed, f"pool {name} has no lower precision; its instances are drained"
        if told.tier.load_req_per_s:
            tier = told.tier.model_copy(update={"load_req_per_s": {}})
            return site, with_state(tier=tier), f"what the lower precision of {name} serves is off"
        return None
    if ".load_req_per_s" in error.field:
        if not pool.allow_extrapolation:
            wider = pool.model_copy(update={"allow_extrapolation": True})
            pools = {**site.pools, name: wider}
            note = f"the load of pool {name} is outside what its models cover"
            return site.model_copy(update={"pools": pools}), state, note
        if any(told.load_req_per_s.values()):
            nothing = dict.fromkeys(told.load_req_per_s, 0.0)
            note = f"less than one request is in flight in pool {name}; it counts as idle"
            return site, with_state(load_req_per_s=nothing, usually_active=None), note
    if told.settling:
        return site, with_state(settling=()), f"power on its way in pool {name} is left out"
    return None
