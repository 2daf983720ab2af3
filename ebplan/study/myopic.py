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
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, StudyNumbers
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
    numbers: StudyNumbers,
    at: int,
    battery: BatteryNumbers,
    group: GroupNumbers,
    day: _Day,
    kw: FloatArray,
    own: FloatArray,
) -> FloatArray:
    """Return what power, energy and room leave for a product, shape (T,).

    Args:
        numbers: the study.
        at: which product.
        battery: of the group.
        group: whose meter limits it.
        day: what the battery does.
        kw: draw without it.
        own: what contracts hold, shape (S, T).
    """
    service, problem, services = numbers.services[at], battery.problem, numbers.services
    draw = kw + day.charge_kw - day.discharge_kw
    sold = np.array([[s.releases, s.absorbs] for s in services], dtype=float)
    opposite = np.array([[s.opposite] for s in services])
    taken = (sold + opposite * sold[:, ::-1]).T @ own
    least = np.minimum(day.energy_kwh[:-1], day.energy_kwh[1:]) - problem.min_kwh
    room = problem.max_kwh - np.maximum(day.energy_kwh[:-1], day.energy_kwh[1:])
    ways = (
        (
            problem.discharge_limit_kw - day.discharge_kw,
            least * battery.discharge_efficiency,
            draw + group.export_kw,
            [s.sustain_s for s in services],
        ),
        (
            problem.charge_limit_kw - day.charge_kw,
            room / battery.charge_efficiency,
            group.import_kw - draw,
            [s.room_s for s in services],
        ),
    )
    limits = []
    for way, (power, stored, meter, seconds) in enumerate(ways):
        sells = sold[at, way]
        asks = max(sells + service.opposite * sold[at, 1 - way], service.rated * sells)
        if asks > 0.0:
            limits.append((power - taken[way]) / asks)
        if sells:
            limits.append(meter - sold[:, way] @ own)
        if seconds[at] > 0.0:
            held = np.array(seconds) @ own / 3600.0
            limits.append((stored - held) * 3600.0 / seconds[at])
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
        spare = [
            np.zeros(per_day)
            if group.battery is None
            else _spare_kw(numbers, best, group.battery, group, day, group.baseline_kw[steps], own)
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
