"""How deep the energy lay that a plan takes out of the cells, from its states of charge alone."""

from __future__ import annotations

import numpy as np

from ebplan.checker.evidence import Evidence, FloatArray

Interval = tuple[float, float]
"""From one depth to another, in kWh."""


def wear_by_depth(evidence: Evidence) -> FloatArray:
    """Return the wear by depth of each step that takes energy out: a stack with holes.

    Energy is taken from the top and put back into the shallowest holes. A kWh costs what the
    segment costs in whose depth it lay.
    """
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None or not battery.depth_segments:
        return np.zeros(0)
    starts = [segment.from_kwh for segment in battery.depth_segments]
    prices = [segment.price_per_kwh for segment in battery.depth_segments]
    # holes: intervals of depth that are empty, shallow first; below all of them lies energy
    holes: list[Interval] = []
    money = []
    for change_kwh in np.diff(stored):
        if change_kwh < 0.0:
            taken, holes = _take(holes, -float(change_kwh))
            money.append(sum(_worn(starts, prices, a, b) for a, b in taken))
        else:
            holes = _fill(holes, float(change_kwh))
    return np.array(money)


def _take(holes: list[Interval], kwh: float) -> tuple[list[Interval], list[Interval]]:
    """Take energy from the shallowest depths that hold some; return what was taken and the holes.

    What is taken joins the holes it passes, so that one hole from the top is left.
    """
    taken, at = [], 0.0
    rest = list(holes)
    while kwh > 0.0:
        if rest and rest[0][0] <= at:
            at = max(at, rest.pop(0)[1])
            continue
        step = min(kwh, rest[0][0] - at) if rest else kwh
        taken.append((at, at + step))
        at, kwh = at + step, kwh - step
    while rest and rest[0][0] <= at:
        at = max(at, rest.pop(0)[1])
    return taken, [(0.0, at), *rest]


def _fill(holes: list[Interval], kwh: float) -> list[Interval]:
    """Fill the shallowest holes first; what is beyond them adds depth below everything."""
    left = []
    for begin, end in holes:
        filled = min(kwh, end - begin)
        kwh -= filled
        if begin + filled < end:
            left.append((begin + filled, end))
    return left


def _worn(starts: list[float], prices: list[float], begin: float, end: float) -> float:
    """Return the wear of the energy between two depths."""
    ends = [*starts[1:], np.inf]
    return sum(
        price * max(0.0, min(end, high) - max(begin, low))
        for low, high, price in zip(starts, ends, prices, strict=True)
    )
