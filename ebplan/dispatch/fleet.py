"""One pool's epoch carried out: weights, caps, clocks, admission, sleep and wake, all at once.

What must follow one another does so for each engine on its own: drained, then empty, then asleep;
awake and verified, then traffic. Everything else runs side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import get_args

from ebplan.adapters.answers import Answer, Applied, AppliedInPart, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.site_devices import SiteDevices
from ebplan.disaggregate import Mode, Switch
from ebplan.dispatch.notes import Notes
from ebplan.plan import ClassEpoch, PoolEpoch

WORKING: frozenset[Mode] = frozenset({"active", "locked", "lower_active"})
ASLEEP: frozenset[Mode] = frozenset({"asleep", "to_asleep", "to_awake"})
EMPTY_POLL_S = 0.05
"""Between two looks at what is still in flight on a drained engine."""

assert set(get_args(Mode)) >= WORKING | ASLEEP


class Fleet:
    """The engines of one pool.

    Args:
        devices: the site's devices.
        modes: what each engine of the pool is doing now.
        clock: what time it is.
        note: told every answer.
        drain_s: how long a drained engine may take to become empty before its sleep is given up.
    """

    def __init__(
        self,
        devices: SiteDevices,
        modes: Mapping[str, Mode],
        clock: Clock,
        note: Notes,
        drain_s: float = 120.0,
    ) -> None:
        self._devices, self._clock, self._note = devices, clock, note
        self._drain_s = drain_s
        self.modes: dict[str, Mode] = dict(modes)
        """What each engine is to do, by the plan."""
        self.awake = {name for name, mode in modes.items() if mode not in ASLEEP}
        """Engines that have proven to answer: only these get traffic."""
        self._turns = {name: asyncio.Lock() for name in modes}
        self._cap_w: dict[str, float | None] = {}
        self._clock_mhz: dict[str, float | None] = {}
        self._weight: dict[str, float] = {}
        self._admitted: dict[str, float | None] = {}
        self._lowered: dict[str, float] = {}

    async def carry_out(self, epoch: PoolEpoch, switches: Iterable[Switch]) -> None:
        """Tell everyone what this epoch asks of them; returns when all have answered."""
        listed = list(switches)
        self.modes.update({switch.id: switch.to_mode for switch in listed})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._route())
            group.create_task(self._cap(epoch))
            group.create_task(self._lock(epoch))
            group.create_task(self._classes(epoch.classes))
            if epoch.prewarm:
                group.create_task(self._warm())
            for switch in listed:
                if switch.to_mode in ("to_lower", "to_own"):
                    self._note(missing(switch.id, "load_weights", "no engine loads other weights"))
                elif switch.to_mode in ("to_asleep", "to_awake"):
                    turn = self._sleep if switch.to_mode == "to_asleep" else self._wake
                    group.create_task(turn(switch.id))

    # --- traffic ---------------------------------------------------------------------------------

    async def _route(self) -> None:
        """Give working engines that answer their traffic, first; then drain the others."""
        wanted = {
            name: float(mode in WORKING and name in self.awake) for name, mode in self.modes.items()
        }
        changed = {n: w for n, w in wanted.items() if self._weight.get(n) != w}
        if not changed:
            return
        if (router := self._devices.router) is None:
            self._note(missing("router", "route", "the site has no router"))
            return
        ordered = sorted(changed, key=lambda name: -changed[name])
        server = {name: self._devices.places[name].server for name in ordered}
        answers = await router.route({server[n]: changed[n] for n in ordered})
        for name in ordered:
            if _holds(self._note(answers[server[name]])):
                self._weight[name] = changed[name]

    async def _classes(self, classes: Mapping[str, ClassEpoch]) -> None:
        """Limit and lower request classes where that has changed."""
        admitted = {name: _admitted(asked) for name, asked in classes.items()}
        lowered = {name: _lowered(asked) for name, asked in classes.items()}
        limits = {n: r for n, r in admitted.items() if self._admitted.get(n) != r}
        shares = {n: x for n, x in lowered.items() if self._lowered.get(n, 0.0) != x}
        if not (limits or shares):
            return
        if (router := self._devices.router) is None:
            self._note(missing("router", "admit", "the site has no router"))
            return
        for name, answer in (await router.admit(limits)).items() if limits else ():
            if _holds(self._note(answer)):
                self._admitted[name] = limits[name]
        for name, answer in (await router.lower(shares)).items() if shares else ():
            if _holds(self._note(answer)):
                self._lowered[name] = shares[name]

    # --- power -----------------------------------------------------------------------------------

    async def _cap(self, epoch: PoolEpoch) -> None:
        lower_w = epoch.tier.cap_w_per_gpu if epoch.tier else None
        by_mode: dict[Mode, float | None] = {
            "active": epoch.cap_w_per_gpu,
            "lower_active": lower_w,
        }
        wanted = {name: by_mode.get(mode) for name, mode in self.modes.items()}
        await self._tell_gpus("cap", wanted, self._cap_w)

    async def _lock(self, epoch: PoolEpoch) -> None:
        mhz = epoch.clock_lock.clock_mhz if epoch.clock_lock else None
        wanted = {name: mhz if mode == "locked" else None for name, mode in self.modes.items()}
        await self._tell_gpus("lock_clock", wanted, self._clock_mhz)

    async def _tell_gpus(
        self,
        command: str,
        wanted: Mapping[str, float | None],
        told: dict[str, float | None],
    ) -> None:
        """Tell the GPUs of engines whose value has changed, every node on its own."""
        by_node: dict[str, dict[int, float | None]] = {}
        engine_of: dict[tuple[str, int], str] = {}
        for name, value in wanted.items():
            if told.get(name) == value:
                continue
            place = self._devices.places[name]
            for gpu in place.gpus:
                by_node.setdefault(place.node, {})[gpu] = value
                engine_of[place.node, gpu] = name

        async def tell(node: str, values: dict[int, float | None]) -> None:
            device = self._devices.nodes.get(node)
            if device is None:
                self._note(missing(node, command, "the site has no such node"))
                return
            call = device.cap if command == "cap" else device.lock_clock
            answers = await call(values)
            failed = {engine_of[node, g] for g, a in answers.items() if not _holds(self._note(a))}
            for gpu, value in values.items():
                if engine_of[node, gpu] not in failed:
                    told[engine_of[node, gpu]] = value

        await asyncio.gather(*(tell(node, values) for node, values in by_node.items()))

    # --- engines ---------------------------------------------------------------------------------

    async def _sleep(self, name: str) -> None:
        """Put a drained engine to sleep once nothing is in flight on it."""
        engine = self._devices.engines.get(name)
        if engine is None:
            self._note(missing(name, "sleep", "no such engine"))
            return
        async with self._turns[name]:
            until_s = self._clock.now_s() + self._drain_s
            while not await self._is_empty(name):
                if self._clock.now_s() >= until_s or self.modes[name] not in ASLEEP:
                    why = "still at work, or wanted again before it was empty"
                    self._note(missing(name, "sleep", why))
                    return
                await self._clock.sleep(EMPTY_POLL_S)
            self.awake.discard(name)
            if not _holds(self._note(await engine.sleep())):
                await self._take_back(name)

    async def _wake(self, name: str) -> None:
        """Wake an engine; traffic returns when it has answered."""
        engine = self._devices.engines.get(name)
        if engine is None:
            self._note(missing(name, "wake", "no such engine"))
            return
        async with self._turns[name]:
            if _holds(self._note(await engine.wake())):
                self.awake.add(name)
                await self._route()

    async def _take_back(self, name: str) -> None:
        """Find out whether an engine whose sleep failed is awake after all."""
        reading = await self._devices.engines[name].read()
        if not isinstance(reading, Unreachable) and reading.awake:
            self.awake.add(name)

    async def _is_empty(self, name: str) -> bool:
        """Whether neither the router nor the engine has a request in flight there."""
        reading = await self._devices.engines[name].read()
        if isinstance(reading, Unreachable) or reading.running or reading.waiting:
            return False
        if self._devices.router is None:
            return True
        seen = await self._devices.router.read()
        if isinstance(seen, Unreachable):
            return False
        server = seen.servers.get(self._devices.places[name].server)
        return server is not None and server.weight == 0.0 and server.in_flight == 0

    async def _warm(self) -> None:
        """Warm the caches of the engines that will serve."""

        async def warm(name: str) -> None:
            prompts = self._devices.warm_prompts.get(self._devices.places[name].pool, ())
            if prompts:
                self._note(await self._devices.engines[name].warm(prompts))
            else:
                self._note(missing(name, "warm", "no warm_prompts for its pool"))

        working = [n for n, mode in self.modes.items() if mode in WORKING and n in self.awake]
        await asyncio.gather(*(warm(name) for name in working if name in self._devices.engines))


def _holds(answer: Answer) -> bool:
    return isinstance(answer, Applied | AppliedInPart)


def missing(device: str, command: str, why: str) -> Refused:
    """Return the answer of something that is not there."""
    return Refused(device=device, command=command, asked=None, why=why)


def _admitted(asked: ClassEpoch) -> float | None:
    """Return the rate let in; None where nothing is turned away or put off."""
    kept_out = asked.rejected_req_per_s + max(asked.deferred_req_per_s, 0.0)
    return max(asked.offered_req_per_s - kept_out, 0.0) if kept_out > 0.0 else None


def _lowered(asked: ClassEpoch) -> float:
    served = asked.served_req_per_s
    return min(asked.lowered_req_per_s / served, 1.0) if served > 0.0 else 0.0
