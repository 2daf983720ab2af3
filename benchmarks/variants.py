"""The same case many times over, each a little different: what a control service asks in turn."""

from __future__ import annotations

import numpy as np

from benchmarks.scaling import scaled_event
from ebplan.case import Case

LOADS = (0.85, 1.08)
"""Each load against that of the case."""
SOCS = (0.35, 0.85)
DEPTHS = (0.7, 1.15)
"""Depth of the target against that of the case."""


def variants(case: Case, count: int, *, seed: int = 0) -> list[Case]:
    """Return cases with other loads, states of charge and depths, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [_variant(case, rng) for _ in range(count)]


def _variant(case: Case, rng: np.random.Generator) -> Case:
    pools = {
        name: pool.model_copy(
            update={
                "load_req_per_s": {
                    key: rate * float(rng.uniform(*LOADS))
                    for key, rate in pool.load_req_per_s.items()
                }
            }
        )
        for name, pool in case.state.pools.items()
    }
    depth = float(rng.uniform(*DEPTHS))
    target = scaled_event(case.event, depth, None).target
    state = case.state.model_copy(update={"pools": pools, "soc": float(rng.uniform(*SOCS))})
    event = case.event.model_copy(update={"target": target})
    return case.model_copy(update={"event": event, "state": state})
