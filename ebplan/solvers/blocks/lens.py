"""Where an active instance is operated: the lens between capped and uncapped.

In the perspective form all quantities are totals over the A_k active instances, so that count,
load and power stay linear together. Curves: models/curves.py.

| symbol | name       | meaning                                        | shape |
|--------|------------|------------------------------------------------|-------|
| U_k    | load       | load served, in instance-equivalents           | (K,)  |
| P_k    | power      | settled power of the active instances, kW      | (K,)  |
| q_ik   | congested  | load above the i-th utilisation threshold      | (K,)  |
| v_k    | cap_depth  | power a cap takes below the natural draw, kW   | (K,)  |

natural_draw     P_k <= f_h U_k + g_h A_k                 lines h through the load curve
cap_frontier     U_k <= rho (a_h P_k + b_h A_k)           lines h of the cap curve, the last is 1
cap_floor        P_k >= p_min A_k
min_utilisation  U_k >= u_min A_k
full_draw        P_k <= f(1) A_k                          nothing is drawn where nothing is active
congestion_i     q_ik >= U_k - rho_i (a_h P_k + b_h A_k)  priced: slower answers
cap_depth        v_k >= (alpha U_k + beta A_k) - P_k      priced: slower tokens

rho is the highest utilisation planned for. (alpha, beta) is the tangent of the load curve at the
utilisation of the start: it lies nowhere below the curve, so no cap is free, and next to nothing
above it where instances are operated (13 W per instance at saturation from a start at 0.55). A cap
above the natural draw is worth nothing, because P_k <= f(U_k) already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.models.curves import Lines, chords
from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR, Counts
from ebplan.solvers.program import IndexArray, ProgramBuilder
from ebplan.timegrid import TimeGrid

CURVE_LINES = 4
"""Lines per concave curve: the load curve is then within 0.2 % of the law on u = 1/3..1."""
EXACT_COUNTS = 8
"""Up to this many instances the load curve has a corner at every load per instance that whole
instances give, so that the usual plans are exact."""


@dataclass(frozen=True)
class Lens:
    """Columns of one pool's operation, each of shape (K,)."""

    load: IndexArray
    power: IndexArray


def add_lens(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts) -> Lens:
    """Add load, power and the prices of operating close to the edge."""
    epochs, most = grid.n_epochs, pool.instances
    lens = Lens(
        load=builder.variables(f"{pool.name}.load", epochs, upper=most),
        power=builder.variables(f"{pool.name}.power", epochs, upper=most * pool.full_kw),
    )
    for h, (slope, intercept) in enumerate(load_lines(pool)):
        builder.rows(
            f"{pool.name}.natural_draw.{h}",
            epochs,
            [(1.0, lens.power), (-slope, lens.load), (-intercept, counts.active)],
            upper=0.0,
        )
    for h, (slope, intercept) in enumerate(cap_lines(pool)):
        rho = pool.max_utilisation
        builder.rows(
            f"{pool.name}.cap_frontier.{h}",
            epochs,
            [(1.0, lens.load), (-rho * slope, lens.power), (-rho * intercept, counts.active)],
            upper=0.0,
        )
    builder.rows(
        f"{pool.name}.cap_floor",
        epochs,
        [(1.0, lens.power), (-pool.cap_curve.floor_kw, counts.active)],
        lower=0.0,
    )
    builder.rows(
        f"{pool.name}.min_utilisation",
        epochs,
        [(1.0, lens.load), (-pool.min_utilisation, counts.active)],
        lower=0.0,
    )
    builder.rows(
        f"{pool.name}.full_draw",
        epochs,
        [(1.0, lens.power), (-pool.full_kw, counts.active)],
        upper=0.0,
    )
    _price_congestion(builder, pool, grid, counts, lens)
    _price_cap_depth(builder, pool, grid, counts, lens)
    return lens


def load_lines(pool: PoolProblem) -> Lines:
    """Return lines whose minimum interpolates the load curve from below."""
    spread = np.geomspace(pool.min_utilisation, 1.0, CURVE_LINES + 1)
    if pool.instances <= EXACT_COUNTS:
        inner = np.r_[pool.load / np.arange(1, pool.instances + 1), pool.max_utilisation]
    else:
        inner = np.array([pool.utilisation_at_start, pool.max_utilisation])
    inside = inner[(inner > pool.min_utilisation * 1.001) & (inner < 0.999)]
    points = np.unique(np.r_[spread, inside])
    return chords(points, pool.load_curve.power_kw(points))


def cap_lines(pool: PoolProblem) -> Lines:
    """Return lines whose minimum interpolates the cap curve from below; the last one is 1."""
    curve = pool.cap_curve
    if curve.floor_kw >= curve.full_kw:
        return ((0.0, 1.0),)  # no cap that binds is allowed
    # From elasticity 1 on the cautious curve is one straight line.
    pieces = 1 if curve.elasticity >= 1.0 else CURVE_LINES
    points = np.linspace(curve.floor_kw, curve.full_kw, pieces + 1)
    return (*chords(points, curve.capacity(points)), (0.0, 1.0))


def _price_congestion(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts, lens: Lens
) -> None:
    for i, step in enumerate(pool.congestion):
        rho = step.above_utilisation
        congested = builder.variables(
            f"{pool.name}.congested.{i}", grid.n_epochs, upper=pool.instances
        )
        for h, (slope, intercept) in enumerate(cap_lines(pool)):
            builder.rows(
                f"{pool.name}.congestion.{i}.{h}",
                grid.n_epochs,
                [
                    (1.0, congested),
                    (-1.0, lens.load),
                    (rho * slope, lens.power),
                    (rho * intercept, counts.active),
                ],
                lower=0.0,
            )
        price_per_s = step.price_per_instance_h / SECONDS_PER_HOUR
        builder.cost("congestion", congested, price_per_s * grid.epoch_durations_s)


def _price_cap_depth(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts, lens: Lens
) -> None:
    slope, intercept = pool.load_curve.tangent(pool.utilisation_at_start)
    depth = builder.variables(
        f"{pool.name}.cap_depth", grid.n_epochs, upper=pool.instances * pool.full_kw
    )
    builder.rows(
        f"{pool.name}.cap_depth",
        grid.n_epochs,
        [(1.0, depth), (1.0, lens.power), (-slope, lens.load), (-intercept, counts.active)],
        lower=0.0,
    )
    price_per_kws = pool.cap_depth_per_kwh / SECONDS_PER_HOUR
    builder.cost("capping", depth, price_per_kws * grid.epoch_durations_s)
