"""A short plan that uses everything at once: battery, caps, a drained and a sleeping engine."""

from __future__ import annotations

from pathlib import Path

from ebplan import Plan, Planner, load_case
from ebplan.plan import PoolEpoch, Step

LASTS_S = 8.0
RELEASE_KW = 2.0


def everything_at_once(example: Path) -> Plan:
    """Return a plan of a few seconds, made from the plan of an example.

    From 0.3 s on the draw is held 2 kW below the beginning's; at 0.5 s one engine is drained and
    the others are capped, at 1 s the drained one is told to sleep; at 7 s it is woken.
    """
    case = load_case(example)
    plan = Planner(case.site).plan(case.event, case.state)
    first = plan.steps[0]
    asked_kw = first.grid_kw - RELEASE_KW
    steps = tuple(
        Step(
            t_s=t_s,
            duration_s=until_s - t_s,
            target_kw=target_kw,
            baseline_kw=first.baseline_kw,
            grid_kw=first.grid_kw + target_kw,
            compute_kw=first.compute_kw,
            battery_kw=-target_kw,
            soc=first.soc,
            mechanisms={},
            shortfall_kw=0.0,
        )
        for t_s, until_s, target_kw in (
            (0.0, 0.3, 0.0),
            (0.3, LASTS_S - 1.0, asked_kw - first.grid_kw),
            (LASTS_S - 1.0, LASTS_S, 0.0),
        )
    )
    epoch = plan.pools["llama70b"][0].model_copy(update={"cap_w_per_gpu": None, "active": 4})

    def at(t_s: float, **changes: object) -> PoolEpoch:
        return epoch.model_copy(update={"t_s": t_s, **changes})

    epochs = (
        at(0.0),
        at(0.5, active=3, drained=1, cap_w_per_gpu=450.0),
        at(1.0, active=3, drained=0, in_transit=1, put_to_sleep=1, cap_w_per_gpu=450.0),
        at(2.0, active=3, asleep=1, cap_w_per_gpu=420.0),
        at(6.5, active=3, in_transit=1, woken=1, cap_w_per_gpu=450.0),
        at(7.5, active=4),
    )
    return plan.model_copy(update={"steps": steps, "pools": {"llama70b": epochs}})
