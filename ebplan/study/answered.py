"""A moment's plan: the program's answer, made one that batteries can carry out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.live import LiveOptimum
from ebplan.solvers.program import FloatArray
from ebplan.study.moment import Moment, WindowPlan, read_plan, vectors_of
from ebplan.study.slack import UNCOVERED_TIMES, open_awards
from ebplan.study.window import Window

ROUNDS = 8
"""Answers that are asked for at most until no battery goes both ways at once; one is usual."""
BOTH_KW = 1e-6
"""Less than this both ways at once is rounding."""
DEAREST = 1e6
"""What is missing of a call costs no more than this for each kWh: a solver's numbers have ends."""


def plan(window: Window, moment: Moment) -> WindowPlan:
    """Return the window's least-cost answer to a moment.

    A linear program charges and discharges at once where that burns energy it has no room for; a
    converter cannot. Where an answer does, the lesser direction is closed and it is asked again.

    Raises:
        NoPlanError: nothing is feasible.
    """
    asked = _Asked(window, moment, vectors_of(window, moment))
    optimum = asked.optimum()
    for _ in range(ROUNDS):
        if not close_one_way(window, optimum.x, asked.vectors["upper"]):
            break
        try:
            optimum = asked.optimum()
        except NoPlanError:
            break  # only burning keeps what was promised: what is not burnt shows in the books
    return read_plan(window, optimum.x, optimum.objective)


def close_one_way(window: Window, x: FloatArray, upper: FloatArray) -> bool:
    """Close the lesser direction where a battery goes both ways; tell whether any does.

    Args:
        window: whose columns these are.
        x: the point, shape (n,).
        upper: bounds of the columns, shape (n,), changed in place.
    """
    found = False
    for group, columns in zip(window.groups, window.columns.groups, strict=True):
        if group.battery is None or columns.charge is None or columns.discharge is None:
            continue
        into = x[columns.charge] * group.battery.charge_efficiency
        out = x[columns.discharge] / group.battery.discharge_efficiency
        both = np.minimum(into, out) > BOTH_KW
        upper[columns.discharge[both & (into >= out)]] = 0.0
        upper[columns.charge[both & (into < out)]] = 0.0
        found = found or bool(both.any())
    return found


@dataclass(frozen=True)
class _Asked:
    window: Window
    moment: Moment
    vectors: dict[str, FloatArray]

    def optimum(self) -> LiveOptimum:
        """Return the optimum; where there is none, one in which calls are missed.

        What has been given may call more than the cells have or take in, where load or calls have
        come otherwise than was expected: so much of it is missed.
        """
        try:
            return self.window.live.optimum(**self.vectors)
        except NoPlanError:
            if self.moment.sure_load:
                raise
        self._open_calls()
        return self.window.live.optimum(**self.vectors)

    def _open_calls(self) -> None:
        moment, shape, cost = self.moment, self.window.shape, self.vectors["cost"]
        money = -np.array([cost[award] for award in self.window.columns.award])
        awards = open_awards(moment.award_kw, moment.held & moment.real, moment.block, money)
        for group, columns in zip(self.window.groups, self.window.columns.groups, strict=True):
            if group.battery is None:
                continue
            for shares, cells, index in (
                (shape.activation, 1.0 / group.battery.discharge_efficiency, columns.uncalled),
                (shape.absorption, group.battery.charge_efficiency, columns.unfilled),
            ):
                if index is None:
                    continue
                per_kw = np.array(shares).reshape(awards.earned.shape) * self.window.hours * cells
                self.vectors["upper"][index] = (per_kw * awards.given_kw).sum(axis=0)
                by_it = np.divide(
                    awards.earned, per_kw, out=np.zeros_like(per_kw), where=per_kw > 0.0
                )
                dear = cost[columns.uncovered_kwh] + UNCOVERED_TIMES * by_it.max(axis=0, initial=0)
                cost[index] = np.minimum(dear, DEAREST)
