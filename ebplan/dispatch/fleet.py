"""The engines of one pool brought to what the plan wants, and kept there.

What is told follows from what each device *says it is*, not from what it was told before: a lease
that lapsed in between, an answer that was lost, a device that restarted, a plan before this one all
leave a device that differs from what is wanted, and it is told again. Each device is looked at on
its own, at once when the plan wants something else and every cycle otherwise, so that a slow one
delays no other. Set-points may be repeated; a wake and a sleep are told by what the engine says.

An engine is drained before it sleeps, and empty; it is given traffic only while it says that it is
awake and nothing is on its way to put it to sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from ebplan.adapters.answers import Answer, Applied, AppliedInPart, Refused, Unreachable, Unverified
from ebplan.adapters.clock import Clock
from ebplan.adapters.roles import GpuPower, Router, Serving
from ebplan.adapters.site_devices import SiteDevices
from ebplan.dispatch.notes import Notes
from ebplan.dispatch.wanted import ASLEEP, RELOADING, WORKING, Wanted

K = TypeVar("K")
V = TypeVar("V")

SAME_WEIGHT = 0.006
SAME_W = 0.6
SAME_MHZ = 1.0
SAME_RATE = 0.101
SAME_SHARE = 0.001
"""What a device says of itself within these is what was wanted: it counts in steps of its own."""


class Fleet:
    """The engines of one pool.

    Args:
        devices: the site's devices.
        engines: names of the pool's engines.
        clock: what time it is.
        note: told every answer that is news.
        cycle_s: how often each device is looked at.
    """

    def __init__(
        self,
        devices: SiteDevices,
        engines: Mapping[str, object],
        clock: Clock,
        note: Notes,
        cycle_s: float,
    ) -> None:
        self._devices, self._clock, self._note, self._cycle_s = devices, clock, note, cycle_s
        self._engines = tuple(engines)
        self._wanted: Wanted | None = None
        self._news = {key: asyncio.Event() for key in self._keys()}
        self._awake: dict[str, bool] = {}
        """Whether an engine said at its last look that it is awake; unknown where absent."""
        self._falling: set[str] = set()
        """Engines that are being put to sleep: no traffic for them."""
        self._moved: dict[tuple[str, int], bool] = {}
        """GPUs whose limit is known to be as before (False), or ours; unknown where absent."""
        self._locked: dict[tuple[str, int], bool] = {}
        self._warmed = False

    def want(self, what: Wanted) -> None:
        """Want this from now on."""
        if self._wanted is not None and what.warm and not self._wanted.warm:
            self._warmed = False
        self._wanted = what
        for name, mode in what.modes.items():
            if mode in RELOADING:
                self._note(missing(name, "load_weights", "no engine loads other weights"))
        self._hurry()

    async def run(self) -> None:
        """Keep every device at what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for key, look in self._looks().items():
                group.create_task(self._keep(key, look))

    async def settle(self) -> None:
        """Look at every device once, at all of them at once."""
        await asyncio.gather(*(self._guarded(key, look) for key, look in self._looks().items()))

    # --- loops -----------------------------------------------------------------------------------

    def _keys(self) -> tuple[str, ...]:
        nodes = {self._devices.places[name].node for name in self._engines}
        return ("router", *(f"node {n}" for n in sorted(nodes)), *self._engines)

    def _looks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return how each device is looked at."""
        looks: dict[str, Callable[[], Awaitable[None]]] = {"router": self._look_at_router}
        for node in sorted({self._devices.places[name].node for name in self._engines}):
            looks[f"node {node}"] = lambda n=node: self._look_at_node(n)  # type: ignore[misc]
        for name in self._engines:
            looks[name] = lambda e=name: self._look_at_engine(e)  # type: ignore[misc]
        return looks

    async def _keep(self, key: str, look: Callable[[], Awaitable[None]]) -> None:
        news = self._news[key]
        while True:
            news.clear()
            await self._guarded(key, look)
            if not news.is_set():
                await self._either(news)

    async def _guarded(self, key: str, look: Callable[[], Awaitable[None]]) -> None:
        """Look; an adapter that raises must not take the others with it."""
        try:
            await look()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self._note(Unverified(device=key, command="look", asked=None, why=why))

    async def _either(self, news: asyncio.Event) -> None:
        """Return when there is news, or after a cycle."""
        waits = [
            asyncio.ensure_future(news.wait()),
            asyncio.ensure_future(self._clock.sleep(self._cycle_s)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _hurry(self, *keys: str) -> None:
        for key in keys or self._news:
            self._news[key].set()

    # --- router ----------------------------------------------------------------------------------

    async def _look_at_router(self) -> None:
        what, router = self._wanted, self._devices.router
        if what is None:
            return
        if router is None:
            if any(mode not in WORKING for mode in what.modes.values()):
                self._note(missing("router", "route", "the site has no router"))
            return
        seen = await router.read()
        if isinstance(seen, Unreachable):
            self._note(seen)
            return
        weights = self._weights(what)
        differ = {
            server: weight
            for server, weight in weights.items()
            if server not in seen.servers or abs(seen.servers[server].weight - weight) > SAME_WEIGHT
        }
        # capacity that comes is added before load moves
        await self._tell(router.route, dict(sorted(differ.items(), key=lambda item: -item[1])))
        await self._tell_classes(router, what, seen.lower_share, seen.admitted_per_s)

    def _weights(self, what: Wanted) -> dict[str, float]:
        """Return the weight of each server; one whose engine was never seen keeps what it has."""
        weights = {}
        for name, mode in what.modes.items():
            works = mode in WORKING and name not in self._falling
            if not works or name in self._awake:
                server = self._devices.places[name].server
                weights[server] = float(works and self._awake[name])
        return weights

    async def _tell_classes(
        self,
        router: Router,
        what: Wanted,
        lowered: Mapping[str, float],
        admitted: Mapping[str, float | None],
    ) -> None:
        limits = {
            name: rate
            for name, rate in what.admitted_per_s.items()
            if _differs(admitted.get(name), rate, SAME_RATE)
        }
        shares = {
            name: share
            for name, share in what.lowered.items()
            if abs(lowered.get(name, 0.0) - share) > SAME_SHARE
        }
        await self._tell(router.admit, limits)
        await self._tell(router.lower, shares)

    # --- GPUs ------------------------------------------------------------------------------------

    async def _look_at_node(self, node: str) -> None:
        what, device = self._wanted, self._devices.nodes.get(node)
        if what is None:
            return
        if device is None:
            if any(value is not None for value in (*what.cap_w.values(), *what.clock_mhz.values())):
                self._note(missing(node, "cap", "the site has no such node"))
            return
        seen = await device.read()
        if isinstance(seen, Unreachable):
            self._note(seen)
            return
        caps: dict[int, float | None] = {}
        clocks: dict[int, float | None] = {}
        for name, place in self._devices.places.items():
            if place.node != node or name not in what.modes:
                continue
            for gpu in place.gpus:
                reading = seen.get(gpu)
                cap_w, clock_mhz = what.cap_w.get(name), what.clock_mhz.get(name)
                held_w = None if reading is None else reading.cap_w
                held_mhz = None if reading is None else reading.clock_mhz
                if self._to_tell(self._moved, (node, gpu), held_w, cap_w, SAME_W):
                    caps[gpu] = cap_w
                lockable = clock_mhz is not None or (reading and reading.clock_range)
                if lockable and self._to_tell(
                    self._locked, (node, gpu), held_mhz, clock_mhz, SAME_MHZ
                ):
                    clocks[gpu] = clock_mhz
        await self._tell_gpus(device, node, caps, clocks)

    def _to_tell(
        self,
        ours: Mapping[tuple[str, int], bool],
        gpu: tuple[str, int],
        held: float | None,
        asked: float | None,
        same: float,
    ) -> bool:
        """Whether a GPU differs from what is wanted; one never met may hold anything."""
        if asked is None:
            return ours.get(gpu, True)
        return _differs(held, asked, same)

    async def _tell_gpus(
        self,
        device: GpuPower,
        node: str,
        caps: Mapping[int, float | None],
        clocks: Mapping[int, float | None],
    ) -> None:
        for gpu in caps:
            self._moved[node, gpu] = True  # whatever comes of it
        for gpu, answer in (await self._tell(device.cap, caps)).items():
            self._moved[node, gpu] = not (caps[gpu] is None and _holds(answer))
        for gpu in clocks:
            self._locked[node, gpu] = True
        for gpu, answer in (await self._tell(device.lock_clock, clocks)).items():
            # a GPU that refuses to be unlocked cannot be locked
            freed = clocks[gpu] is None and (_holds(answer) or isinstance(answer, Refused))
            self._locked[node, gpu] = not freed

    # --- engines ---------------------------------------------------------------------------------

    async def _look_at_engine(self, name: str) -> None:
        what, engine = self._wanted, self._devices.engines.get(name)
        if what is None:
            return
        if engine is None:
            if what.modes[name] in ASLEEP:
                self._note(missing(name, "sleep", "no such engine"))
            self._set_awake(name, True)
            return
        seen = await engine.read()
        if isinstance(seen, Unreachable):
            # what the router's own health check makes of it is the router's business
            self._note(seen)
            return
        self._set_awake(name, seen.awake)
        mode = self._mode(name)
        if mode in ASLEEP:
            if seen.awake and not (seen.running or seen.waiting):
                await self._put_to_sleep(name, engine)
            return
        if not seen.awake:
            answer = self._note(await engine.wake())
            self._set_awake(name, _holds(answer))
        elif what.warm and mode in WORKING:
            await self._warm(name, engine)

    async def _put_to_sleep(self, name: str, engine: Serving) -> None:
        """Put an empty engine to sleep; until that is over it gets no traffic."""
        self._falling.add(name)
        try:
            if not await self._router_sends_nothing(name) or self._mode(name) not in ASLEEP:
                return
            self._set_awake(name, not _holds(self._note(await engine.sleep())))
        finally:
            self._falling.discard(name)
        if self._mode(name) not in ASLEEP:
            self._hurry(name)  # wanted again meanwhile: it is woken at the next look

    async def _router_sends_nothing(self, name: str) -> bool:
        router = self._devices.router
        if router is None:
            return True
        seen = await router.read()
        if isinstance(seen, Unreachable) or not seen.leased:
            return False
        server = seen.servers.get(self._devices.places[name].server)
        return server is not None and server.weight == 0.0 and server.in_flight == 0

    async def _warm(self, name: str, engine: Serving) -> None:
        if self._warmed:
            return
        self._warmed = True
        prompts = self._devices.warm_prompts.get(self._devices.places[name].pool, ())
        if prompts:
            self._note(await engine.warm(prompts))
        else:
            self._note(missing(name, "warm", "no warm_prompts for its pool"))

    def _set_awake(self, name: str, awake: bool) -> None:
        if self._awake.get(name) != awake:
            self._awake[name] = awake
            self._hurry("router")

    def _mode(self, name: str) -> str:
        assert self._wanted is not None
        return self._wanted.modes[name]

    # --- telling ---------------------------------------------------------------------------------

    async def _tell(
        self, call: Callable[[Mapping[K, V]], Awaitable[Mapping[K, Answer]]], values: Mapping[K, V]
    ) -> Mapping[K, Answer]:
        if not values:
            return {}
        answers = await call(values)
        for answer in answers.values():
            self._note(answer)
        return answers


def missing(device: str, command: str, why: str) -> Refused:
    """Return the answer of something that is not there."""
    return Refused(device=device, command=command, asked=None, why=why)


def _holds(answer: Answer) -> bool:
    return isinstance(answer, Applied | AppliedInPart)


def _differs(held: float | None, asked: float | None, same: float) -> bool:
    if held is None or asked is None:
        return held is not asked
    return abs(held - asked) > same
