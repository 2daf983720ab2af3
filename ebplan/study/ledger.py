"""Money: what a track earns and costs, step by step and cause by cause; > 0 is earned.

Layers are those of the business: inference below all, grid services and arbitrage upon it, and what
they cost. Every yen stands in one layer and item; ``stock`` is the change of the energy stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ebplan.solvers.blocks.wear import calendar_rate_per_h
from ebplan.solvers.program import FloatArray
from ebplan.study.decisions import GroupTrack, Track
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, StudyNumbers

ROUNDING = 1e-6
"""A share of an award that is missing only by rounding is there."""
Entry = tuple[str, str]
"""Layer and item."""


@dataclass(frozen=True)
class Ledger:
    """Money by step; each array has shape (T,)."""

    of: dict[Entry, FloatArray]
    grid_kw: FloatArray
    """Draw at the connection points, mean over each step."""
    delivered_kwh: FloatArray
    """Released for products, shape (S, T)."""
    absorbed_kwh: FloatArray
    """Absorbed for products, shape (S, T)."""
    imbalance_kwh: FloatArray
    """Drawn beyond what was bought, activation apart, shape (T,)."""

    @property
    def total(self) -> float:
        """Everything earned less everything spent."""
        return float(sum(values.sum() for values in self.of.values()))

    def layer(self, name: str) -> FloatArray:
        """Return the money of a layer by step."""
        parts = [values for (layer, _), values in self.of.items() if layer == name]
        return np.asarray(np.sum(parts, axis=0)) if parts else np.zeros(len(self.grid_kw))


def settle(numbers: StudyNumbers, track: Track) -> Ledger:
    """Return the money of a track."""
    hours, market = numbers.hours, numbers.market
    baseline = np.sum([g.baseline_kw for g in numbers.groups], axis=0)
    delivered = _delivered_kwh(numbers, track)
    absorbed = np.asarray(sum(done.battery_absorbed_kwh for done in track.groups))
    absent = absent_of(numbers, track)
    draws = [_draws_kw(numbers, g, d) for g, d in zip(numbers.groups, track.groups, strict=True)]
    grid = np.sum(draws, axis=0)
    spot, spread = market.spot_per_kwh, market.intraday_spread_per_kwh
    planned = track.position_kw + track.bought_kw - track.sold_kw
    imbalance = (grid - planned) * hours + delivered.sum(axis=0) - absorbed.sum(axis=0)
    traded = (spot - spread) * track.sold_kw - (spot + spread) * track.bought_kw
    of: dict[Entry, FloatArray] = {
        ("inference", "requests"): hours * _sum(g.revenue_per_h for g in numbers.groups),
        ("inference", "energy"): -spot * baseline * hours,
        ("arbitrage", "day_ahead"): spot * (baseline - track.position_kw) * hours,
        ("arbitrage", "intraday"): traded * hours,
        ("imbalance", "imbalance"): -market.imbalance_per_kwh * imbalance,
    }
    for i, service in enumerate(numbers.services):
        missed = _sum(d.missed_kwh[i] for d in track.groups)
        of["grid_services", f"{service.id}.capacity"] = service.price_per_kw * track.award_kw[i]
        moved = delivered[i] - absorbed[i]
        of["grid_services", f"{service.id}.energy"] = service.energy_per_kwh * moved
        of["fees", service.id] = -service.fee_per_kw * track.award_kw[i]
        of["penalty", service.id] = -service.penalty_per_kwh * missed
        taken = service.unavailable_times * service.price_per_kw
        of["penalty", f"{service.id}.unavailable"] = -taken * absent[i]
    of["lost_compute", "lost_compute"] = -_sum(
        _lost(numbers, g, d) for g, d in zip(numbers.groups, track.groups, strict=True)
    )
    _add_levies(of, numbers, draws)
    _add_battery(of, numbers, track)
    _add_demand(of, numbers, draws)
    return Ledger(of, grid, delivered, absorbed, imbalance)


def _sum(parts: Iterable[FloatArray]) -> FloatArray:
    return np.asarray(np.sum(list(parts), axis=0))


def released_kwh(numbers: StudyNumbers, done: GroupTrack) -> FloatArray:
    """Return what compute gave, planned and called, by slice, shape (T, K)."""
    called = np.zeros_like(done.release_kw)
    for i, service in enumerate(numbers.services):
        called += service.activation[:, None] * done.compute_award_kw[i]
    return np.asarray((done.release_kw + called) * numbers.hours)


def _delivered_kwh(numbers: StudyNumbers, track: Track) -> FloatArray:
    """Return what was delivered for products, shape (S, T)."""
    out = np.zeros((len(numbers.services), numbers.steps))
    for i, service in enumerate(numbers.services):
        for done in track.groups:
            compute = done.compute_award_kw[i].sum(axis=1)
            out[i] += service.activation * compute * numbers.hours + done.battery_called_kwh[i]
    return out


def _draws_kw(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack) -> FloatArray:
    compute_kw = released_kwh(numbers, done).sum(axis=1) / numbers.hours
    called_kwh = (done.battery_called_kwh - done.battery_absorbed_kwh).sum(axis=0)
    battery_kw = done.discharge_kw - done.charge_kw + called_kwh / numbers.hours
    return np.asarray(group.baseline_kw - compute_kw - battery_kw)


def draw_kw(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack, step: int) -> float:
    """Return the mean draw of a group in one step."""
    compute_kw = float(done.release_kw[step].sum())
    for i, service in enumerate(numbers.services):
        compute_kw += float(service.activation[step] * done.compute_award_kw[i, step].sum())
    battery_kw = float(done.discharge_kw[step] - done.charge_kw[step])
    called_kwh = done.battery_called_kwh[:, step] - done.battery_absorbed_kwh[:, step]
    called_kw = float(called_kwh.sum()) / numbers.hours
    return float(group.baseline_kw[step]) - compute_kw - battery_kw - called_kw


def _lost(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack) -> FloatArray:
    return np.asarray((released_kwh(numbers, done) * group.lost_per_kwh).sum(axis=1))


def absent_of(numbers: StudyNumbers, track: Track) -> FloatArray:
    """Return the kW of each award that is not there in a step, either way, shape (S, T)."""
    pairs = list(zip(numbers.groups, track.groups, strict=True))
    release = sum(absent_kw(numbers, group, done) + done.lacking_kw for group, done in pairs)
    absorb = sum(unabsorbed_kw(numbers, group, done) for group, done in pairs)
    return np.maximum(release, absorb)


def unabsorbed_kw(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack) -> FloatArray:
    """Return the kW of each award that a group does not absorb in a step, shape (S, T).

    Missing may be room or power of the battery, or what the connection may draw. What is missing is
    taken off all products alike, and power beyond what is sold off those that ask for it.
    """
    held = done.absorb_award_kw
    if group.battery is None or not held.any():
        return np.zeros_like(held)
    battery, total = group.battery, held.sum(axis=0)
    room_s = np.array([service.room_s for service in numbers.services])
    fullest = np.maximum(done.energy_kwh[:-1], done.energy_kwh[1:])
    room = (battery.problem.max_kwh - fullest) / battery.charge_efficiency
    power = battery.problem.charge_limit_kw - done.charge_kw + done.discharge_kw
    draw = group.baseline_kw - done.release_kw.sum(axis=1) + done.charge_kw - done.discharge_kw
    there = np.minimum(
        _covered(room, room_s / 3600.0 @ held),
        _covered(np.minimum(power, group.import_kw - draw), total),
    )
    beyond = _unrated_kw(numbers, held, battery.problem.charge_limit_kw)
    return np.maximum(held * np.where(1.0 - there > ROUNDING, 1.0 - there, 0.0), beyond)


def absent_kw(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack) -> FloatArray:
    """Return the kW of each award that a group does not release in a step, shape (S, T).

    Missing may be energy or power of the battery, speed of the compute where there is none, or
    what the meter can show: a site cannot release more than it draws and may export. What is
    missing is taken off all products alike.
    """
    compute = done.compute_award_kw.sum(axis=2)
    whole = done.battery_award_kw + compute
    if not len(whole):
        return np.zeros_like(whole)
    if group.battery is None:
        fast = [s.activation_s < group.settled_s for s in numbers.services]
        slow = np.where(np.array(fast)[:, None], compute - group.alone_kw.T, 0.0)
        inside = np.where(slow > ROUNDING * compute, slow, 0.0)
    else:
        inside = _beyond_battery_kw(numbers, group, group.battery, done)
    total = whole.sum(axis=0)
    cover = group.baseline_kw + done.charge_kw - done.discharge_kw + group.export_kw
    missing = 1.0 - _covered(cover - done.release_kw.sum(axis=1), total)
    return np.asarray(np.maximum(inside, whole * np.where(missing > ROUNDING, missing, 0.0)))


def _beyond_battery_kw(
    numbers: StudyNumbers, group: GroupNumbers, battery: BatteryNumbers, done: GroupTrack
) -> FloatArray:
    """Return the kW of each award that energy or power do not cover in a step, shape (S, T)."""
    held = done.battery_award_kw.copy()
    need = np.zeros(numbers.steps)
    for i, service in enumerate(numbers.services):
        need += done.battery_award_kw[i] * service.sustain_s / 3600.0
        if service.activation_s < group.settled_s:
            bridged = done.compute_award_kw[i].sum(axis=1)
            held[i] += bridged
            need += bridged * group.bridge_s / 3600.0
    least = np.minimum(done.energy_kwh[:-1], done.energy_kwh[1:]) - battery.problem.min_kwh
    energy = _covered(least * battery.discharge_efficiency, need)
    room = battery.problem.discharge_limit_kw - done.discharge_kw + done.charge_kw
    missing = 1.0 - np.minimum(energy, _covered(room, held.sum(axis=0)))
    beyond = _unrated_kw(numbers, done.battery_award_kw, battery.problem.discharge_limit_kw)
    return np.maximum(held * np.where(missing > ROUNDING, missing, 0.0), beyond)


def _unrated_kw(numbers: StudyNumbers, held: FloatArray, most_kw: float) -> FloatArray:
    """Return the kW of each award for which a battery has not the power that its market asks for.

    Args:
        numbers: the study.
        held: by the battery, one way, shape (S, T).
        most_kw: its power that way.
    """
    rated = np.array([[s.rated if s.rated > 1.0 else 0.0] for s in numbers.services])
    missing = 1.0 - _covered(np.full(numbers.steps, most_kw), (rated * held).sum(axis=0))
    return np.asarray(held * (rated > 0.0) * np.where(missing > ROUNDING, missing, 0.0))


def _covered(there: FloatArray, needed: FloatArray) -> FloatArray:
    """Return what share of a need is there, 0 to 1."""
    full = np.ones_like(needed)
    share = np.divide(np.maximum(there, 0.0), needed, out=full, where=needed > 0.0)
    return np.minimum(share, 1.0)


def _add_battery(of: dict[Entry, FloatArray], numbers: StudyNumbers, track: Track) -> None:
    cycle, calendar, stock = (np.zeros(numbers.steps) for _ in range(3))
    for group, done in zip(numbers.groups, track.groups, strict=True):
        battery = group.battery
        if battery is None:
            continue
        problem, hours = battery.problem, numbers.hours
        given = done.discharge_kw * hours + done.battery_called_kwh.sum(axis=0)
        cycle += problem.wear_per_kwh * given / battery.discharge_efficiency
        if problem.depth_segments:
            prices = [segment.price_per_kwh for segment in problem.depth_segments]
            cycle += np.maximum(-np.diff(done.layers_kwh, axis=0), 0.0) @ np.array(prices)
        if problem.calendar:
            rate = calendar_rate_per_h(problem, done.energy_kwh)
            calendar += hours * (rate[1:] + rate[:-1]) / 2.0
        stock += numbers.terminal_per_kwh * np.diff(done.energy_kwh)
    of["wear", "cycling"] = -cycle
    of["wear", "calendar"] = -calendar
    of["stock", "energy_stored"] = stock


def _add_levies(
    of: dict[Entry, FloatArray], numbers: StudyNumbers, draws: list[FloatArray]
) -> None:
    """Charge each kWh drawn its wheeling and its carbon; without grid actions and the change apart.

    What is fed in counts as drawn less.
    """
    carbon = numbers.market.carbon_per_kg * numbers.market.carbon_kg_per_kwh
    for layer, rates in (
        ("wheeling", [group.wheeling_per_kwh for group in numbers.groups]),
        ("carbon", [carbon for _ in numbers.groups]),
    ):
        without, change = np.zeros(numbers.steps), np.zeros(numbers.steps)
        for rate, group, draw in zip(rates, numbers.groups, draws, strict=True):
            without -= rate * group.baseline_kw * numbers.hours
            change -= rate * (draw - group.baseline_kw) * numbers.hours
        of[layer, "without_actions"] = without
        of[layer, "change"] = change


def _add_demand(
    of: dict[Entry, FloatArray], numbers: StudyNumbers, draws: list[FloatArray]
) -> None:
    """Charge each month's highest step, in that step; without grid actions and the change apart."""
    baseline, change = np.zeros(numbers.steps), np.zeros(numbers.steps)
    for group, draw in zip(numbers.groups, draws, strict=True):
        for month in np.unique(numbers.month):
            inside = np.flatnonzero(numbers.month == month)
            for kw, into, sign in ((group.baseline_kw, baseline, -1.0), (draw, change, -1.0)):
                top = inside[int(np.argmax(kw[inside]))]
                into[top] += sign * group.demand_per_kw_month[month] * max(float(kw[top]), 0.0)
    of["demand_charge", "without_actions"] = baseline
    of["demand_charge", "change"] = change - baseline
