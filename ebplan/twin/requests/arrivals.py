"""When requests of a class come, and how large they are.

Arrivals know nothing of steps: each is drawn when the one before it has come, so a run is the same
however its time is cut.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right

import numpy as np

from ebplan.errors import InputError
from ebplan.twin.requests.engine import Request
from ebplan.twin.requests.settings import ClosedLoop, Poisson, Sizes, Trace

_BLOCK = 1024


class Sampler:
    """Draws the sizes of a class.

    Args:
        request_class: its name.
        sizes: means and spreads.
        longest: most tokens of prompt and answer together; an answer is cut there.
        rng: the chance.
    """

    def __init__(
        self, request_class: str, sizes: Sizes, longest: float, rng: np.random.Generator
    ) -> None:
        self._name, self.sizes, self._longest, self._rng = request_class, sizes, longest, rng
        self._prompts: list[float] = []
        self._outputs: list[float] = []
        self._prefixes: list[int] = []

    def draw(self, now_s: float) -> Request:
        """Return a request that comes now."""
        if not self._prompts:
            self._refill()
        sizes, prompt = self.sizes, self._prompts.pop()
        key, prefix_tokens = None, 0.0
        if sizes.prefixes:
            key = (self._name, self._prefixes.pop())
            prefix_tokens = sizes.prefix_share * prompt
        output = max(min(self._outputs.pop(), self._longest - prompt), 1.0)
        return Request(self._name, prompt, output, now_s, key, prefix_tokens)

    def _refill(self) -> None:
        sizes = self.sizes
        longest_prompt = max(0.9 * self._longest, 1.0)
        prompts = self._lognormal(sizes.prompt_tokens, sizes.prompt_spread)
        self._prompts = np.minimum(prompts, longest_prompt).tolist()
        self._outputs = self._lognormal(sizes.output_tokens, sizes.output_spread).tolist()
        if sizes.prefixes:
            self._prefixes = self._rng.integers(0, sizes.prefixes, _BLOCK).tolist()

    def _lognormal(self, mean: float, spread: float) -> np.ndarray:
        if spread == 0.0:
            return np.full(_BLOCK, mean)
        variance = math.log1p(spread**2)
        return self._rng.lognormal(math.log(mean) - 0.5 * variance, math.sqrt(variance), _BLOCK)


class Arrivals(ABC):
    """Requests of one class that come."""

    next_s: float = math.inf
    """When the next one comes, in seconds of the plant."""

    @abstractmethod
    def take(self) -> Request:
        """Return the request that comes at ``next_s``, and see when the next one does."""

    def set_rate(self, req_per_s: float, now_s: float) -> None:
        """Let this rate come from now on.

        Raises:
            InputError: these arrivals have no rate.
        """
        raise InputError(
            field="load_step.req_per_s",
            value=req_per_s,
            allowed="load steps only for classes whose requests come at random",
            remedy="leave the step out, or let the class come as Poisson arrivals",
        )

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the rate come; arrivals without a rate know no forecast."""
        return

    def done(self, now_s: float, *, served: bool) -> None:
        """Hear that one of these requests was answered, or turned away."""
        return


class PoissonArrivals(Arrivals):
    """At random, at a rate that may change: what is left of the next wait is spent faster."""

    def __init__(
        self, model: Poisson, req_per_s: float, sampler: Sampler, rng: np.random.Generator
    ) -> None:
        self._rng, self._sampler = rng, sampler
        self._rates = list(model.rates)[::-1]
        self._base, self._noise, self._since_s = req_per_s, 1.0, 0.0
        self._waits: list[float] = []
        self._left = self._wait()
        self._see_next()

    def take(self) -> Request:
        """Return the request that comes at ``next_s``."""
        at_s = self.next_s
        self._since_s, self._left = at_s, self._wait()
        self._see_next()
        return self._sampler.draw(at_s)

    def set_rate(self, req_per_s: float, now_s: float) -> None:
        """Let this rate come from now on, in place of what was to come over time."""
        self._rates = []
        self._change(req_per_s, self._noise, now_s)
        self._see_next()

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the rate come."""
        self._change(self._base, factor, now_s)
        self._see_next()

    def _wait(self) -> float:
        if not self._waits:
            self._waits = self._rng.standard_exponential(_BLOCK).tolist()
        return self._waits.pop()

    def _change(self, base: float, noise: float, at_s: float) -> None:
        spent = self._base * self._noise * (at_s - self._since_s)
        self._left = max(self._left - spent, 0.0)
        self._base, self._noise, self._since_s = base, noise, at_s

    def _see_next(self) -> None:
        while True:
            rate = self._base * self._noise
            self.next_s = self._since_s + self._left / rate if rate > 0.0 else math.inf
            if not self._rates or self._rates[-1][0] >= self.next_s:
                return
            at_s, base = self._rates.pop()
            self._change(base, self._noise, max(at_s, self._since_s))


class ClosedLoopArrivals(Arrivals):
    """Users who wait for their answer; ``begin`` says how many already wait."""

    def __init__(self, model: ClosedLoop, sampler: Sampler) -> None:
        self._model, self._sampler = model, sampler
        self._due_s: list[float] = []  # sorted, the next one last

    def take(self) -> Request:
        """Return the request that comes at ``next_s``."""
        at_s = self._due_s.pop()
        self.next_s = self._due_s[-1] if self._due_s else math.inf
        return self._sampler.draw(at_s)

    def done(self, now_s: float, *, served: bool) -> None:
        """Let the user send the next request after a pause."""
        at_s = now_s + (self._model.think_s if served else self._model.retry_s)
        self._due_s.insert(len(self._due_s) - bisect_right(self._due_s[::-1], at_s), at_s)
        self.next_s = self._due_s[-1]


class TraceArrivals(Arrivals):
    """As recorded."""

    def __init__(self, request_class: str, model: Trace, longest: float) -> None:
        self._name, self._requests, self._at, self._longest = (
            request_class,
            model.requests,
            0,
            longest,
        )
        for i, request in enumerate(model.requests):
            if request.prompt_tokens > 0.9 * longest:
                raise InputError(
                    field=f"traffic.{request_class}.requests.{i}.prompt_tokens",
                    value=request.prompt_tokens,
                    allowed=f"<= {0.9 * longest:.0f}: nine tenths of an engine's cache",
                    remedy="leave the request out, or give the engine a larger cache",
                )
        self._see_next()

    def take(self) -> Request:
        """Return the request that comes at ``next_s``; an answer is cut where the cache ends."""
        traced = self._requests[self._at]
        self._at += 1
        self._see_next()
        return Request(
            request_class=self._name,
            prompt_tokens=float(traced.prompt_tokens),
            output_tokens=min(float(traced.output_tokens), self._longest - traced.prompt_tokens),
            came_s=traced.at_s,
            key=None if traced.prefix is None else (self._name, traced.prefix),
            prefix_tokens=float(min(traced.prefix_tokens, traced.prompt_tokens)),
        )

    def _see_next(self) -> None:
        left = self._at < len(self._requests)
        self.next_s = self._requests[self._at].at_s if left else math.inf
