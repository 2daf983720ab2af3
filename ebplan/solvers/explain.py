"""Explain a plan in sentences with numbers: who carries it, what binds, what more would cost."""

from __future__ import annotations

import numpy as np

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.highs import row_duals
from ebplan.solvers.program import FloatArray

COSTS_OF = {
    "battery": ("wear", "stored_energy", "handoff"),
    "consolidation": ("draining", "waking", "readiness", "congestion"),
    "power_cap": ("capping",),
    "admission": ("rejected",),
}
"""Which costs a mechanism causes; congestion is caused by consolidation and caps together and
counted with the first."""


def explain(
    problem: Problem, plan: Plan, formulation: Formulation, x: FloatArray
) -> tuple[str, ...]:
    """Return the sentences of a plan found by the solver."""
    sentences = [*_who_carries(plan), *_why_this_mix(plan), *_what_falls_short(plan)]
    price = next_kw_price(problem, formulation, x)
    sentences.append(
        f"One more kW over the whole event would cost {price:.2f} {plan.currency} with the same "
        "instances running."
    )
    sentences.extend(_what_binds(problem, formulation, x))
    return (*sentences, *problem.caveats)


def next_kw_price(problem: Problem, formulation: Formulation, x: FloatArray) -> float:
    """Return what one more kW of target costs, integers fixed, in money for the whole event.

    The target lowers the right-hand side of ``release_target`` and ``converter_limit`` by one, and
    widens ``handoff`` by the share that the battery may keep.
    """
    program = formulation.program
    duals = row_duals(program, x)
    price = 0.0
    for group in program.rows:
        rows = slice(group.start, group.start + group.size)
        if group.name.startswith(("release_target", "converter_limit")):
            price -= float(duals[rows].sum())
        elif group.name == "handoff":
            share = problem.handoff_kw / -min(problem.target_kw)
            price += share * float(duals[rows].sum())
    return price


def energy_by_mechanism_kwh(plan: Plan) -> dict[str, float]:
    """Return the energy each mechanism kept from the grid during the event."""
    total: dict[str, float] = {}
    for step in plan.steps:
        if step.target_kw < 0.0:
            for name, kw in step.mechanisms.items():
                total[name] = total.get(name, 0.0) - kw * step.duration_s / 3600.0
    return total


def _who_carries(plan: Plan) -> list[str]:
    asked = [step for step in plan.steps if step.target_kw < 0.0]
    target = -min(step.target_kw for step in asked)
    energy = energy_by_mechanism_kwh(plan)
    whole = sum(energy.values())
    sentences = [
        f"The battery carries {asked[0].battery_kw:.2f} kW of {target:.2f} kW at "
        f"{asked[0].t_s:g} s."
    ]
    compute = {name: kwh for name, kwh in energy.items() if name != "battery" and kwh > 5e-4}
    if compute and whole > 0.0:
        shares = ", ".join(
            f"{name.replace('_', ' ')} {kwh / whole:.0%}"
            for name, kwh in sorted(compute.items(), key=lambda item: -item[1])
        )
        done = plan.handoff.complete_s
        when = "never fully" if done is None else f"from {done:g} s on"
        sentences.append(
            f"Of {whole:.3f} kWh kept from the grid, compute carries "
            f"{sum(compute.values()) / whole:.0%} ({shares}); the battery is handed over {when}."
        )
    return sentences


def _why_this_mix(plan: Plan) -> list[str]:
    """Order the mechanisms used by what a kWh from them costs."""
    prices = {}
    for name, kwh in energy_by_mechanism_kwh(plan).items():
        if kwh > 5e-4 and name in COSTS_OF:
            prices[name] = sum(plan.cost.get(cause, 0.0) for cause in COSTS_OF[name]) / kwh
    if len(prices) < 2:
        return []
    listed = ", ".join(
        f"{name.replace('_', ' ')} {price:.0f}"
        for name, price in sorted(prices.items(), key=lambda item: item[1])
    )
    return [f"Average cost in {plan.currency} per kWh kept from the grid: {listed}."]


def _what_falls_short(plan: Plan) -> list[str]:
    return [
        f"From {gap.from_s:g} s to {gap.to_s:g} s up to {gap.max_kw:.2f} kW "
        f"({gap.energy_kwh:.3f} kWh) are missing because {gap.reason}."
        for gap in plan.shortfall
    ]


_LIMITS = {
    "cap_floor": "the lowest cap is reached",
    "cap_frontier": "capped instances run at the highest utilisation planned for",
    "reserve": "the battery is at its reserve",
    "import_limit": "the draw is at its import or rebound limit",
    "handoff": "the battery carries its hand-off share",
    "min_utilisation": "instances run at the lowest utilisation that the models cover",
}


def _what_binds(problem: Problem, formulation: Formulation, x: FloatArray) -> list[str]:
    """Say which limits are reached, and from when to when."""
    program = formulation.program
    activity = program.activity(x)
    spans: dict[str, tuple[float, float]] = {}
    for group in program.rows:
        limit = next((key for key in _LIMITS if key in group.name.split(".")), None)
        if limit is None:
            continue
        rows = slice(group.start, group.start + group.size)
        slack = np.minimum(
            program.row_upper[rows] - activity[rows], activity[rows] - program.row_lower[rows]
        )
        reached = _times(problem, formulation, group.name, group.size)[slack < 1e-6]
        if not _is_active(limit, formulation, x):
            continue
        if len(reached):
            first, last = spans.get(limit, (np.inf, -np.inf))
            spans[limit] = (min(first, reached.min()), max(last, reached.max()))
    return [
        f"At its limit between {first:g} s and {last:g} s: {_LIMITS[limit]}."
        for limit, (first, last) in spans.items()
    ]


def _is_active(limit: str, formulation: Formulation, x: FloatArray) -> bool:
    """Rows of a pool hold with equality where nothing is active; that binds nobody."""
    return limit in ("reserve", "import_limit", "handoff") or any(
        x[counts.active].max() > 0.5 for counts in formulation.counts
    )


def _times(problem: Problem, formulation: Formulation, name: str, size: int) -> FloatArray:
    """Return the time of each row of a group."""
    grid = problem.grid
    if size == grid.n_epochs:
        return grid.epoch_starts_s
    if name == "handoff":
        return grid.starts_s[problem.in_event][-size:]
    return grid.starts_s[:size]
