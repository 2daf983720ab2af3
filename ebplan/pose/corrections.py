"""What tracking found of the models of pools and battery, put into a problem.

The ranges of the fitted models are asked of the models as fitted; the corrected curves are what the
plan is made with. A cap that takes only a share ``d`` of what it is meant to take loses the
capacity of the cap that is set, ``c``, and leaves the power

    p = full - d (full - c)

so that capacity falls ``1 / d`` times as fast with ``p``, and the lowest power lies higher. Below
saturation ``c`` lies nearer to the natural draw than this says, which errs on the safe side.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from pydantic import ValidationError

from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.problem import PoolProblem
from ebplan.site import Battery
from ebplan.state import PoolCorrection, State

LOWEST_EFFICIENCY = 0.55
"""Lowest one-way efficiency that is planned with, where the site's is not lower."""
WORTH_SAYING = 0.002
"""Share by which the battery differs from what its site says before a plan says so."""
STEEPEST = 4.0
"""Highest elasticity that a cap curve may have."""
LOADS = 60
"""Loads at which the limits that de-rated caps need are looked at."""


def battery_as_found(battery: Battery, state: State) -> Battery:
    """Return a battery that holds and loses what tracking found, within what is physical."""
    lowest = min(LOWEST_EFFICIENCY, battery.cell_efficiency)
    efficiency = battery.cell_efficiency * state.battery_efficiency_gain
    return battery.model_copy(
        update={
            "energy_kwh": battery.energy_kwh * state.battery_energy_gain,
            "cell_efficiency": min(max(efficiency, lowest), battery.highest_efficiency),
        }
    )


def battery_caveats(battery: Battery | None, state: State) -> tuple[str, ...]:
    """Say what a plan reckons with instead of what the site says of its battery."""
    if battery is None:
        return ()
    found, said = battery_as_found(battery, state), []
    if _differs(found.energy_kwh, battery.energy_kwh):
        said.append(
            f"The battery is planned to hold what was measured, {found.energy_kwh:.3g} kWh of "
            f"{battery.energy_kwh:g} kWh."
        )
    if _differs(found.cell_efficiency, battery.cell_efficiency):
        said.append(
            "The battery is planned with the one-way efficiency that was measured, "
            f"{found.cell_efficiency:.1%} where its site says {battery.cell_efficiency:.1%}."
        )
    return tuple(said)


def _differs(found: float, said: float) -> bool:
    """Tell whether a difference is worth a sentence."""
    return abs(found / said - 1.0) >= WORTH_SAYING


def with_capacity(fleet: FleetModel, by: PoolCorrection | None) -> FleetModel:
    """Return a fleet model whose instances serve what tracking found."""
    if by is None or by.capacity_gain == 1.0:
        return fleet
    workloads = {
        name: workload.model_copy(
            update={"capacity_req_per_s": workload.capacity_req_per_s * by.capacity_gain}
        )
        for name, workload in fleet.workloads.items()
    }
    return fleet.model_copy(update={"workloads": workloads})


def corrected(
    pool: PoolProblem, by: PoolCorrection | None, utilisation: float, device_kw: float
) -> PoolProblem:
    """Return a pool that draws what tracking found; capacity is corrected before.

    Args:
        pool: as its fitted models say.
        by: what tracking found, if anything.
        utilisation: highest utilisation, at which caps begin to cost capacity.
        device_kw: lowest limit that the GPUs of an instance accept together, seen at the
            connection point.
    """
    if by is None or by == PoolCorrection():
        return pool
    with suppress(ValidationError):  # no cap curve is left between the lowest power and the full
        found = _corrected(pool, by, utilisation)
        if by.cap_delivery == 1.0 or _caps_stay_above(found, by, device_kw):
            return found
    # Without caps nothing is de-rated. Nor is anything restored: what falls so far short is for a
    # person to put right, and no plan should stake an event on finding out.
    in_full = _corrected(pool, by.model_copy(update={"cap_delivery": 1.0}), utilisation)
    return in_full.model_copy(update={"may_cap": False, "correction": by})


def _caps_stay_above(pool: PoolProblem, by: PoolCorrection, device_kw: float) -> bool:
    """Whether no cap that a plan may ask for has to be set below the lowest limit of the GPUs.

    The set limit for a power ``p`` below the natural draw ``n`` is ``n - (n - p) / d``. At light
    load ``n`` is small, and with a small ``d`` the limit falls below the device's, or below zero.
    """
    curves = [(pool.load_curve, pool.cap_curve)]
    if pool.tier is not None:
        curves.append((pool.tier.load_curve, pool.tier.cap_curve))
    return all(
        _deepest_limit_kw(load, cap, by, pool) >= device_kw * (1.0 - 1e-9) for load, cap in curves
    )


def _deepest_limit_kw(
    load_curve: LoadCurve, cap_curve: CapCurve, by: PoolCorrection, pool: PoolProblem
) -> float:
    """Return the lowest limit per instance that some load and power of a plan would need."""
    u = np.linspace(pool.min_utilisation, pool.max_utilisation, LOADS)
    natural_kw = load_curve.power_kw(u)
    needed_kw = cap_curve.lowest_power_kw(u / pool.max_utilisation)
    taken_kw = np.maximum(natural_kw - needed_kw, 0.0)
    return float((natural_kw - taken_kw / by.cap_delivery).min())


def _corrected(pool: PoolProblem, by: PoolCorrection, utilisation: float) -> PoolProblem:
    """Return the pool with its curves corrected."""
    load_curve = corrected_load(pool.load_curve, by)
    changes: dict[str, object] = {
        "load_curve": load_curve,
        "drained_kw": pool.drained_kw * by.idle_gain,
        "cap_curve": _corrected_cap(pool.cap_curve, load_curve, by, pool, utilisation),
        "correction": by,
    }
    if pool.tier is not None:
        lowered = corrected_load(pool.tier.load_curve, by)
        capped = _corrected_cap(pool.tier.cap_curve, lowered, by, pool, utilisation)
        changes["tier"] = pool.tier.model_copy(update={"load_curve": lowered, "cap_curve": capped})
    if pool.clock_lock is not None:
        curve = pool.clock_lock.cap_curve
        full_kw = float(load_curve.power_kw(utilisation))
        # what a clock leaves is a share of the full power: its lowest moves along
        floor_kw = min(curve.floor_kw * full_kw / curve.full_kw, _lowest_kw(load_curve, pool))
        locked = curve.model_copy(update={"full_kw": full_kw, "floor_kw": floor_kw})
        changes["clock_lock"] = pool.clock_lock.model_copy(update={"cap_curve": locked})
    return PoolProblem.model_validate({**dict(pool), **changes})


def corrected_load(curve: LoadCurve, by: PoolCorrection) -> LoadCurve:
    """Return a load curve with its idle and its busy power corrected."""
    terms = tuple(
        term.model_copy(update={"amplitude_kw": term.amplitude_kw * by.busy_gain})
        for term in curve.terms
    )
    return curve.model_copy(update={"idle_kw": curve.idle_kw * by.idle_gain, "terms": terms})


def _corrected_cap(
    curve: CapCurve,
    load_curve: LoadCurve,
    by: PoolCorrection,
    pool: PoolProblem,
    utilisation: float,
) -> CapCurve:
    full_kw = float(load_curve.power_kw(utilisation))
    floor_kw = min(curve.floor_kw, _lowest_kw(load_curve, pool))
    elasticity = min(curve.elasticity / by.cap_delivery, STEEPEST)
    # where the elasticity is cut off, the floor is what keeps the capacity above nothing
    least_kw = full_kw * (1.0 - 1.0 / elasticity) if elasticity > 1.0 else 0.0
    floor_kw = max(full_kw - by.cap_delivery * (full_kw - floor_kw), least_kw)
    return CapCurve(
        full_kw=full_kw,
        elasticity=elasticity,
        floor_kw=min(floor_kw, _lowest_kw(load_curve, pool)),
    )


def _lowest_kw(load_curve: LoadCurve, pool: PoolProblem) -> float:
    return float(load_curve.power_kw(pool.min_utilisation))


def correction_caveats(name: str, by: PoolCorrection | None, *, may_cap: bool) -> tuple[str, ...]:
    """Say what a plan reckons with instead of what the fitted models say.

    Args:
        name: the pool.
        by: what tracking found, if anything.
        may_cap: whether de-rated caps are planned at all.
    """
    if by is None:
        return ()
    said = []
    if by.idle_gain != 1.0 or by.busy_gain != 1.0:
        said.append(
            f"Pool {name}: its power is planned as measured, {by.idle_gain:.3f} times its model "
            f"idle and {by.busy_gain:.3f} times what load adds."
        )
    if by.capacity_gain != 1.0:
        said.append(
            f"Pool {name}: its instances are planned to serve what was measured, "
            f"{by.capacity_gain:.3f} times their model."
        )
    if by.cap_delivery != 1.0 and not may_cap:
        said.append(
            f"Pool {name}: power caps delivered {by.cap_delivery:.0%}; at light load they would "
            "have to be set below the lowest limit of the GPUs, so none are planned, and none can "
            "show that they deliver again. Once they are put right, give the pool's state a "
            "correction with cap_delivery = 1."
        )
    elif by.cap_delivery != 1.0:
        said.append(
            f"Pool {name}: power caps are de-rated to the {by.cap_delivery:.0%} that they "
            "delivered, and set so much deeper."
        )
    return tuple(said)
