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

A pool has one lens for each way to run an instance (``solvers/operations.py``): its own, under a
locked clock (``clock_lock.*``: 0.98 of the same f, another s) and in a lower precision
(``TIER.*``: U and u in instances of that precision).

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
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR
from ebplan.solvers.operations import CLOCK_LOCK, Operation
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
    """Columns of one way to run a pool's instances, each of shape (K,)."""

    operation: Operation
    load: IndexArray
    """In instance-equivalents of the operation."""
    power: IndexArray


def add_lens(
    builder: ProgramBuilder,
    pool: PoolProblem,
    operation: Operation,
    grid: TimeGrid,
    active: IndexArray,
) -> Lens:
    """Add load and power of the ``active`` instances (K,), and the prices of running them close."""
    epochs, most, name = grid.n_epochs, operation.instances, operation.name
    lens = Lens(
        operation=operation,
        load=builder.variables(f"{name}.load", epochs, upper=most),
        power=builder.variables(f"{name}.power", epochs, upper=most * operation.full_kw),
    )
    for h, (slope, intercept) in enumerate(load_lines(operation)):
        builder.rows(
            f"{name}.natural_draw.{h}",
            epochs,
            [(1.0, lens.power), (-slope, lens.load), (-intercept, active)],
            upper=0.0,
        )
    for h, (slope, intercept) in enumerate(cap_lines(operation)):
        rho = operation.max_utilisation
        builder.rows(
            f"{name}.cap_frontier.{h}",
            epochs,
            [(1.0, lens.load), (-rho * slope, lens.power), (-rho * intercept, active)],
            upper=0.0,
        )
    builder.rows(
        f"{name}.cap_floor",
        epochs,
        [(1.0, lens.power), (-operation.cap_curve.floor_kw, active)],
        lower=0.0,
    )
    builder.rows(
        f"{name}.min_utilisation",
        epochs,
        [(1.0, lens.load), (-operation.min_utilisation, active)],
        lower=0.0,
    )
    builder.rows(
        f"{name}.full_draw",
        epochs,
        [(1.0, lens.power), (-operation.full_kw, active)],
        upper=0.0,
    )
    if not operation.may_cap:
        _hold_natural_draw(builder, operation, grid, active, lens)
    _price_congestion(builder, pool, grid, active, lens)
    _price_cap_depth(builder, pool, grid, active, lens)
    return lens


def _hold_natural_draw(
    builder: ProgramBuilder, operation: Operation, grid: TimeGrid, active: IndexArray, lens: Lens
) -> None:
    """Keep the power of active instances at their natural draw, from below."""
    epochs, name, ends = grid.n_epochs, operation.name, np.array(operation.utilisation_range)
    at_ends = natural_draw_kw(operation, ends)
    chosen: list[Term] = []
    for h, (slope, intercept) in enumerate(uncapped_lines(operation)):
        above_kw = operation.most_active * float((slope * ends + intercept - at_ends).max())
        lowest = builder.variables(f"{name}.uncapped.{h}", epochs, upper=1, integer=True)
        chosen.append((1.0, lowest))
        builder.rows(
            f"{name}.no_cap.{h}",
            epochs,
            [(1.0, lens.power), (-slope, lens.load), (-intercept, active), (-above_kw, lowest)],
            lower=-above_kw,
        )
    builder.rows(f"{name}.one_line", epochs, chosen, lower=1.0, upper=1.0)
    ((slope, intercept),) = chords(ends, at_ends)
    builder.rows(
        f"{name}.no_cap_secant",
        epochs,
        [(1.0, lens.power), (-slope, lens.load), (-intercept, active)],
        lower=0.0,
    )


def uncapped_lines(operation: Operation) -> Lines:
    """Return the lines of the load curve that are lowest at some load that can be reached."""
    low, high = operation.utilisation_range
    corners = [low, *(p for p in _corners(operation) if low < p < high), high]
    middle = 0.5 * (np.array(corners[:-1]) + np.array(corners[1:]))
    lines = load_lines(operation)
    drawn_kw = np.array([a * middle + b for a, b in lines])
    return tuple(lines[h] for h in sorted(set(drawn_kw.argmin(axis=0).tolist())))


def natural_draw_kw(operation: PoolProblem | Operation, utilisation: FloatArray) -> FloatArray:
    """Return the draw of one uncapped instance by the lines that are planned with, same shape."""
    lines = load_lines(operation)
    return np.asarray(np.min([a * utilisation + b for a, b in lines], axis=0))


def load_lines(operation: PoolProblem | Operation) -> Lines:
    """Return lines whose minimum interpolates the load curve from below."""
    points = _corners(operation)
    share = operation.draws_at_most if isinstance(operation, Operation) else 1.0
    return chords(points, share * operation.load_curve.power_kw(points))


def _corners(operation: PoolProblem | Operation) -> FloatArray:
    """Return the utilisations at which the lines touch the load curve."""
    pieces, lowest = CURVE_LINES, operation.min_utilisation
    if not operation.may_cap:  # the draw itself is planned then, not a bound on it
        while pieces < MOST_LINES and _error_share(operation, pieces) > UNCAPPED_ERROR:
            pieces *= 2
    spread = np.geomspace(lowest, 1.0, pieces + 1)
    if operation.instances <= EXACT_COUNTS:
        each = operation.load / np.arange(1, operation.instances + 1)
        inner = np.r_[each, operation.max_utilisation]
    else:
        inner = np.array([operation.usual_utilisation, operation.max_utilisation])
    inside = inner[(inner > lowest * 1.001) & (inner < 0.999)]
    return np.asarray(np.unique(np.r_[spread, inside]))


def _error_share(operation: PoolProblem | Operation, pieces: int) -> float:
    """Return how far so many lines lie below the load curve at most, as a share of it."""
    curve = operation.load_curve
    corners = np.geomspace(operation.min_utilisation, 1.0, pieces + 1)
    shares = np.linspace(0.0, 1.0, 9)
    at_corners_kw = curve.power_kw(corners)
    between = corners[:-1, None] + np.diff(corners)[:, None] * shares
    on_lines_kw = at_corners_kw[:-1, None] + np.diff(at_corners_kw)[:, None] * shares
    return float((1.0 - on_lines_kw / curve.power_kw(between)).max())


def cap_lines(operation: PoolProblem | Operation) -> Lines:
    """Return lines whose minimum interpolates the cap curve from below; the last one is 1."""
    curve = operation.cap_curve
    if curve.floor_kw >= curve.full_kw:
        return ((0.0, 1.0),)  # no cap that binds is allowed
    # From elasticity 1 on the cautious curve is one straight line.
    pieces = 1 if curve.elasticity >= 1.0 else CURVE_LINES
    points = np.linspace(curve.floor_kw, curve.full_kw, pieces + 1)
    return (*chords(points, curve.capacity(points)), (0.0, 1.0))


def _price_congestion(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, active: IndexArray, lens: Lens
) -> None:
    operation = lens.operation
    for i, step in enumerate(pool.congestion):
        rho = step.above_utilisation
        congested = builder.variables(
            f"{operation.name}.congested.{i}", grid.n_epochs, upper=operation.instances
        )
        for h, (slope, intercept) in enumerate(cap_lines(operation)):
            builder.rows(
                f"{operation.name}.congestion.{i}.{h}",
                grid.n_epochs,
                [
                    (1.0, congested),
                    (-1.0, lens.load),
                    (rho * slope, lens.power),
                    (rho * intercept, active),
                ],
                lower=0.0,
            )
        # priced by the load that is slowed, whatever serves it
        price_per_s = step.price_per_instance_h * operation.capacity_factor / SECONDS_PER_HOUR
        builder.cost("congestion", congested, price_per_s * grid.epoch_durations_s)


def _price_cap_depth(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, active: IndexArray, lens: Lens
) -> None:
    operation = lens.operation
    slope, intercept = operation.load_curve.tangent(operation.usual_utilisation)
    # A tangent at next to no load is steep: it reaches far above the draw at saturation.
    most_kw = operation.instances * (slope + max(intercept, 0.0))
    depth = builder.variables(f"{operation.name}.cap_depth", grid.n_epochs, upper=most_kw)
    builder.rows(
        f"{operation.name}.cap_depth",
        grid.n_epochs,
        [(1.0, depth), (1.0, lens.power), (-slope, lens.load), (-intercept, active)],
        lower=0.0,
    )
    price_per_kws = pool.cap_depth_per_kwh / SECONDS_PER_HOUR
    cause = "clocking" if operation.key == CLOCK_LOCK else "capping"
    builder.cost(cause, depth, price_per_kws * grid.epoch_durations_s)
