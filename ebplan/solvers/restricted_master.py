"""The restricted master: mix what the pools have answered so far, with the site as it is.

    minimise    c_s'y + sum_pj cost_pj l_pj + sum_l ((P_l + w_l) u_l - (P_l - w_l) v_l)
    subject to  y in Y                                                    the site
                lower <= A_s y + sum_pj profile_pj l_pj + u - v <= upper    coupling, price pi
                sum_j l_pj = 1                                            for each pool p

u and v let a coupling row be broken for money. That keeps its price pi within w of P, where the
pools' answers are known to be good (the box step of Marsten, Hogan and Blankenship, 1975): without
it prices jump far away as long as few answers are known. Where u = v = 0 a point of the master is a
point of the linear relaxation of the whole, and its optimum bounds that from above.

Columns are only added and prices moved: each optimum starts from the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebplan.solvers.part_solver import PRIMAL_SIMPLEX, Answer, load, optimum
from ebplan.solvers.parts import NO_ROWS, Part, Parts, sorted_rows
from ebplan.solvers.program import FloatArray

UNBROKEN = 1e-6
"""Coupling rows broken by less are rounding of the solver."""


@dataclass(frozen=True)
class Mix:
    """Optimum of the restricted master."""

    objective: float
    broken: bool
    """Whether a coupling row is broken: the mix is then no point of the whole."""
    prices: FloatArray
    """Of the coupling rows, shape (L,)."""
    weights: tuple[FloatArray, ...]
    """By pool, one for each of its answers; they sum to 1."""


class RestrictedMaster:
    """The restricted master in HiGHS.

    Args:
        parts: the program in parts.
    """

    def __init__(self, parts: Parts) -> None:
        site, coupling = parts.site, len(parts.lower)
        self.answers: list[list[Answer]] = [[] for _ in parts.pools]
        self._columns_of: list[list[int]] = [[] for _ in parts.pools]
        self._coupling = site.n_rows + np.arange(coupling)
        self._first_sum = site.n_rows + coupling
        self._breaking = np.arange(site.n_columns, site.n_columns + 2 * coupling)
        self._n_columns = site.n_columns + 2 * coupling
        self._constant = parts.constant
        self._solver: Any = load(_without_answers(parts))
        self._solver.setOptionValue("simplex_strategy", PRIMAL_SIMPLEX)

    def add(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Add answers as columns, each with the pool that gave it."""
        starts, rows, values = [0], [], []
        for pool, answer in answers:
            used = np.flatnonzero(answer.profile)
            rows.append(np.r_[self._coupling[used], self._first_sum + pool])
            values.append(np.r_[answer.profile[used], 1.0])
            starts.append(starts[-1] + len(used) + 1)
            self.answers[pool].append(answer)
            self._columns_of[pool].append(self._n_columns)
            self._n_columns += 1
        if answers:
            self._solver.addCols(
                len(answers),
                np.array([answer.cost for _, answer in answers]),
                np.zeros(len(answers)),
                np.full(len(answers), np.inf),
                starts[-1],
                np.array(starts[:-1], dtype=np.int32),
                np.concatenate(rows).astype(np.int32),
                np.concatenate(values),
            )

    def mix(self, around: FloatArray, width: FloatArray) -> Mix:
        """Return the optimum with prices within ``width`` (L,) of those given, shape (L,).

        Raises:
            NoPlanError: HiGHS finds none; each pool needs an answer.
        """
        columns = self._breaking.astype(np.int32)
        price = np.r_[around + width, width - around]
        self._solver.changeColsCost(len(columns), columns, price)
        x, dual, objective = optimum(self._solver, "the restricted master")
        return Mix(
            objective=objective + self._constant,
            broken=bool((x[self._breaking] > UNBROKEN).any()),
            prices=dual[self._coupling],
            weights=tuple(_shares(x[columns]) for columns in self._columns_of),
        )

    def mixed(self, pool: int, mix: Mix) -> FloatArray:
        """Return the point of a pool in a mix, shape (n,); answers that came later have no part."""
        answers = zip(mix.weights[pool], self.answers[pool], strict=False)
        return np.asarray(np.sum([w * answer.x for w, answer in answers if w > 0.0], axis=0))


def _shares(weights: FloatArray) -> FloatArray:
    shares = np.maximum(weights, 0.0)
    return np.asarray(shares / shares.sum())


def _without_answers(parts: Parts) -> Part:
    """Return the master without any answer: site, coupling rows, and one sum for each pool."""
    site, coupling, pools = parts.site, len(parts.lower), len(parts.pools)
    row, breaking = site.n_rows + np.arange(coupling), site.n_columns + np.arange(2 * coupling)
    columns = site.n_columns + 2 * coupling
    return Part(
        columns=np.arange(columns),
        cost=np.r_[site.cost, np.zeros(2 * coupling)],
        lower=np.r_[site.lower, np.zeros(2 * coupling)],
        upper=np.r_[site.upper, np.full(2 * coupling, np.inf)],
        integer=np.zeros(columns, dtype=np.bool_),
        rows=sorted_rows(
            site.n_rows + coupling + pools,
            np.r_[site.rows.row_of(), site.n_rows + site.coupling.row_of(), row, row],
            np.r_[site.rows.column, site.coupling.column, breaking],
            np.r_[site.rows.value, site.coupling.value, np.ones(coupling), -np.ones(coupling)],
        ),
        row_lower=np.r_[site.row_lower, parts.lower, np.ones(pools)],
        row_upper=np.r_[site.row_upper, parts.upper, np.ones(pools)],
        coupling=NO_ROWS,
    )
