"""The converter holds a draw at the connection point: the battery tracks what is left.

Each cycle the set-point moves by what the meter is off,

    battery_kw' = battery_kw + (grid_kw - asked_kw),

so that nothing of the load has to be known. A converter follows within a cycle; one that does not
is told the same again, from where it is. Where the meter cannot be read, the last set-point stands
until the lease ends it: a battery is not steered blind.
"""

from __future__ import annotations

import asyncio

from ebplan.adapters.answers import Answer, Unreachable
from ebplan.adapters.roles import Battery, GridMeter


class ConnectionPoint:
    """Steers the battery so that the meter shows what was asked.

    Args:
        battery: who is told.
        meter: who is believed.
    """

    def __init__(self, battery: Battery, meter: GridMeter) -> None:
        self._battery, self._meter = battery, meter
        self.asked_kw: float | None = None
        """Draw to hold; None rests the battery."""

    async def step(self) -> Answer:
        """Move the set-point once, by what the meter is off now."""
        if self.asked_kw is None:
            return await self._battery.hold(0.0)
        battery, meter = await asyncio.gather(self._battery.read(), self._meter.read())
        for reading in (battery, meter):
            if isinstance(reading, Unreachable):
                return reading
        assert not isinstance(battery, Unreachable)
        assert not isinstance(meter, Unreachable)
        return await self._battery.hold(battery.battery_kw + (meter.grid_kw - self.asked_kw))
