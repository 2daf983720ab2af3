"""Requests on their way through a pool: doors, one queue, engines behind a router, event by event.

The router keeps what waits in one queue, first come first served, and gives each request to the
engine with the fewest in service for its speed, or to one that holds its prefix and has not many
more.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ebplan.twin.requests.beginning import Parts
from ebplan.twin.requests.engine import Engine, Request
from ebplan.twin.requests.roster import Roster

OWN, TIER = ("active", "locked"), ("tier_active",)
"""Modes that take requests in the pool's own precision, and in the lower one."""


class Answer(NamedTuple):
    """A request that was answered."""

    pool: str
    request_class: str
    came_s: float
    """When it came, in seconds of the plant; 0 where it was in service at the beginning."""
    answered_s: float
    """When its last token was given."""
    output_tokens: float
    lowered: bool
    """Whether the lower precision served it."""
    first_token_s: float | None = None
    """When its first token was given; None where that was before the plant began."""

    @property
    def ttft_s(self) -> float | None:
        """Time to the first token: waiting, prompt and one step."""
        return None if self.first_token_s is None else self.first_token_s - self.came_s

    @property
    def itl_s(self) -> float | None:
        """Mean time between two tokens; None for an answer of one."""
        if self.first_token_s is None or self.output_tokens <= 1.0:
            return None
        return (self.answered_s - self.first_token_s) / (self.output_tokens - 1.0)


Listener = Callable[[Answer], None]


class RequestService:
    """Serves the requests of a pool.

    Args:
        pool: its name, for answers.
        parts: doors and arrivals.
        engines: the engines.
        roster: their modes.
        emptied: hears at which second an engine became empty.
        listener: hears of each answer.
    """

    def __init__(
        self,
        pool: str,
        parts: Parts,
        engines: list[Engine],
        roster: Roster,
        emptied: Callable[[float], None],
        listener: Listener | None,
    ) -> None:
        self._pool, self._engines, self._roster = pool, engines, roster
        self.doors, self._arrivals, self._samplers = parts.doors, parts.arrivals, parts.samplers
        self._emptied, self._listener = emptied, listener
        self._detour = parts.model.prefix_detour
        self._classes = tuple(parts.doors)
        self._queue: deque[Request] = deque()
        self._due = [math.inf] * (len(engines) + 2 * len(self._classes))
        self.now_s = 0.0
        """Until when everything has happened."""

    def begin(self, parts: Parts) -> None:
        """Put in service what is there, each request with some of its answer given already."""
        for name, count in parts.in_service.items():
            for k, left in enumerate(parts.residues.uniform(0.01, 0.99, count).tolist()):
                request = self._samplers[name].draw(0.0)
                modes = TIER if k < parts.lowered.get(name, 0) else OWN
                place = self._choose(request, modes)
                if place is None:
                    self._queue.append(request)
                else:
                    request.lowered = modes is TIER
                    self._admit(place, request, 0.0, left)

    def follow(self, now_s: float) -> None:
        """Let doors take over what was told, and give what waits to engines."""
        for name, door in self.doors.items():
            door.follow(now_s)
            self._see_class(name, now_s)
        self.dispatch(now_s)

    def set_rate(self, name: str, req_per_s: float, now_s: float) -> None:
        """Let another rate of a class come.

        Raises:
            InputError: it does not come at random.
        """
        self._arrivals[name].set_rate(req_per_s, now_s)
        self._see_class(name, now_s)

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the rates come."""
        for name in self._classes:
            self._arrivals[name].set_noise(factor, now_s)
            self._see_class(name, now_s)

    def empty(self, place: int, now_s: float) -> None:
        """Empty an engine: its cache is lost, its requests go back to the queue's head."""
        self._aside(self._engines[place].drop(now_s))
        self._due[place] = math.inf

    def see_engine(self, place: int) -> None:
        """Hear that an engine's next event may have moved."""
        self._due[place] = self._engines[place].next_s

    def waiting(self) -> dict[str, float]:
        """Return the requests that wait at the door's limit or for an engine, by class."""
        waiting = {name: float(len(door.held)) for name, door in self.doors.items()}
        for request in self._queue:
            waiting[request.request_class] += 1.0
        return waiting

    def until(self, until_s: float) -> None:
        """Let everything happen to requests that is due until then, each at its own time."""
        due, engines, classes = self._due, len(self._engines), len(self._classes)
        while (at_s := min(due)) <= until_s:
            place = due.index(at_s)
            if place < engines:
                self._engine_event(place, at_s)
            elif place < engines + classes:
                name = self._classes[place - engines]
                request = self._arrivals[name].take()
                verdict = self.doors[name].arrive(request, at_s)
                if verdict == "goes on":
                    self._enter(request, at_s)
                elif verdict == "rejected":
                    self._arrivals[name].done(at_s, served=False)
                self._see_class(name, at_s)
            else:
                self._let_out(self._classes[place - engines - classes], at_s)
        self.now_s = until_s

    def _engine_event(self, place: int, now_s: float) -> None:
        engine = self._engines[place]
        answered, aside = engine.happen(now_s)
        self._due[place] = engine.next_s
        for request in answered:
            name = request.request_class
            self.doors[name].answer(now_s)
            if request.first_token_s is not None:
                self.doors[name].ttft.add(request.first_token_s - request.came_s, now_s)
            self._arrivals[name].done(now_s, served=True)
            self._see_class(name, now_s)
            if self._listener is not None:
                self._listener(
                    Answer(
                        *(self._pool, name, request.came_s, now_s),
                        *(request.output_tokens, request.lowered, request.first_token_s),
                    )
                )
        self._aside(aside)
        if not engine.in_service:
            self._emptied(now_s)
        self.dispatch(now_s)

    def _let_out(self, name: str, now_s: float) -> None:
        door = self.doors[name]
        for request in door.let_out(now_s):
            self._enter(request, now_s)
        if door.ahead_is_due(now_s):
            self._enter(self._samplers[name].draw(now_s), now_s)
        self._see_class(name, now_s)

    def _enter(self, request: Request, now_s: float) -> None:
        """Let a request go to the lower precision where it is meant to, or into the queue."""
        door = self.doors[request.request_class]
        if door.lower_req_per_s > 0.0:
            engine = self._choose(request, TIER)
            if engine is not None and door.lower_bucket.take(now_s):
                request.lowered = True
                door.lowers.count(now_s)
                self._admit(engine, request, now_s)
                return
        self._queue.append(request)
        self.dispatch(now_s)

    def dispatch(self, now_s: float) -> None:
        """Give what waits to engines, first come first served."""
        while self._queue:
            engine = self._choose(self._queue[0], OWN)
            if engine is None:
                return
            self._admit(engine, self._queue.popleft(), now_s)

    def _admit(self, place: int, request: Request, now_s: float, left: float = 1.0) -> None:
        engine = self._engines[place]
        self.doors[request.request_class].in_service += 1
        self._aside(engine.admit(request, now_s, left))
        self._due[place] = engine.next_s

    def _choose(self, request: Request, modes: tuple[str, ...]) -> int | None:
        """Return the engine for a request: the one with the least load, or one with its prefix."""
        best, least = None, math.inf
        for i, mode in enumerate(self._roster.modes):
            if mode in modes and self._engines[i].load < least:
                engine = self._engines[i]
                if engine.fits(request):
                    best, least = i, engine.load
        if best is None or request.key is None:
            return best
        most = self._engines[best].cache.found(request.key, request.prefix_tokens)
        for i, mode in enumerate(self._roster.modes):
            engine = self._engines[i]
            if mode not in modes or engine.load > least + self._detour:
                continue
            found = engine.cache.found(request.key, request.prefix_tokens)
            if found > most and engine.fits(request):
                best, most = i, found
        return best

    def _aside(self, requests: list[Request]) -> None:
        for request in reversed(requests):
            self.doors[request.request_class].in_service -= 1
            request.lowered = False
            self._queue.appendleft(request)

    def _see_class(self, name: str, now_s: float) -> None:
        place = len(self._engines) + self._classes.index(name)
        self._due[place] = self._arrivals[name].next_s
        self._due[place + len(self._classes)] = self.doors[name].next_s(now_s)
