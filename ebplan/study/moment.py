"""What a window is told at one moment of the market's clock, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.solvers.blocks.wear import layer_widths_kwh
from ebplan.solvers.program import FloatArray, IndexArray
from ebplan.study.slack import (
    UNCOVERED_TIMES,
    Needs,
    Open,
    energy_needs,
    open_awards,
    power_needs,
    room_needs,
)
from ebplan.study.window import GroupColumns, Window, is_bridged


@dataclass(frozen=True)
class GroupMoment:
    """A group over the window."""

    baseline_kw: FloatArray
    """Shape (T,)."""
    width_kw: FloatArray
    """Shape (T, K)."""
    lost_per_kwh: FloatArray
    """Shape (T, K)."""
    alone_kw: FloatArray
    """Shape (T, S)."""
    levy_per_kwh: FloatArray
    """What each kWh drawn costs besides its price, shape (T,)."""
    start_kwh: float
    layers_kwh: FloatArray
    """Energy in each depth layer at the start, shape (J,)."""
    peaks_kw: tuple[float, float]
    """Highest draw until now in the first and in the last month of the window."""


@dataclass(frozen=True)
class Moment:
    """Everything that changes from one solve to the next; T steps, S products."""

    groups: tuple[GroupMoment, ...]
    spot_per_kwh: FloatArray
    """Known or forecast, shape (T,)."""
    spread_per_kwh: float
    position_kw: FloatArray
    """Bought day-ahead; NaN where that is still open, shape (T,)."""
    award_kw: FloatArray
    """NaN where it is still open, shape (S, T)."""
    paid_per_kw: FloatArray
    """Expected for each kW bid, fees off, shape (S, T)."""
    energy_per_kwh: FloatArray
    """Expected for each kWh called, shape (S, T)."""
    held: NDArray[np.bool_]
    """Steps in which a product may be called, shape (S, T)."""
    block: IndexArray
    """Number of the block of each step: one bid for all of it, shape (S, T)."""
    demand_per_kw: tuple[FloatArray, ...]
    """Demand charge of the first and the last month in the window, by group, each (2,)."""
    last_month: NDArray[np.bool_]
    """Steps in a later month than the first, shape (T,)."""
    real: NDArray[np.bool_]
    """Steps within the study, shape (T,): after its end nothing happens."""
    terminal_per_kwh: float
    sure_load: bool
    """Whether the load is known; if not, it may turn out too low for an award that was given."""


@dataclass(frozen=True)
class GroupPlan:
    """What a group plans; T steps, K slices, S products."""

    charge_kw: FloatArray
    """Shape (T,)."""
    discharge_kw: FloatArray
    """Shape (T,)."""
    energy_kwh: FloatArray
    """At step edges, shape (T + 1,)."""
    release_kw: FloatArray
    """Shape (T, K)."""
    grid_kw: FloatArray
    """Shape (T,)."""
    battery_award_kw: FloatArray
    """To release, shape (S, T)."""
    compute_award_kw: FloatArray
    """To release, shape (S, T, K)."""
    absorb_award_kw: FloatArray
    """By the battery, to absorb, shape (S, T)."""


@dataclass(frozen=True)
class WindowPlan:
    """What a window answers."""

    objective: float
    """Money paid, less what the energy left is worth."""
    groups: tuple[GroupPlan, ...]
    position_kw: FloatArray
    """Shape (T,)."""
    award_kw: FloatArray
    """Shape (S, T)."""


def vectors_of(window: Window, moment: Moment) -> dict[str, FloatArray]:
    """Return cost and bounds of the window's program at a moment, by name."""
    program = window.program
    cost, lower, upper = window.base_cost.copy(), program.lower.copy(), program.upper.copy()
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    money = _money(window, moment)
    awards = open_awards(moment.award_kw, moment.held & moment.real, moment.block, money)
    vectors = _Vectors(window, cost, lower, upper, row_lower, row_upper, money, awards)
    _write_market(vectors, moment)
    for at, (columns, group) in enumerate(zip(window.columns.groups, moment.groups, strict=True)):
        _write_compute(vectors, moment, at, columns, group)
        if columns.energy is not None:
            _write_battery(vectors, moment, at, columns, group)
    return {
        "cost": cost,
        "lower": lower,
        "upper": upper,
        "row_lower": row_lower,
        "row_upper": row_upper,
    }


@dataclass(frozen=True)
class _Vectors:
    window: Window
    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    money: FloatArray
    """Earned by a kW of each award, shape (S, T)."""
    awards: Open

    def rows(self, name: str) -> slice:
        return self.window.row_ranges[name]


def _money(window: Window, moment: Moment) -> FloatArray:
    """Return what a kW of each award earns in each step, its calls paid for, shape (S, T)."""
    shape, like = window.shape, moment.paid_per_kw.shape
    called = np.array(shape.activation).reshape(like) - np.array(shape.absorption).reshape(like)
    return np.asarray(moment.paid_per_kw + called * window.hours * moment.energy_per_kwh)


def _write_market(v: _Vectors, moment: Moment) -> None:
    columns, hours, real = v.window.columns, v.window.hours, moment.real
    spot, spread = moment.spot_per_kwh, moment.spread_per_kwh
    v.cost[columns.position] = spot * hours
    v.cost[columns.bought] = (spot + spread) * hours
    v.cost[columns.sold] = -(spot - spread) * hours
    fixed = ~np.isnan(moment.position_kw)
    at = columns.position[fixed]
    v.lower[at] = v.upper[at] = moment.position_kw[fixed]
    for trade in (columns.bought, columns.sold):
        v.upper[trade[~fixed]] = 0.0
    for i, award in enumerate(columns.award):
        v.cost[award] = -v.money[i]
        given = ~np.isnan(moment.award_kw[i])
        v.lower[award[given]] = v.upper[award[given]] = moment.award_kw[i][given]
        v.upper[award[~real | (~given & ~moment.held[i])]] = 0.0
        v.lower[award[~real]] = 0.0  # a contract ends with the study
        if v.window.services[i].block > 1:
            rows = v.rows(f"{v.window.services[i].id}.block")
            apart = np.where(np.diff(moment.block[i]) == 0, 0.0, np.inf)
            apart[given[:-1] | given[1:] | ~real[1:]] = np.inf
            v.row_lower[rows], v.row_upper[rows] = -apart, apart


def _write_compute(
    v: _Vectors, moment: Moment, at: int, columns: GroupColumns, group: GroupMoment
) -> None:
    numbers, hours = v.window.groups[at], v.window.hours
    name = numbers.name
    width = np.where(moment.real[:, None], group.width_kw, 0.0)
    draw = v.rows(f"{name}.draw")
    v.row_lower[draw] = v.row_upper[draw] = np.where(moment.real, group.baseline_kw, 0.0)
    levy = np.where(moment.real, group.levy_per_kwh, 0.0)
    v.cost[columns.grid] = levy * hours
    for k, release in enumerate(columns.release):
        v.row_upper[v.rows(f"{name}.compute.{k}")] = width[:, k]
        v.cost[release] = group.lost_per_kwh[:, k] * hours
        for i, award in enumerate(columns.awards):
            called = np.array(v.window.shape.activation[i])
            v.cost[award.compute[k]] = called * (group.lost_per_kwh[:, k] - levy) * hours
    if numbers.battery is None:
        for i, service in enumerate(v.window.services):
            if is_bridged(service, numbers):
                v.row_upper[v.rows(f"{name}.{service.id}.alone")] = group.alone_kw[:, i]
    dear = _uncovered_price(moment) * hours
    to_release, to_absorb = power_needs(numbers, v.window.services)
    _write_slack(v, columns.uncovered_kw, to_release, dear)
    if columns.lacking is not None and not moment.sure_load:
        _write_slack(v, columns.lacking, to_release, dear)
    if columns.unabsorbed_kw is not None:
        _write_slack(v, columns.unabsorbed_kw, to_absorb, dear)
    v.cost[columns.peak] = moment.demand_per_kw[at]
    v.lower[columns.peak] = group.peaks_kw
    for i, inside in enumerate((~moment.last_month, moment.last_month)):
        rows = v.rows(f"{name}.peak.{i}")
        v.row_upper[rows] = np.where(inside & moment.real, 0.0, np.inf)
        if not inside.any():
            v.cost[columns.peak[i]] = 0.0


def _dumped(moment: Moment, group: GroupMoment) -> NDArray[np.bool_]:
    """Tell where one is paid to draw, shape (T,): no battery discharges there, or it would burn."""
    traded = np.where(np.isnan(moment.position_kw), 0.0, moment.spread_per_kwh)
    return np.asarray(moment.spot_per_kwh + group.levy_per_kwh - traded < 0.0)


def _uncovered_price(moment: Moment) -> float:
    dearest = float(np.abs(moment.spot_per_kwh).max())
    return UNCOVERED_TIMES * (dearest + moment.spread_per_kwh + 1.0)


def _write_slack(v: _Vectors, index: IndexArray, needs: Needs, dear: float | FloatArray) -> None:
    v.upper[index] = v.awards.most(needs)
    v.cost[index] = v.awards.price(needs, dear)


def _write_battery(
    v: _Vectors, moment: Moment, at: int, columns: GroupColumns, group: GroupMoment
) -> None:
    battery = v.window.groups[at].battery
    assert battery is not None
    assert columns.energy is not None
    assert columns.charge is not None
    assert columns.discharge is not None
    assert columns.uncovered_kwh is not None
    name, hours, problem = v.window.groups[at].name, v.window.hours, battery.problem
    v.lower[columns.energy[0]] = v.upper[columns.energy[0]] = group.start_kwh
    worn = problem.wear_per_kwh / battery.discharge_efficiency
    v.cost[columns.discharge] = worn * hours
    # the meter counts what is called: less is drawn, or more, at what is paid besides the price
    levy = np.where(moment.real, group.levy_per_kwh, 0.0)
    for i, award in enumerate(columns.awards):
        if award.battery is not None:
            v.cost[award.battery] = (worn - levy) * hours * np.array(v.window.shape.activation[i])
        if award.absorb is not None:
            v.cost[award.absorb] = levy * hours * np.array(v.window.shape.absorption[i])
    for idle in (columns.charge, columns.discharge):
        v.upper[idle[~moment.real]] = 0.0
    v.upper[columns.discharge[_dumped(moment, group)]] = 0.0
    v.cost[columns.energy[-1]] += -moment.terminal_per_kwh
    deepest = max((s.price_per_kwh for s in problem.depth_segments), default=0.0)
    dear = _uncovered_price(moment) + UNCOVERED_TIMES * (deepest + worn)
    services = v.window.services
    _write_slack(v, columns.uncovered_kwh, energy_needs(v.window.groups[at], services), dear)
    if columns.unstored_kwh is not None:
        _write_slack(v, columns.unstored_kwh, room_needs(battery, services), dear)
    if problem.depth_segments:
        widths = layer_widths_kwh(problem)
        for j in range(len(widths)):
            first = v.window.program.column_range(f"{name}.depth_energy.{j}").start
            v.lower[first] = v.upper[first] = group.layers_kwh[j]


def read_plan(window: Window, x: FloatArray, objective: float) -> WindowPlan:
    """Return a point of the window's program as a plan."""
    columns, steps = window.columns, window.steps
    none = np.zeros(steps)

    def of(index: IndexArray | None) -> FloatArray:
        return none if index is None else x[index]

    groups = []
    for group in columns.groups:
        energy = np.zeros(steps + 1) if group.energy is None else x[group.energy]
        groups.append(
            GroupPlan(
                charge_kw=of(group.charge),
                discharge_kw=of(group.discharge),
                energy_kwh=energy,
                release_kw=_table([x[r] for r in group.release], steps),
                grid_kw=x[group.grid],
                battery_award_kw=np.array([of(a.battery) for a in group.awards]).reshape(-1, steps),
                compute_award_kw=np.array(
                    [_table([x[c] for c in a.compute], steps) for a in group.awards]
                ).reshape(len(group.awards), steps, len(group.release)),
                absorb_award_kw=np.array([of(a.absorb) for a in group.awards]).reshape(-1, steps),
            )
        )
    award = np.array([x[a] for a in columns.award]).reshape(-1, steps)
    return WindowPlan(objective, tuple(groups), x[columns.position], award)


def _table(columns: Sequence[FloatArray], steps: int) -> FloatArray:
    """Return columns of shape (T,) side by side, (T, K)."""
    return np.column_stack(columns) if columns else np.zeros((steps, 0))
