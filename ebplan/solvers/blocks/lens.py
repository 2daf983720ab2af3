"""Where an active instance is operated: the lens between capped and uncapped.

In the perspective form all quantities are totals over the A_k active instances, so that count,
load and power stay linear together. Curves: models/curves.py.

| symbol | name       | meaning                                        | shape |
|--------|------------|------------------------------------------------|-------|
| U_k    | load       | load served, in instance-equivalents           | (K,)  |
| P_k    | power      | settled power of the active instances, kW      | (K,)  |
| q_ik   | congested  | load above the i-th utilisation threshold      | (K,)  |
| v_k    | cap_depth  | power a cap takes below the natural draw, kW   | (K,)  |
| y_hk   | uncapped   | 1 where line h of the load curve is lowest     | (K,)  |

natural_draw     P_k <= f_h U_k + g_h A_k                 lines h through the load curve
cap_frontier     U_k <= rho (a_h P_k + b_h A_k)           lines h of the cap curve, the last is 1
cap_floor        P_k >= p_min A_k
min_utilisation  U_k >= u_min A_k
full_draw        P_k <= f(1) A_k                          nothing is drawn where nothing is active
no_cap_h         P_k >= f_h U_k + g_h A_k - M_h (1 - y_hk)   only where nothing may be capped:
one_line         sum_h y_hk = 1                              P_k is the lowest line, no less
no_cap_secant    P_k >= s U_k + c A_k                        secant of the curve, tightens these
congestion_i     q_ik >= U_k - rho_i (a_h P_k + b_h A_k)  priced: slower answers
cap_depth        v_k >= (alpha U_k + beta A_k) - P_k      priced: slower tokens

rho is the highest utilisation planned for. (alpha, beta) is the tangent of the load curve at the
utilisation of the start: it lies nowhere below the curve, so no cap is free, and next to nothing
above it where instances are operated (13 W per instance at saturation from a start at 0.55). A cap
above the natural draw is worth nothing, because P_k <= f(U_k) already.

Where nothing may be capped an instance draws f(u), and f is concave: from below it takes a binary
for each line. M_h is how far line h lies above the lowest over all that the counts allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.models.curves import Lines, chords
from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR, Counts
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid

CURVE_LINES = 4
"""Lines per concave curve: the load curve is then within 0.2 % of the law on u = 1/3..1."""
EXACT_COUNTS = 8
"""Up to this many instances the load curve has a corner at every load per instance that whole
instances give, so that the usual plans are exact."""
UNCAPPED_ERROR, MOST_LINES = 1.5e-3, 32
"""Where nothing may be capped, lines are added until they are this close to the curve: an instance
draws what it draws, and the checker lets 0.2 % pass."""


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
    if not pool.may_cap:
        _hold_natural_draw(builder, pool, grid, counts, lens)
    _price_congestion(builder, pool, grid, counts, lens)
    _price_cap_depth(builder, pool, grid, counts, lens)
    return lens


def _hold_natural_draw(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts, lens: Lens
) -> None:
    """Keep the power of active instances at their natural draw, from below."""
    epochs, ends = grid.n_epochs, _utilisation_range(pool)
    at_ends = natural_draw_kw(pool, ends)
    chosen: list[Term] = []
    for h, (slope, intercept) in enumerate(uncapped_lines(pool)):
        above_kw = pool.highest_active * float((slope * ends + intercept - at_ends).max())
        lowest = builder.variables(f"{pool.name}.uncapped.{h}", epochs, upper=1, integer=True)
        chosen.append((1.0, lowest))
        builder.rows(
            f"{pool.name}.no_cap.{h}",
            epochs,
            [
                (1.0, lens.power),
                (-slope, lens.load),
                (-intercept, counts.active),
                (-above_kw, lowest),
            ],
            lower=-above_kw,
        )
    builder.rows(f"{pool.name}.one_line", epochs, chosen, lower=1.0, upper=1.0)
    ((slope, intercept),) = chords(ends, at_ends)
    builder.rows(
        f"{pool.name}.no_cap_secant",
        epochs,
        [(1.0, lens.power), (-slope, lens.load), (-intercept, counts.active)],
        lower=0.0,
    )


def uncapped_lines(pool: PoolProblem) -> Lines:
    """Return the lines of the load curve that are lowest at some load that can be reached."""
    low, high = _utilisation_range(pool)
    corners = [low, *(p for p in _corners(pool) if low < p < high), high]
    middle = 0.5 * (np.array(corners[:-1]) + np.array(corners[1:]))
    drawn_kw = np.array([a * middle + b for a, b in load_lines(pool)])
    return tuple(load_lines(pool)[h] for h in sorted(set(drawn_kw.argmin(axis=0).tolist())))


def _utilisation_range(pool: PoolProblem) -> FloatArray:
    """Return the lowest and the highest load per active instance that can be reached, (2,)."""
    waits = any(requests.deferral is not None for requests in pool.classes)
    kept = 0.0 if waits else sum(c.load - c.max_rejected for c in pool.classes)
    low = max(pool.min_utilisation, kept / max(pool.highest_active, 1))
    high = pool.max_utilisation
    if not waits:
        high = min(high, pool.load / max(pool.fewest_active, 1))
    # a margin keeps rounding inside, and the range a range
    return np.array([low * (1.0 - 1e-4), max(high, low) * (1.0 + 1e-4)])


def natural_draw_kw(pool: PoolProblem, utilisation: FloatArray) -> FloatArray:
    """Return the draw of one uncapped instance by the lines that are planned with, same shape."""
    return np.asarray(np.min([a * utilisation + b for a, b in load_lines(pool)], axis=0))


def load_lines(pool: PoolProblem) -> Lines:
    """Return lines whose minimum interpolates the load curve from below."""
    points = _corners(pool)
    return chords(points, pool.load_curve.power_kw(points))


def _corners(pool: PoolProblem) -> FloatArray:
    """Return the utilisations at which the lines touch the load curve."""
    pieces = CURVE_LINES
    if not pool.may_cap:  # the draw itself is planned then, not a bound on it
        while pieces < MOST_LINES and _error_share(pool, pieces) > UNCAPPED_ERROR:
            pieces *= 2
    spread = np.geomspace(pool.min_utilisation, 1.0, pieces + 1)
    if pool.instances <= EXACT_COUNTS:
        inner = np.r_[pool.load / np.arange(1, pool.instances + 1), pool.max_utilisation]
    else:
        inner = np.array([pool.utilisation_at_start, pool.max_utilisation])
    inside = inner[(inner > pool.min_utilisation * 1.001) & (inner < 0.999)]
    return np.asarray(np.unique(np.r_[spread, inside]))


def _error_share(pool: PoolProblem, pieces: int) -> float:
    """Return how far so many lines lie below the load curve at most, as a share of it."""
    corners = np.geomspace(pool.min_utilisation, 1.0, pieces + 1)
    shares = np.linspace(0.0, 1.0, 9)
    at_corners_kw = pool.load_curve.power_kw(corners)
    between = corners[:-1, None] + np.diff(corners)[:, None] * shares
    on_lines_kw = at_corners_kw[:-1, None] + np.diff(at_corners_kw)[:, None] * shares
    return float((1.0 - on_lines_kw / pool.load_curve.power_kw(between)).max())


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
