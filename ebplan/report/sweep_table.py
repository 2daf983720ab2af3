"""The scenarios of a sweep in the terminal: those that gain most."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ebplan.sweep.run import Swept

MONEY = ["gain", "profit"]


def best(swept: Swept, output: Path) -> list[dict[str, Any]]:
    """Return each scenario with its money over all its periods, the largest gain first.

    Only the study's own policy counts: the first of each chunk.
    """
    from pyarrow import parquet

    path = output / "results.parquet"
    policy = parquet.read_table(path, columns=["policy"])["policy"][0].as_py()
    table = parquet.read_table(path, filters=[("policy", "=", policy), ("kpi", "in", MONEY)])
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    axes = list(swept.spec.axes.by_name())
    for row in table.to_pylist():
        one = found[row["scenario"]]
        one.update({axis: row[axis] for axis in axes})
        one[row["kpi"]] = one.get(row["kpi"], 0.0) + row["value"]
    return sorted(found.values(), key=lambda one: -one["gain"])


def print_sweep(swept: Swept, output: Path, *, shown: int, console: Console | None = None) -> None:
    """Print the scenarios with the largest gain, and what the results are."""
    console = console or Console()
    axes = list(swept.spec.axes.by_name())
    rows = best(swept, output)
    table = Table(title=swept.spec.name, title_justify="left", box=None, pad_edge=False)
    for axis in axes:
        table.add_column(axis.replace("_", " "), justify="right", overflow="fold")
    for name in MONEY:
        table.add_column(f"{name}, {swept.currency}", justify="right", no_wrap=True)
    for row in rows[:shown]:
        cells = [f"{row[a]:g}" if isinstance(row[a], float) else str(row[a]) for a in axes]
        table.add_row(*cells, *(f"{row[name]:,.0f}" for name in MONEY))
    console.print(table)
    if len(rows) > shown:
        console.print(f"... and {len(rows) - shown} more that gain less")
    again = f", {swept.kept} finished before" if swept.kept else ""
    console.print(f"{swept.scenarios} scenarios in {swept.chunks} chunks{again}: {output}")
    console.print(f"rows: sha256 {swept.sha256}", soft_wrap=True)
