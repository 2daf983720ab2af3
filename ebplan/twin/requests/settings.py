"""How requests come and what an engine is: every number of the request-level plant.

What is not fitted to a fleet's runs is assumed, and says so.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive


class EngineModel(Part):
    """A continuous-batching engine: one tensor-parallel instance.

    The defaults are for Llama-3.1-70B in BF16 on two H200 NVL.
    """

    step_s: Positive | None = None
    """Time of a decoding step without context, in s. None: the fleet model's time in service of the
    workload whose output tokens are known, over those tokens; 0.025 s where none are (assumed)."""
    prompt_tokens_per_s: Positive = 6000.0
    """Prompt tokens worked on per second. Assumed: 0.14 TFLOP a token, about half of what two GPUs
    can do."""
    max_in_flight: int | None = Field(default=None, ge=1)
    """Requests in service at once; None: the fleet model's concurrency limit, rounded."""
    kv_tokens: int = Field(default=344_000, ge=1)
    """Tokens that the KV cache holds. Assumed: nine tenths of 282 GB less 141 GB of weights, at
    0.328 MB a token (80 layers, 8 KV heads of 128, keys and values, 2 bytes)."""
    block_tokens: int = Field(default=16, ge=1)
    """Tokens of a block; vLLM's default."""
    context_s_per_token: NonNegative = 3.4e-8
    """What each token of context adds to a step, in s. Assumed: 0.328 MB read at 9.6 TB/s."""
    spare_blocks: Fraction = 0.01
    """Share of the blocks that stays free when a request is let in beside others; vLLM's watermark.
    """
    prefix_caching: bool = True
    """Whether blocks of an answered request are kept for the next one with the same prefix."""
    prefix_detour: NonNegative = 4.0
    """How many more requests in service an engine may have and still be given a request because it
    holds its prefix; assumed."""
    power_tick_s: Positive = 0.1
    """Power follows the mean load over this long; commands act at once."""


class Sizes(Part):
    """Tokens of the requests of a class."""

    prompt_tokens: Positive
    """Mean tokens of a prompt."""
    output_tokens: Positive
    """Mean tokens of an answer."""
    prompt_spread: NonNegative = 0.0
    """Standard deviation of the prompt's tokens as a share of the mean; log-normal."""
    output_spread: NonNegative = 0.5
    """The same of the answer's; assumed."""
    prefixes: int = Field(default=0, ge=0)
    """How many prefixes there are, each as likely; 0: no two requests share one."""
    prefix_share: Fraction = 0.0
    """Share of the prompt that is its prefix."""


class Poisson(Part):
    """Requests come at random, at the state's rate, or at rates over time."""

    kind: Literal["poisson"] = "poisson"
    sizes: Sizes | None = None
    """Tokens; None: those that the fleet model's workload implies."""
    rates: tuple[tuple[NonNegative, NonNegative], ...] = ()
    """Seconds of the plant, and requests per second from then on; in place of the state's rate."""

    def at_first(self, req_per_s: float) -> float:
        """Return the rate at second 0, where the state has ``req_per_s``."""
        return self.rates[0][1] if self.rates and self.rates[0][0] == 0.0 else req_per_s

    @model_validator(mode="after")
    def _times_rise(self) -> Poisson:
        times = [at_s for at_s, _ in self.rates]
        if any(b <= a for a, b in pairwise(times)):
            raise FieldFault(
                field="rates", value=times[:4], allowed="times that rise", remedy="sort them"
            )
        return self


class ClosedLoop(Part):
    """Users who each send the next request when the last one is answered."""

    kind: Literal["closed_loop"] = "closed_loop"
    users: int = Field(ge=1)
    """How many."""
    think_s: NonNegative = 0.0
    """Pause before the next request."""
    retry_s: Positive = 1.0
    """Pause after one that was turned away; assumed."""
    sizes: Sizes | None = None
    """Tokens; None: those that the fleet model's workload implies."""


class TracedRequest(Part):
    """One request of a trace."""

    at_s: NonNegative
    """Second of the plant at which it comes."""
    prompt_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)
    prefix: int | None = None
    """Which prefix or session it belongs to; None: none."""
    prefix_tokens: int = Field(default=0, ge=0)
    """Tokens of the prompt that are that prefix."""


class Trace(Part):
    """Requests that were recorded, in order of time."""

    kind: Literal["trace"] = "trace"
    requests: tuple[TracedRequest, ...]
    """The requests."""

    @model_validator(mode="after")
    def _in_order(self) -> Trace:
        for before, after in pairwise(self.requests):
            if after.at_s < before.at_s:
                raise FieldFault(
                    field="requests",
                    value=after.at_s,
                    allowed=f">= {before.at_s}, when the request before it comes",
                    remedy="sort the requests by time",
                )
        return self


Traffic = Annotated[Poisson | ClosedLoop | Trace, Field(discriminator="kind")]
