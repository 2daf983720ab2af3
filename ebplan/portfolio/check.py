"""A sharing replayed from the numbers of its sites: nothing here knows the program's rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import Shared
from ebplan.solvers.program import FloatArray
from ebplan.study.moment import GroupPlan
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, ServiceNumbers, StudyNumbers

TOLERANCE = 1e-6
"""Of a group's or a region's size: rounding of a solver."""
Law = tuple[str, float]
"""A law, and by how much it is broken at most."""


def violations(
    numbers: StudyNumbers, award_kw: FloatArray, regions: Sequence[Region], shared: Shared
) -> list[str]:
    """Return the laws that a sharing breaks, each with by how much.

    Args:
        numbers: of the portfolio.
        award_kw: awards that are given, NaN where they were chosen, shape (S, T).
        regions: limits that groups share.
        shared: what is checked.
    """
    found = []
    for i, (group, plan) in enumerate(zip(numbers.groups, shared.plan.groups, strict=True)):
        power_kw = 0.0 if group.battery is None else group.battery.problem.discharge_limit_kw
        slack = TOLERANCE * max(1.0, float(group.baseline_kw.max()), power_kw)
        lacks = Lacks(*(lack[i] for lack in _lacks(shared)))
        laws = [*_of_meter(group, plan, lacks), *_of_compute(numbers, group, plan, lacks)]
        if group.battery is not None:
            laws += _of_cells(numbers, group.battery, plan)
            laws += _of_holding(numbers, group, group.battery, plan, lacks)
        found += [f"{group.name}: {law} by {most:.3g}" for law, most in laws if most > slack]
    slack = TOLERANCE * max(1.0, float(sum(g.baseline_kw.max() for g in numbers.groups)))
    laws = [*_of_awards(numbers, award_kw, shared), *_of_regions(numbers, regions, shared)]
    return found + [f"{law} by {most:.3g}" for law, most in laws if most > slack]


@dataclass(frozen=True)
class Lacks:
    """What a group lacks for awards that were given, shape (T,) each."""

    release_kw: FloatArray
    release_kwh: FloatArray
    absorb_kw: FloatArray
    absorb_kwh: FloatArray


def _lacks(shared: Shared) -> tuple[FloatArray, ...]:
    return shared.missing_kw, shared.missing_kwh, shared.unabsorbed_kw, shared.unstored_kwh


def held_kw(plan: GroupPlan) -> FloatArray:
    """Return what a group holds of each award to release, shape (S, T)."""
    return np.asarray(plan.battery_award_kw + plan.compute_award_kw.sum(axis=2))


def _of_meter(group: GroupNumbers, plan: GroupPlan, lacks: Lacks) -> Iterator[Law]:
    gone = plan.release_kw.sum(axis=1) + plan.discharge_kw - plan.charge_kw
    apart = np.abs(plan.grid_kw - group.baseline_kw + gone)
    yield "draw is not baseline less what is released", _most(apart)
    yield "draws more than its import limit", _most(plan.grid_kw - group.import_kw)
    called = plan.grid_kw + plan.absorb_award_kw.sum(axis=0) - lacks.absorb_kw
    yield "would absorb beyond its import limit", _most(called - group.import_kw)
    called = plan.grid_kw - held_kw(plan).sum(axis=0) + lacks.release_kw
    yield "would feed in beyond its export limit", _most(-group.export_kw - called)


def _of_compute(
    numbers: StudyNumbers, group: GroupNumbers, plan: GroupPlan, lacks: Lacks
) -> Iterator[Law]:
    used = plan.release_kw + plan.compute_award_kw.sum(axis=0)
    yield "releases more than compute can", _most(used - group.width_kw)
    parts = (plan.charge_kw, plan.discharge_kw, plan.release_kw)
    awards = (plan.battery_award_kw, plan.compute_award_kw, plan.absorb_award_kw)
    yield "goes below nothing", max(_most(-values) for values in (*parts, *awards))
    for i, service in enumerate(numbers.services):
        if group.battery is None and _bridged(service, group):
            alone = plan.compute_award_kw[i].sum(axis=1) - group.alone_kw[:, i]
            yield f"cannot give {service.id} in its time", _most(alone - lacks.release_kw)


def _bridged(service: ServiceNumbers, group: GroupNumbers) -> bool:
    return service.releases and service.activation_s < group.settled_s


def _of_cells(numbers: StudyNumbers, battery: BatteryNumbers, plan: GroupPlan) -> Iterator[Law]:
    """Yield the laws of the energy in the cells."""
    limits, into, out = battery.problem, battery.charge_efficiency, battery.discharge_efficiency
    taken, given = plan.discharge_kw.copy(), plan.charge_kw.copy()
    for i, service in enumerate(numbers.services):
        taken += service.activation * plan.battery_award_kw[i]
        given += service.absorption * plan.absorb_award_kw[i]
    change = numbers.hours * (into * given - taken / out)
    apart = np.abs(np.diff(plan.energy_kwh) - change)
    yield "energy is not what was charged less what was taken", _most(apart)
    yield "does not begin as full as it is", abs(float(plan.energy_kwh[0]) - limits.start_kwh)
    yield "is fuller than it may be", _most(plan.energy_kwh - limits.max_kwh)
    yield "is emptier than it may be", _most(limits.min_kwh - plan.energy_kwh)
    both = np.minimum(plan.charge_kw * into, plan.discharge_kw / out)
    yield "charges and discharges at once", _most(both * (1.0 / into - out))


def _of_holding(
    numbers: StudyNumbers,
    group: GroupNumbers,
    battery: BatteryNumbers,
    plan: GroupPlan,
    lacks: Lacks,
) -> Iterator[Law]:
    """Yield the laws of power, energy and room behind what is held."""
    limits, out = battery.problem, battery.discharge_efficiency
    energy, room = np.zeros(numbers.steps), np.zeros(numbers.steps)
    release_kw = plan.discharge_kw - plan.charge_kw
    absorb_kw, rated = -release_kw, np.zeros((2, numbers.steps))
    for i, service in enumerate(numbers.services):
        released, absorbed = plan.battery_award_kw[i], plan.absorb_award_kw[i]
        bridged = plan.compute_award_kw[i].sum(axis=1) * _bridged(service, group)
        release_kw = release_kw + released + bridged + service.opposite * absorbed
        absorb_kw = absorb_kw + absorbed + service.opposite * released
        energy += (service.sustain_s * released + group.bridge_s * bridged) / 3600.0 / out
        room += service.room_s / 3600.0 * battery.charge_efficiency * absorbed
        if service.rated > 1.0:
            rated += service.rated * np.array([released, absorbed])
    yield "charges more than it can", _most(plan.charge_kw - limits.charge_limit_kw)
    yield (
        "holds more to release than its power",
        _most(release_kw - limits.discharge_limit_kw - lacks.release_kw),
    )
    if any(service.absorbs or service.opposite > 0.0 for service in numbers.services):
        yield (
            "holds more to absorb than its power",
            _most(absorb_kw - limits.charge_limit_kw - lacks.absorb_kw),
        )
    yield (
        "has less power than is asked for what it holds",
        max(
            _most(rated[0] - limits.discharge_limit_kw - lacks.release_kw),
            _most(rated[1] - limits.charge_limit_kw - lacks.absorb_kw),
        ),
    )
    for edge in (plan.energy_kwh[:-1], plan.energy_kwh[1:]):
        yield (
            "holds more to release than its energy",
            _most(limits.min_kwh + energy - edge - lacks.release_kwh),
        )
        yield (
            "holds more to absorb than its room",
            _most(edge + room - limits.max_kwh - lacks.absorb_kwh),
        )


def _of_awards(numbers: StudyNumbers, award_kw: FloatArray, shared: Shared) -> Iterator[Law]:
    released = np.sum([held_kw(plan) for plan in shared.plan.groups], axis=0)
    absorbed = np.sum([plan.absorb_award_kw for plan in shared.plan.groups], axis=0)
    for i, service in enumerate(numbers.services):
        chosen = np.isnan(award_kw[i])
        asked = np.where(chosen, shared.plan.award_kw[i], award_kw[i])
        ways = (
            (service.releases, "release", released[i]),
            (service.absorbs, "absorb", absorbed[i]),
        )
        for sold, way, held in ways:
            apart = np.abs(held - (asked if sold else 0.0))
            yield f"{service.id}: the parts to {way} are not the award", _most(apart)
        yield f"{service.id}: held where it is not", _most(asked * (service.held == 0.0))
        yield f"{service.id}: not one bid for a block", _unlike(service, asked, chosen)


def _unlike(service: ServiceNumbers, held: FloatArray, chosen: FloatArray) -> float:
    """Return by how much what was chosen changes within a block."""
    same = np.diff(np.arange(len(held)) // service.block) == 0
    return _most(np.abs(np.diff(held)) * (same & chosen[1:] & chosen[:-1]))


def _of_regions(numbers: StudyNumbers, regions: Sequence[Region], shared: Shared) -> Iterator[Law]:
    for region in regions:
        _, lowest, highest = called_kw(numbers, region, shared)
        yield f"region {region.name}: above its import limit", _most(highest - region.import_kw)
        yield f"region {region.name}: above its export limit", _most(-region.export_kw - lowest)


def called_kw(
    numbers: StudyNumbers, region: Region, shared: Shared
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a region's draw, and the lowest and highest that awards may make it, shape (T,) each.

    What is missing for awards that were given is not called there.
    """
    named = [
        (plan, shared.missing_kw[i], shared.unabsorbed_kw[i])
        for i, plan in enumerate(shared.plan.groups)
        if numbers.groups[i].name in region.groups
    ]
    draw = np.sum([plan.grid_kw for plan, _, _ in named], axis=0)
    fewer = np.sum([held_kw(plan).sum(axis=0) - lack for plan, lack, _ in named], axis=0)
    more = np.sum([plan.absorb_award_kw.sum(axis=0) - lack for plan, _, lack in named], axis=0)
    return draw, draw - np.maximum(fewer, 0.0), draw + np.maximum(more, 0.0)


def _most(values: FloatArray) -> float:
    return float(np.max(values, initial=0.0))
