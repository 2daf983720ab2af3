"""A pool of the plant: counts, requests and power together.

A router shares the load in proportion to what each instance can serve under its cap or clock. How
the draw follows is ``pool_power``.
"""

from __future__ import annotations

import math

import numpy as np

from ebplan.adapters.commands import (
    CapPower,
    Command,
    LimitAdmission,
    LoadWeights,
    LockClock,
    PaceBacklog,
    Route,
    RouteLower,
    ServeAhead,
    Sleep,
    Wake,
    WarmCache,
)
from ebplan.errors import InputError
from ebplan.state import PoolState
from ebplan.twin.plant import PoolReading, Refusal
from ebplan.twin.pool_counts import PoolCounts
from ebplan.twin.pool_flows import ClassFlow, PoolFlows
from ebplan.twin.pool_power import Group, PoolPower
from ebplan.twin.pool_truth import PoolTruth

SAME_TIME_S = 1e-9


class PoolPlant:
    """One pool.

    Args:
        name: its name, for refusals and errors.
        truth: what no command changes.
        state: how it begins: settled, without caps or locked clocks.
        rng: decides which wakes fail.
    """

    def __init__(
        self, name: str, truth: PoolTruth, state: PoolState, rng: np.random.Generator
    ) -> None:
        self.name, self._truth = name, truth
        self.counts = PoolCounts(state, truth, rng)
        self.flows = PoolFlows(state, truth.capacity_req_per_s)
        self._cap_kw: float | None = None
        self._clock_mhz: float | None = None
        self._tier_cap_kw: float | None = None
        self._warm_from_s, self._warm_until_s = 0.0, state.warm_remaining_s
        self._warming_until_s = 0.0
        self.power = PoolPower(truth, self._run(), self._idle_and_asleep_kw(0.0))
        self.next_event_s = math.inf
        self._see_next(0.0)

    # --- commands -------------------------------------------------------------------------------

    def tell(self, command: Command, now_s: float) -> Refusal | None:
        """Take a command; ``settle`` must follow. Return what of it could not be done.

        Raises:
            InputError: the pool has no such class, clock or precision.
        """
        match command:
            case Route():
                return self._asked(command, command.active, self.counts.route(command.active))
            case Wake():
                warm = self._warm_from_s <= now_s + SAME_TIME_S and now_s < self._warm_until_s
                done = self.counts.wake(command.count, now_s, warm=warm)
                return self._asked(command, command.count, done)
            case Sleep():
                return self._asked(command, command.count, self.counts.sleep(command.count, now_s))
            case CapPower():
                self._cap_kw = self._limit_kw(command.w_per_gpu)
            case LockClock():
                if command.active and not self._truth.may_lock:
                    raise self._unknown("clock_lock", "none: the site gives the pool no clock_lock")
                self._clock_mhz = command.clock_mhz
                return self._asked(command, command.active, self.counts.lock(command.active))
            case RouteLower():
                return self._route_lower(command)
            case LoadWeights():
                if not self._truth.has_tier:
                    raise self._unknown("tier", "none: the site gives the pool no tier")
                load = (
                    self.counts.load_lower if command.precision == "lower" else self.counts.load_own
                )
                return self._asked(command, command.count, load(command.count, now_s))
            case LimitAdmission():
                self._class(command.request_class).limit_req_per_s = command.req_per_s
            case PaceBacklog():
                self._class(command.request_class).pace_req_per_s = command.req_per_s
            case ServeAhead():
                self._class(command.request_class).ahead_req_per_s = command.req_per_s
            case WarmCache():
                self._warm(now_s)
        return None

    def _route_lower(self, command: RouteLower) -> Refusal | None:
        if command.active and not self._truth.has_tier:
            raise self._unknown("tier", "none: the site gives the pool no tier")
        for name in command.req_per_s:
            self._class(name)
        for name, c in self.flows.classes.items():
            c.lower_req_per_s = command.req_per_s.get(name, 0.0)
        self._tier_cap_kw = self._limit_kw(command.w_per_gpu)
        return self._asked(command, command.active, self.counts.route_lower(command.active))

    def _warm(self, now_s: float) -> None:
        ready_s = now_s + self._truth.warm_lead_s
        if now_s >= self._warm_until_s:
            self._warm_from_s = ready_s
        self._warm_until_s = ready_s + self._truth.warm_expires_s
        self._warming_until_s = ready_s

    def _limit_kw(self, w_per_gpu: float | None) -> float | None:
        return None if w_per_gpu is None else w_per_gpu * self._truth.kw_per_w_per_gpu

    def _class(self, name: str) -> ClassFlow:
        if name not in self.flows.classes:
            raise self._unknown(f"classes.{name}", ", ".join(self.flows.classes))
        return self.flows.classes[name]

    def _unknown(self, field: str, allowed: str) -> InputError:
        return InputError(
            field=f"pools.{self.name}.{field}",
            value="given",
            allowed=allowed,
            remedy="send the commands of a plan for this site",
        )

    def _asked(self, command: Command, asked: int, done: int) -> Refusal | None:
        return None if done >= asked else Refusal(command.command, self.name, asked, done)

    # --- disturbances ---------------------------------------------------------------------------

    def lose(self, mode: str, count: int) -> None:
        """Lose instances: what they drew is gone at once; ``settle`` must follow."""
        for name, gone in self.counts.lose(mode, count).items():
            self.power.lose(name, gone)

    def set_load(self, request_class: str, req_per_s: float) -> None:
        """Let another rate of a class come; ``settle`` must follow."""
        self._class(request_class).base_req_per_s = req_per_s

    def drift(self, number: str, factor: float, now_s: float) -> None:
        """Let a number be this many times what it was (``disturbances.PoolDrift``)."""
        if number == "capacity":
            self.flows.drift(factor)
            self.settle(now_s)
        else:
            self._truth.drift(number, factor)
            self.power.jump(self._run(), self._idle_and_asleep_kw(now_s), now_s)
            self._see_next(now_s)

    # --- time -----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> float:
        """Let time pass, up to the next event at most; return the energy in kW s."""
        self._ran_out = self.flows.advance(seconds)
        return self.power.lag.advance(seconds)

    def happen(self, now_s: float) -> None:
        """Let happen what is due."""
        if now_s + SAME_TIME_S < self.next_event_s and not self._ran_out:
            return
        if self.counts.next_arrival_s <= now_s + SAME_TIME_S:
            self.counts.arrive(now_s)
        self.power.lag.start_due(now_s)
        self.settle(now_s)

    def settle(self, now_s: float) -> None:
        """Work the settled power out anew, and let the difference follow at its speeds."""
        idle = self.counts.drained + self.counts.tier_drained
        self.power.settle(self._run(), self._idle_and_asleep_kw(now_s), idle, now_s)
        self._see_next(now_s)

    def _run(self) -> list[Group]:
        """Let the router share the load; return own, locked and lower precision instances."""
        counts, flows, truth = self.counts, self.flows, self._truth
        ways = truth.ways(flows.work())
        clock_kw = None
        if self._clock_mhz is not None and counts.locked:
            clock_kw = truth.clock_kw(ways, self._clock_mhz)
        running = [
            (counts.active, ways.own, self._cap_kw),
            (counts.locked, ways.locked or ways.own, clock_kw),
            (counts.tier_active, ways.tier or ways.own, self._tier_cap_kw),
        ]
        each = [way.capacity(limit_kw) if n else 0.0 for n, way, limit_kw in running]
        own_capacity = counts.active * each[0] + counts.locked * each[1]
        of_tier = truth.tier_capacity
        own, lowered = flows.settle(own_capacity, counts.tier_active * each[2] * of_tier)
        filled = own / own_capacity if own_capacity > 0.0 else 0.0
        loads = [filled * each[0], filled * each[1], 0.0]
        if counts.tier_active:
            loads[2] = lowered / of_tier / counts.tier_active
        return [
            Group(n, way.power_kw(load, limit_kw) if n else truth.idle_kw)
            for (n, way, limit_kw), load in zip(running, loads, strict=True)
        ]

    def _idle_and_asleep_kw(self, now_s: float) -> float:
        warming = now_s + SAME_TIME_S < self._warming_until_s
        kw = self._truth.idle_kw * self.counts.awake + self._truth.asleep_kw * self.counts.asleep
        return kw + (self._truth.warm_kw if warming else 0.0)

    def _see_next(self, now_s: float) -> None:
        self._ran_out = False
        times = [
            self.power.lag.next_start_s,
            self.counts.next_arrival_s,
            now_s + self.flows.empties_in_s,
        ]
        if self._warming_until_s > now_s + SAME_TIME_S:
            times.append(self._warming_until_s)
        self.next_event_s = min(times)

    def reading(self) -> PoolReading:
        """Return what the pool says of itself now."""
        counts, classes = self.counts, self.flows.classes.items()
        return PoolReading(
            active=counts.active + counts.locked,
            locked=counts.locked,
            drained=counts.drained,
            asleep=counts.asleep,
            tier_active=counts.tier_active,
            tier_drained=counts.tier_drained,
            lost=counts.lost,
            transit=tuple(counts.transit),
            load_req_per_s=self.flows.comes(),
            lowered_req_per_s={name: c.lowered_req_per_s for name, c in classes},
            backlog_requests={name: c.backlog for name, c in classes},
            queued_requests={name: c.queued for name, c in classes},
            waiting_requests={name: c.waiting for name, c in classes},
            serving_req_per_s={name: c.rates["served"] for name, c in classes},
            served_requests={name: c.served for name, c in classes},
            rejected_requests={name: c.rejected for name, c in classes},
            warm_until_s=self._warm_until_s if self._warm_until_s > 0.0 else 0.0,
        )
