"""How fast an engine serves: one law for every request, and the sizes that a fleet's runs imply.

A step of an engine decodes one token of each request in service and works on prompts beside them.
As long as the step waits for the memory, prompts cost nothing; a prompt beyond what fits into a
step holds everything up for the rest of its time:

    step     = s + k * context,                 s: ``step_s``, k: ``context_s_per_token``
    prefill  = max(0, prompt / r - s),          r: ``prompt_tokens_per_s``
    in service with c others like it:  tau(c) = output * step + c * prefill

so a request's time in service grows with the requests in flight only where prompts are long. A cap
or a locked clock slows all of it alike.

A fleet model says ``tau(c)`` of each workload, not its tokens. A straight line through it over the
loads that its runs cover has the answer's tokens in its intercept and the prompt's in its slope:
two numbers a workload, none a run. A workload whose ``tau`` does not grow gets the longest prompt
that costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.models.fleet import FleetModel, HardRoof
from ebplan.twin.requests.settings import EngineModel, Sizes

UNKNOWN_STEP_S = 0.025
"""Assumed where no workload's tokens are known; about that of the 70B model on two GPUs."""
_POINTS = 33


@dataclass(frozen=True, slots=True)
class EngineLaw:
    """Speeds of an uncapped engine."""

    step_s: float
    """Time of a step without context in s."""
    prompt_tokens_per_s: float
    """Prompt tokens per second."""
    context_s_per_token: float
    """What a token of context adds to a step in s."""
    slots: int
    """Requests in service at once."""

    def prefill_s(self, tokens: float) -> float:
        """Return how long a prompt holds the others up, in s."""
        return max(0.0, tokens / self.prompt_tokens_per_s - self.step_s)

    def in_service_s(self, sizes: Sizes, in_flight: float) -> float:
        """Return the mean time in service among ``in_flight`` such requests on an engine, in s."""
        context = in_flight * (sizes.prompt_tokens + 0.5 * sizes.output_tokens)
        step_s = self.step_s + context * self.context_s_per_token
        return sizes.output_tokens * step_s + in_flight * self.prefill_s(sizes.prompt_tokens)

    def capacity_req_per_s(self, sizes: Sizes) -> float:
        """Return what a full engine serves of such requests per second."""
        return self.slots / self.in_service_s(sizes, self.slots)


def engine_law(fleet: FleetModel, engine: EngineModel) -> EngineLaw:
    """Return the law of a fleet's engines."""
    return EngineLaw(
        step_s=engine.step_s or _step_s(fleet),
        prompt_tokens_per_s=engine.prompt_tokens_per_s,
        context_s_per_token=engine.context_s_per_token,
        slots=engine.max_in_flight or max(round(fleet.concurrency_limit_per_instance), 1),
    )


def implied_sizes(fleet: FleetModel, workload: str, law: EngineLaw) -> Sizes:
    """Return the tokens that a workload's runs imply under the law.

    Raises:
        InputError: there is no such workload.
    """
    alone_s, growth_s = _line(fleet, workload)
    output = alone_s / law.step_s
    each_s = law.context_s_per_token
    # growth = prompt / r - s + output * (prompt + output / 2) * k, solved for the prompt
    prompt = (growth_s + law.step_s - 0.5 * output**2 * each_s) / (
        1.0 / law.prompt_tokens_per_s + output * each_s
    )
    free = law.prompt_tokens_per_s * law.step_s
    return Sizes(prompt_tokens=max(prompt, 1.0) if growth_s else free, output_tokens=output)


def _step_s(fleet: FleetModel) -> float:
    """Return the step of the workload whose tokens are known, measured ones first."""
    known = sorted(
        (w.tokens_provenance != "measured", name)
        for name, w in fleet.workloads.items()
        if w.tokens_out_per_request is not None
    )
    if not known:
        return UNKNOWN_STEP_S
    name = known[0][1]
    tokens = fleet.workloads[name].tokens_out_per_request
    assert tokens is not None, "only workloads with tokens were kept"
    return _line(fleet, name)[0] / tokens


def _line(fleet: FleetModel, workload: str) -> tuple[float, float]:
    """Return intercept and slope of the time in service against requests in flight, in s.

    Least squares of relative errors over the loads that the runs cover; capacity counts at the
    concurrency limit.
    """
    model = fleet.workload(workload)
    if isinstance(model.roof, HardRoof):
        return model.roof.service_time_s, 0.0
    full = fleet.concurrency_limit_per_instance
    c = np.linspace(full / _POINTS, full, 8 * _POINTS)
    rate = model.roof.req_per_s(c)
    c = c[rate >= model.covered_from_utilisation * model.capacity_req_per_s]
    tau_s = c / model.roof.req_per_s(c)
    columns = np.column_stack([1.0 / tau_s, c / tau_s])
    (alone_s, growth_s), *_ = np.linalg.lstsq(columns, np.ones(len(c)), rcond=None)
    return float(alone_s), max(float(growth_s), 0.0)
