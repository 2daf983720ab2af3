"""One engine: requests in service, decoded together, prompts worked on in between.

Nothing is done token by token. All requests in service advance alike, so the engine has one clock,
the tokens that each of them has been given, and each request ends at a known reading of it. Between
two of the engine's events, a prompt done, an answer done, the cache full, the clock runs straight.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

from ebplan.twin.requests.kv_cache import Hold, KvCache, PrefixKey
from ebplan.twin.requests.law import EngineLaw

SAME_TOKENS = 1e-6
"""Readings of the clock that differ by less are one: some 20 ns."""


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way through the plant."""

    request_class: str
    prompt_tokens: float
    output_tokens: float
    came_s: float
    key: PrefixKey | None = None
    """Its prefix."""
    prefix_tokens: float = 0.0
    given_tokens: float = 0.0
    """Tokens of the answer given before it was put aside for want of blocks."""
    lowered: bool = False
    """Whether it is served in the lower precision."""
    first_token_s: float | None = None
    """When the first token of its answer was given, in seconds of the plant."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed and draw of an engine by requests in service."""

    speed: tuple[float, ...]
    """Share of the uncapped speed, shape (slots + 1,)."""
    busy_kw: tuple[float, ...]
    """Draw above idle in kW, shape (slots + 1,)."""


@dataclass(slots=True, eq=False)
class _Running:
    request: Request
    hold: Hold
    order: int
    begin: float
    """Reading of the clock at its first token here."""


class Engine:
    """An engine from an empty start.

    Args:
        law: its speeds.
        cache: its KV cache.
        pace: speed and draw by requests in service.
        spare: blocks that stay free when a request is let in beside others.
    """

    def __init__(self, law: EngineLaw, cache: KvCache, pace: Pace, spare: int) -> None:
        self._law, self.cache, self._pace, self._spare = law, cache, pace, spare
        self._decoding: list[tuple[float, int, _Running]] = []
        # readings of the clock at which first tokens are given; the clock only rises: sorted
        self._first_tokens: deque[tuple[float, _Running]] = deque()
        self._prompts: deque[tuple[float, _Running]] = deque()
        self._prompt_left_s = 0.0
        self._t_s = self._clock = self._per_s = self._begins = self._context = 0.0
        self._orders = 0
        self.busy_kw = self.busy_kws = 0.0
        """Draw above idle now, and its energy since the plant began."""
        self.next_s = math.inf
        """When its next event is due."""
        self.preempted = 0
        """Requests put aside for want of blocks, since the plant began."""

    @property
    def in_service(self) -> int:
        """Requests in service."""
        return len(self._decoding) + len(self._prompts)

    @property
    def free_blocks(self) -> float:
        """Blocks that nobody holds, growing answers taken off."""
        return self.cache.free - self._grown() / self.cache.block_tokens

    @property
    def load(self) -> float:
        """Requests in service, had one more come, over the speed that a full engine has."""
        full = self._pace.speed[-1]
        return (self.in_service + 1) / full if full > 0.0 else math.inf

    def fits(self, request: Request) -> bool:
        """Return whether a request can be let in now."""
        if self.in_service >= self._law.slots or self._pace.speed[-1] <= 0.0:
            return False
        cache = self.cache
        found = cache.found(request.key, request.prefix_tokens)
        needed = cache.needed(request.prompt_tokens + request.given_tokens, found)
        room = cache.room(request.key) - self._grown() / cache.block_tokens
        return room >= needed + (self._spare if self.in_service else 0)

    def admit(self, request: Request, now_s: float, share_left: float = 1.0) -> list[Request]:
        """Let a request in, which must fit; return requests put aside.

        Args:
            request: the request.
            now_s: seconds of the plant.
            share_left: of the answer that is still to come; less than 1 for one that was in service
                before the plant began, whose prompt is done.
        """
        self.sync(now_s)
        tokens = request.prompt_tokens + request.given_tokens
        hold = self.cache.take(request.key, tokens, request.prefix_tokens)
        self._orders += 1
        running = _Running(request, hold, self._orders, 0.0)
        prefill_s = self._law.prefill_s(tokens - hold.shared * self.cache.block_tokens)
        if share_left < 1.0:
            request.given_tokens = (1.0 - share_left) * request.output_tokens
            prefill_s = 0.0
        if prefill_s > 0.0:
            if not self._prompts:
                self._prompt_left_s = prefill_s
            self._prompts.append((prefill_s, running))
        else:
            self._decode(running)
        aside = self._fit_cache()
        self._retime()
        return aside

    def happen(self, now_s: float) -> tuple[list[Request], list[Request]]:
        """Let happen what is due; return requests answered, and those put aside."""
        self.sync(now_s)
        answered = []
        if self._prompts:
            _, running = self._prompts.popleft()
            self._prompt_left_s = self._prompts[0][0] if self._prompts else 0.0
            self._decode(running)
        while self._decoding and self._decoding[0][0] <= self._clock + SAME_TOKENS:
            running = heapq.heappop(self._decoding)[2]
            self._forget(running)
            request = running.request
            tokens = request.prompt_tokens + request.output_tokens
            self.cache.keep(running.hold, request.key, tokens)
            answered.append(request)
        aside = self._fit_cache()
        self._retime()
        return answered, aside

    def keep_prefix(self, key: PrefixKey, blocks: int) -> None:
        """Keep a prefix that another engine has, as far as there is room."""
        room = int(self.free_blocks) - self._spare
        self.cache.put(key, min(blocks, self.cache.kept_blocks(key) + max(room, 0)))
        self._retime()

    def set_pace(self, pace: Pace, now_s: float) -> None:
        """Run at another speed and draw from now on."""
        if pace is not self._pace:
            self.sync(now_s)
            self._pace = pace
            self._retime()

    def drop(self, now_s: float) -> list[Request]:
        """Lose everything, cache included; return the requests that were in service."""
        self.sync(now_s)
        running = [r for _, r in self._prompts] + [r for _, _, r in self._decoding]
        self._prompts.clear()
        self._decoding.clear()
        self._first_tokens.clear()
        self._prompt_left_s = self._begins = self._context = 0.0
        self.cache.clear()
        self._retime()
        lost = [r.request for r in sorted(running, key=lambda r: r.order)]
        for request in lost:
            request.given_tokens, request.first_token_s = 0.0, None
        return lost

    def sync(self, now_s: float) -> None:
        """Bring clock and energy to now; nothing may be due before."""
        seconds = now_s - self._t_s
        if seconds > 0.0:
            self.busy_kws += seconds * self.busy_kw
            if self._prompts:
                self._prompt_left_s -= seconds * self._pace.speed[-1]
            else:
                self._clock += seconds * self._per_s
        self._t_s = now_s
        if self._first_tokens:
            self._see_first_tokens()

    def _see_first_tokens(self) -> None:
        """Note when first tokens were given, exactly: the clock ran straight until now."""
        waiting = self._first_tokens
        while waiting and waiting[0][0] <= self._clock + SAME_TOKENS:
            at, running = waiting.popleft()
            since_s = (self._clock - at) / self._per_s if self._per_s > 0.0 else 0.0
            running.request.first_token_s = self._t_s - max(since_s, 0.0)

    def _grown(self) -> float:
        """Return the tokens of the answers given here to the requests in service."""
        return len(self._decoding) * self._clock - self._begins

    def _decode(self, running: _Running) -> None:
        request = running.request
        left = max(request.output_tokens - request.given_tokens, SAME_TOKENS)
        running.begin = self._clock
        self._begins += running.begin
        self._context += request.prompt_tokens + 0.5 * request.output_tokens
        heapq.heappush(self._decoding, (self._clock + left, running.order, running))
        if request.first_token_s is None and request.given_tokens < 1.0:
            first = self._clock + min(1.0 - request.given_tokens, left)
            self._first_tokens.append((first, running))
            if request.given_tokens > 0.0:  # put aside within its first token: others come later
                self._first_tokens = deque(sorted(self._first_tokens, key=lambda e: e[0]))

    def _forget(self, running: _Running) -> None:
        request = running.request
        self._begins -= running.begin
        self._context -= request.prompt_tokens + 0.5 * request.output_tokens
        if not self._decoding:  # begin anew, so that no rounding adds up over a long run
            self._clock = self._begins = self._context = 0.0

    def _fit_cache(self) -> list[Request]:
        """Make growing answers fit: prefixes go first, then the request that came last."""
        aside = []
        while self.free_blocks < 1e-6 and self.in_service:
            if self.cache.drop_one():
                continue
            if len(self._decoding) <= 1:
                break
            last = max(self._decoding, key=lambda entry: entry[1])
            self._decoding.remove(last)
            heapq.heapify(self._decoding)
            running = last[2]
            running.request.given_tokens += self._clock - running.begin
            if running.request.first_token_s is None:
                self._first_tokens = deque(e for e in self._first_tokens if e[1] is not running)
            self._forget(running)
            self.cache.give_back(running.hold)
            self.preempted += 1
            aside.append(running.request)
        return aside

    def _retime(self) -> None:
        """Set speed, draw and the next event anew."""
        pace, count = self._pace, len(self._decoding)
        if self._prompts:
            self.busy_kw, speed = pace.busy_kw[-1], pace.speed[-1]
            self.next_s = self._t_s + self._prompt_left_s / speed if speed > 0.0 else math.inf
        elif count:
            law = self._law
            step_s = law.step_s + self._context * law.context_s_per_token
            self.busy_kw = pace.busy_kw[count]
            self._per_s = pace.speed[count] / step_s
            until_full = self.free_blocks * self.cache.block_tokens / count
            left = min(self._decoding[0][0] - self._clock, max(until_full, SAME_TOKENS))
            self.next_s = self._t_s + left / self._per_s if self._per_s > 0.0 else math.inf
        else:
            self.busy_kw, self._per_s, self.next_s = 0.0, 0.0, math.inf
