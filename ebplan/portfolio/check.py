"""A sharing replayed from the numbers of its sites: nothing here knows the program's rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import Shared
from ebplan.solvers.program import FloatArray
from ebplan.study.moment import GroupPlan
from ebplan.study.numbers import GroupNumbers, ServiceNumbers, StudyNumbers

TOLERANCE = 1e-6
"""Of a group's or a region's size: rounding of a solver."""


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
        missing = shared.missing_kw[i], shared.missing_kwh[i]
        slack = TOLERANCE * max(1.0, float(group.baseline_kw.max()), _power_kw(group))
        for law, beyond in _of_group(numbers, group, plan, *missing):
            if beyond > slack:
                found.append(f"{group.name}: {law} by {beyond:.3g}")
    size = max(1.0, float(sum(g.baseline_kw.max() for g in numbers.groups)))
    for law, beyond in (
        *_of_awards(numbers, award_kw, shared),
        *_of_regions(numbers, regions, shared),
    ):
        if beyond > TOLERANCE * size:
            found.append(f"{law} by {beyond:.3g}")
    return found


def _power_kw(group: GroupNumbers) -> float:
    return 0.0 if group.battery is None else group.battery.problem.discharge_limit_kw


def held_kw(plan: GroupPlan) -> FloatArray:
    """Return what a group holds of each award, shape (S, T)."""
    return np.asarray(plan.battery_award_kw + plan.compute_award_kw.sum(axis=2))


def _of_group(
    numbers: StudyNumbers,
    group: GroupNumbers,
    plan: GroupPlan,
    missing_kw: FloatArray,
    missing_kwh: FloatArray,
) -> Iterator[tuple[str, float]]:
    gone = plan.release_kw.sum(axis=1) + plan.discharge_kw - plan.charge_kw
    yield (
        "draw is not baseline less what is released",
        _most(np.abs(plan.grid_kw - group.baseline_kw + gone)),
    )
    yield "draws more than its import limit", _most(plan.grid_kw - group.import_kw)
    called = plan.grid_kw - held_kw(plan).sum(axis=0) + missing_kw
    yield "feeds in more than its export limit", _most(-group.export_kw - called)
    used = plan.release_kw + plan.compute_award_kw.sum(axis=0)
    yield "releases more than compute can", _most(used - group.width_kw)
    least = [plan.charge_kw, plan.discharge_kw, plan.battery_award_kw, plan.compute_award_kw]
    yield "goes below nothing", max(_most(-values) for values in (*least, plan.release_kw))
    fast = [service.activation_s < group.settled_s for service in numbers.services]
    if group.battery is None:
        for i, service in enumerate(numbers.services):
            if fast[i]:
                alone = plan.compute_award_kw[i].sum(axis=1) - group.alone_kw[:, i] - missing_kw
                yield f"cannot give {service.id} within its time", _most(alone)
        return
    yield from _of_battery(numbers, group, plan, fast, (missing_kw, missing_kwh))


def _of_battery(
    numbers: StudyNumbers,
    group: GroupNumbers,
    plan: GroupPlan,
    fast: Sequence[bool],
    missing: tuple[FloatArray, FloatArray],
) -> Iterator[tuple[str, float]]:
    battery, hours = group.battery, numbers.hours
    assert battery is not None
    limits, into, out = battery.problem, battery.charge_efficiency, battery.discharge_efficiency
    called = [s.activation * plan.battery_award_kw[i] for i, s in enumerate(numbers.services)]
    taken = plan.discharge_kw + np.sum(called, axis=0)
    change = hours * (into * plan.charge_kw - taken / out)
    yield (
        "energy is not what was charged less what was taken",
        _most(np.abs(np.diff(plan.energy_kwh) - change)),
    )
    yield "does not begin as full as it is", abs(float(plan.energy_kwh[0]) - limits.start_kwh)
    yield "is fuller than it may be", _most(plan.energy_kwh - limits.max_kwh)
    yield "is emptier than it may be", _most(limits.min_kwh - plan.energy_kwh)
    yield "charges more than it can", _most(plan.charge_kw - limits.charge_limit_kw)
    both = np.minimum(plan.charge_kw * into, plan.discharge_kw / out)
    yield "charges and discharges at once", _most(both * (1.0 / into - out))
    asked, power = np.zeros(numbers.steps), plan.discharge_kw - plan.charge_kw
    for i, service in enumerate(numbers.services):
        bridged = plan.compute_award_kw[i].sum(axis=1) * fast[i]
        power = power + plan.battery_award_kw[i] + bridged
        seconds = service.sustain_s * plan.battery_award_kw[i] + group.bridge_s * bridged
        asked += seconds / 3600.0 / out
    yield "holds more than its power", _most(power - limits.discharge_limit_kw - missing[0])
    for edge in (plan.energy_kwh[:-1], plan.energy_kwh[1:]):
        yield "holds more than its energy", _most(limits.min_kwh + asked - edge - missing[1])


def _of_awards(
    numbers: StudyNumbers, award_kw: FloatArray, shared: Shared
) -> Iterator[tuple[str, float]]:
    held = np.sum([held_kw(plan) for plan in shared.plan.groups], axis=0)
    for i, service in enumerate(numbers.services):
        chosen = np.isnan(award_kw[i])
        asked = np.where(chosen, shared.plan.award_kw[i], award_kw[i])
        yield f"{service.id}: the parts are not the award", _most(np.abs(held[i] - asked))
        yield f"{service.id}: held where it is not", _most(held[i] * (service.held == 0.0))
        yield f"{service.id}: not one bid for a block", _unlike(service, held[i], chosen)


def _unlike(service: ServiceNumbers, held: FloatArray, chosen: FloatArray) -> float:
    """Return by how much what was chosen changes within a block."""
    same = np.diff(np.arange(len(held)) // service.block) == 0
    return _most(np.abs(np.diff(held)) * (same & chosen[1:] & chosen[:-1]))


def _of_regions(
    numbers: StudyNumbers, regions: Sequence[Region], shared: Shared
) -> Iterator[tuple[str, float]]:
    for region in regions:
        named = [
            (plan, shared.missing_kw[i])
            for i, plan in enumerate(shared.plan.groups)
            if numbers.groups[i].name in region.groups
        ]
        draw = np.sum([plan.grid_kw for plan, _ in named], axis=0)
        called = np.sum([held_kw(plan).sum(axis=0) - missing for plan, missing in named], axis=0)
        yield f"region {region.name}: above its import limit", _most(draw - region.import_kw)
        yield (
            f"region {region.name}: above its export limit",
            _most(called - draw - region.export_kw),
        )


def _most(values: FloatArray) -> float:
    return float(np.max(values, initial=0.0))
