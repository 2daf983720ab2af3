"""Explain a plan that follows a target both ways, or that nothing but money decides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from ebplan.plan import Plan, Step
from ebplan.problem import Problem
from ebplan.words import percent_words, time_words

MENTIONED_KW = 1e-3
"""A power below a watt is not mentioned."""
MENTIONED_KWH = 5e-4
"""Nor is energy below half a watt-hour."""


def explain_either_way(problem: Problem, plan: Plan) -> tuple[str, ...]:
    """Return the sentences that stand in for those of an event in one direction."""
    told = _how_it_follows if problem.tracks else _what_prices_do
    return (*told(problem, plan), *_what_is_missed(problem, plan), *what_is_restored(problem, plan))


def what_is_restored(problem: Problem, plan: Plan) -> Iterator[str]:
    """Say what the battery ends with, where that was asked for."""
    battery, soc = problem.battery, plan.steps[-1].soc
    if problem.restore_kwh is None or battery is None or soc is None:
        return
    asked = problem.restore_kwh / battery.energy_kwh
    missing_kwh = problem.restore_kwh - soc * battery.energy_kwh
    if missing_kwh <= MENTIONED_KWH:
        wanted = percent_words(asked, 1)
        yield f"The battery ends at {percent_words(soc, 1)}; {wanted} were to be restored."
        return
    after = [s for s in plan.steps if s.t_s >= problem.event_end_s - 1e-9]
    limits = dict(zip(problem.grid.edges_s[:-1], problem.import_limit_kw, strict=True))
    at_limit = [s for s in after if s.grid_kw >= limits[s.t_s] - MENTIONED_KW]
    why = "charging more would cost more than what is missing"
    if sum(s.duration_s for s in at_limit) > 0.5 * sum(s.duration_s for s in after):
        why = "the draw is at its import or rebound limit for most of the recovery"
    elif after and max(-s.battery_kw for s in after) >= battery.charge_limit_kw - MENTIONED_KW:
        why = f"the converter takes {battery.charge_limit_kw:g} kW at most"
    yield (
        f"The battery ends at {percent_words(soc, 1)}, {missing_kwh:.3f} kWh below the "
        f"{percent_words(asked, 1)} to be restored: {why}."
    )


def _how_it_follows(problem: Problem, plan: Plan) -> Iterator[str]:
    """Say how much is asked either way, who follows, and what changes direction costs."""
    inside = [s for s in plan.steps if problem.event_start_s - 1e-9 <= s.t_s]
    inside = [s for s in inside if s.t_s < problem.event_end_s - 1e-9]
    hours = np.array([s.duration_s for s in inside]) / 3600.0
    target_kw = np.array([s.target_kw for s in inside])
    battery_kw = np.array([s.battery_kw for s in inside])
    for sign, verb, does in ((-1.0, "release", "gives"), (1.0, "absorb", "takes")):
        asked_kw, answer_kw = np.maximum(sign * target_kw, 0.0), np.maximum(-sign * battery_kw, 0.0)
        if asked_kw.max() > MENTIONED_KW:
            yield (
                f"Asked to {verb} up to {asked_kw.max():.2f} kW, {float(asked_kw @ hours):.3f} kWh "
                f"in all; the battery {does} up to {answer_kw.max():.2f} kW, "
                f"{float(answer_kw @ hours):.3f} kWh."
            )
    rests = float(hours[np.abs(battery_kw) <= MENTIONED_KW].sum() / hours.sum())
    compute = float(np.abs([_compute_change_kw(s) for s in inside]) @ hours)
    moved = compute + float(np.abs(battery_kw) @ hours)
    share = compute / moved if moved > MENTIONED_KWH else 0.0
    band = (
        f"within {problem.tolerance_kw:.3g} kW of the target" if problem.tolerance_kw else "at it"
    )
    held = f"The draw is held {band}"
    if plan.shortfall:
        held += ", but for what is missing"
    yield (
        f"{held}; the battery rests for {percent_words(rests)} of the time, and compute "
        f"moves {percent_words(share)} of the energy."
    )


def _seconds(t_s: float) -> str:
    """Return a time to a tenth of a second: steps end where they do, not where one would say."""
    return time_words(round(t_s, 1))


def _compute_change_kw(step: Step) -> float:
    """Return the change of the draw that is not the battery's."""
    return step.grid_kw - step.baseline_kw + step.battery_kw


def _what_prices_do(problem: Problem, plan: Plan) -> Iterator[str]:
    """Say for each stretch of one price what the battery and the fleet do."""
    prices, moves = problem.energy_prices_per_kwh, False
    for price, run in groupby(zip(prices, plan.steps, strict=True), key=lambda pair: pair[0]):
        steps = [step for _, step in run]
        hours = np.array([s.duration_s for s in steps]) / 3600.0
        battery_kwh = float(np.array([s.battery_kw for s in steps]) @ hours)
        compute_kwh = float(np.array([_compute_change_kw(s) for s in steps]) @ hours)
        does = []
        if abs(battery_kwh) > MENTIONED_KWH:
            verb = "gives" if battery_kwh > 0.0 else "takes"
            does.append(f"the battery {verb} {abs(battery_kwh):.3f} kWh")
        if abs(compute_kwh) > MENTIONED_KWH:
            more = "more" if compute_kwh > 0.0 else "less"
            does.append(f"compute draws {abs(compute_kwh):.3f} kWh {more} than the baseline")
        if does:
            moves = True
            from_s = steps[0].t_s - problem.event_start_s
            to_s = steps[-1].t_s + steps[-1].duration_s - problem.event_start_s
            yield (
                f"Between {_seconds(from_s)} and {_seconds(to_s)}, at {price:g} {plan.currency} "
                f"per kWh, {' and '.join(does)}."
            )
    if not moves:
        highest = max(step.grid_kw for step in plan.steps)
        yield f"Nothing pays for a change: the draw stays at {highest:.2f} kW, below its limit."


def _what_is_missed(problem: Problem, plan: Plan) -> Iterator[str]:
    """Name what falls short, and what exceeds a limit."""
    began_s = problem.event_start_s
    for gap in plan.shortfall:
        yield (
            f"From {_seconds(gap.from_s - began_s)} to {_seconds(gap.to_s - began_s)} up to "
            f"{gap.max_kw:.2f} kW ({gap.energy_kwh:.3f} kWh) are missing because {gap.reason}."
        )
    limits = problem.import_limit_kw
    over = [max(s.grid_kw - kw, 0.0) for s, kw in zip(plan.steps, limits, strict=True)]
    if max(over) > MENTIONED_KW:
        first = next(s for s, kw in zip(plan.steps, over, strict=True) if kw > MENTIONED_KW)
        yield (
            f"The draw exceeds its limit by up to {max(over):.2f} kW, from "
            f"{_seconds(first.t_s - began_s)} on: nothing that acts in time lowers it further."
        )
