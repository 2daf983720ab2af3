"""The handmade plan with margins, worked out from the draw of the handmade fleet."""

from __future__ import annotations

from collections.abc import Sequence

from handmade import make_plan, proven
from handmade_physics import pool_power_kw, samples
from handmade_problem import STORY, Decision, make_battery, make_problem

from ebplan.plan import MarginResult, Plan
from ebplan.problem import Margins, Problem

MARGINS = Margins(
    confidence=0.9,
    z=1.5,
    load_kw=0.08,
    response_share=0.1,
    power_per_kwh=2400.0,
    energy_per_kwh=2200.0,
)
AT_MOST_KW = 0.65
"""A converter that leaves a part of the margin unheld, and holds another."""


def make_margin_case(story: Sequence[Decision] = STORY) -> tuple[Problem, Plan]:
    """Return a release whose margins are held in part, in power and in energy, and its plan."""
    battery = make_battery(reserve_kwh=0.2465, discharge_limit_kw=AT_MOST_KW)
    problem = make_problem(battery=battery, margins=MARGINS)
    plan = make_plan(problem, {"chat": story})
    start_kw = problem.baseline_kw[0] - problem.other_kw[0]
    pool = problem.pools[0]

    def draw_kw(t_s: float) -> float:
        return problem.other_kw[0] + pool_power_kw(pool, story, t_s, absorbs=False)

    held, needed, behind_kwh, lacking = [], [], 0.0, 0.0
    for step in plan.steps:
        begin_s, end_s = step.t_s, step.t_s + step.duration_s
        if not 5.1 - 1e-9 <= begin_s < 185.0:
            held.append(0.0)
            needed.append(0.0)
            continue
        moved_kw = max(start_kw - step.compute_kw, 0.0)
        need_kw = 1.5 * (0.08 + 0.1 * moved_kw)
        aim_kw = step.baseline_kw - 0.6 + step.shortfall_kw
        worst_kw = max(draw_kw(begin_s), draw_kw(end_s), *samples(draw_kw, begin_s, end_s))
        has_kw = min(max(AT_MOST_KW + aim_kw - worst_kw, 0.0), need_kw)
        held.append(has_kw)
        needed.append(need_kw)
        hours = step.duration_s / 3600.0
        behind_kwh += max(has_kw - (aim_kw - step.grid_kw), 0.0) * hours
        lacking += 2400.0 * (need_kw - has_kw) * hours
    # a kWh more at 0.65 kW of a converter rated for 2 kW: 1 + 0.02 + 2 x 0.02 x 0.65 / 2, at 97 %
    behind_kwh *= (1.02 + 0.013) / 0.97
    last = next(s for s in plan.steps if abs(s.t_s + s.duration_s - 185.0) < 1e-9)
    assert last.soc is not None
    above_kwh = max(last.soc * battery.energy_kwh - 0.2465, 0.0)
    missing_kwh = max(behind_kwh - above_kwh, 0.0)
    margin = MarginResult(
        confidence=0.9,
        power_kw=max(needed),
        held_kw=tuple(held),
        energy_kwh=behind_kwh,
        missing_kw=max(n - h for n, h in zip(needed, held, strict=True)),
        missing_kwh=missing_kwh,
    )
    cost = plan.cost | {"margin": lacking + 2200.0 * missing_kwh}
    changes = {"margin": margin, "cost": cost, "objective": sum(cost.values())}
    return problem, plan.model_copy(update=changes | proven(cost, gap=5e-4))
