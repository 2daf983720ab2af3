"""The pilot: a few pools stand for all, and say what prices to begin with.

Pools are put in an order in which neighbours are alike, cut into runs of equal length, and one of
each run stands for the whole run: with the site as it is, that is a small linear program. Its
prices are off by what the sample misses. Once every pool has answered them, it is known how far
all profiles together lie from those that the sample stands for; the pilot with its coupling rows
moved by that gives better ones (the coarse-grid correction of multigrid methods). Where there are
no more pools than it may sample, it is the relaxation itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.part_solver import Answer, answer_at, load, optimum
from ebplan.solvers.parts import Part, Parts, join
from ebplan.solvers.program import FloatArray

MOST_SAMPLED = 12
"""Pools in the sample at most: solving them takes 0.1 s, and their prices are then off by a few
thousandths of the optimum (benchmarks/size.py)."""


@dataclass(frozen=True)
class Sampled:
    """A pool of the sample, and for how many it stands."""

    pool: int
    times: int


class Pilot:
    """The pilot of a program in parts, live in HiGHS.

    Args:
        parts: the program in parts.
        most: pools in the sample at most.
    """

    def __init__(self, parts: Parts, most: int = MOST_SAMPLED) -> None:
        self._parts = parts
        self.sample = _sample(parts.pools, most)
        members = [(parts.pools[s.pool], float(s.times)) for s in self.sample]
        whole = join([*members, (parts.site, 1.0)], parts.lower, parts.upper)
        self._first = whole.n_rows - len(parts.lower)
        self._solver = load(whole)
        self._point = np.zeros(0)

    @property
    def exact(self) -> bool:
        """Whether each pool stands for itself alone."""
        return len(self.sample) == len(self._parts.pools)

    def prices(self) -> FloatArray | None:
        """Return the prices of the coupling rows, shape (L,); None where the sample fits nowhere.

        That says nothing of the whole: what a sample stands for may be more than the site can take.
        """
        try:
            self._point, dual, _ = optimum(self._solver, "the pilot")
        except NoPlanError:
            return None
        return self._parts.admissible(dual[self._first :])

    def correct(self, answers: Sequence[Answer]) -> None:
        """Move its coupling rows by what the sample misses in the answers of all pools."""
        everyone = np.sum([answer.profile for answer in answers], axis=0)
        sampled = np.sum([s.times * answers[s.pool].profile for s in self.sample], axis=0)
        missed = everyone - sampled
        rows = zip(self._parts.lower - missed, self._parts.upper - missed, strict=True)
        for i, (lower, upper) in enumerate(rows):
            self._solver.changeRowBounds(self._first + i, lower, upper)

    def points(self) -> list[tuple[int, Answer]]:
        """Return what the sampled pools do at its last optimum, each with its pool."""
        found, at = [], 0
        for s in self.sample:
            part = self._parts.pools[s.pool]
            x = self._point[at : at + part.n_columns]
            found.append((s.pool, answer_at(part, x, np.nan)))
            at += part.n_columns
        return found


def _sample(pools: Sequence[Part], most: int) -> list[Sampled]:
    order = np.array(sorted(range(len(pools)), key=lambda p: _likeness(pools[p])))
    runs = np.array_split(order, min(most, len(pools)))
    return [Sampled(pool=int(run[len(run) // 2]), times=len(run)) for run in runs]


def _likeness(part: Part) -> tuple[int, int, bytes, float]:
    """Return what pools that are alike have in common: shape, what they share, then their load."""
    asked = part.row_lower[np.isfinite(part.row_lower)]
    shares = np.diff(part.coupling.start) > 0
    return part.n_columns, part.n_rows, np.packbits(shares).tobytes(), float(asked.sum())
