"""Requests: what is served, what is turned away, what is served later or earlier.

| symbol | name     | meaning                                                   | shape    |
|--------|----------|-----------------------------------------------------------|----------|
| z_jk   | rejected | rejected load of class j, instance-equivalents            | (K,)     |
| f_jk   | deferred | load of class j put off (> 0) or worked off (< 0)         | (K,)     |
| q_jk   | backlog  | work of class j waiting at the end of epoch k,            | (K,)     |
|        |          | instance-equivalents times seconds                        |          |

load_served       U_k + sum_j (z_jk + f_jk) = sum_j load_j        0 <= z_jk <= max_rejected_j
served_or_not     z_jk + f_jk <= load_j
backlog_balance   q_jk = q_{j,k-1} + dt_k f_jk,                   q_jk >= 0
deadline          q_jk <= q_{j,-1} + sum_{k' in the last deadline} dt_k' (load_j - z_jk')

Work waits in the order in which it came: it meets its deadline as long as what waits came within
the last deadline. Waiting is priced by the hour against leaving q_{j,-1} waiting, and what is left
at the end as if it waited to its deadline. Only classes with a deferral have f and q; f <= 0 where
nothing more may be put off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import ClassProblem, PoolProblem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR, shift_matrix
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid


@dataclass(frozen=True)
class Service:
    """Columns of one pool's requests by class, each of shape (K,)."""

    rejected: dict[str, IndexArray]
    deferred: dict[str, IndexArray]
    """Only classes that may be deferred."""


def add_service(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, lens: Lens) -> Service:
    """Add one pool's rejected and deferred load by class, and what they cost."""
    rejected, deferred = {}, {}
    for requests in pool.classes:
        columns = builder.variables(
            f"{pool.name}.rejected.{requests.name}", grid.n_epochs, upper=requests.max_rejected
        )
        builder.cost("rejected", columns, requests.value_per_instance_s * grid.epoch_durations_s)
        rejected[requests.name] = columns
        if requests.deferral is not None:
            deferred[requests.name] = _add_deferral(builder, pool, requests, grid, columns)
    away: list[Term] = [(1.0, c) for c in (*rejected.values(), *deferred.values())]
    builder.rows(
        f"{pool.name}.load_served",
        grid.n_epochs,
        [(1.0, lens.load), *away],
        lower=pool.load,
        upper=pool.load,
    )
    return Service(rejected=rejected, deferred=deferred)


def _add_deferral(
    builder: ProgramBuilder,
    pool: PoolProblem,
    requests: ClassProblem,
    grid: TimeGrid,
    rejected: IndexArray,
) -> IndexArray:
    deferral = requests.deferral
    assert deferral is not None
    name, epochs, seconds = requests.name, grid.n_epochs, grid.epoch_durations_s
    start = deferral.backlog_at_start
    deferred = builder.variables(
        f"{pool.name}.deferred.{name}",
        epochs,
        lower=-pool.instances,
        upper=requests.load if deferral.may_put_off else 0.0,
    )
    most = start + requests.load * grid.horizon_s
    backlog = builder.variables(f"{pool.name}.backlog.{name}", epochs, upper=most)
    builder.rows(
        f"{pool.name}.served_or_not.{name}",
        epochs,
        [(1.0, rejected), (1.0, deferred)],
        upper=requests.load,
    )
    first = np.zeros(epochs)
    first[0] = start
    change = np.eye(epochs) - shift_matrix(epochs)
    builder.rows(
        f"{pool.name}.backlog_balance.{name}",
        epochs,
        [(change, backlog), (-seconds, deferred)],
        lower=first,
        upper=first,
    )
    recent = recent_seconds(grid, deferral.deadline_s)
    builder.rows(
        f"{pool.name}.deadline.{name}",
        epochs,
        [(1.0, backlog), (recent, rejected)],
        upper=start + requests.load * recent.sum(axis=1),
    )
    waiting_h = 0.5 * (seconds + np.append(seconds[1:], 0.0)) / SECONDS_PER_HOUR
    waiting_h[-1] += deferral.deadline_s / SECONDS_PER_HOUR
    price = deferral.price_per_work_h
    builder.cost("delay", backlog, price * waiting_h)
    # Doing nothing would leave what waits at the start waiting throughout: that costs nothing.
    nothing_done_s = grid.horizon_s + deferral.deadline_s - 0.5 * seconds[0]
    builder.constant("delay", -price * start * float(nothing_done_s) / SECONDS_PER_HOUR)
    return deferred


def recent_seconds(grid: TimeGrid, length_s: float) -> FloatArray:
    """Return how long each epoch lies within the last ``length_s`` of the end of each, (K, K)."""
    begin = grid.epoch_starts_s
    end = begin + grid.epoch_durations_s
    overlap = np.minimum(end[None, :], end[:, None]) - np.maximum(begin, end[:, None] - length_s)
    return np.asarray(np.maximum(overlap, 0.0))
