"""The examples' plans, carried out on both plants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.subjects import example
from ebplan import Planner
from ebplan.twin import FluidPlant, Measurements, RequestPlant, carry_out

EXAMPLES = (
    *("under_frequency", "demand_response", "surplus_absorb", "curtailment_3h"),
    *("mixed_pools", "fcr_tracking", "surplus_queue"),
)
STEP_S = 10.0


class CarriedOut(NamedTuple):
    """A plan at its end, on the fluid plant and on the request-level one."""

    example: str
    pools_kwh: tuple[float, float]
    soc: tuple[float, float]
    served: tuple[float, float]
    in_service: float
    """Requests in service at the end, which a fluid has not."""
    refused: int
    """Commands that the request-level plant could not carry out in full."""


def plans(seed: int) -> list[CarriedOut]:
    """Plan each example, and carry its plan out on both."""
    found = []
    for name in EXAMPLES:
        case = example(name)
        plan = Planner(case.site).plan(case.event, case.state)
        fluid = carry_out(plan, FluidPlant(case.site, case.state), STEP_S)
        single = carry_out(plan, RequestPlant(case.site, case.state, seed=seed), STEP_S)
        ends = (fluid[-1], single[-1])
        found.append(
            CarriedOut(
                example=name,
                pools_kwh=_both(ends, lambda m: sum(m.registers.pools_kwh.values())),
                soc=_both(ends, lambda m: m.soc or 0.0),
                served=_both(ends, lambda m: _sum(m, "served_requests")),
                in_service=_sum(ends[1], "in_flight_requests"),
                refused=sum(len(m.refused) for m in single),
            )
        )
    return found


def _sum(m: Measurements, field: str) -> float:
    return float(sum(sum(getattr(pool, field).values()) for pool in m.pools.values()))


def _both(
    ends: tuple[Measurements, Measurements], of: Callable[[Measurements], float]
) -> tuple[float, float]:
    return of(ends[0]), of(ends[1])
