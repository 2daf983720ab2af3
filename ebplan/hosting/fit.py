"""The most units whose draw fits under a connection, with a call at any hour of the day.

For N units of draw b_h (hour h), a connection L and a call of depth d from hour s on, each hour
needs

    n_h = max(0, N b_h - L (1 - d))

from compute, at most N w_h, and from the battery, at most P and all hours together at most the
energy E at the start. Compute goes by its frontier from cheap to dear; the battery gives first what
compute cannot, then takes the place of the dearest slices: as every kWh of it replaces one of
theirs, and it is limited by power in an hour and energy in all, that greedy order is optimal.

    call       n_h <= N w_h + P_h;  sum_h (what the battery gives) / eta_d <= E
    bridge     compute is not there at once: where the notice is shorter than it takes to settle,
               the battery's power covers the need of the first hour whole, and its energy the
               bridge; without a battery only what compute gives at once counts
    notice     E = rest + eta_c sum over the notice of min(P, L - N b_h), at most what fits
    rest       between calls as much is charged again, under L - N b_h and P
    service    calls a year cost at most a share of the value of the requests
    normal     N b_h <= L

Every need grows and every room shrinks with N, so the largest N is found by bisection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.hosting.spec import HOURS, Contract
from ebplan.solvers.program import FloatArray

ROUNDS = 36
"""Of bisection: to a hundred-millionth of a unit in a thousand."""
EPSILON = 1e-9
DAYS = 365.0


@dataclass(frozen=True)
class Unit:
    """One unit of compute; K slices of what it can release, cheap to dear."""

    draw_kw: FloatArray
    """By hour of the day, shape (24,)."""
    width_kw: FloatArray
    """Shape (24, K)."""
    lost_per_kwh: FloatArray
    """Shape (24, K)."""
    at_once_kw: FloatArray
    """What compute releases within the notice without a battery, shape (24,)."""
    settled_s: float
    """From a command until compute has settled."""
    bridge_s: float
    """Seconds of full response that a battery gives meanwhile."""
    value_per_h: FloatArray
    """Value of its requests, shape (24,)."""


@dataclass(frozen=True)
class Store:
    """The battery of the connection."""

    power_kw: float
    usable_kwh: float
    """In the cells, between its limits of state of charge."""
    rest_kwh: float
    """Of that, between calls."""
    charge_efficiency: float = 1.0
    discharge_efficiency: float = 1.0


@dataclass(frozen=True)
class Call:
    """What a call costs."""

    lost: float
    """Value of compute lost."""
    released_kwh: float
    """By compute."""
    battery_kwh: float
    """Delivered by the battery."""


@dataclass(frozen=True)
class Fit:
    """What fits."""

    units: float
    binding: str
    """What a unit more would break: ``normal``, ``call``, ``bridge``, ``rest`` or ``service``."""
    draw_kw: float
    """Highest draw of the compute."""
    worst: Call
    """The dearest call."""
    lost_share: float
    """Of a year's value, if all calls are the dearest."""


def fit(
    unit: Unit, store: Store, contract: Contract, limit_kw: float, most_lost: float = 1.0
) -> Fit:
    """Return the most units that fit.

    Args:
        unit: what is multiplied.
        store: the battery.
        contract: what the grid may ask.
        limit_kw: what the connection carries when nothing is curtailed.
        most_lost: largest share of a year's value that calls may cost.
    """
    low, high = 0.0, limit_kw / float(unit.draw_kw.max())
    reason = "normal"
    if (broken := _broken(unit, store, contract, limit_kw, most_lost, high)) is None:
        low = high
    else:
        reason = broken
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            broken = _broken(unit, store, contract, limit_kw, most_lost, middle)
            if broken is None:
                low = middle
            else:
                high, reason = middle, broken
    calls = [c for c in _calls(unit, store, contract, limit_kw, low) if isinstance(c, Call)]
    worst = max(calls, key=lambda call: call.lost)
    return Fit(
        units=low,
        binding=reason,
        draw_kw=low * float(unit.draw_kw.max()),
        worst=worst,
        lost_share=_share(unit, contract, worst, low),
    )


def _broken(
    unit: Unit,
    store: Store,
    contract: Contract,
    limit_kw: float,
    most_lost: float,
    units: float,
) -> str | None:
    """Return what so many units break; None where they fit."""
    dearest = Call(0.0, 0.0, 0.0)
    for call in _calls(unit, store, contract, limit_kw, units):
        if isinstance(call, str):
            return call
        dearest = max(dearest, call, key=lambda one: one.lost)
    return "service" if _share(unit, contract, dearest, units) > most_lost else None


def _share(unit: Unit, contract: Contract, worst: Call, units: float) -> float:
    value = DAYS * units * float(unit.value_per_h.sum())
    return contract.calls_per_year * worst.lost / value if value > 0.0 else 0.0


def _calls(
    unit: Unit, store: Store, contract: Contract, limit_kw: float, units: float
) -> Iterator[Call | str]:
    """Yield the call from each hour of the day on, or what is broken by it."""
    for start in range(HOURS):
        yield _call(unit, store, contract, limit_kw, units, start)


def _call(
    unit: Unit, store: Store, contract: Contract, limit_kw: float, units: float, start: int
) -> Call | str:
    hours = (start + np.arange(contract.call_hours)) % HOURS
    draw = units * unit.draw_kw
    need = np.maximum(draw[hours] - limit_kw * (1.0 - contract.depth), 0.0)
    room = np.clip(limit_kw - draw, 0.0, store.power_kw)
    width = units * unit.width_kw[hours]
    must = np.maximum(need - width.sum(axis=1), 0.0)
    bridge_kwh = 0.0
    at_once = units * float(unit.at_once_kw[hours[0]])
    if contract.notice_s < unit.settled_s and need[0] > at_once + EPSILON:
        if need[0] > store.power_kw + EPSILON:
            return "bridge"
        bridge_kwh = float(need[0] - must[0]) * unit.bridge_s / 3600.0
    start_kwh = _charged(store, room, contract.notice_s, start)
    # what was charged within the notice is charged again within the next one
    again_kwh = start_kwh - store.rest_kwh + _restored(store, room, contract, start)
    left_kwh = min(start_kwh, again_kwh) * store.discharge_efficiency
    if must.max(initial=0.0) > store.power_kw + EPSILON:
        return "call"
    if must.sum() + bridge_kwh > left_kwh + EPSILON:
        short = must.sum() + bridge_kwh > start_kwh * store.discharge_efficiency + EPSILON
        return "call" if short else "rest"
    return _cheapest(
        need,
        must,
        width,
        unit.lost_per_kwh[hours],
        store.power_kw,
        left_kwh - bridge_kwh,
        bridge_kwh,
    )


def _charged(store: Store, room: FloatArray, notice_s: float, start: int) -> float:
    """Return the energy in the cells when a call begins, kWh."""
    energy, left_h, hour = store.rest_kwh, notice_s / 3600.0, start - 1
    while left_h > 0.0 and energy < store.usable_kwh and hour > start - 1 - 7 * HOURS:
        energy += min(left_h, 1.0) * store.charge_efficiency * float(room[hour % HOURS])
        left_h, hour = left_h - 1.0, hour - 1
    return min(energy, store.usable_kwh)


def _restored(store: Store, room: FloatArray, contract: Contract, start: int) -> float:
    """Return the energy that can be charged between two calls, kWh in the cells."""
    first = start + contract.call_hours
    hours = (first + np.arange(contract.rest_hours)) % HOURS
    return float(room[hours].sum()) * store.charge_efficiency


def _cheapest(
    need: FloatArray,
    must: FloatArray,
    width: FloatArray,
    price: FloatArray,
    power_kw: float,
    energy_kwh: float,
    bridge_kwh: float,
) -> Call:
    """Return the cheapest call: the battery takes the place of the dearest slices."""
    before = np.cumsum(width, axis=1) - width
    used = np.clip((need - must)[:, None] - before, 0.0, width)
    battery = must.copy()
    left = energy_kwh - float(must.sum())
    dearest_first = np.argsort(-price, axis=None, kind="stable")
    for at in dearest_first:
        h, k = np.unravel_index(at, price.shape)
        given = min(float(used[h, k]), power_kw - float(battery[h]), left)
        if given > 0.0:
            used[h, k] -= given
            battery[h] += given
            left -= given
    return Call(
        lost=float((used * price).sum()),
        released_kwh=float(used.sum()),
        battery_kwh=float(battery.sum()) + bridge_kwh,
    )
