"""Limits on time to first token and inter-token latency: hard ones bind, the others are priced.

| symbol | name | meaning                                                              | shape |
|--------|------|----------------------------------------------------------------------|-------|
| y_jk   | late | late load of class j by waiting, instance-equivalents                | (K,)  |
| w_jk   | slow | power below that at which tokens of class j come in time, kW         | (K,)  |

ttft_limit    U_k <= x* (a_h P_k + b_h A_k)                    lines h of the cap curve
itl_limit     P_k >= k* (alpha U_k + beta A_k)                 tangent of the load curve
ttft_cap      the same, where the limit on TTFT asks for it
ttft_priced   y_jk >= share_j (U_k - x_j (a_h P_k + b_h A_k))
itl_priced    w_jk >= k_j (alpha U_k + beta A_k) - P_k

x* is the highest utilisation at which the first token is in time, k* the lowest share of the
natural draw that leaves the speed asked for (models/latency_bounds.py). A pool without limits adds
nothing; a further way to run instances that no cap is shallow enough for is closed (x* = 0).
``late`` is charged per request: y_jk and the late load per kW of w_jk.
"""

from __future__ import annotations

from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.lens import Lens, cap_lines
from ebplan.solvers.operations import bounds_of
from ebplan.solvers.program import IndexArray, ProgramBuilder
from ebplan.timegrid import TimeGrid


def add_latency(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, active: IndexArray, lens: Lens
) -> None:
    """Add the limits on latency of one pool's classes to one way to run its instances.

    Args:
        builder: where to add them.
        pool: the pool.
        grid: steps and epochs.
        active: instances that run this way, shape (K,).
        lens: their load and power.
    """
    way, epochs = lens.operation, grid.n_epochs
    bounds = bounds_of(pool, way)
    slope, intercept = way.load_curve.tangent(pool.usual_utilisation)
    if bounds.max_utilisation is not None:
        x = bounds.max_utilisation
        for h, (a, b) in enumerate(cap_lines(way)):
            builder.rows(
                f"{way.name}.ttft_limit.{h}",
                epochs,
                [(1.0, lens.load), (-x * a, lens.power), (-x * b, active)],
                upper=0.0,
            )
    if bounds.power_share is not None:
        k = bounds.power_share
        builder.rows(
            f"{way.name}.{'itl_limit' if bounds.because_of == 'itl' else 'ttft_cap'}",
            epochs,
            [(1.0, lens.power), (-k * slope, lens.load), (-k * intercept, active)],
            lower=0.0,
        )
    seconds = grid.epoch_durations_s * way.capacity_factor
    for waits in bounds.priced_load:
        late = builder.variables(f"{way.name}.late.{waits.name}", epochs, upper=way.instances)
        reach = waits.share * waits.above_utilisation
        for h, (a, b) in enumerate(cap_lines(way)):
            builder.rows(
                f"{way.name}.ttft_priced.{waits.name}.{h}",
                epochs,
                [
                    (1.0, late),
                    (-waits.share, lens.load),
                    (reach * a, lens.power),
                    (reach * b, active),
                ],
                lower=0.0,
            )
        builder.cost("late", late, waits.price_per_s * seconds)
    for crawls in bounds.priced_power:
        most_kw = 2.0 * way.instances * way.full_kw
        slow = builder.variables(f"{way.name}.slow.{crawls.name}", epochs, upper=most_kw)
        k = crawls.below_share
        builder.rows(
            f"{way.name}.itl_priced.{crawls.name}",
            epochs,
            [(1.0, slow), (1.0, lens.power), (-k * slope, lens.load), (-k * intercept, active)],
            lower=0.0,
        )
        builder.cost("late", slow, crawls.price_per_s * crawls.late_per_kw * seconds)
