"""The first lines of a plan: what was asked, how much of it is met, how good the plan is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.direction import direction_of
from ebplan.report.handoff_words import handoff_words
from ebplan.report.legible import given
from ebplan.report.phases import is_short, message, peak_kw
from ebplan.words import power_words, time_words

STATUS_WORDS = {
    "optimal": "optimal",
    "gap": "best found in time",
    "rounded": "rounded",
    "merit_order": "merit order",
    "carried": "carried on",
    "armed": "armed ahead of time",
}
MANY = 0.05
"""Share of requests turned away from which the headline says so."""


def headline(plan: Plan, problem: Problem) -> Text:
    """Return what is asked, how much of it is met, how good the plan is; then what it does.

    Where the target is missed or many requests are turned away, that stands before the proof: the
    cheapest plan for what cannot be done is optimal too, and nobody should read that first.
    """
    line = Text.assemble((given(plan.event_id), "bold"), _asked(plan, problem))
    if problem.event_start_s > 0.0:
        line.append(f" in {time_words(problem.event_start_s)}")
    if plan.without:
        absorbs = problem.direction > 0
        listed = " and ".join(mechanism_words(name, absorbs=absorbs) for name in plan.without)
        line.append(f", without {listed}", "bold")
    price = "; ".join([*_missing(plan), *_turned_away(plan)])
    if is_short(plan):
        line.append(f", {_met_percent(plan)} % of it met", "bold yellow")
    if price:
        line.append(f"\n{price[0].upper()}{price[1:]}; this plan: ", "yellow")
    good = plan.status in ("optimal", "armed") and not price
    words = f"{'' if price else '  '}{STATUS_WORDS[plan.status]}"
    line.append(words, "bold green" if good else "bold yellow")
    no_bound = ", without a bound, " if plan.status in ("merit_order", "carried") else ", "
    line.append(no_bound if plan.gap is None else f", gap {100.0 * plan.gap:.2g} %, ")
    verdict = ("checked", "bold green") if plan.check.ok else ("CHECK FAILED", "bold red")
    line.append(*verdict)
    line.append(f"\n{message(plan, problem)}.\n{handoff_words(plan, problem)}", style="default")
    return line


def _asked(plan: Plan, problem: Problem) -> str:
    length = time_words(problem.event_end_s - problem.event_start_s)
    if problem.asks == "one_way":
        return f": {direction_of(problem).verb} {power_words(peak_kw(plan))} for {length}"
    return f": {'follow the frequency' if problem.tracks else _priced(problem)} for {length}"


def _asked_kwh(plan: Plan) -> float:
    return sum(abs(step.target_kw) * step.duration_s for step in plan.steps) / 3600.0


def _missing_kwh(plan: Plan) -> float:
    return sum(step.shortfall_kw * step.duration_s for step in plan.steps) / 3600.0


def _met_percent(plan: Plan) -> str:
    """Return how much of the energy asked for comes; never 100, for some of it does not."""
    asked = _asked_kwh(plan)
    percent = 100.0 * (1.0 - _missing_kwh(plan) / asked) if asked > 0.0 else 0.0
    return f"{percent:.0f}" if percent < 99.5 else f"{min(percent, 99.99):.2f}"


def _missing(plan: Plan) -> list[str]:
    if not is_short(plan):
        return []
    return [f"{_missing_kwh(plan):.3g} of {_asked_kwh(plan):.3g} kWh are missing"]


def _turned_away(plan: Plan) -> list[str]:
    classes = [served for pool in plan.service.values() for served in pool.values()]
    offered = sum(one.offered for one in classes)
    share = sum(one.rejected for one in classes) / offered if offered > 0.0 else 0.0
    return [f"{100.0 * share:.0f} % of the requests are turned away"] if share >= MANY else []


def _priced(problem: Problem) -> str:
    """Say what stands in the place of a target: the prices of the window, or its limit."""
    prices, inside = problem.energy_prices_per_kwh, _inside(problem)
    low, high = float(prices[inside].min()), float(prices[inside].max())
    if isinstance(problem.prices.energy_per_kwh, tuple):
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"energy at {span} {problem.currency}/kWh"
    return f"draw at most {power_words(float(np.array(problem.import_limit_kw)[inside].min()))}"


def _inside(problem: Problem) -> NDArray[np.bool_]:
    """Return the steps inside the event, shape (T,)."""
    starts = problem.grid.starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)
