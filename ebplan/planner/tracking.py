"""The models of a site tracked while its plans are carried out.

Each cycle the readings of the pools and the battery are held against the fitted models
(``watch``); what is learnt of them (``ebplan.models.tracking``) goes into the next state that is
planned from. A pool whose meter says nothing is planned as fitted, or as was learnt before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ebplan.models.tracking import assumed
from ebplan.models.tracking.block import Block
from ebplan.models.tracking.known import (
    SiteKnown,
    learn_battery,
    learn_capacity,
    learn_caps,
    learn_power,
)
from ebplan.models.tracking.storage import Way
from ebplan.plan import Plan
from ebplan.planner.cells import CellsWatch
from ebplan.planner.watch import Reading, Watch
from ebplan.problem import PoolProblem, Problem
from ebplan.site import Battery, Site
from ebplan.state import PoolCorrection, PoolState, State

RELEASED_S = 60.0
"""Caps that come back sooner than this go on with the same use."""


@dataclass
class CapUses:
    """Tells the uses of a pool's caps apart: from the command to the release."""

    _released: datetime | None = None
    """Since when no cap has been in force; None while one is, or where nobody has looked yet."""
    _begun: bool = False
    """Whether a use has begun that nothing was said of yet."""

    def see(self, at: datetime, *, capped: bool) -> None:
        """Take in whether a cap is in force."""
        if capped:
            if self._released is not None:
                released_s = (at - self._released).total_seconds()
                self._begun = self._begun or released_s >= RELEASED_S
            self._released = None
        elif self._released is None:
            self._released = at

    def first_word(self) -> bool:
        """Return whether what is said now is the first of its use."""
        begun, self._begun = self._begun, False
        return begun


@dataclass
class _PoolReadings:
    """Readings of one pool that are being gathered."""

    power: Block = field(default_factory=lambda: Block(assumed.POWER.block_s))
    capacity: Block = field(default_factory=lambda: Block(assumed.CAPACITY.block_s))
    cap: Block = field(default_factory=lambda: Block(assumed.CAP_BLOCK_S))
    uses: CapUses = field(default_factory=CapUses)
    counts: tuple[int, ...] = ()
    since: datetime | None = None
    """Since when the counts are as they are; None where they have not changed yet."""

    def steady_s(self, told: PoolState, at: datetime) -> float:
        """Return for how long the counts have been as they are."""
        counts = (told.active, told.drained, told.asleep, told.lost, len(told.in_transit))
        if counts != self.counts:
            # who watches from the beginning finds a pool at rest
            self.counts, self.since = counts, at if self.counts else None
        return float("inf") if self.since is None else (at - self.since).total_seconds()


class _BatteryReadings:
    """Readings of the battery that are being gathered."""

    def __init__(self, battery: Battery) -> None:
        self.storage = assumed.storage(battery.cell_efficiency, battery.highest_efficiency)
        self._cells = CellsWatch(battery)
        self._block = Block(assumed.BY_CELLS.block_s)

    def see(self, measured: State) -> Iterator[tuple[Way, float]]:
        """Take a reading in; yield what is said by it and those before."""
        said = self._cells.see(measured)
        if said.stretch is not None:
            yield said.stretch
        if said.efficiency is not None:
            full = self._block.add(measured.at, (0.0, 1.0), said.efficiency)
            if full is not None:
                yield "cells", full[1]


class Tracking:
    """What is known of the models of a site, and how it is learnt.

    Args:
        site: the site.
        known: what was known before; nothing if absent.
    """

    def __init__(self, site: Site, known: SiteKnown | None = None) -> None:
        self.known = known or SiteKnown()
        self._pools = {name: _PoolReadings() for name in site.pools}
        self._battery = None if site.battery is None else _BatteryReadings(site.battery)
        self._plan: Plan | None = None
        self._at: datetime | None = None
        self._watches: dict[str, Watch] = {}

    def see(self, problem: Problem, plan: Plan, measured: State) -> None:
        """Learn from what was measured while a plan was carried out; from each state once."""
        if measured.at == self._at:
            return
        self._at = measured.at
        if plan is not self._plan:
            self._plan = plan
            self._watches = {p.name: Watch(p, plan.pools[p.name]) for p in problem.pools}
        elapsed_s = (measured.at - plan.start).total_seconds()
        for name, watch in self._watches.items():
            if name in self._pools:
                self._pools[name].uses.see(measured.at, capped=watch.capped(elapsed_s))
        for name, told in measured.pools.items():
            if name in self._pools and name in self._watches and told.power_kw is not None:
                steady_s = self._pools[name].steady_s(told, measured.at)
                reading = self._watches[name].read(told, elapsed_s, steady_s)
                self._learn(name, reading, measured.at)
        if self._battery is not None:
            for way, value in self._battery.see(measured):
                self.known = learn_battery(
                    self.known, self._battery.storage, way, value, measured.at
                )

    def _learn(self, name: str, reading: Reading, at: datetime) -> None:
        blocks = self._pools[name]
        if reading.power is not None:
            row, value = reading.power
            if (full := blocks.power.add(at, row, value)) is not None:
                self.known = learn_power(self.known, name, *full, at)
        if reading.capacity is not None:
            full = blocks.capacity.add(at, (1.0,), reading.capacity)
            if full is not None:
                self.known = learn_capacity(self.known, name, full[1], at)
        if reading.cap is not None:
            share, sd = reading.cap
            if (full := blocks.cap.add(at, (sd,), share)) is not None:
                self.known = learn_caps(
                    self.known, name, full[1], full[0][0], at, new_use=blocks.uses.first_word()
                )

    def corrected(self, measured: State) -> State:
        """Return a state with what is known of the models, where it does not say so itself."""
        pools = dict(measured.pools)
        for name, known in self.known.pools.items():
            if name in pools and pools[name].correction is None:
                by = known.correction
                if by is not None:
                    pools[name] = pools[name].model_copy(update={"correction": by})
        changes: dict[str, object] = {"pools": pools}
        if measured.battery_energy_gain == measured.battery_efficiency_gain == 1.0:
            changes["battery_energy_gain"] = self.known.battery_energy_gain
            changes["battery_efficiency_gain"] = self.known.battery_efficiency_gain
        return measured.model_copy(update=changes)


def explained_kw(problem: Problem, state: State) -> float:
    """Return what the corrections of a state explain more than those a problem was posed with.

    The load that no pool explains was estimated beside the problem's pools; beside those of the
    state it is smaller by this.
    """
    posed = {pool.name: pool for pool in problem.pools}
    return sum(
        _explained_kw(posed[name], told) for name, told in state.pools.items() if name in posed
    )


def _explained_kw(pool: PoolProblem, told: PoolState) -> float:
    before, now = pool.correction or PoolCorrection(), told.correction or PoolCorrection()
    if (before.idle_gain, before.busy_gain) == (now.idle_gain, now.busy_gain):
        return 0.0
    rates = {c.name: c.requests_per_s_per_instance for c in pool.classes}
    work = _work(rates, told.load_req_per_s)
    natural_kw = pool.drained_kw
    if told.active:
        natural_kw = float(pool.load_curve.power_kw(min(work / told.active, 1.0)))
    awake = told.total - told.lost - told.asleep
    idle_kw = awake * pool.drained_kw
    busy_kw = told.active * (natural_kw - pool.drained_kw)
    more_idle = now.idle_gain / before.idle_gain - 1.0
    more_busy = now.busy_gain / before.busy_gain - 1.0
    return more_idle * idle_kw + more_busy * busy_kw


def _work(rates: Mapping[str, float], loads: Mapping[str, float]) -> float:
    return sum(load / rates[name] for name, load in loads.items() if name in rates)
