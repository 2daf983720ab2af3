"""A pool whose engines are told apart: each has its own queue, caps, clock and mode.

``RequestPool`` takes a plan's counts and has a router of its own. On the wire a real router sends
each request to one engine, caps belong to GPUs, and an engine is put to sleep by its address. What
an engine does with its requests, and what it draws, is the same code (``requests.engine``,
``requests.power``).
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Literal

from ebplan.adapters.commands import Command
from ebplan.errors import InputError
from ebplan.state import PoolState
from ebplan.twin.lag import LaggedPower
from ebplan.twin.plant import PoolReading, Refusal, Transit
from ebplan.twin.pool_truth import PoolTruth, Way
from ebplan.twin.requests.beginning import Parts
from ebplan.twin.requests.engine import Engine, Pace, Request
from ebplan.twin.requests.power import EnginesPower, pace_of
from ebplan.twin.requests.router import MeasuredRate

SAME_TIME_S = 1e-9
Mode = Literal["awake", "to asleep", "asleep", "to awake", "lost"]
Done = Callable[[Request, float, str], None]
"""Hears that a request was answered: request, second of the plant, ``length`` or ``abort``."""
_KNOWN = 1024


class NamedEngine:
    """One engine and what is told of it."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name, self.engine = name, engine
        self.mode: Mode = "awake"
        self.arrives_s = math.inf
        """When it arrives, where it is on its way."""
        self.queue: deque[Request] = deque()
        """Requests that it has taken and not begun."""
        self.cap_w: float | None = None
        """Mean limit of its GPUs."""
        self.clock_mhz: float | None = None
        self.drained = False
        """Whether the router sends it nothing."""

    @property
    def in_flight(self) -> int:
        """Requests that it has taken and not answered."""
        return self.engine.in_service + len(self.queue)


class NamedPool:
    """One pool.

    Args:
        name: of the pool.
        truth: what no command changes.
        state: how it begins: all engines awake; its rates say how workloads blend.
        parts: law and engines; its doors and arrivals are not used.
    """

    def __init__(self, name: str, truth: PoolTruth, state: PoolState, parts: Parts) -> None:
        self.name, self._truth, self._loads = name, truth, dict(state.load_req_per_s)
        self._slots, self._tick_s = parts.law.slots, parts.model.power_tick_s
        self._ticks, self._joined = 1, 0
        self._known: dict[tuple[float | None, float | None], Pace] = {}
        self._ways = truth.ways(
            {k: rate / truth.capacity_req_per_s[k] for k, rate in self._loads.items()}
        )
        pace = self._pace(None, None)
        self.engines = [
            NamedEngine(f"{name}-{i}", parts.engine(pace)) for i in range(parts.engines)
        ]
        """The engines, in order."""
        self._done: dict[int, Done] = {}
        self.arrived: Counter[str] = Counter()
        """Requests that came, by class."""
        self.served: Counter[str] = Counter()
        """Requests answered in full, by class."""
        self.cut: Counter[str] = Counter()
        """Requests cut short or lost in an engine, by class."""
        self._comes = {key: MeasuredRate(0.0) for key in self._loads}
        self._serves = {key: MeasuredRate(0.0) for key in self._loads}
        self._power = EnginesPower(truth, [e.engine for e in self.engines], self._base_kw())
        self.next_event_s = self._now_s = 0.0
        self.settle(0.0)

    @property
    def lag(self) -> LaggedPower:
        """Its draw."""
        return self._power.lag

    # --- what is told over the wire; between two steps of the plant ---------------------------

    def submit(self, index: int, request: Request, done: Done) -> None:
        """Give a request to an engine; ``done`` hears of its end."""
        one = self.engines[index]
        self.arrived[request.request_class] += 1
        if request.request_class in self._comes:
            self._comes[request.request_class].count(self._now_s)
        self._done[id(request)] = done
        one.queue.append(request)
        self._dispatch(one)

    def limit(self, index: int, cap_w: float | None, clock_mhz: float | None) -> bool:
        """Limit the power of each GPU of an engine, and its clock; return whether that is new."""
        one = self.engines[index]
        if (cap_w, clock_mhz) == (one.cap_w, one.clock_mhz):
            return False
        one.cap_w, one.clock_mhz = cap_w, clock_mhz
        one.engine.set_pace(self._pace(cap_w, clock_mhz), self._now_s)
        self.settle(self._now_s)
        return True

    def drain(self, index: int, drained: bool) -> None:
        """Hear whether the router sends an engine nothing: its draw then falls as it is drained."""
        one = self.engines[index]
        if drained == one.drained:
            return
        one.drained = drained
        if drained:
            self._power.drain(index, self._now_s)
        else:
            self._joined += 1
            self._power.undrain(index)
        self.settle(self._now_s)

    def sleep(self, index: int) -> None:
        """Put an engine to sleep; requests in service are cut short, those that wait go on waiting.

        It sleeps after the site's ``sleep_s``.
        """
        one = self.engines[index]
        if one.mode == "awake":
            self._cut_short(one)
            self._turn(one, "to asleep", self._truth.sleep_s)

    def wake(self, index: int) -> None:
        """Wake an engine; it is awake after the site's ``wake_s``."""
        one = self.engines[index]
        if one.mode in ("asleep", "to asleep"):
            self._turn(one, "to awake", self._truth.wake_s)

    def kill(self, index: int) -> None:
        """Lose an engine: its draw is gone at once, its requests are cut short."""
        one = self.engines[index]
        if one.mode == "lost":
            return
        each_kw = self._truth.asleep_kw if one.mode == "asleep" else self._truth.idle_kw
        self._cut_short(one, waiting=True)
        self._turn(one, "lost", math.inf)
        self._power.lose(index, each_kw)
        self.settle(self._now_s)

    def revive(self, index: int) -> None:
        """Let a lost engine come back, awake and empty."""
        if self.engines[index].mode == "lost":
            self._turn(self.engines[index], "awake", math.inf)

    def gpu_w(self, index: int) -> float:
        """Return what each GPU of an engine draws: the pool's draw, shared as engines settle."""
        one, kw = self.engines[index], 0.0
        if one.mode == "lost":
            return 0.0
        busy = [e.engine.busy_kw for e in self.engines]
        beyond_kw, total_kw = max(self.lag.kw - self._base_kw(), 0.0), sum(busy)
        awake = sum(e.mode == "awake" for e in self.engines)
        if total_kw > 0.0:
            kw = beyond_kw * busy[index] / total_kw
        elif one.mode == "awake":
            kw = beyond_kw / awake
        own_kw = self._truth.asleep_kw if one.mode == "asleep" else self._truth.idle_kw
        return (own_kw + kw) / self._truth.kw_per_w_per_gpu

    # --- as a pool of a site ------------------------------------------------------------------

    def tell(self, command: Command, now_s: float) -> Refusal | None:
        """Refuse: engines are told over the wire.

        Raises:
            InputError: always.
        """
        raise InputError(
            field=f"pools.{self.name}",
            value=command.command,
            allowed="commands over the wire, to each engine",
            remedy="send the commands of a plan to a plant that takes counts",
        )

    def settle(self, now_s: float) -> None:
        """Settle from what each engine draws now."""
        self._settle(now_s, mean=False)

    def set_load(self, request_class: str, req_per_s: float, now_s: float) -> None:
        """Say how workloads blend; what comes is the sender's."""
        self._loads[request_class] = req_per_s

    def set_noise(self, factor: float, now_s: float) -> None:
        """Do nothing: what comes is the sender's."""

    def lose(self, mode: str, count: int, now_s: float) -> None:
        """Lose the first engines that are awake, or asleep."""
        wanted = "asleep" if mode == "asleep" else "awake"
        for i in [i for i, e in enumerate(self.engines) if e.mode == wanted][:count]:
            self.kill(i)

    def bring_back(self, count: int, now_s: float) -> None:
        """Let lost engines return."""
        for i in [i for i, e in enumerate(self.engines) if e.mode == "lost"][:count]:
            self.revive(i)

    def drift(self, number: str, factor: float, now_s: float) -> None:
        """Let a number of the power be this many times what it was.

        Raises:
            InputError: the capacity cannot drift here.
        """
        if number == "capacity":
            raise InputError(
                field="drift.number",
                value=number,
                allowed="idle_power, busy_power, power, cap_delivery",
                remedy="let the capacity drift in a plant in simulated time",
            )
        self._truth.drift(number, factor)
        self._known.clear()
        self._ways = self._truth.ways(
            {k: rate / self._truth.capacity_req_per_s[k] for k, rate in self._loads.items()}
        )
        for one in self.engines:
            one.engine.set_pace(self._pace(one.cap_w, one.clock_mhz), now_s)
        self._power.jump(self._base_kw(), now_s)

    def advance(self, seconds: float) -> float:
        """Let time pass, up to the next event at most; return the energy in kW s."""
        return self.lag.advance(seconds)

    def happen(self, now_s: float) -> None:
        """Let happen what is due, engines one by one: none knows of another."""
        for one in self.engines:
            while (at_s := one.engine.next_s) <= now_s:
                self._happen(one, max(at_s, self._now_s))
            one.engine.sync(now_s)
        self._now_s = now_s
        self.lag.start_due(now_s)
        arrived = [e for e in self.engines if e.arrives_s <= now_s + SAME_TIME_S]
        for one in arrived:
            self._turn(one, "asleep" if one.mode == "to asleep" else "awake", math.inf)
        tick = now_s + SAME_TIME_S >= self._ticks * self._tick_s
        if tick:
            self._ticks += 1
            self._settle(now_s, mean=True)
        self._see_next()

    def reading(self) -> PoolReading:
        """Return what the pool says of itself now; rates are counted."""
        modes = Counter(e.mode for e in self.engines)
        now_s, keys = self._now_s, list(self._loads)
        drained = sum(e.drained and e.mode == "awake" for e in self.engines)
        transit = tuple(
            Transit(e.arrives_s, "asleep" if e.mode == "to asleep" else "awake", 1)
            for e in self.engines
            if e.mode in ("to asleep", "to awake")
        )
        waiting = Counter(r.request_class for e in self.engines for r in e.queue)
        none = dict.fromkeys(keys, 0.0)
        return PoolReading(
            active=modes["awake"] - drained,
            locked=0,
            drained=drained,
            asleep=modes["asleep"],
            tier_active=0,
            tier_drained=0,
            lost=modes["lost"],
            transit=transit,
            load_req_per_s={key: self._comes[key].at(now_s) for key in keys},
            lowered_req_per_s=none,
            backlog_requests=none,
            queued_requests=none,
            waiting_requests={key: float(waiting[key]) for key in keys},
            serving_req_per_s={key: self._serves[key].at(now_s) for key in keys},
            served_requests={key: float(self.served[key]) for key in keys},
            rejected_requests={key: float(self.cut[key]) for key in keys},
            warm_until_s=0.0,
            arrived_requests={key: float(self.arrived[key]) for key in keys},
        )

    # --- inside -------------------------------------------------------------------------------

    def _happen(self, one: NamedEngine, at_s: float) -> None:
        answered, aside = one.engine.happen(at_s)
        for request in answered:
            self._end(request, at_s, "length")
        one.queue.extendleft(reversed(aside))
        self._dispatch(one, at_s)

    def _dispatch(self, one: NamedEngine, at_s: float | None = None) -> None:
        at_s = self._now_s if at_s is None else at_s
        while one.mode == "awake" and one.queue and one.engine.fits(one.queue[0]):
            aside = one.engine.admit(one.queue.popleft(), at_s)
            one.queue.extendleft(reversed(aside))

    def _end(self, request: Request, at_s: float, reason: str) -> None:
        key = request.request_class
        (self.served if reason == "length" else self.cut)[key] += 1
        if reason == "length" and key in self._serves:
            self._serves[key].count(at_s)
        done = self._done.pop(id(request), None)
        if done is not None:
            done(request, at_s, reason)

    def _cut_short(self, one: NamedEngine, *, waiting: bool = False) -> None:
        lost = one.engine.drop(self._now_s)
        if waiting:
            lost += list(one.queue)
            one.queue.clear()
        for request in lost:
            self._end(request, self._now_s, "abort")

    def _turn(self, one: NamedEngine, mode: Mode, seconds: float) -> None:
        one.mode, one.arrives_s = mode, self._now_s + seconds
        self._dispatch(one)
        self.settle(self._now_s)

    def _base_kw(self) -> float:
        kw = 0.0
        for one in self.engines:
            if one.mode != "lost":
                kw += self._truth.asleep_kw if one.mode == "asleep" else self._truth.idle_kw
        return kw

    def _settle(self, now_s: float, *, mean: bool) -> None:
        idle = sum(e.drained for e in self.engines)
        self._power.settle(self._base_kw(), now_s, mean=mean, joined=self._joined, idle=idle)
        self._joined = 0
        self._see_next()

    def _pace(self, cap_w: float | None, clock_mhz: float | None) -> Pace:
        key = (cap_w, clock_mhz)
        if key not in self._known:
            if len(self._known) > _KNOWN:
                self._known.clear()
            truth, ways = self._truth, self._ways
            limit_kw = None if cap_w is None else cap_w * truth.kw_per_w_per_gpu
            way: Way = ways.own
            if clock_mhz is not None and ways.locked is not None:
                clock_kw = truth.clock_kw(ways, clock_mhz)
                limit_kw = clock_kw if limit_kw is None else min(limit_kw, clock_kw)
                way = ways.locked
            self._known[key] = pace_of(
                way, limit_kw, slots=self._slots, idle_kw=truth.idle_kw, faster=1.0
            )
        return self._known[key]

    def _see_next(self) -> None:
        arrives_s = min((e.arrives_s for e in self.engines), default=math.inf)
        self.next_event_s = min(self.lag.next_start_s, arrives_s, self._ticks * self._tick_s)


def named(pools: Mapping[str, NamedPool]) -> dict[str, tuple[NamedPool, int]]:
    """Return every engine by its name: its pool, and its place in it."""
    return {e.name: (pool, i) for pool in pools.values() for i, e in enumerate(pool.engines)}
