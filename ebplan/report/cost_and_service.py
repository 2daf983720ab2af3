"""What a plan costs and what becomes of the requests, side by side."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.plan import PRIORITY_CAUSES, Plan
from ebplan.report.legible import spaced, titled
from ebplan.words import number_words

MOST_CAUSES = 6


def cost_and_service(plan: Plan) -> RenderableType:
    """Cost by cause and requests by class, side by side."""
    both = Table.grid(padding=(0, 3, 0, 0))
    both.add_row(
        titled("Cost", _cost_table(plan)), titled("Requests over the plan", _service_table(plan))
    )
    return both


def _cost_table(plan: Plan) -> Table:
    """Causes by size with bars of their share; what nobody pays stands below the sum."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    paid = {name: amount for name, amount in plan.cost.items() if name not in PRIORITY_CAUSES}
    whole = sum(abs(amount) for amount in paid.values())
    shown = sorted(paid, key=lambda name: -abs(paid[name]))[:MOST_CAUSES]
    shown = [name for name in shown if abs(paid[name]) > 5e-4 * whole]
    decimals = 0 if whole >= 10_000.0 else 2
    for name in shown:
        bar = _share_bar(abs(paid[name]) / whole)
        style = "green" if paid[name] < 0.0 else "default"
        table.add_row(spaced(name), number_words(paid[name], decimals), Text(bar, style))
    rest = plan.money - sum(paid[name] for name in shown)
    if abs(rest) >= 0.5 * 10.0**-decimals:
        table.add_row("other", number_words(rest, decimals))
    table.add_row(
        Text("in all", "bold"), Text(number_words(plan.money, decimals), "bold"), plan.currency
    )
    for name in PRIORITY_CAUSES:
        if amount := plan.cost.get(name, 0.0):
            table.add_row(name, number_words(amount, decimals), "priority only", style="dim")
    if plan.money != plan.objective:
        table.add_row("objective", number_words(plan.objective, decimals), style="dim")
    return table


def _share_bar(share: float, cells: int = 10) -> str:
    """Return a bar of half cells."""
    halves = round(2 * cells * share)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def _service_table(plan: Plan) -> Table:
    """What became of the requests, by pool and class; columns of zeros are left out."""
    services = [one for classes in plan.service.values() for one in classes.values()]
    columns = {"waiting": "backlog_at_end", "ahead": "pulled", "lower precision": "lowered"}
    shown = {h: f for h, f in columns.items() if any(getattr(s, f) >= 0.5 for s in services)}
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    headers = ("served", "rejected", "in %", *shown)
    for _ in headers:
        table.add_column(justify="right")
    table.add_row("", *headers, style="dim")
    for pool, classes in plan.service.items():
        prefix = f"{spaced(pool)}: " if len(plan.service) > 1 else ""
        for name, one in classes.items():
            share = one.rejected / one.offered if one.offered else 0.0
            numbers = f"{one.served:,.0f}", f"{one.rejected:,.0f}", f"{100.0 * share:.1f}"
            further = (f"{getattr(one, field):,.0f}" for field in shown.values())
            table.add_row(prefix + spaced(name), *numbers, *further)
    return table
