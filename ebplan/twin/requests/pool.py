"""A pool that follows single requests: commands and counts as every pool, engines by name.

Between ticks of the power nothing outside the pool sees an arrival or an answer, so the site is
carried over a whole tick at once while the pool goes from event to event by itself.
"""

from __future__ import annotations

from typing import Literal

from ebplan.adapters.commands import Command
from ebplan.state import PoolState
from ebplan.twin.lag import LaggedPower
from ebplan.twin.plant import PoolReading, Refusal
from ebplan.twin.pool_commands import SAME_TIME_S, CommandedPool
from ebplan.twin.pool_truth import PoolTruth, Way
from ebplan.twin.requests.beginning import Parts
from ebplan.twin.requests.engine import Pace
from ebplan.twin.requests.kv_cache import PrefixKey
from ebplan.twin.requests.power import EnginesPower, pace_of
from ebplan.twin.requests.roster import DRAINED, EMPTY, IN_SERVICE, Move, Roster
from ebplan.twin.requests.router import Door
from ebplan.twin.requests.service import Listener, RequestService

_KNOWN = 256


class RequestPool(CommandedPool):
    """One pool.

    Args:
        name: its name.
        truth: what no command changes.
        state: how it begins.
        parts: engines, doors and arrivals.
        listener: hears of each answer.
    """

    def __init__(
        self,
        name: str,
        truth: PoolTruth,
        state: PoolState,
        parts: Parts,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(name, truth, state, parts.wakes)
        self._loads = dict(state.load_req_per_s)
        self._slots, self._tick_s = parts.law.slots, parts.model.power_tick_s
        self._faster, self._ticks, self._joined = 1.0, 1, 0
        self._known: dict[tuple[int, float | None, float], tuple[Way, Pace]] = {}
        self._paces = self._paces_by_mode()
        self.engines = [parts.engine(self._paces["active"]) for _ in range(parts.engines)]
        """The engines."""
        self._roster = Roster(self.counts, lambda i: self.engines[i].in_service)
        self._when_empty = {"asleep": 0, "lower": 0, "own": 0}
        self._service = RequestService(
            name, parts, self.engines, self._roster, self._send_empty, listener
        )
        self._set_paces(0.0)
        self._service.begin(parts)
        self._power = EnginesPower(truth, self.engines, self._idle_and_asleep_kw(0.0))
        self.next_event_s = 0.0
        self.settle(0.0)

    @property
    def lag(self) -> LaggedPower:
        """Its draw."""
        return self._power.lag

    def _control(self, name: str) -> Door:
        return self._service.doors[name]

    # --- commands and disturbances --------------------------------------------------------------

    def tell(self, command: Command, now_s: float) -> Refusal | None:
        """Take a command; ``settle`` must follow. Return what of it could not be done.

        Raises:
            InputError: the pool has no such class, clock or precision.
        """
        self._service.until(now_s)
        refusal = super().tell(command, now_s)
        self._follow(now_s)
        return refusal

    def _sleep(self, count: int, now_s: float) -> int:
        return self._once_empty("asleep", count, now_s)

    def _load_weights(self, precision: Literal["lower", "own"], count: int, now_s: float) -> int:
        return self._once_empty(precision, count, now_s)

    def _once_empty(self, to: str, count: int, now_s: float) -> int:
        """Let drained engines go elsewhere, those with streams once they have ended."""
        drained = self.counts.tier_drained if to == "own" else self.counts.drained
        meant = sum(n for name, n in self._when_empty.items() if (name == "own") == (to == "own"))
        count = min(count, max(drained - meant, 0))
        self._when_empty[to] += count
        self._send_empty(now_s)
        return count

    def _send_empty(self, now_s: float) -> None:
        """Send drained engines that are empty where they are meant to go."""
        counts = self.counts
        send = {"asleep": counts.sleep, "lower": counts.load_lower, "own": counts.load_own}
        for to, count in self._when_empty.items():
            if not count:
                continue
            here = self._roster.of("tier_drained" if to == "own" else "drained")
            empty = sum(not self.engines[i].in_service for i in here)
            if gone := min(count, empty):
                send[to](gone, now_s)
                self._moved(self._roster.follow(counts), now_s)
            # one that was put to work again is not meant any more
            self._when_empty[to] = min(count - gone, len(here) - gone)

    def lose(self, mode: str, count: int, now_s: float) -> None:
        """Lose engines: their draw is gone at once, their requests go back to the queue's head."""
        self._service.until(now_s)
        for move in self._roster.lose(self.counts.lose(mode, count)):
            each_kw = self._truth.asleep_kw if move.before == "asleep" else self._truth.idle_kw
            self._service.empty(move.engine, now_s)
            self._power.lose(move.engine, each_kw)
        self._follow(now_s)

    def bring_back(self, count: int, now_s: float) -> None:
        """Let lost engines return, drained and with an empty cache."""
        self._service.until(now_s)
        self.counts.bring_back(count)
        self._follow(now_s)

    def set_load(self, request_class: str, req_per_s: float, now_s: float) -> None:
        """Let another rate of a class come; ``settle`` must follow.

        Raises:
            InputError: there is no such class, or it does not come at random.
        """
        self.controls(request_class)
        self._service.until(now_s)
        self._service.set_rate(request_class, req_per_s, now_s)
        self._loads[request_class] = req_per_s

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the rates come; ``settle`` must follow."""
        self._service.until(now_s)
        self._service.set_noise(factor, now_s)

    def drift(self, number: str, factor: float, now_s: float) -> None:
        """Let a number be this many times what it was (``disturbances.PoolDrift``)."""
        self._service.until(now_s)
        if number == "capacity":
            self._faster *= factor
            self.settle(now_s)
        else:
            self._truth.drift(number, factor)
            self._known.clear()
            self._set_paces(now_s)
            self._power.jump(self._idle_and_asleep_kw(now_s), now_s)
            self._see_next(now_s)

    def _follow(self, now_s: float) -> None:
        """Let engines move to the modes that the counts say."""
        self._moved(self._roster.follow(self.counts), now_s)
        self._send_empty(now_s)

    def _moved(self, moves: list[Move], now_s: float) -> None:
        for engine, before, after in moves:
            if after in EMPTY and before not in EMPTY:
                self._service.empty(engine, now_s)
            if after in IN_SERVICE:
                self._joined += before in DRAINED
                self._power.undrain(engine)
            elif after in DRAINED and before in IN_SERVICE:
                self._power.drain(engine, now_s)

    # --- time -----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> float:
        """Let time pass, up to the next event at most; return the energy in kW s."""
        return self.lag.advance(seconds)

    def happen(self, now_s: float) -> None:
        """Let happen what is due, inside the pool first."""
        self._service.until(now_s)
        self.lag.start_due(now_s)
        arrives = self.counts.next_arrival_s <= now_s + SAME_TIME_S
        warm = 0.0 < self._warming_until_s <= now_s + SAME_TIME_S
        if arrives:
            self.counts.arrive(now_s)
            self._follow(now_s)
        if warm:
            self._spread_prefixes()
            self._warming_until_s = 0.0
        tick = now_s + SAME_TIME_S >= self._ticks * self._tick_s
        if tick:
            self._ticks += 1
        if arrives:
            self._set_paces(now_s)
            self._service.dispatch(now_s)
        if tick or arrives or warm:
            self._settle(now_s, mean=tick)
        else:
            self._see_next(now_s)

    def settle(self, now_s: float) -> None:
        """Take over what was told, and settle from what each engine draws now."""
        self._set_paces(now_s)
        self._service.follow(now_s)
        self._settle(now_s, mean=False)

    def _settle(self, now_s: float, *, mean: bool) -> None:
        idle = self.counts.drained + self.counts.tier_drained
        base_kw = self._idle_and_asleep_kw(now_s)
        self._power.settle(base_kw, now_s, mean=mean, joined=self._joined, idle=idle)
        self._joined = 0
        self._see_next(now_s)

    def _set_paces(self, now_s: float) -> None:
        """Let engines run as caps, clocks and the mix say; drained ones go on as they ran."""
        self._paces = self._paces_by_mode()
        for i, mode in enumerate(self._roster.modes):
            pace = self._paces.get(mode)
            if pace is not None:
                self.engines[i].set_pace(pace, now_s)
                self._service.see_engine(i)

    def _paces_by_mode(self) -> dict[str, Pace]:
        truth, counts = self._truth, self.counts
        capacity = truth.capacity_req_per_s
        ways = truth.ways({name: rate / capacity[name] for name, rate in self._loads.items()})
        paces = {"active": self._pace(ways.own, self._cap_kw, 1.0)}
        if counts.locked and ways.locked is not None:
            paces["locked"] = self._pace(ways.locked, self._clock_kw(ways), 1.0)
        if counts.tier_active and ways.tier is not None:
            paces["tier_active"] = self._pace(ways.tier, self._tier_cap_kw, truth.tier_capacity)
        return paces

    def _pace(self, way: Way, limit_kw: float | None, faster: float) -> Pace:
        key = (id(way), limit_kw, faster * self._faster)
        if key not in self._known:
            if len(self._known) > _KNOWN:
                self._known.clear()
            idle_kw = self._truth.idle_kw
            pace = pace_of(way, limit_kw, slots=self._slots, idle_kw=idle_kw, faster=key[2])
            self._known[key] = (way, pace)  # the way stays, so that its id is nobody else's
        return self._known[key][1]

    def _spread_prefixes(self) -> None:
        """Warm the caches: awake engines get the prefixes of protected classes that any has."""
        here = [self.engines[i] for i in self._roster.of("active") + self._roster.of("drained")]
        known: dict[PrefixKey, int] = {}
        for engine in here:
            for key in engine.cache.prefixes():
                if self._service.doors[key[0]].protected:
                    known[key] = max(known.get(key, 0), engine.cache.kept_blocks(key))
        for engine in here:
            for key, blocks in known.items():
                engine.keep_prefix(key, blocks)

    def _see_next(self, now_s: float) -> None:
        times = [self.lag.next_start_s, self.counts.next_arrival_s, self._ticks * self._tick_s]
        if self._warming_until_s > now_s + SAME_TIME_S:
            times.append(self._warming_until_s)
        self.next_event_s = min(times)

    def reading(self) -> PoolReading:
        """Return what the pool says of itself now; rates are counted."""
        counts, now_s = self.counts, self._service.now_s
        doors = self._service.doors.items()
        return PoolReading(
            active=counts.active + counts.locked,
            locked=counts.locked,
            drained=counts.drained,
            asleep=counts.asleep,
            tier_active=counts.tier_active,
            tier_drained=counts.tier_drained,
            lost=counts.lost,
            transit=tuple(counts.transit),
            load_req_per_s={name: door.comes.at(now_s) for name, door in doors},
            lowered_req_per_s={name: door.lowers.at(now_s) for name, door in doors},
            backlog_requests={name: float(len(door.backlog)) for name, door in doors},
            queued_requests={name: float(door.queued) for name, door in doors},
            waiting_requests=self._service.waiting(),
            serving_req_per_s={name: door.serves.at(now_s) for name, door in doors},
            served_requests={name: float(door.served) for name, door in doors},
            rejected_requests={name: float(door.rejected) for name, door in doors},
            warm_until_s=self._warm_until_s if self._warm_until_s > 0.0 else 0.0,
            in_flight_requests={name: float(door.in_service) for name, door in doors},
            arrived_requests={name: float(door.arrived) for name, door in doors},
            ttft_s={name: mean for name, door in doors if (mean := door.ttft.value) is not None},
        )
