"""A rule that needs no optimiser: the bound below.

Each day the battery charges in the hours that are cheapest on a typical day, as the forecast has
it, and discharges in the dearest, whatever that wears; what power is spare is offered to the one
product that pays most, as far as the energy lasts. Compute rests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.solvers.program import FloatArray
from ebplan.study.decisions import Track, carry, empty_track
from ebplan.study.forecast import Forecaster
from ebplan.study.moment import GroupPlan, WindowPlan
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, ServiceNumbers, StudyNumbers
from ebplan.study.receding import whole_bids


@dataclass(frozen=True)
class _Day:
    """What the rule does with a battery in a day, shape (T,) and (T + 1,)."""

    charge_kw: FloatArray
    discharge_kw: FloatArray
    energy_kwh: FloatArray


def follow_rule(numbers: StudyNumbers, accepted: FloatArray) -> Track:
    """Return the track of the rule.

    Args:
        numbers: the study.
        accepted: share of a bid that the market takes, shape (S, T).
    """
    track, per_day = empty_track(numbers), numbers.steps_per_day
    spot = Forecaster(numbers.market.spot_per_kwh, per_day)
    for first in range(0, numbers.steps, per_day):
        typical = spot.known_until(first, first, per_day)
        days = [
            _by_rule(numbers, group, float(done.energy_kwh[first]), typical)
            for group, done in zip(numbers.groups, track.groups, strict=True)
        ]
        plan = _plan(numbers, days, accepted, track, first)
        steps = slice(first, first + per_day)
        track.position_kw[steps] = plan.position_kw
        track.award_kw[:, steps] = plan.award_kw
        carry(numbers, track, plan, first, per_day)
    return track


def _by_rule(
    numbers: StudyNumbers, group: GroupNumbers, energy_kwh: float, typical: FloatArray
) -> _Day:
    """Charge in the cheapest steps of a typical day, discharge in as many of the dearest."""
    steps, hours = len(typical), numbers.hours
    charge, discharge, path = np.zeros(steps), np.zeros(steps), np.full(steps + 1, energy_kwh)
    battery = group.battery
    if battery is None:
        return _Day(charge, discharge, path)
    problem = battery.problem
    span = problem.max_kwh - problem.min_kwh
    count = int(np.ceil(span / max(problem.charge_limit_kw * hours, 1e-9)))
    order = np.argsort(typical, kind="stable")
    cheap, dear = set(order[:count].tolist()), set(order[-count:].tolist())
    for t in range(steps):
        energy, net_kw = path[t], float(group.baseline_kw[t])
        if t in cheap:
            room = (problem.max_kwh - energy) / battery.charge_efficiency / hours
            charge[t] = max(min(problem.charge_limit_kw, room, group.import_kw - net_kw), 0.0)
        elif t in dear:
            there = (energy - problem.min_kwh) * battery.discharge_efficiency / hours
            discharge[t] = max(min(problem.discharge_limit_kw, there, net_kw), 0.0)
        into = charge[t] * battery.charge_efficiency
        path[t + 1] = energy + hours * (into - discharge[t] / battery.discharge_efficiency)
    return _Day(charge, discharge, path)


def _spare_kw(
    service: ServiceNumbers,
    battery: BatteryNumbers,
    group: GroupNumbers,
    day: _Day,
    kw: FloatArray,
    taken: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Return what power and energy leave for a product, shape (T,).

    Args:
        service: the product.
        battery: of the group.
        group: whose meter limits it.
        day: what the battery does.
        kw: draw without it.
        taken: power, and energy for it, that contracts hold.
    """
    problem, (taken_kw, taken_kwh) = battery.problem, taken
    draw = kw + day.charge_kw - day.discharge_kw
    limits = []
    if service.releases:
        least = np.minimum(day.energy_kwh[:-1], day.energy_kwh[1:]) - problem.min_kwh
        energy = least * battery.discharge_efficiency - taken_kwh
        limits += [
            energy * 3600.0 / service.sustain_s,
            (problem.discharge_limit_kw - day.discharge_kw - taken_kw) / service.rated,
            draw + group.export_kw - taken_kw,
        ]
    if service.absorbs:
        room = problem.max_kwh - np.maximum(day.energy_kwh[:-1], day.energy_kwh[1:])
        limits += [
            room / battery.charge_efficiency * 3600.0 / service.room_s,
            (problem.charge_limit_kw - day.charge_kw) / service.rated,
            group.import_kw - draw,
        ]
    if service.opposite > 0.0:
        other = problem.discharge_limit_kw - day.discharge_kw
        if service.releases:
            other = problem.charge_limit_kw - day.charge_kw
        limits.append(other / service.opposite)
    return np.asarray(np.maximum(np.min(limits, axis=0), 0.0))


def _plan(
    numbers: StudyNumbers, days: list[_Day], accepted: FloatArray, track: Track, first: int
) -> WindowPlan:
    per_day, products = numbers.steps_per_day, len(numbers.services)
    steps = slice(first, first + per_day)
    award = np.zeros((products, per_day))
    held = [np.zeros((products, per_day)) for _ in days]
    _hold_contracts(numbers, award, held, first)
    track.bid_kw[:, steps] = award
    daily = [i for i, s in enumerate(numbers.services) if s.contract_kw is None]
    if daily:
        best = max(daily, key=lambda i: float(numbers.services[i].price_per_kw.mean()))
        service = numbers.services[best]
        sustain_h = np.array([[s.sustain_s / 3600.0] for s in numbers.services])
        spare = [
            np.zeros(per_day)
            if group.battery is None
            else _spare_kw(
                service,
                group.battery,
                group,
                day,
                group.baseline_kw[steps],
                (own.sum(axis=0), (own * sustain_h).sum(axis=0)),
            )
            for group, day, own in zip(numbers.groups, days, held, strict=True)
        ]
        total = service.held[steps] * np.sum(spare, axis=0)
        of_block = total.reshape(-1, service.block).min(axis=1).repeat(service.block)
        bid = whole_bids(service, np.minimum(of_block, service.max_bid_kw))
        track.bid_kw[best, steps] = bid
        award[best] = bid * accepted[best, steps]
        share = np.divide(award[best], total, out=np.zeros(per_day), where=total > 0.0)
        for own, kw in zip(held, spare, strict=True):
            own[best] = kw * share
    ways = np.array([[s.releases, s.absorbs] for s in numbers.services]).reshape(-1, 2)
    groups = tuple(
        GroupPlan(
            charge_kw=day.charge_kw,
            discharge_kw=day.discharge_kw,
            energy_kwh=day.energy_kwh,
            release_kw=np.zeros((per_day, group.slices)),
            grid_kw=group.baseline_kw[steps] + day.charge_kw - day.discharge_kw,
            battery_award_kw=own * ways[:, :1],
            absorb_award_kw=own * ways[:, 1:],
            compute_award_kw=np.zeros((products, per_day, group.slices)),
        )
        for group, day, own in zip(numbers.groups, days, held, strict=True)
    )
    position = np.sum([g.grid_kw for g in groups], axis=0)
    return WindowPlan(0.0, groups, position, award)


def _hold_contracts(
    numbers: StudyNumbers, award: FloatArray, held: list[FloatArray], first: int
) -> None:
    """Hold what is contracted in the batteries, by their power, whatever it takes."""
    powers = np.array(
        [g.battery.problem.discharge_limit_kw if g.battery else 0.0 for g in numbers.groups]
    )
    for i, service in enumerate(numbers.services):
        if service.contract_kw is not None and powers.sum() > 0.0:
            award[i] = service.contract_kw * service.held[first : first + award.shape[1]]
            for own, power in zip(held, powers.tolist(), strict=True):
                own[i] = award[i] * power / powers.sum()
