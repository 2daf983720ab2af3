"""What fits under a connection, in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ebplan.hosting.run import Hosted, Study
from ebplan.words import percent_words, time_words

BINDING = {
    "normal": "connection",
    "call": "call",
    "bridge": "bridge",
    "rest": "charging",
    "service": "lost service",
}
"""What a unit more would break, in words."""


def print_hosting(study: Study, console: Console | None = None) -> None:
    """Print the contract as it is, and what other terms would make of it."""
    console = console or Console()
    spec, contract = study.spec, study.spec.contract
    console.print(
        f"{spec.name}: {contract.hours_per_year:g} h a year, calls of up to "
        f"{contract.call_hours} h, {percent_words(contract.depth)} deep, "
        f"{time_words(contract.notice_s)} notice",
        highlight=False,
    )
    table = _table("battery", "mechanisms", "units", "compute kW", "more", "lost a year", "binds")
    for one in study.cases:
        table.add_row(
            f"{one.cells.energy_kwh:,.0f} kWh",
            one.mechanisms,
            f"{one.units:,}",
            f"{one.compute_kw:,.0f}",
            more(one),
            percent_words(one.found.lost_share, 3),
            BINDING[one.found.binding],
        )
    console.print(table)
    firm = study.cases[0].units_without
    console.print(f"more: than the {firm:,} units that fit what is never curtailed")
    if study.what_if:
        _print_what_if(study, console)


def more(one: Hosted) -> str:
    """Return by how much more fits than what is never curtailed."""
    return f"{100.0 * (one.units / one.units_without - 1.0):+.0f} %" if one.units_without else "new"


def _print_what_if(study: Study, console: Console) -> None:
    names = [one.name for one in study.spec.mechanisms]
    cells = study.spec.batteries[-1]
    table = _table("hours", "depth", "notice", *names)
    for at in range(0, len(study.what_if), len(names)):
        group = study.what_if[at : at + len(names)]
        terms = group[0].contract
        table.add_row(
            f"{terms.hours_per_year:g}",
            percent_words(terms.depth),
            time_words(terms.notice_s),
            *(f"{one.units:,}" for one in group),
        )
    console.print(f"\nUnits under other terms, with {cells.energy_kwh:,.0f} kWh")
    console.print(table)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        words = name in {"mechanisms", "binds"}
        table.add_column(name, justify="left" if words else "right")
    return table
