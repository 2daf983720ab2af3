"""Battery behind its converter: energy, losses, limits, reserve, wear, value of what is left.

| symbol | name      | meaning                                       | shape    |
|--------|-----------|-----------------------------------------------|----------|
| d_t    | discharge | power given at the AC side, kW                | (T,)     |
| b_t    | charge    | power taken at the AC side, kW                | (T,)     |
| l_t    | loss      | converter loss, kW                            | (T,)     |
| e_t    | energy    | energy in the cells at step edges, kWh        | (T + 1,) |
| m      | dip       | deepest dip below the reserve, kWh            | (1,)     |
| y_i    | left      | energy left in value segment i, kWh           | (I,)     |
| n      | missing   | energy missing of what is to be restored, kWh | (1,)     |

soc_balance      e_{t+1} = e_t + h_t eta (b_t - l_t)               charging steps
                 e_{t+1} = e_t - h_t (d_t + l_t) / eta             discharging steps
converter_loss   l_t >= s_i x_t + o_i,  x_t = d_t + b_t            tangents of the loss curve
loss_ceiling     l_t <= chord x_t                                  no invented losses
reserve          e_t + m >= min(e_reserve, e_0)                    priced: what is there is kept
energy_left      e_T = sum_i y_i                                   valued
soc_restored     e_T + n >= e_restore                              priced, where asked

Loss curve l(x) = b1 x + b2 x^2 / rated. The no-load loss belongs to the site's other load: the
converter is always energised because droop is armed in it.

While the battery is restored (``Problem.restores``) b_t <= restore_limit_kw: what it adds to the
draw is limited, not the draw, so that no compute is moved to let it charge.

Direction is settled by bounds, not by binaries. To release, the battery discharges inside the
event and charges only outside it; to absorb, the other way round. Left free, the relaxation
charges and discharges at once to burn energy and reports a response that does not exist
(docs/formulation.md).

Where a target is followed both ways, or nothing is asked, the battery may work either way. There
l_t is the loss of giving and

| lc_t   | charge_loss | converter loss of taking, kW                 | (T,)     |
| z_r    | discharging | whether it may give in price run r           | (R,)     |

soc_balance      e_{t+1} = e_t + h_t eta (b_t - lc_t) - h_t (d_t + l_t) / eta
charging_loss, charging_loss_ceiling                               the same lines for lc_t and b_t
converter_share  d_t / d_max + b_t / b_max <= 1                    one converter
hull             e_t - h_t (d_t + l_t) / eta >= e_min,  e_t + h_t eta (b_t - lc_t) <= e_max
works_one_way    d_t <= d_max z_r,  b_t <= b_max (1 - z_r)         steps t of run r
                 z_r <= z_q where the price in r is the lower one

Where it is asked for (``exact_loss``), the power is cut into the straight parts p_i of the loss,
and a part is used once the one before is full (f_i = 1), so that the loss lies on its lines:

loss_power       d_t + b_t = sum_i p_it,   loss_exact   l_t + lc_t = sum_i s_i p_it
loss_filled      p_it >= w_i f_it,         loss_next    p_{i+1,t} <= w_{i+1} f_it

A run is neighbouring steps with one price at which burning energy pays (``burning_pays``); only
these have a binary. One for a whole run, and in the order of prices: the battery then cannot
alternate to burn what it could not burn at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import Lines
from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term

BoolArray = NDArray[np.bool_]

TANGENTS_AT = (0.0, 0.125, 0.375, 0.625, 0.875)
"""Where the loss curve is touched, as a share of rated power: the loss is then underestimated by
at most b2 / 64 of rated power, 0.03 % at b2 = 2 %."""


@dataclass(frozen=True)
class BatteryColumns:
    """Columns of the battery."""

    discharge: IndexArray
    charge: IndexArray
    loss: IndexArray
    energy: IndexArray
    dip: IndexArray
    charge_loss: IndexArray | None = None
    """Where the battery may work both ways in a step."""


def add_battery(
    builder: ProgramBuilder,
    problem: Problem,
    battery: BatteryProblem,
    ways: FloatArray | None = None,
    exact_loss: Sequence[int] = (),
) -> BatteryColumns:
    """Add the battery with its wear, reserve and terminal value.

    ``ways`` (T,) fixes the direction of steps that may have either: > 0 gives, < 0 takes. In the
    steps of ``exact_loss`` the loss is held to its lines from above as well.
    """
    steps = problem.grid.n_steps
    hours = problem.grid.durations_s / 3600.0
    may_discharge, may_charge = directions(problem, battery)
    two_way = may_discharge & may_charge
    loss_of_charging = may_charge & ~two_way
    if ways is not None:
        may_discharge, may_charge = may_discharge & (ways >= 0.0), may_charge & (ways <= 0.0)
    charge_loss = None
    if two_way.any():
        charge_loss = builder.variables("charge_loss", steps, upper=two_way * battery.rated_kw)
    # The contract of the battery: energy kept for the end may be worth a dip, the physical
    # minimum never.
    columns = BatteryColumns(
        discharge=builder.variables(
            "discharge", steps, upper=may_discharge * battery.discharge_limit_kw
        ),
        charge=builder.variables(
            "charge", steps, upper=may_charge * charge_limits_kw(problem, battery)
        ),
        loss=builder.variables("loss", steps, upper=battery.rated_kw),
        energy=builder.variables(
            "energy",
            steps + 1,
            lower=np.r_[battery.start_kwh, np.full(steps, battery.min_kwh)],
            upper=np.r_[battery.start_kwh, np.full(steps, battery.max_kwh)],
        ),
        dip=builder.variables("reserve_dip", 1, upper=battery.kept_kwh),
        charge_loss=charge_loss,
    )
    _balance_energy(builder, problem, battery, columns, loss_of_charging)
    _add_loss(builder, battery, columns, two_way)
    _hold_loss(builder, battery, columns, np.array(exact_loss, dtype=np.int64))
    _keep_one_way(builder, problem, battery, columns, np.flatnonzero(two_way))
    builder.rows(
        "reserve",
        steps,
        [(1.0, columns.energy[1:]), (1.0, np.repeat(columns.dip, steps))],
        lower=battery.kept_kwh,
    )
    builder.cost("reserve", columns.dip, problem.prices.reserve_per_kwh)
    out_of_cells = battery.wear_per_kwh * hours / battery.cell_efficiency
    builder.cost("wear", columns.discharge, out_of_cells)
    builder.cost("wear", columns.loss, out_of_cells * ~loss_of_charging)
    _value_energy_left(builder, battery, columns)
    _restore(builder, problem, columns)
    return columns


def _balance_energy(
    builder: ProgramBuilder,
    problem: Problem,
    battery: BatteryProblem,
    columns: BatteryColumns,
    loss_of_charging: BoolArray,
) -> None:
    """Let energy change by what reaches the cells and what leaves them, losses included."""
    hours, eta = problem.grid.durations_s / 3600.0, battery.cell_efficiency
    balance: list[Term] = [
        (1.0, columns.energy[1:]),
        (-1.0, columns.energy[:-1]),
        (hours / eta, columns.discharge),
        (-hours * eta, columns.charge),
        (np.where(loss_of_charging, hours * eta, hours / eta), columns.loss),
    ]
    if columns.charge_loss is not None:
        balance.append((hours * eta, columns.charge_loss))
    builder.rows("soc_balance", len(hours), balance, lower=0.0, upper=0.0)


def event_window(problem: Problem) -> BoolArray:
    """Return the steps inside the event, shape (T,)."""
    starts = problem.grid.starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)


def answering(problem: Problem, battery: BatteryProblem) -> BoolArray:
    """Return the steps of the event from the converter's answer on, shape (T,)."""
    awake = problem.grid.starts_s >= problem.event_start_s + battery.delay_s - 1e-9
    return np.asarray(event_window(problem) & awake)


def directions(problem: Problem, battery: BatteryProblem) -> tuple[BoolArray, BoolArray]:
    """Return the steps in which the battery may discharge and may charge, each (T,)."""
    inside, outside = answering(problem, battery), ~event_window(problem)
    if problem.asks != "one_way":
        both = inside | outside if problem.tracks else np.ones_like(inside)
        return both, both
    return (inside, outside) if problem.direction < 0 else (outside, inside)


def charge_limits_kw(problem: Problem, battery: BatteryProblem) -> FloatArray:
    """Return what the battery may take in each step, shape (T,): less while it is restored."""
    limit_kw = np.full(problem.grid.n_steps, battery.charge_limit_kw)
    if problem.restore_limit_kw is not None:
        slowly_kw = min(problem.restore_limit_kw, battery.charge_limit_kw)
        limit_kw[problem.restores] = slowly_kw
    return limit_kw


def response_limit_kw(problem: Problem, battery: BatteryProblem) -> FloatArray:
    """Return the converter power that answers the event, per step, shape (T,)."""
    limit = battery.discharge_limit_kw if problem.direction < 0 else battery.charge_limit_kw
    return np.where(answering(problem, battery), limit, 0.0)


def converter_limits_kw(problem: Problem, battery: BatteryProblem) -> tuple[FloatArray, FloatArray]:
    """Return what the converter can give and take in answer to a target both ways, each (T,)."""
    awake = answering(problem, battery)
    gives, takes = battery.discharge_limit_kw, battery.charge_limit_kw
    return np.where(awake, gives, 0.0), np.where(awake, takes, 0.0)


def burning_pays(battery: BatteryProblem, price_per_kwh: FloatArray) -> BoolArray:
    """Tell at which prices taking and giving at once would pay, or cost nothing; same shape.

    A kWh given takes 1 / r from the grid, r = eta^2 (1 - b) / (1 + b) with the loss b of the
    chord. At a price p <= 0 the difference earns -p (1 / r - 1) and wears the cells by c: it pays
    where c <= -p (1 / r - 1), (docs/formulation.md, section 3.5).
    """
    eta, chord = battery.cell_efficiency, loss_chord(battery)
    back = eta**2 * (1.0 - chord) / (1.0 + chord)
    worn = battery.wear_per_kwh * (1.0 + battery.loss_linear) / eta
    earned = -np.asarray(price_per_kwh) * (1.0 / back - 1.0)
    return np.asarray((earned >= worn) & (earned >= 0.0) & (back < 1.0))


def price_runs(problem: Problem, battery: BatteryProblem) -> NDArray[np.int64]:
    """Return the run that each step belongs to, from 0 on, -1 for none, shape (T,).

    Runs are neighbouring steps outside of what is tracked, with one price at which burning pays.
    """
    may_discharge, may_charge = directions(problem, battery)
    prices = problem.energy_prices_per_kwh
    burns = burning_pays(battery, prices) & may_discharge & may_charge & ~problem.in_event
    begins = burns & np.r_[True, ~burns[:-1] | (np.diff(prices) != 0.0)]
    return np.where(burns, np.cumsum(begins) - 1, -1)


def loss_chord(battery: BatteryProblem) -> float:
    """Return the slope of the line from no power to the higher limit of the converter."""
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    return battery.loss_linear + battery.loss_quadratic * most_kw / battery.rated_kw


def loss_lines(battery: BatteryProblem) -> Lines:
    """Return the tangents ``(slope, intercept)`` whose maximum is the loss that is planned with."""
    linear, quadratic, rated = battery.loss_linear, battery.loss_quadratic, battery.rated_kw
    touched = TANGENTS_AT if quadratic > 0.0 else (0.0,)
    return tuple((linear + 2.0 * quadratic * at, -quadratic * at**2 * rated) for at in touched)


def _add_loss(
    builder: ProgramBuilder, battery: BatteryProblem, columns: BatteryColumns, two_way: BoolArray
) -> None:
    steps, chord, lines = len(columns.discharge), loss_chord(battery), loss_lines(battery)
    taken = np.where(two_way, 0.0, 1.0)
    for i, (slope, intercept) in enumerate(lines):
        builder.rows(
            f"converter_loss.{i}",
            steps,
            [(1.0, columns.loss), (-slope, columns.discharge), (-slope * taken, columns.charge)],
            lower=intercept,
        )
    builder.rows(
        "loss_ceiling",
        steps,
        [(1.0, columns.loss), (-chord, columns.discharge), (-chord * taken, columns.charge)],
        upper=0.0,
    )
    if columns.charge_loss is None:
        return
    at = np.flatnonzero(two_way)
    loss, charge = columns.charge_loss[at], columns.charge[at]
    for i, (slope, intercept) in enumerate(lines):
        terms: list[Term] = [(1.0, loss), (-slope, charge)]
        builder.rows(f"charging_loss.{i}", len(at), terms, lower=intercept)
    builder.rows("charging_loss_ceiling", len(at), [(1.0, loss), (-chord, charge)], upper=0.0)


def loss_parts(battery: BatteryProblem) -> tuple[FloatArray, FloatArray]:
    """Return width (kW) and slope of each straight part of the planned loss, (P,) each."""
    slopes, intercepts = np.array(loss_lines(battery)).T
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    meet_kw = -np.diff(intercepts) / np.diff(slopes)
    edges_kw = np.r_[0.0, np.minimum(meet_kw, most_kw), most_kw]
    return np.diff(edges_kw), slopes


def _hold_loss(
    builder: ProgramBuilder, battery: BatteryProblem, columns: BatteryColumns, at: IndexArray
) -> None:
    """Hold the loss of the steps ``at`` to its lines: part i + 1 is used once part i is full."""
    widths, slopes = loss_parts(battery)
    losses = [columns.loss[at]]
    losses += [] if columns.charge_loss is None else [columns.charge_loss[at]]
    power: list[Term] = [(1.0, columns.discharge[at]), (1.0, columns.charge[at])]
    loss: list[Term] = [(1.0, part) for part in losses]
    before: IndexArray | None = None
    for i, (width, slope) in enumerate(zip(widths, slopes, strict=True)):
        part = builder.variables(f"loss_part.{i}", len(at), upper=float(width))
        power.append((-1.0, part))
        loss.append((-float(slope), part))
        if before is not None:
            terms: list[Term] = [(1.0, part), (-float(width), before)]
            builder.rows(f"loss_next.{i}", len(at), terms, upper=0.0)
        if i + 1 < len(widths):
            before = builder.variables(f"loss_full.{i}", len(at), upper=1, integer=True)
            terms = [(1.0, part), (-float(width), before)]
            builder.rows(f"loss_filled.{i}", len(at), terms, lower=0.0)
    builder.rows("loss_power", len(at), power, lower=0.0, upper=0.0)
    builder.rows("loss_exact", len(at), loss, lower=0.0, upper=0.0)


def _keep_one_way(
    builder: ProgramBuilder,
    problem: Problem,
    battery: BatteryProblem,
    columns: BatteryColumns,
    at: IndexArray,
) -> None:
    """Hold the steps ``at`` which the battery may work either way to what one converter can do."""
    if columns.charge_loss is None:
        return
    hours, eta = problem.grid.durations_s[at] / 3600.0, battery.cell_efficiency
    gives, takes = battery.discharge_limit_kw, battery.charge_limit_kw
    discharge, charge = columns.discharge[at], columns.charge[at]
    shares: list[Term] = [
        (1.0 / kw, part) for kw, part in ((gives, discharge), (takes, charge)) if kw > 0.0
    ]
    builder.rows("converter_share", len(at), shares, upper=1.0)
    before = columns.energy[:-1][at]
    terms: list[Term] = [(1.0, before), (-hours / eta, discharge), (-hours / eta, columns.loss[at])]
    builder.rows("hull.empty", len(at), terms, lower=battery.min_kwh)
    terms = [(1.0, before), (hours * eta, charge), (-hours * eta, columns.charge_loss[at])]
    builder.rows("hull.full", len(at), terms, upper=battery.max_kwh)

    run = price_runs(problem, battery)
    burns = np.flatnonzero(run >= 0)
    runs = np.unique(run[burns], return_index=True)[1]
    may_give = builder.variables("discharging", len(runs), upper=1, integer=True)
    chosen = may_give[run[burns]]
    terms = [(1.0, columns.discharge[burns]), (-gives, chosen)]
    builder.rows("works_one_way.discharge", len(burns), terms, upper=0.0)
    terms = [(1.0, columns.charge[burns]), (takes, chosen)]
    builder.rows("works_one_way.charge", len(burns), terms, upper=takes)
    by_price = may_give[np.argsort(problem.energy_prices_per_kwh[burns][runs], kind="stable")]
    prices = np.sort(problem.energy_prices_per_kwh[burns][runs])
    builder.rows(
        "works_one_way.order",
        max(len(runs) - 1, 0),
        [(1.0, by_price[:-1]), (-1.0, by_price[1:])],
        # equal prices far apart: giving in one and taking in the other burns as well
        lower=np.where(np.diff(prices) == 0.0, 0.0, -np.inf),
        upper=0.0,
    )


def _restore(builder: ProgramBuilder, problem: Problem, columns: BatteryColumns) -> None:
    """Ask for the energy to be restored, priced."""
    if problem.restore_kwh is None:
        return
    missing = builder.variables("soc_missing", 1, upper=problem.restore_kwh)
    terms: list[Term] = [(1.0, columns.energy[-1:]), (1.0, missing)]
    builder.rows("soc_restored", 1, terms, lower=problem.restore_kwh)
    builder.cost("recovery", missing, problem.prices.soc_missing_per_kwh)


def _value_energy_left(
    builder: ProgramBuilder, battery: BatteryProblem, columns: BatteryColumns
) -> None:
    """Value the energy left; its cause is the value lost against the start."""
    widths = np.array([segment.width_kwh for segment in battery.terminal])
    prices = np.array([segment.price_per_kwh for segment in battery.terminal])
    left = builder.variables("energy_left", len(widths), upper=widths)
    builder.rows(
        "energy_left",
        1,
        [(1.0, columns.energy[-1:]), (-np.ones((1, len(widths))), left)],
        lower=0.0,
        upper=0.0,
    )
    filled = np.clip(battery.start_kwh - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
    builder.cost("stored_energy", left, -prices)
    builder.constant("stored_energy", float(prices @ filled))
