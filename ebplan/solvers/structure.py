"""The structure of a program: what must be equal for a hot model to take another's vectors.

Two programs have one structure where their columns, their rows, which columns are whole and every
entry of A are equal: only costs, bounds and right-hand sides may differ, and those are written in
place. The key is a digest of exactly that, so it cannot hold where it should not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.program import FloatArray, IndexArray, Program


def structure_key(program: Program) -> str:
    """Return the digest of a program's structure."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (
        program.row_start,
        program.entry_column,
        program.entry_value,
        program.integer,
    ):
        digest.update(np.ascontiguousarray(array).data)
    digest.update(str((program.n_rows, program.n_columns)).encode())
    return digest.hexdigest()


def what_changed(before: Program, after: Program) -> tuple[str, ...]:
    """Say in which groups of rows and columns two programs differ in structure."""
    return (
        *_sizes("columns", before.columns, after.columns),
        *_sizes("rows", before.rows, after.rows),
        *_entries(before, after),
    )


def why_changed(before: Problem, after: Problem) -> tuple[str, ...]:
    """Say which parts of two problems differ that shape a program."""
    reasons = []
    if before.grid != after.grid:
        steps = f"{before.grid.n_steps} to {after.grid.n_steps} steps"
        epochs = f"{before.grid.n_epochs} to {after.grid.n_epochs} epochs"
        reasons.append(f"time grid: {steps}, {epochs}")
    if before.asks != after.asks or before.direction != after.direction:
        reasons.append(f"asks: {before.asks} to {after.asks}")
    if (before.battery is None) != (after.battery is None):
        reasons.append("battery: there on one side only")
    elif before.battery is not None and after.battery is not None:
        moved = {"start_kwh", "min_kwh", "max_kwh", "reserve_kwh"}
        if before.battery.model_dump(exclude=moved) != after.battery.model_dump(exclude=moved):
            reasons.append("battery: its parameters")
    pools = {pool.name: pool for pool in before.pools}
    for pool in after.pools:
        other = pools.pop(pool.name, None)
        if other is None:
            reasons.append(f"pool {pool.name}: new")
            continue
        fields = [f for f in type(pool).model_fields if getattr(pool, f) != getattr(other, f)]
        if fields:
            reasons.append(f"pool {pool.name}: {', '.join(fields)}")
    return (*reasons, *(f"pool {name}: gone" for name in pools))


def _sizes(what: str, before: tuple[object, ...], after: tuple[object, ...]) -> Iterator[str]:
    sizes = [{g.name: g.size for g in groups} for groups in (before, after)]  # type: ignore[attr-defined]
    for name in dict.fromkeys([*sizes[0], *sizes[1]]):
        old, new = (side.get(name, 0) for side in sizes)
        if old != new:
            yield f"{what} {name}: {old} to {new}"


def _entries(before: Program, after: Program) -> Iterator[str]:
    if before.columns != after.columns:
        return  # columns have moved: their entries cannot be compared
    old = {group.name: group for group in before.rows}
    for group in after.rows:
        same = old.get(group.name)
        if same is None or same.size != group.size:
            continue
        if not all(
            np.array_equal(a, b)
            for a, b in zip(
                _rows_of(before, same.start, same.size),
                _rows_of(after, group.start, group.size),
                strict=True,
            )
        ):
            yield f"entries of rows {group.name}"


def _rows_of(program: Program, start: int, size: int) -> tuple[IndexArray, IndexArray, FloatArray]:
    first, last = program.row_start[start], program.row_start[start + size]
    return (
        program.row_start[start : start + size + 1] - first,
        program.entry_column[first:last],
        program.entry_value[first:last],
    )
