"""Who of a portfolio carries what, in the terminal; 80 columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ebplan.portfolio.results import plain
from ebplan.portfolio.run import Outcome

SHOWN = 20
"""Groups printed of each award: those that carry most of it."""
LEAST_KW = 1e-3
"""Less than this is missing by rounding of a solver."""


def print_portfolio(outcome: Outcome, console: Console | None = None) -> None:
    """Print what the sharing costs, who carries what of each award, and what limits are worth."""
    console = console or Console()
    found = plain(outcome)
    money, period = found["currency"], outcome.built.spec.period
    days = "1 day" if period.days == 1 else f"{period.days} days"
    console.print(
        f"{found['portfolio']}: {days} from {period.start}, steps of {period.step_s // 60} min",
        highlight=False,
    )
    rounds = "1 round" if found["rounds"] == 1 else f"{found['rounds']} rounds"
    console.print(
        f"objective {found['objective']:,.0f} {money}, bound {found['bound']:,.0f}, "
        f"gap {max(found['gap'], 0.0):.1g}, {rounds}",
        highlight=False,
    )
    for award in found["awards"]:
        _print_award(award, outcome, console)
    if found["regions"]:
        _print_regions(found["regions"], money, console)
    _print_missing(outcome, console)


def _print_award(award: dict[str, Any], outcome: Outcome, console: Console) -> None:
    money = outcome.built.spec.currency
    how = "given" if award["given"] else "chosen"
    console.print(
        f"\n{award['service']}: {award['mean_kw']:,.0f} kW on average, {how}; "
        f"earns {award['earned']:,.0f} {money}",
        highlight=False,
    )
    table = _table("group", "region", "battery kW", "compute kW", "share")
    carried = sorted(award["carried"], key=lambda one: -one["share"])
    for one in carried[:SHOWN]:
        table.add_row(
            one["group"],
            ", ".join(r.name for r in outcome.regions if one["group"] in r.groups),
            f"{one['battery_kw_mean']:,.1f}",
            f"{one['compute_kw_mean']:,.1f}",
            f"{one['share']:.1%}",
        )
    console.print(table)
    if len(carried) > SHOWN:
        rest = sum(one["share"] for one in carried[SHOWN:])
        console.print(f"and {len(carried) - SHOWN} others that carry {rest:.1%}", highlight=False)
    console.print(
        f"one kW more would cost {award['price_per_kw_mean']:,.4g} {money} a step on average, "
        f"{award['price_per_kw_highest']:,.4g} at most",
        highlight=False,
    )


def _print_regions(regions: list[dict[str, Any]], money: str, console: Console) -> None:
    console.print("\nLimits that sites share: what one kW more would save over the period")
    table = _table("region", "limit", "kW", "highest", "steps at it", f"{money}/kW")
    for one in regions:
        table.add_row(
            one["region"],
            "import",
            f"{one['import_limit_kw']:,.0f}",
            f"{one['highest_draw_kw']:,.0f}",
            f"{one['steps_at_import_limit']}",
            f"{one['import_price_per_kw']:,.4g}",
        )
        if one["highest_feed_in_kw"] <= 0.0 and not one["steps_at_export_limit"]:
            continue
        table.add_row(
            "",
            "export, called",
            f"{one['export_limit_kw']:,.0f}",
            f"{max(one['highest_feed_in_kw'], 0.0):,.0f}",
            f"{one['steps_at_export_limit']}",
            f"{one['export_price_per_kw']:,.4g}",
        )
    console.print(table)


def _print_missing(outcome: Outcome, console: Console) -> None:
    """Say what of given awards is not there, step by step at its worst."""
    shared, starts = outcome.shared, outcome.built.starts
    kw, kwh = shared.missing_kw.sum(axis=0), shared.missing_kwh.sum(axis=0)
    for missing, what, unit in ((kw, "power", "kW"), (kwh, "energy in the cells", "kWh")):
        if missing.max() > LEAST_KW:
            worst = int(np.argmax(missing))
            console.print(
                f"SHORTFALL: {what} for the awards is missing in {(missing > LEAST_KW).sum()} "
                f"steps, {missing[worst]:,.4g} {unit} at {starts[worst]:%Y-%m-%d %H:%M}; "
                "it is priced in the objective",
                style="bold red",
                highlight=False,
            )


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        words = name in {"group", "region", "limit"}
        table.add_column(
            name,
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold" if words else "ellipsis",
        )
    return table
