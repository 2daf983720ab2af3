"""What each mechanism is worth, as a small table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.words import number_words
from ebplan.worth import Worth


def print_worth(plan: Plan, problem: Problem, found: Sequence[Worth], console: Console) -> None:
    """Print one row for each mechanism: the cost without it, and what that is more."""
    head = (
        f"{plan.event_id}: {number_words(plan.money, 2)} {plan.currency} with every mechanism"
        f"{_missed(plan.shortfall_kwh)}"
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("without")
    for header in (f"cost in {plan.currency}", "more", "shortfall in kWh", "more"):
        table.add_column(header, justify="right")
    for one in found:
        table.add_row(
            Text(mechanism_words(one.mechanism, absorbs=problem.direction > 0)),
            number_words(one.plan.money, 2),
            _dash(one.more_money, 2),
            _dash(one.plan.shortfall_kwh, 3),
            _dash(one.more_shortfall_kwh, 3),
        )
    console.print(Text(head), table, sep="\n", highlight=False)


def _missed(kwh: float) -> str:
    return f", {number_words(kwh, 3)} kWh short" if round(kwh, 3) else ""


def _dash(value: float, decimals: int) -> str:
    """Return a number, or a dash where it would read as zero."""
    return number_words(value, decimals) if round(value, decimals) else "-"
