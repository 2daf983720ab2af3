"""A plan on the terminal: what happens when, who carries it, what it costs, is it proven.

Everything also reads without colour, at 80 columns, and in a file that takes ASCII only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.answer_words import answer_words
from ebplan.report.cost_and_service import cost_and_service
from ebplan.report.direction import direction_of
from ebplan.report.fleet_words import fleet_actions
from ebplan.report.handoff_words import handoff_words
from ebplan.report.latency_words import latency_rows
from ebplan.report.legible import Legible, given, spaced, titled
from ebplan.report.margin_words import margin_words
from ebplan.report.palette import COLOURS
from ebplan.report.phase_table import phase_table, span_words
from ebplan.report.phases import is_short, message, peak_kw
from ebplan.report.timeline import timeline
from ebplan.report.words import money_words, power_words, time_words

STATUS_WORDS = {
    "optimal": "optimal",
    "gap": "best found in time",
    "rounded": "rounded",
    "merit_order": "merit order",
    "carried": "carried on",
    "armed": "armed ahead of time",
}
MOST_ACTIONS = 7
MOST_VIOLATIONS = 4


def print_plan(plan: Plan, problem: Problem, console: Console) -> None:
    """Print a plan for ``problem`` in about 60 lines, within the console's width and encoding."""
    width = min(console.width, 110)
    parts: list[RenderableType | None] = [
        _headline(plan, problem),
        timeline(plan, problem, width),
        phase_table(plan, problem, width),
        _fleet_part(plan, problem),
        cost_and_service(plan),
        _latency_part(plan, problem),
        _shortfall_part(plan, problem),
        _margin_part(plan),
        _explanation(plan),
        _proof(plan, problem),
    ]
    lines = [line for part in parts if part is not None for line in (part, "")]
    # no markup: what a document says in brackets is text
    console.print(Legible(Group(*lines[:-1]), width), highlight=False, markup=False)


def _headline(plan: Plan, problem: Problem) -> Text:
    """Event, what is asked, how good the plan is; then what it does, in one sentence."""
    length = time_words(problem.event_end_s - problem.event_start_s)
    asked = f": {direction_of(problem).verb} {power_words(peak_kw(plan))} for {length}"
    if problem.asks != "one_way":
        asked = f": {'follow the frequency' if problem.tracks else _priced(problem)} for {length}"
    line = Text.assemble((given(plan.event_id), "bold"), asked)
    if problem.event_start_s > 0.0:
        line.append(f" in {time_words(problem.event_start_s)}")
    if plan.without:
        absorbs = problem.direction > 0
        listed = " and ".join(mechanism_words(name, absorbs=absorbs) for name in plan.without)
        line.append(f", without {listed}", "bold")
    good = plan.status in ("optimal", "armed") and not is_short(plan)
    line.append(f"  {STATUS_WORDS[plan.status]}", "bold green" if good else "bold yellow")
    no_bound = ", without a bound, " if plan.status in ("merit_order", "carried") else ", "
    line.append(no_bound if plan.gap is None else f", gap {100.0 * plan.gap:.2g} %, ")
    verdict = ("checked", "bold green") if plan.check.ok else ("CHECK FAILED", "bold red")
    line.append(*verdict)
    line.append(f"\n{message(plan, problem)}.\n{handoff_words(plan, problem)}", style="default")
    return line


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


def _fleet_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """What the fleet is told, where something changes."""
    found = fleet_actions(plan, problem)
    if not found:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for action in found[:MOST_ACTIONS]:
        when = span_words(action.from_s, action.to_s, problem)
        pool = f"{given(action.pool)}: " if len(problem.pools) > 1 else ""
        table.add_row(when, Text(pool + given("; ".join(action.words))))
    if len(found) > MOST_ACTIONS:
        table.add_row("", Text(f"and {len(found) - MOST_ACTIONS} more, in the plan file", "dim"))
    return titled("Fleet", table)


def _latency_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """Longest times of the plan against their limits, where there are any."""
    rows = list(latency_rows(plan, problem))
    if not rows:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column()
    table.add_row("", "first token, 95 % within", "next token", "late requests", style="dim")
    for pool, name, first, following, late in rows:
        prefix = f"{spaced(pool)}: " if len(plan.service) > 1 else ""
        table.add_row(prefix + spaced(name), first, following, late)
    return Group(Text("Longest latency", style="bold"), table)


def _shortfall_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """Where the target is not met, by how much, and why."""
    if not plan.shortfall:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for one in plan.shortfall:
        span = span_words(one.from_s, one.to_s, problem)
        amount = f"up to {power_words(one.max_kw)}, {one.energy_kwh:.3g} kWh"
        table.add_row(span, f"{amount}: {given(one.reason)}")
    return Group(Text("Shortfall", style=f"bold {COLOURS['shortfall']}"), table)


def _margin_part(plan: Plan) -> RenderableType | None:
    """What is held back against errors, where that is asked for."""
    if plan.margin is None:
        return None
    return Text.assemble(("Margin  ", "bold"), margin_words(plan.margin))


def _explanation(plan: Plan) -> RenderableType | None:
    """The planner's own sentences."""
    if not plan.explanation:
        return None
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in plan.explanation:
        table.add_row("·", given(sentence))
    return titled("Why", table)


def _proof(plan: Plan, problem: Problem) -> Text:
    """Bound, gap and the checker's verdict."""
    text = Text.assemble(("Proof  ", "bold"))
    if plan.bound is None:
        text.append("no bound: this rung of the ladder proves nothing about cost")
    else:
        amount = money_words(plan.bound, plan.currency)
        if plan.money == plan.objective:
            text.append(f"no plan costs less than {amount}")
        else:
            text.append(f"no plan has an objective, priorities included, below {amount}")
    if plan.gap is not None:
        text.append(f", gap {100.0 * plan.gap:.2g} %")
    if plan.answer is not None:
        text.append("\nAnswer ", "bold")
        text.append(given(answer_words(plan.answer)))
    text.append("\nCheck  ", "bold")
    if plan.check.ok:
        text.append("ok", "bold green")
        text.append(": replayed by independent code, every law holds")
        return text
    violations = plan.check.violations
    text.append(f"{len(violations)} law(s) broken", "bold red")
    for one in violations[:MOST_VIOLATIONS]:
        where = "" if one.at_s is None else f" at {span_words(one.at_s, one.at_s, problem)}"
        amounts = f"{one.amount:.3g} (allowed {one.allowed:.3g})"
        text.append(f"\n  {given(one.law)}{where}: {amounts}, {given(one.message)}")
    if len(violations) > MOST_VIOLATIONS:
        text.append(f"\n  and {len(violations) - MOST_VIOLATIONS} more, in the plan file")
    return text
