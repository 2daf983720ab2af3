"""What the integer columns of a formulation mean."""

from __future__ import annotations

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.integers import Directions, Integers, Serving
from ebplan.solvers.program import IndexArray


def integers_of(problem: Problem, formulation: Formulation) -> Integers:
    """Say what the integer columns of a formulation mean."""
    program = formulation.program
    names = {group.name: group for group in program.columns}

    def columns(name: str) -> IndexArray | None:
        group = names.get(name)
        return None if group is None else np.arange(group.start, group.start + group.size)

    transitions, serving, kept, one_of = [], [], [], []
    for pool, counts, lenses, warmth in zip(
        problem.pools, formulation.counts, formulation.lenses, formulation.prewarms, strict=True
    ):
        moves = [counts.to_sleep, counts.to_wake, counts.to_wake_warm]
        if counts.tier is not None:
            moves += [counts.tier.to_tier, counts.tier.to_own]
        moves += [] if warmth is None else [warmth.command]
        transitions += [move for move in moves if move is not None and len(move)]
        for count, lens in zip(counts.serving, lenses, strict=True):
            way = lens.operation
            serving.append(Serving(count, lens.load, way.min_utilisation, way.max_utilisation))
            lines: list[IndexArray] = []
            while (line := columns(f"{way.name}.uncapped.{len(lines)}")) is not None:
                lines.append(line)
            one_of += [tuple(lines)] if lines else []
        for prefix, watched, start in (
            (pool.name, counts.with_own_weights, pool.active_at_start),
            *(
                [(f"{pool.name}.{pool.tier.name}", [counts.tier.active], pool.tier.active_at_start)]
                if counts.tier is not None and pool.tier is not None
                else []
            ),
        ):
            if (binary := columns(f"{prefix}.not_drained")) is not None:
                kept.append((binary, tuple(watched), start))
    own = [n for n in names if n == "discharging" or n.startswith("loss_full.")]
    battery = tuple(found for name in own if (found := columns(name)) is not None)
    return Integers(
        tuple(transitions),
        tuple(serving),
        tuple(kept),
        tuple(one_of),
        battery,
        _directions(problem, formulation),
    )


def _directions(problem: Problem, formulation: Formulation) -> Directions | None:
    columns = formulation.battery
    if not problem.tracks or columns is None or columns.charge_loss is None:
        return None
    gives = np.where(np.array(problem.target_kw) > 0.0, -1.0, 1.0)
    return Directions(columns.discharge, columns.charge, np.where(problem.in_event, gives, 0.0))
