"""Print the model: each block's mathematics, and its labelled rows in numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ebplan.solvers.blocks import (
    battery,
    connection,
    counts,
    latency,
    lens,
    prewarm,
    response,
    service,
    wear,
)
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import Program

BLOCKS = (counts, lens, latency, prewarm, service, response, battery, wear, connection)


def describe(formulation: Formulation, *, every_row: bool = False) -> Iterator[str]:
    """Yield the model line by line.

    Args:
        formulation: what to print.
        every_row: print each row; otherwise the last one under each label.
    """
    program = formulation.program
    yield (
        f"{program.n_columns} variables ({int(program.integer.sum())} whole), "
        f"{program.n_rows} constraints, {len(program.entry_value)} coefficients"
    )
    for block in BLOCKS:
        yield ""
        yield f"== {block.__name__.rsplit('.', 1)[-1]} " + "=" * 60
        yield from (block.__doc__ or "").strip().splitlines()
    yield ""
    yield "== variables " + "=" * 60
    for group in program.columns:
        part = slice(group.start, group.start + group.size)
        kind = "whole" if program.integer[group.start] else "real"
        low, high = program.lower[part].min(), program.upper[part].max()
        yield f"{group.name:32s} {group.size:4d}  {kind:5s}  {low:g} .. {high:g}"
    yield ""
    yield "== costs by cause " + "=" * 60
    for cause, vector in program.cost_of.items():
        yield f"{cause:32s} {np.count_nonzero(vector):4d} priced variables"
    yield ""
    yield "== constraints " + "=" * 60
    names = program.column_names()
    for group in program.rows:
        yield f"{group.name} ({group.size})"
        shown = range(group.size) if every_row else [group.size - 1]
        for i in shown:
            yield f"    [{i}] " + row_in_words(program, group.start + i, names)


def row_in_words(program: Program, row: int, names: list[str]) -> str:
    """Return one row as a line of algebra."""
    span = slice(program.row_start[row], program.row_start[row + 1])
    parts = [
        f"{value:+.6g} {names[column]}"
        for value, column in zip(program.entry_value[span], program.entry_column[span], strict=True)
    ]
    low, high = program.row_lower[row], program.row_upper[row]
    body = " ".join(parts)
    if low == high:
        return f"{body} = {high:.6g}"
    left = f"{low:.6g} <= " if np.isfinite(low) else ""
    right = f" <= {high:.6g}" if np.isfinite(high) else ""
    return left + body + right
