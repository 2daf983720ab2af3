"""A plan on the terminal: what happens when, who carries it, what it costs, is it proven.

Everything also reads without colour, at 80 columns, and in a file that takes ASCII only.
"""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.answer_words import answer_words
from ebplan.report.cost_and_service import cost_and_service
from ebplan.report.fleet_words import fleet_actions
from ebplan.report.headline import headline
from ebplan.report.latency_words import latency_rows
from ebplan.report.legible import Legible, given, spaced, titled
from ebplan.report.margin_words import margin_words
from ebplan.report.palette import COLOURS
from ebplan.report.phase_table import phase_table, span_words
from ebplan.report.timeline import timeline
from ebplan.words import money_words, power_words

MOST_ACTIONS = 7
MOST_VIOLATIONS = 4


def print_plan(plan: Plan, problem: Problem, console: Console) -> None:
    """Print a plan for ``problem`` in about 60 lines, within the console's width and encoding."""
    width = min(console.width, 110)
    parts: list[RenderableType | None] = [
        headline(plan, problem),
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
