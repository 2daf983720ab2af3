"""What the devices say, as the state that is planned from.

Everything is read at once, each device within its own time limit. What does not answer is named and
left out: a missing reading is None, never an old one that passes for new. The load alone is not
left out, because a plan needs one: while the router is silent it is that of the last
``RATE_OVER_S`` that were seen, and ``silent`` names the router.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.roles import (
    BatteryReading,
    GpuReading,
    MeterReading,
    RouterReading,
    ServingReading,
)
from ebplan.adapters.site_devices import Reads, SiteDevices
from ebplan.controller.engines import Engines
from ebplan.models import library
from ebplan.site import Site
from ebplan.state import MeteredPower, PoolState, State

RATE_OVER_S = 10.0
"""Requests are counted over so long: shorter, a few of them would look like another load."""


@dataclass(frozen=True)
class Sensed:
    """What was read in one cycle."""

    state: State
    """What is planned from."""
    battery_kw: float | None
    """Battery power; > 0 discharges. None where the battery does not answer."""
    silent: Mapping[str, str]
    """Why each device did not answer that did not."""
    took_s: float
    """How long the reading took."""
    frequency_hz: float | None
    """Grid frequency, where the meter or the converter sees it."""


class Senses:
    """Reads a site.

    Args:
        site: the site.
        devices: its devices.
        clock: what time it is.
        now: the wall clock.
    """

    def __init__(
        self, site: Site, devices: SiteDevices, clock: Clock, now: Callable[[], datetime]
    ) -> None:
        self._site, self._devices, self._clock, self._now = site, devices, clock, now
        self.pools = {
            name: Engines(pool, {n: p for n, p in devices.places.items() if p.pool == name})
            for name, pool in site.pools.items()
        }
        """The engines of each pool."""
        self._factor = {
            name: site.loss_to_connection_point(
                library.load_fleet(pool.fleet_model).measurement_point
            )
            for name, pool in site.pools.items()
        }
        self._arrived: dict[str, deque[tuple[float, float]]] = {}
        """By class: times, and requests that had come by then, over restarts of the counter."""
        self._counter: dict[str, float] = {}

    async def read(self) -> Sensed:
        """Read everything once."""
        began_s = self._clock.now_s()
        named = self._devices.readable()
        answers = await asyncio.gather(*(_guarded(name, named[name]) for name in named))
        readings = dict(zip(named, answers, strict=True))
        now_s, at = self._clock.now_s(), self._now()
        silent = {n: r.why for n, r in readings.items() if isinstance(r, Unreachable)}
        router = readings.get("router")
        router = router if isinstance(router, RouterReading) else None
        engines = {
            name: reading
            if isinstance(reading := readings.get(f"engine {name}"), ServingReading)
            else None
            for name in self._devices.engines
        }
        if router is not None:
            self._count(router, now_s)
        battery, meter = readings.get("battery"), readings.get("meter")
        battery = battery if isinstance(battery, BatteryReading) else None
        meter = meter if isinstance(meter, MeterReading) else None
        for pool in self.pools.values():
            pool.see(now_s, router, engines)
        state = State(
            at=at,
            soc=None if battery is None else battery.soc,
            grid=None
            if meter is None
            else MeteredPower(kw=meter.grid_kw, measurement_point="connection_point"),
            converter_available=battery is not None and battery.available,
            battery_kw=0.0 if battery is None else battery.battery_kw,
            pools={name: self._pool(name, readings, now_s) for name in self._site.pools},
        )
        seen_hz = [r.frequency_hz for r in (meter, battery) if r is not None]
        return Sensed(
            state=state,
            battery_kw=None if battery is None else battery.battery_kw,
            silent=silent,
            took_s=now_s - began_s,
            frequency_hz=next((hz for hz in seen_hz if hz is not None), None),
        )

    @property
    def knows_the_load(self) -> bool:
        """Whether the router was read twice, so that rates are known."""
        return any(len(seen) > 1 for seen in self._arrived.values())

    def _pool(self, name: str, readings: Mapping[str, object], now_s: float) -> PoolState:
        classes = self._site.pools[name].classes
        return PoolState.model_validate(
            {
                **self.pools[name].counts(now_s),
                "load_req_per_s": {c: self._rate(c) for c in classes},
                "arrived_requests": {c: s[-1][1] for c in classes if (s := self._arrived.get(c))},
                "power_kw": self._power_kw(name, readings),
            }
        )

    def _power_kw(self, pool: str, readings: Mapping[str, object]) -> float | None:
        """Return what the GPUs of a pool draw, carried to the connection point.

        None where one of them does not answer, or where the pool's model is of another point: the
        power of GPUs is not that of a node.
        """
        fleet = library.load_fleet(self._site.pools[pool].fleet_model)
        if fleet.measurement_point != "gpu":
            return None
        factor, _ = self._factor[pool]
        total_kw = 0.0
        for place in self._devices.places.values():
            node = readings.get(f"node {place.node}")
            if place.pool != pool:
                continue
            if not isinstance(node, Mapping):
                return None
            for gpu in place.gpus:
                reading = node.get(gpu)
                if not isinstance(reading, GpuReading):
                    return None
                total_kw += reading.power_kw
        return max(total_kw * factor, 0.0)

    def _count(self, router: RouterReading, now_s: float) -> None:
        """Remember what came until now; a counter that went back began anew."""
        for pool in self._site.pools.values():
            for name in pool.classes:
                counter = router.arrived.get(name, 0.0)
                came = counter - self._counter.get(name, counter)
                self._counter[name] = counter
                seen = self._arrived.setdefault(name, deque())
                total = (seen[-1][1] if seen else 0.0) + (came if came >= 0.0 else counter)
                seen.append((now_s, total))
                while len(seen) > 2 and seen[1][0] <= now_s - RATE_OVER_S:
                    seen.popleft()

    def _rate(self, request_class: str) -> float:
        seen = self._arrived.get(request_class, deque())
        if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
            return 0.0
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


async def _guarded(name: str, device: Reads) -> object:
    """Read a device; an adapter that raises must not take the others with it."""
    try:
        return await device.read()
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        return Unreachable(device=name, command="read", asked=None, why=why, executed=False)
