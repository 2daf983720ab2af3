"""The converter holds a draw at the connection point: the battery tracks what is left.

A meter shows what was drawn at some time within the last ``age_s``, and the battery's power of that
time with it. So the load lies between

    grid_kw + min battery_kw   and   grid_kw + max battery_kw   over the last age_s,

and ``battery_kw' = load_kw - asked_kw``. Where the battery did not move, that is one number. Where
it did, the load is believed to be what it was, as far as the two ends allow: nothing of the load
has to be modelled, and the battery's own move is never taken for one of the load. An age that is
believed to the second would make the loop swing, ever wider, once it is wrong by a cycle: so
``age_s`` is an upper bound, and one that is set too low makes the loop unstable. A load that goes
on rising or falling leaves an error of about its slope times (``age_s`` + the cycle).

Where the meter cannot be read, the last set-point stands for ``BLIND_S``, and then the battery
rests until the meter is back: its lease is renewed meanwhile, so nothing else would end it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from ebplan.adapters.answers import Answer, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.roles import Battery, GridMeter

log = logging.getLogger("ebplan.dispatch")

KEPT = 1_000
"""So many powers are remembered: a quarter of an hour at one a second."""
BLIND_S = 10.0
"""So long a set-point stands without a meter. Assumed: a meter that restarts or loses a few polls
is back by then, and a load that moves meanwhile is missed for no longer."""


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
        self._load_kw: float | None = None
        """What the load was believed to be last."""
        self.asked_kw: float | None = None
        """Draw to hold; None rests the battery."""
        self._silent_since_s: float | None = None
        self.blind = False
        """Whether the battery rests because the meter is silent for longer than ``BLIND_S``."""

    async def step(self) -> Answer:
        """Move the set-point once, to what is left of the load."""
        battery, meter = await asyncio.gather(self._battery.read(), self._meter.read())
        if isinstance(battery, Unreachable):
            return battery
        now_s = self._clock.now_s()
        self._did.append((now_s, battery.battery_kw))
        if self.asked_kw is None:
            self._load_kw, self._silent_since_s, self.blind = None, None, False
            return await self._battery.hold(0.0)
        if isinstance(meter, Unreachable):
            return await self._without(meter, now_s)
        self._silent_since_s, self.blind = None, False
        least_kw, most_kw = self._battery_kw(now_s - meter.age_s)
        now_kw = meter.grid_kw + battery.battery_kw
        known_kw = now_kw if self._load_kw is None else self._load_kw
        self._load_kw = min(max(known_kw, meter.grid_kw + least_kw), meter.grid_kw + most_kw)
        return await self._battery.hold(self._load_kw - self.asked_kw)

    async def _without(self, meter: Unreachable, now_s: float) -> Answer:
        """Let the set-point stand for a while, then rest the battery."""
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if now_s - self._silent_since_s <= BLIND_S:
            return meter
        if not self.blind:
            log.warning("the meter is silent for more than %g s: the battery rests", BLIND_S)
        self._load_kw, self.blind = None, True
        return await self._battery.hold(0.0)

    def _battery_kw(self, since_s: float) -> tuple[float, float]:
        """Return the least and the most that the battery gave since then."""
        before = [kw for seen_s, kw in self._did if seen_s <= since_s][-1:]
        powers = before + [kw for seen_s, kw in self._did if seen_s > since_s]
        return min(powers), max(powers)
