"""Armed contingencies: plans computed in spare time for what is likely, each with an envelope.

Activation is a look-up and a test of the envelope, some microseconds. The envelope is not guessed:
the plan is carried on (``solvers/carried.py``) at its corners and checked there; a corner at which
the check or the target fails is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ebplan.checker import check_plan
from ebplan.errors import EbplanError
from ebplan.event import Event, EventType, Target
from ebplan.plan import Plan
from ebplan.planner.expectation import Expectation
from ebplan.planner.one_shot import carried_plan
from ebplan.pose.repair import pose_measured
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.state import PoolState, State

LOAD_SHARE = 0.05
"""Loads may lie this share either way, where the plan can bear it."""
DRAW_SHARE = 0.05
"""The meter may differ from the models by this share: what is beyond is a load of its own."""
SOC_APART = 0.2
"""States of charge may lie this far either way, where the plan can bear it."""
HALVINGS = 4
"""How often a corner that fails is drawn in by half before the envelope is the point itself."""
AGE_S = 1800.0
"""An armed plan is computed anew after this."""
ROUNDING = 1e-9
MORE_SHORTFALL_KWH = 1e-6

MOST_LOSSES = 3
"""Pools for which the loss of an instance is armed: those with most of them at work."""
DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Shares of what the site can change at once, for which plans are armed."""


@dataclass(frozen=True)
class Contingency:
    """Something that may happen, relative to now: the event begins when it is activated."""

    event: Event
    """Start and identifier do not matter."""
    battery: bool = True
    """Whether the battery is there."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Instances lost by pool, of those at work."""

    def key(self) -> Hashable:
        """Return what an activated event and the state of the site are looked up by."""
        return _key(self.event, self.battery, self.lost)

    def at(self, state: State) -> tuple[Event, State]:
        """Return event and state as they would be."""
        event = self.event.model_copy(update={"start": state.at})
        pools = {name: _losing(told, self.lost.get(name, 0)) for name, told in state.pools.items()}
        changes: dict[str, object] = {"pools": pools}
        if not self.battery:
            changes |= {"converter_available": False, "battery_kw": 0.0}
        if not self.battery or self.lost:
            changes["grid"] = None  # it was read with what is lost
        return event, state.model_copy(update=changes)


def _losing(told: PoolState, count: int) -> PoolState:
    count = min(count, told.active)
    if count == 0:
        return told
    return told.model_copy(update={"active": told.active - count, "lost": told.lost + count})


def _key(event: Event, battery: bool, lost: Mapping[str, int]) -> Hashable:
    missing = tuple(sorted((name, n) for name, n in lost.items() if n))
    return (_fingerprint(event), battery, missing)


def _fingerprint(event: Event) -> Hashable:
    """Return everything of an event but when and under which name."""
    return (
        event.type,
        event.duration_s,
        event.target,
        event.prices,
        event.response,
        event.handoff,
        event.baseline,
        event.payment_per_kwh,
        event.penalty_per_kwh,
    )


@dataclass(frozen=True)
class Envelope:
    """Where an armed plan holds."""

    soc: tuple[float, float] | None
    loads: dict[str, dict[str, tuple[float, float]]]
    """By pool and class, in requests per second."""
    counts: dict[str, tuple[int, int, int, int]]
    """Active, drained, asleep and lost instances by pool."""
    still: dict[str, bool]
    """Whether nothing was under way in a pool."""
    draw_kw: tuple[float, float]
    """Draw without the battery, where the meter was read."""
    made_at: datetime
    age_s: float = AGE_S

    def faults(self, state: State) -> str | None:
        """Say what a state breaks first; None where it lies inside."""
        if not 0.0 <= (state.at - self.made_at).total_seconds() <= self.age_s:
            return "age"
        if self.soc is not None:
            soc = state.soc
            if soc is None or not self.soc[0] <= soc <= self.soc[1]:
                return "state of charge"
        if state.grid is not None:
            draw_kw = state.grid.kw + state.battery_kw
            if not self.draw_kw[0] <= draw_kw <= self.draw_kw[1]:
                return "draw"
        for name, counts in self.counts.items():
            told = state.pools.get(name)
            if told is None:
                return f"pool {name}"
            if (told.active, told.drained, told.asleep, told.lost) != counts:
                return f"instances of pool {name}"
            if bool(told.in_transit or told.settling) == self.still[name]:
                return f"transitions of pool {name}"
            loads = told.load_req_per_s
            for key, (low, high) in self.loads[name].items():
                if not low <= loads.get(key, 0.0) <= high:
                    return f"load of pool {name}, {key}"
        return None


@dataclass(frozen=True)
class Armed:
    """A plan computed in advance."""

    contingency: Contingency
    problem: Problem
    plan: Plan
    envelope: Envelope
    expects: Expectation
    """What is measured if it is carried out."""


def armed_key(event: Event, state: State, lost_when_armed: Mapping[str, int]) -> Hashable:
    """Return the key under which an event would have been armed for a state."""
    lost = {name: told.lost - lost_when_armed.get(name, 0) for name, told in state.pools.items()}
    return _key(event, state.converter_available, lost)


def envelope_of(
    contingency: Contingency,
    site: Site,
    state: State,
    problem: Problem,
    plan: Plan,
    *,
    pause: Callable[[], None] = lambda: None,
) -> Envelope:
    """Return the widest envelope, of those tried, at whose corners the plan passes the check.

    At a corner every load is low, or every load high. ``pause`` is called between corners.
    """

    def holds(reach: Reach) -> bool:
        pause()
        return _holds(contingency, site, state, problem, plan, reach)

    reach = Reach(
        soc_down=_furthest(lambda x: holds(Reach(soc_down=x)), SOC_APART),
        soc_up=_furthest(lambda x: holds(Reach(soc_up=x)), SOC_APART),
        load_down=_furthest(lambda x: holds(Reach(load_down=x)), LOAD_SHARE),
        load_up=_furthest(lambda x: holds(Reach(load_up=x)), LOAD_SHARE),
    )
    for _ in range(HALVINGS):
        if holds(reach):
            break
        reach = reach.halved()
    else:
        reach = Reach()
    _, there = contingency.at(state)
    soc = None
    if problem.battery is not None and there.soc is not None:
        soc = _soc_range(site, there.soc, reach)
    return Envelope(
        soc=soc,
        loads={
            name: {
                key: (
                    load * (1.0 - reach.load_down) - ROUNDING,
                    load * (1.0 + reach.load_up) + ROUNDING,
                )
                for key, load in told.load_req_per_s.items()
            }
            for name, told in there.pools.items()
        },
        counts={
            name: (told.active, told.drained, told.asleep, told.lost)
            for name, told in there.pools.items()
        },
        still={name: not (told.in_transit or told.settling) for name, told in there.pools.items()},
        draw_kw=_draw_range(problem),
        made_at=state.at,
    )


def _draw_range(problem: Problem) -> tuple[float, float]:
    """Return the draws without the battery at which the models are right about the site."""
    draw_kw = sum(pool.power_at_start_kw() for pool in problem.pools) + problem.other_kw[0]
    apart_kw = DRAW_SHARE * abs(draw_kw)
    return draw_kw - apart_kw, draw_kw + apart_kw


@dataclass(frozen=True)
class Reach:
    """How far a state may lie from the one a plan was armed for."""

    soc_down: float = 0.0
    soc_up: float = 0.0
    load_down: float = 0.0
    """Share of each load."""
    load_up: float = 0.0

    def halved(self) -> Reach:
        """Return half of it."""
        parts = (self.soc_down, self.soc_up, self.load_down, self.load_up)
        return Reach(*(0.5 * part for part in parts))


def _furthest(holds: Callable[[float], bool], most: float) -> float:
    """Return the largest of ``most`` and its halves that holds, or 0."""
    return next((x for x in (most / 2**i for i in range(HALVINGS)) if holds(x)), 0.0)


def _soc_range(site: Site, soc: float, reach: Reach) -> tuple[float, float]:
    assert site.battery is not None
    low = max(soc - reach.soc_down, site.battery.soc_min)
    high = min(soc + reach.soc_up, site.battery.soc_max)
    return low - ROUNDING, high + ROUNDING


def _holds(
    contingency: Contingency, site: Site, state: State, problem: Problem, plan: Plan, reach: Reach
) -> bool:
    """Tell whether a plan is sound and misses no more at every corner of a reach."""
    socs: list[float | None] = [state.soc]
    if site.battery is not None and state.soc is not None and contingency.battery:
        socs = [*_soc_range(site, state.soc, reach)]
    factors = sorted({1.0 - reach.load_down, 1.0 + reach.load_up})
    return all(
        _holds_at(contingency, site, _moved(state, soc, factor), problem, plan)
        for soc in socs
        for factor in factors
    )


def _moved(state: State, soc: float | None, factor: float) -> State:
    """Return a state with another state of charge, and every load times a factor."""
    pools = {
        name: told.model_copy(
            update={"load_req_per_s": {k: r * factor for k, r in told.load_req_per_s.items()}}
        )
        for name, told in state.pools.items()
    }
    return state.model_copy(update={"soc": soc, "pools": pools})


def _holds_at(
    contingency: Contingency, site: Site, state: State, problem: Problem, plan: Plan
) -> bool:
    event, there = contingency.at(state)
    try:
        posed, *_ = pose_measured(
            event, site, there, grid=problem.grid, other_kw=problem.other_kw[0]
        )
        carried = carried_plan(posed, plan, 0.0)
    except EbplanError:
        return False
    if carried is None or not check_plan(posed, carried).ok:
        return False
    return carried.shortfall_kwh <= plan.shortfall_kwh + MORE_SHORTFALL_KWH


def likely_contingencies(site: Site, state: State) -> list[Contingency]:
    """Return what a site should be ready for: depths both ways, curtailment, losses.

    The depths are shares of what battery and compute together can change at once, as far as the
    nameplates say: battery power and a third of what the pools draw.
    """
    battery = site.battery
    droop_kw = 0.0 if battery is None else battery.droop_reserve_kw
    down_kw = 0.0 if battery is None else battery.discharge_limit_kw - droop_kw
    up_kw = 0.0 if battery is None else battery.charge_limit_kw - droop_kw
    draws_kw = draw_kw(site, state)
    down_kw, up_kw = down_kw + draws_kw / 3.0, up_kw + draws_kw / 10.0
    kinds: list[tuple[EventType, float, float]] = [
        *(("under_frequency", 300.0, -share * down_kw) for share in DEPTHS),
        *(("over_frequency", 300.0, share * up_kw) for share in DEPTHS),
        ("congestion_curtailment", 3600.0, -draws_kw / 5.0),
    ]
    events = [
        Event(id="armed", type=kind, start=state.at, duration_s=s, target=Target(delta_kw=kw))
        for kind, s, kw in kinds
        if kw != 0.0
    ]
    found = [Contingency(event) for event in events]
    deepest = events[: len(DEPTHS)]
    if battery is not None:
        found += [Contingency(event, battery=False) for event in deepest]
    most = sorted(state.pools, key=lambda name: -state.pools[name].active)[:MOST_LOSSES]
    for name in most:
        if state.pools[name].active > 1:
            found += [Contingency(event, lost={name: 1}) for event in deepest]
    return found


def draw_kw(site: Site, state: State) -> float:
    """Return what the site draws without its battery, by the meter or by the models."""
    if state.grid is not None:
        return state.grid.kw + state.battery_kw
    probe = Event(
        id="draw",
        type="price_window",
        start=state.at,
        duration_s=60.0,
        price_per_kwh=site.energy_price_per_kwh,
    )
    problem, *_ = pose_measured(probe, site, state)
    return problem.baseline_kw[0]
