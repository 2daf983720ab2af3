"""A pool of the fluid plant: counts, requests as flows, and power together.

A router shares the load in proportion to what each instance can serve under its cap or clock. How
the draw follows is ``pool_power``.
"""

from __future__ import annotations

import math

import numpy as np

from ebplan.state import PoolState
from ebplan.twin.lag import LaggedPower
from ebplan.twin.plant import PoolReading
from ebplan.twin.pool_commands import SAME_TIME_S, CommandedPool
from ebplan.twin.pool_flows import ClassFlow, PoolFlows
from ebplan.twin.pool_power import Group, PoolPower
from ebplan.twin.pool_truth import PoolTruth


class PoolPlant(CommandedPool):
    """One pool; for arguments see ``CommandedPool``."""

    def __init__(
        self, name: str, truth: PoolTruth, state: PoolState, rng: np.random.Generator
    ) -> None:
        super().__init__(name, truth, state, rng)
        self.flows = PoolFlows(state, truth.capacity_req_per_s)
        self.power = PoolPower(truth, self._run(), self._idle_and_asleep_kw(0.0))
        self.next_event_s = math.inf
        self._see_next(0.0)

    def _control(self, name: str) -> ClassFlow:
        return self.flows.classes[name]

    @property
    def lag(self) -> LaggedPower:
        """Its draw."""
        return self.power.lag

    # --- disturbances ---------------------------------------------------------------------------

    def lose(self, mode: str, count: int, now_s: float) -> None:
        """Lose instances: what they drew is gone at once; ``settle`` must follow."""
        for name, gone in self.counts.lose(mode, count).items():
            self.power.lose(name, gone)

    def set_load(self, request_class: str, req_per_s: float, now_s: float) -> None:
        """Let another rate of a class come; ``settle`` must follow."""
        self.controls(request_class)
        self.flows.classes[request_class].base_req_per_s = req_per_s

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the forecast come; ``settle`` must follow."""
        self.flows.noise = factor

    def bring_back(self, count: int, now_s: float) -> None:
        """Let lost instances return, drained; ``settle`` must follow."""
        self.counts.bring_back(count)

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
        return self.lag.advance(seconds)

    def happen(self, now_s: float) -> None:
        """Let happen what is due."""
        if now_s + SAME_TIME_S < self.next_event_s and not self._ran_out:
            return
        if self.counts.next_arrival_s <= now_s + SAME_TIME_S:
            self.counts.arrive(now_s)
        self.lag.start_due(now_s)
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
        clock_kw = self._clock_kw(ways)
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

    def _see_next(self, now_s: float) -> None:
        self._ran_out = False
        times = [
            self.lag.next_start_s,
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
