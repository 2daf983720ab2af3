"""Requests: what is served and how, what is turned away, what is served later or earlier.

| symbol | name     | meaning                                                   | shape    |
|--------|----------|-----------------------------------------------------------|----------|
| z_jk   | rejected | rejected load of class j, instance-equivalents            | (K,)     |
| f_jk   | deferred | load of class j put off (> 0) or worked off (< 0)         | (K,)     |
| q_jk   | backlog  | work of class j waiting at the end of epoch k,            | (K,)     |
|        |          | instance-equivalents times seconds                        |          |
| h_jk   | pulled   | load of class j that is not due yet and served now        | (K,)     |
| l_jk   | lowered  | load of class j served at the lower precision             | (K,)     |

load_served       sum_i c_i U_ik + sum_j (z_jk + f_jk - h_jk) = sum_j load_j
                                                        0 <= z_jk <= max_rejected_j
served_or_not     z_jk + f_jk <= load_j
pull_forward      sum_k dt_k h_jk <= available_j
lowered_served    c_F U_Fk = sum_j l_jk
eligible          l_jk <= share_j (load_j - z_jk - f_jk + h_jk)
backlog_balance   q_jk = q_{j,k-1} + dt_k f_jk,                   q_jk >= 0
deadline          q_jk <= q_{j,-1} + sum_{k' in the last deadline} dt_k' (load_j - z_jk')

Work waits in the order in which it came: it meets its deadline as long as what waits came within
the last deadline. Waiting is priced by the hour against leaving q_{j,-1} waiting, and what is left
at the end as if it waited to its deadline. Only classes with a deferral have f and q (f <= 0 where
nothing more may be put off), only those with work that may be done ahead h, and only those that a
lower precision may serve l. c_i is what a saturated instance of operation i serves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import ClassProblem, PoolProblem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.epochs import change
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid


@dataclass(frozen=True)
class Service:
    """Columns of one pool's requests by class, each of shape (K,)."""

    rejected: dict[str, IndexArray]
    deferred: dict[str, IndexArray]
    """Only classes that may be deferred."""
    pulled: dict[str, IndexArray]
    """Only classes with work that may be done ahead."""
    lowered: dict[str, IndexArray]
    """Only classes that a lower precision may serve."""


def add_service(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, lenses: tuple[Lens, ...]
) -> Service:
    """Add what becomes of one pool's load by class, and what it costs."""
    rejected, deferred, pulled = {}, {}, {}
    lowered: dict[str, IndexArray] = {}
    for requests in pool.classes:
        columns = builder.variables(
            f"{pool.name}.rejected.{requests.name}", grid.n_epochs, upper=requests.max_rejected
        )
        builder.cost("rejected", columns, requests.value_per_instance_s * grid.epoch_durations_s)
        rejected[requests.name] = columns
        if requests.deferral is not None:
            deferred[requests.name] = _add_deferral(builder, pool, requests, grid, columns)
        if requests.pull_forward is not None:
            pulled[requests.name] = _add_pull_forward(builder, pool, requests, grid)
    away: list[Term] = [(1.0, c) for c in (*rejected.values(), *deferred.values())]
    away += [(-1.0, c) for c in pulled.values()]
    served: list[Term] = [(lens.operation.capacity_factor, lens.load) for lens in lenses]
    builder.rows(
        f"{pool.name}.load_served",
        grid.n_epochs,
        [*served, *away],
        lower=pool.load,
        upper=pool.load,
    )
    service = Service(rejected=rejected, deferred=deferred, pulled=pulled, lowered=lowered)
    if pool.tier is not None:
        _add_lowered(builder, pool, grid, lenses[-1], service)
    return service


def _add_pull_forward(
    builder: ProgramBuilder, pool: PoolProblem, requests: ClassProblem, grid: TimeGrid
) -> IndexArray:
    ahead, seconds = requests.pull_forward, grid.epoch_durations_s
    assert ahead is not None
    pulled = builder.variables(
        f"{pool.name}.pulled.{requests.name}", grid.n_epochs, upper=pool.most_served
    )
    builder.rows(
        f"{pool.name}.pull_forward.{requests.name}",
        1,
        [(seconds[None, :], pulled)],
        upper=ahead.available,
    )
    builder.cost("pull_forward", pulled, -ahead.value_per_work_h * seconds / SECONDS_PER_HOUR)
    return pulled


def _add_lowered(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, lens: Lens, service: Service
) -> None:
    """Route eligible load to the lower precision, which ``lens`` runs."""
    for requests in pool.classes:
        if requests.lowered is None:
            continue
        share, name = requests.lowered.eligible_share, requests.name
        columns = builder.variables(
            f"{pool.name}.lowered.{name}", grid.n_epochs, upper=pool.most_served
        )
        service.lowered[name] = columns
        terms: list[Term] = [(1.0, columns), (share, service.rejected[name])]
        if name in service.deferred:
            terms.append((share, service.deferred[name]))
        if name in service.pulled:
            terms.append((-share, service.pulled[name]))
        builder.rows(
            f"{pool.name}.eligible.{name}", grid.n_epochs, terms, upper=share * requests.load
        )
        price = requests.lowered.price_per_instance_s
        builder.cost("lowered", columns, price * grid.epoch_durations_s)
    builder.rows(
        f"{pool.name}.lowered_served",
        grid.n_epochs,
        [
            (lens.operation.capacity_factor, lens.load),
            *((-1.0, columns) for columns in service.lowered.values()),
        ],
        lower=0.0,
        upper=0.0,
    )


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
        lower=-pool.most_served,
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
    builder.rows(
        f"{pool.name}.backlog_balance.{name}",
        epochs,
        [(change(epochs), backlog), (-seconds, deferred)],
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
