"""Requests in the problem stated once more: what came, what was served, what still waits.

Work is followed as two running totals, what was accepted and what was served. The earliest is
served first, so whatever was accepted up to some time is done once the total served has reached it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np

from ebplan.problem import ClassProblem, DeferralProblem, PoolProblem
from ebplan.timegrid import TimeGrid

Expression = Any
"""A cvxpy expression; cvxpy has no types."""


@dataclass
class Statement:
    """Constraints and costs by cause, collected as they are written down."""

    constraints: list[Expression]
    costs: dict[str, Expression]

    def charge(self, cause: str, money: Expression) -> None:
        self.costs[cause] = self.costs.get(cause, 0.0) + money


def state_requests(
    said: Statement,
    pool: PoolProblem,
    grid: TimeGrid,
    served: Expression,
    lowered: Expression | None,
) -> None:
    """Serve every request, at once, later or ahead of time, or turn it away for its value.

    Args:
        said: where to write it down.
        pool: the pool.
        grid: steps and epochs.
        served: load that its instances serve, (K,), in what one of its own serves at most.
        lowered: how much of it the lower precision serves; None where there is none.
    """
    in_all: Expression = 0.0
    lowered_in_all: Expression = np.zeros(grid.n_epochs)
    for requests in pool.classes:
        accepted = cp.Variable(grid.n_epochs, nonneg=True)
        turned_away = requests.load - accepted
        said.constraints += [turned_away >= 0.0, turned_away <= requests.max_rejected]
        value = requests.value_per_instance_s
        said.charge("rejected", value * (turned_away @ grid.epoch_durations_s))
        of_class = _served(said, requests, grid, accepted)
        in_all = in_all + of_class
        if requests.lowered is not None:
            part = cp.Variable(grid.n_epochs, nonneg=True)
            said.constraints += [part <= requests.lowered.eligible_share * of_class]
            price = requests.lowered.price_per_instance_s
            said.charge("lowered", price * (part @ grid.epoch_durations_s))
            lowered_in_all = lowered_in_all + part
    said.constraints += [served == in_all]
    if lowered is not None:
        said.constraints += [lowered == lowered_in_all]


def _served(
    said: Statement, requests: ClassProblem, grid: TimeGrid, accepted: Expression
) -> Expression:
    """Return the rate at which a class is served: as it is accepted, unless it may wait.

    Work that is not due comes on top: it was never among what is accepted.
    """
    served = accepted
    if requests.deferral is not None:
        served = cp.Variable(grid.n_epochs, nonneg=True)
        _let_wait(said, requests.deferral, grid, accepted, served)
    if requests.pull_forward is not None:
        ahead = cp.Variable(grid.n_epochs, nonneg=True)
        work_s = ahead @ grid.epoch_durations_s
        said.constraints += [work_s <= requests.pull_forward.available]
        said.charge("pull_forward", -requests.pull_forward.value_per_work_h / 3600.0 * work_s)
        served = served + ahead
    return served


def _let_wait(
    said: Statement,
    deferral: DeferralProblem,
    grid: TimeGrid,
    accepted: Expression,
    served: Expression,
) -> None:
    """Hold what waits to its deadline and charge for the waiting.

    Only what was accepted within the plan has a deadline: at the end of an epoch, all that was
    accepted a deadline ago must have been served, or as much older work in its place.
    """
    begin, seconds = grid.epoch_starts_s, grid.epoch_durations_s
    found, deadline = deferral.backlog_at_start, deferral.deadline_s
    for k in range(grid.n_epochs):
        now = begin[k] + seconds[k]
        done = served[: k + 1] @ seconds[: k + 1]
        due_s = np.clip(now - deadline - begin, 0.0, seconds)
        said.constraints += [
            done <= found + accepted[: k + 1] @ seconds[: k + 1],
            done >= accepted @ due_s,
        ]
    if not deferral.may_put_off:
        said.constraints += [served >= accepted]
    # A unit that is put off waits from the middle of its epoch to the end of the plan, and what is
    # then left waits on to a deadline; a unit that is served no longer does.
    on_average_s = grid.horizon_s - (begin + 0.5 * seconds) + deadline
    work_s = (accepted - served) @ (seconds * on_average_s)
    said.charge("delay", deferral.price_per_work_h / 3600.0 * work_s)
