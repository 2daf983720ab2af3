"""Whole numbers from the linear relaxation: a checked plan in milliseconds, with a bound.

The relaxation of the formulation is tight (docs/performance.md), so whole numbers near its optimum
cost little more, and with the counts fixed everything else is a linear program that a solver
re-solves from its last basis in half a millisecond:

1. solve the relaxation: its optimum bounds the cost of every plan;
2. fix transitions (sleep, wake, weights, pre-warm), rounding their running sums, and solve again;
3. fix the counts at work, rounded up but for a threshold theta; several thetas, the best is kept;
4. move single counts, and runs of them, by one where the reduced costs promise most, as long as
   the cost falls.

Every candidate is judged by its own linear program. Counts stay where the load of the relaxation
fits on them (``min_utilisation`` to ``max_utilisation``); what is infeasible then is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise, zip_longest
from typing import Any

import highspy
import numpy as np

from ebplan.solvers.integers import Integers
from ebplan.solvers.program import FloatArray, IndexArray, Program

THRESHOLDS = (0.5, 0.02, 0.25, 0.75)
"""A count is rounded up where its fraction exceeds this."""
NEAR_WHOLE = 1e-6
"""Solvers leave whole numbers this far from whole."""
MOST_MOVES = 400
"""Linear programs that a local search may solve."""
LOOKED_AT = 40
"""Moves tried before a local search gives up."""
BETTER = 1e-9
"""A cost is lower only by more than this, as a share of it."""


@dataclass(frozen=True)
class Rounded:
    """A point with whole numbers."""

    x: FloatArray
    """Shape (n,)."""
    objective: float


class Relaxation:
    """The linear relaxation in a live solver: bounds change in place, the basis stays."""

    def __init__(self, program: Program, solver: Any) -> None:
        self.program = program
        self.solver = solver
        self.solved = 0
        """Linear programs solved."""

    def write(self, program: Program) -> None:
        """Write another program of the same structure into the solver."""
        solver, n, m = self.solver, program.n_columns, program.n_rows
        columns, rows = np.arange(n, dtype=np.int32), np.arange(m, dtype=np.int32)
        solver.changeColsCost(n, columns, program.cost)
        solver.changeObjectiveOffset(program.constant)
        solver.changeColsBounds(n, columns, program.lower, program.upper)
        solver.changeRowsBounds(m, rows, program.row_lower, program.row_upper)
        self.program = program

    def fix(self, columns: IndexArray, values: FloatArray) -> None:
        """Fix columns, within their bounds."""
        inside = np.clip(values, self.program.lower[columns], self.program.upper[columns])
        self.solver.changeColsBounds(len(columns), columns.astype(np.int32), inside, inside)

    def free(self, columns: IndexArray) -> None:
        """Give columns their bounds again."""
        lower, upper = self.program.lower[columns], self.program.upper[columns]
        self.solver.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def optimum(self) -> tuple[FloatArray, float] | None:
        """Solve; return point (n,) and objective, or None where there is none."""
        self.solved += 1
        self.solver.run()
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        x = np.array(self.solver.getSolution().col_value)
        return x, float(self.solver.getInfo().objective_function_value)

    def verdict(self) -> str:
        """Return in words how the last run ended."""
        return str(self.solver.modelStatusToString(self.solver.getModelStatus()))

    def reduced_costs(self) -> FloatArray:
        """Return the reduced cost of each column at the last optimum, shape (n,)."""
        return np.array(self.solver.getSolution().col_dual)


def rounded_points(
    relaxation: Relaxation,
    integers: Integers,
    relaxed: FloatArray,
    *,
    keep_on: Callable[[], bool],
    most_moves: int = MOST_MOVES,
) -> Iterator[Rounded]:
    """Yield better and better points with whole numbers, near the optimum of the relaxation.

    Args:
        relaxation: the live relaxation, solved once.
        integers: what its integer columns mean.
        relaxed: its optimum, shape (n,).
        keep_on: asked before each linear program; False ends the search.
        most_moves: linear programs that the local search may solve.
    """
    best: Rounded | None = None
    integer = np.flatnonzero(relaxation.program.integer)
    seen: set[bytes] = set()
    for rule in (_nearest, _up, _none):
        told = [rule(relaxed[columns]) for columns in integers.transitions]
        if (key := np.concatenate([np.zeros(0), *told]).tobytes()) in seen or not keep_on():
            continue
        seen.add(key)
        relaxation.free(integer)
        for columns, values in zip(integers.transitions, told, strict=True):
            relaxation.fix(columns, values)
        there = relaxation.optimum() if told else (relaxed, 0.0)
        for theta in THRESHOLDS:
            if there is None or not keep_on():
                break
            found = _at_counts(relaxation, integers, _round_up(there[0], integers, theta))
            if found is not None and _is_better(found, best):
                yield (best := found)
    if best is not None and keep_on():
        relaxation.free(integer)
        for columns in integers.transitions:
            relaxation.fix(columns, best.x[columns])
        yield from _moved(relaxation, integers, best, keep_on, most_moves)
    relaxation.free(integer)


def _nearest(values: FloatArray) -> FloatArray:
    """Round the running sum, so that as many move in all."""
    return np.diff(np.r_[0.0, np.round(np.cumsum(values) + NEAR_WHOLE)])


def _up(values: FloatArray) -> FloatArray:
    """Round the running sum up: who moves in part moves as a whole."""
    return np.diff(np.r_[0.0, np.ceil(np.cumsum(values) - max(THRESHOLDS[1], NEAR_WHOLE))])


def _none(values: FloatArray) -> FloatArray:
    """Nobody moves."""
    return np.zeros_like(values)


def _is_better(found: Rounded, best: Rounded | None) -> bool:
    if best is None:
        return True
    return found.objective < best.objective - BETTER * max(abs(best.objective), 1.0)


def _round_up(x: FloatArray, integers: Integers, theta: float) -> list[FloatArray]:
    """Round counts up but for ``theta``, where the load of each epoch fits on them."""
    counts = []
    for way in integers.serving:
        load = x[way.load]
        fewest = np.ceil(load / way.max_utilisation - NEAR_WHOLE)
        most = np.maximum(np.floor(load / way.min_utilisation + NEAR_WHOLE), fewest)
        counts.append(np.clip(np.ceil(x[way.count] - theta), fewest, most))
    return counts


def _at_counts(
    relaxation: Relaxation, integers: Integers, counts: list[FloatArray]
) -> Rounded | None:
    """Return the best point with these counts at work; None where there is none."""
    for way, count in zip(integers.serving, counts, strict=True):
        relaxation.fix(way.count, count)
    whole = dict(zip((way.count.tobytes() for way in integers.serving), counts, strict=True))
    for binary, watched, start in integers.not_drained:
        total = np.sum([whole[columns.tobytes()] for columns in watched], axis=0)
        fell = np.diff(np.r_[float(start), total]) < 0.0
        relaxation.fix(binary, np.where(fell, 0.0, 1.0))
    found = relaxation.optimum()
    if found is None:
        return None
    found = _with_binaries(relaxation, integers, *found)
    if found is None:
        return None
    x, objective = found
    x[relaxation.program.integer] = np.round(x[relaxation.program.integer])
    return Rounded(x, objective)


def _with_binaries(
    relaxation: Relaxation, integers: Integers, x: FloatArray, objective: float
) -> tuple[FloatArray, float] | None:
    """Settle the binaries that the counts leave open, nearest first."""
    integer = np.flatnonzero(relaxation.program.integer)

    def is_whole(x: FloatArray) -> bool:
        return bool((np.abs(x[integer] - np.round(x[integer])) <= NEAR_WHOLE).all())

    if is_whole(x):
        return x, objective
    settled = np.round(x)
    for group in integers.one_of:
        lines = np.stack(group)
        settled[lines] = (np.arange(len(lines))[:, None] == x[lines].argmax(axis=0)).astype(float)
    binaries = integers.left_open
    relaxation.fix(binaries, settled[binaries])
    found = relaxation.optimum()
    relaxation.free(binaries)
    return found if found is not None and is_whole(found[0]) else None


def _moved(
    relaxation: Relaxation,
    integers: Integers,
    best: Rounded,
    keep_on: Callable[[], bool],
    most_moves: int,
) -> Iterator[Rounded]:
    """Yield better points: counts of neighbouring epochs moved by one, most promising first."""
    counts = [np.round(best.x[way.count]) for way in integers.serving]
    if _at_counts(relaxation, integers, counts) is None:
        return
    tried: set[bytes] = set()
    moves, improved = 0, True
    while improved and moves < most_moves:
        improved = False
        for bundle in _bundles(relaxation.reduced_costs(), integers):
            if moves >= most_moves or not keep_on():
                return
            changed = [count.copy() for count in counts]
            for way, epochs, by in bundle:
                changed[way][epochs] += by
            key = np.concatenate(changed).tobytes()
            if key in tried or not _within_bounds(relaxation.program, integers, changed):
                continue
            tried.add(key)
            moves += 1
            found = _at_counts(relaxation, integers, changed)
            if found is not None and _is_better(found, best):
                best, counts, improved = found, changed, True
                yield best
                break  # the duals at the point just found say what to try next


def _within_bounds(program: Program, integers: Integers, counts: list[FloatArray]) -> bool:
    return all(
        bool(((n >= program.lower[way.count]) & (n <= program.upper[way.count])).all())
        for way, n in zip(integers.serving, counts, strict=True)
    )


Move = tuple[int, slice, int]
"""Way, epochs, and by how much its count changes there."""


def _bundles(reduced: FloatArray, integers: Integers) -> Iterator[list[Move]]:
    """Yield moves to try at once: the best of every way, of half the ways, ..., then each alone.

    Many pools come near their optimum together. Epochs and runs of them take turns.
    """
    single, runs = _promising(reduced, integers)
    together = [
        list({move[0]: move for move in kind[::-1]}.values())[::-1] for kind in (runs, single)
    ]
    size = max(map(len, together))
    while size > 1:
        yield from (best[:size] for best in together if best)
        size //= 2
    in_turn = (move for pair in zip_longest(single, runs) for move in pair if move is not None)
    yield from ([move] for move in islice(in_turn, LOOKED_AT))


def _promising(reduced: FloatArray, integers: Integers) -> tuple[list[Move], list[Move]]:
    """Return moves of an epoch, and of runs of epochs, by what they promise to save."""
    single: list[tuple[float, Move]] = []
    runs: list[tuple[float, Move]] = []
    for index, way in enumerate(integers.serving):
        cost = reduced[way.count]
        sign = np.where(np.abs(cost) > BETTER, np.sign(cost), 0.0)
        edges = np.r_[0, np.flatnonzero(np.diff(sign)) + 1, len(cost)]
        for begin, end in pairwise(edges.tolist()):
            by = -int(sign[begin])
            epochs = range(begin, end if by else begin)
            single += [(abs(float(cost[k])), (index, slice(k, k + 1), by)) for k in epochs]
            if by and end - begin > 1:
                promise = float(np.abs(cost[begin:end]).sum())
                runs.append((promise, (index, slice(begin, end), by)))
    return _by_promise(single), _by_promise(runs)


def _by_promise(moves: list[tuple[float, Move]]) -> list[Move]:
    return [move for _, move in sorted(moves, key=lambda pair: -pair[0])]
