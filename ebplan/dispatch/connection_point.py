"""The converter holds a draw at the connection point: the battery tracks what is left.

A meter shows what was drawn when it measured, ``age_s`` ago, and the battery's power of that moment
with it. The load is what both together say,

    load_kw = grid_kw + battery_kw(age_s ago),   battery_kw' = load_kw - asked_kw,

so nothing of the load has to be modelled, and the battery's own move is not taken for one of the
load: told by the present power, an old meter would make the loop swing. Where the meter cannot be
read, the last set-point stands until the lease ends it: a battery is not steered blind.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ebplan.adapters.answers import Answer, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.roles import Battery, GridMeter

KEPT = 1_000
"""So many powers are remembered: a quarter of an hour at one a second."""


class ConnectionPoint:
    """Steers the battery so that the meter shows what was asked.

    Args:
        battery: who is told.
        meter: who is believed.
        clock: what time it is.
    """

    def __init__(self, battery: Battery, meter: GridMeter, clock: Clock) -> None:
        self._battery, self._meter, self._clock = battery, meter, clock
        self._did: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self.asked_kw: float | None = None
        """Draw to hold; None rests the battery."""

    async def step(self) -> Answer:
        """Move the set-point once, to what is left of the load."""
        battery, meter = await asyncio.gather(self._battery.read(), self._meter.read())
        if isinstance(battery, Unreachable):
            return battery
        now_s = self._clock.now_s()
        self._did.append((now_s, battery.battery_kw))
        if self.asked_kw is None:
            return await self._battery.hold(0.0)
        if isinstance(meter, Unreachable):
            return meter
        load_kw = meter.grid_kw + self._battery_kw(now_s - meter.age_s)
        return await self._battery.hold(load_kw - self.asked_kw)

    def _battery_kw(self, at_s: float) -> float:
        """Return what the battery did then, as it was read last before."""
        before = [kw for seen_s, kw in self._did if seen_s <= at_s]
        return before[-1] if before else self._did[0][1]
