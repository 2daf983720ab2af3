"""Who of a portfolio carries what, in the terminal; 80 columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ebplan.portfolio.results import lacking, plain
from ebplan.portfolio.run import Outcome
from ebplan.words import percent_words

SHOWN = 20
"""Groups printed of each award: those that carry most of it."""
NAMES = {
    "battery kW": "battery_kw_mean",
    "compute kW": "compute_kw_mean",
    "absorbs kW": "absorb_kw_mean",
}
"""Where each column of an award's table stands in the outcome."""
LACKS = {
    "missing_kw": "power to release, kW",
    "missing_kwh": "energy to release, kWh",
    "unabsorbed_kw": "power to absorb, kW",
    "unstored_kwh": "room to absorb, kWh",
}
"""What may be missing for awards, in words."""
ROUNDING = 1e-9
"""A smaller gap is rounding of a solver."""
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
    gap = f"{found['gap']:.1g}" if found["gap"] >= ROUNDING else "0"
    rounds = "1 round" if found["rounds"] == 1 else f"{found['rounds']} rounds"
    console.print(
        f"objective {found['objective']:,.0f} {money}, bound {found['bound']:,.0f}, "
        f"gap {gap}, {rounds}",
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
    ways = ["battery kW", "compute kW"] if award["releases"] else []
    ways += ["absorbs kW"] if award["absorbs"] else []
    table = _table("group", "region", *ways, "share")
    carried = sorted(award["carried"], key=lambda one: -one["share"])
    for one in carried[:SHOWN]:
        table.add_row(
            one["group"],
            ", ".join(r.name for r in outcome.regions if one["group"] in r.groups),
            *(f"{one[NAMES[way]]:,.1f}" for way in ways),
            percent_words(one["share"], 1),
        )
    console.print(table)
    if len(carried) > SHOWN:
        rest = sum(one["share"] for one in carried[SHOWN:])
        console.print(
            f"and {len(carried) - SHOWN} others that carry {percent_words(rest, 1)}",
            highlight=False,
        )
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
            f"{one['highest_called_kw']:,.0f}",
            f"{one['steps_at_import_limit']}",
            f"{one['import_price_per_kw']:,.4g}",
        )
        if one["lowest_called_kw"] >= 0.0 and not one["steps_at_export_limit"]:
            continue
        table.add_row(
            "",
            "export",
            f"{one['export_limit_kw']:,.0f}",
            f"{max(-one['lowest_called_kw'], 0.0):,.0f}",
            f"{one['steps_at_export_limit']}",
            f"{one['export_price_per_kw']:,.4g}",
        )
    console.print(table)


def _print_missing(outcome: Outcome, console: Console) -> None:
    """Say what of given awards is not there, step by step at its worst."""
    starts = outcome.built.starts
    for name, by_group in lacking(outcome.shared).items():
        missing = by_group.sum(axis=0)
        if missing.max() > LEAST_KW:
            worst = int(np.argmax(missing))
            console.print(
                f"SHORTFALL for given awards, {LACKS[name]}: {missing[worst]:,.4g} at "
                f"{starts[worst]:%Y-%m-%d %H:%M}, in {(missing > LEAST_KW).sum()} steps; priced "
                "in the objective",
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
