"""Who delivered: the battery by its own meter, compute as the rest, mechanisms by the plan.

The rest is metered too, and within it each pool that has a meter. What each mechanism of compute
did is not: the plan's contributions are taken, and what compute did beyond or short of their sum is
spread over them in proportion to their size. That is an attribution, and is called one; its
interval holds the errors of the meters alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ebplan.document import Part
from ebplan.errors import InputError
from ebplan.mechanisms import least_impact_first
from ebplan.plan import Plan
from ebplan.settlement.asked import Asked
from ebplan.settlement.number import Errors, Number
from ebplan.settlement.reference import noise_of
from ebplan.settlement.series import FloatArray, MeterSeries

How = Literal["metered", "rest", "pool_meter", "attributed"]
FEWEST_QUIET = 2
"""With fewer readings before the event nothing says what battery and pools usually do."""
NOTHING_KW = 1e-6
"""A plan in which compute moves less than this says nothing of who moved it."""


class Share(Part):
    """What one carried; positive in the direction asked."""

    name: str
    """``battery``, ``compute``, ``pool NAME``, a mechanism, or ``unattributed``."""
    how: How
    """By its own meter; what is left of the whole; by the meter of a pool, which is a part of
    compute; by the shares of the plan. Metered and rest add up to the whole, and so do the
    attributed to compute; pools do not where compute has losses or loads without a meter."""
    energy_kwh: Number
    """Delivered inside the event."""
    mean_kw: Number | None
    """Mean while the whole response is asked; None where it follows the frequency."""


def split(
    meter: MeterSeries,
    asked: Asked,
    change_kw: FloatArray,
    errors: Errors,
    *,
    quiet: NDArray[np.bool_],
    plan: Plan | None = None,
) -> tuple[Share, ...]:
    """Return who delivered what: battery and compute, pools, the attributed mechanisms of a plan.

    Battery and pools are measured against what they gave and drew in the quiet stretch, which is in
    the baseline.

    Args:
        meter: the series.
        asked: what is asked.
        change_kw: draw less baseline in each interval, shape (n,).
        errors: of the change.
        quiet: intervals before the event, shape (n,).
        plan: whose contributions tell the mechanisms apart.

    Raises:
        InputError: the plan does not reach into the event.
    """
    planned = {} if plan is None else contributions(plan, meter, asked)
    compute_kw, compute_errors, shares = change_kw, errors, []
    usually = quiet.sum() >= FEWEST_QUIET
    if meter.battery_kw is not None and usually:
        usual = meter.battery_kw[quiet]
        battery_kw = -(meter.battery_kw - usual.mean())
        battery_errors = noise_of(usual, errors.accuracy, errors.confidence)
        compute_kw, compute_errors = change_kw - battery_kw, errors.also(battery_errors)
        ones = np.ones(len(meter))
        shares = [
            _share("battery", "metered", meter, asked, battery_kw, battery_errors, ones),
            _share("compute", "rest", meter, asked, compute_kw, compute_errors, ones),
        ]
        planned.pop("battery", None)
    shares += _pools(meter, asked, errors, quiet) if usually else []
    return (*shares, *_attributed(planned, meter, asked, compute_kw, compute_errors))


def _pools(
    meter: MeterSeries, asked: Asked, errors: Errors, quiet: NDArray[np.bool_]
) -> list[Share]:
    """Return what each pool with a meter delivered; its own noise tells how sure that is."""
    found, ones = [], np.ones(len(meter))
    for name, kw in meter.pools_kw.items():
        usual = kw[quiet]
        mine = noise_of(usual, errors.accuracy, errors.confidence)
        change_kw = kw - usual.mean()
        found.append(_share(f"pool {name}", "pool_meter", meter, asked, change_kw, mine, ones))
    return found


def contributions(plan: Plan, meter: MeterSeries, asked: Asked) -> dict[str, FloatArray]:
    """Return the planned change of the draw by mechanism on the intervals, each of shape (n,).

    Raises:
        InputError: the plan does not reach into the event.
    """
    begin_s = meter.seconds(plan.start)
    edges_s = begin_s + np.array([*(s.t_s for s in plan.steps), 0.0])
    edges_s[-1] = edges_s[-2] + plan.steps[-1].duration_s
    ends_s = meter.time_s + meter.interval_s
    inside_s = meter.time_s[asked.inside]
    if edges_s[-1] <= inside_s[0] or edges_s[0] > inside_s[-1]:
        raise InputError(
            field="plan.start",
            value=plan.start.isoformat(),
            allowed="a plan that reaches into the event",
            remedy="give the plan that was carried out",
        )
    names = least_impact_first(name for step in plan.steps for name in step.mechanisms)
    found = {}
    for name in names:
        kw = np.array([step.mechanisms.get(name, 0.0) for step in plan.steps])
        summed = np.r_[0.0, np.cumsum(kw * np.diff(edges_s))]
        moved = np.interp(ends_s, edges_s, summed) - np.interp(meter.time_s, edges_s, summed)
        found[name] = moved / meter.interval_s
    return found


def _attributed(
    planned: dict[str, FloatArray],
    meter: MeterSeries,
    asked: Asked,
    kw: FloatArray,
    errors: Errors,
) -> list[Share]:
    """Spread a change over mechanisms; their shares add up to it, interval by interval."""
    moving = {name: value for name, value in planned.items() if (value != 0.0).any()}
    if not moving:
        return []
    size = np.sum([np.abs(value) for value in moving.values()], axis=0)
    known = size > NOTHING_KW
    rest = kw - np.sum(list(moving.values()), axis=0)
    found = []
    for name, value in moving.items():
        weight = np.where(known, np.abs(value) / np.where(known, size, 1.0), 0.0)
        mine = np.where(known, value + weight * rest, 0.0)
        found.append(_share(name, "attributed", meter, asked, mine, errors, weight))
    if (~known & asked.inside).any():
        left, nobody = np.where(known, 0.0, kw), (~known).astype(float)
        found.append(_share("unattributed", "attributed", meter, asked, left, errors, nobody))
    return found


def _share(
    name: str,
    how: How,
    meter: MeterSeries,
    asked: Asked,
    change_kw: FloatArray,
    errors: Errors,
    weight: FloatArray,
) -> Share:
    """Return energy and mean of one; ``weight``, shape (n,), is its part of the errors."""
    delivered = asked.sense * change_kw
    hours = meter.interval_s / 3600.0
    mean = None
    if asked.sustained.any():
        mean = _weighted(delivered, weight, asked.sustained, 1.0 / asked.sustained.sum(), errors)
    return Share(
        name=name,
        how=how,
        energy_kwh=_weighted(delivered, weight, asked.inside, hours, errors),
        mean_kw=mean,
    )


def _weighted(
    delivered: FloatArray,
    weight: FloatArray,
    where: NDArray[np.bool_],
    factor: float,
    errors: Errors,
) -> Number:
    value = factor * float(delivered[where].sum())
    part = weight[where]
    # the share of the errors that a mechanism is given is that of the power
    whole = np.divide(delivered[where], part, out=np.zeros(int(where.sum())), where=part > 0.0)
    half = errors.quantile * errors.of_sum(whole, factor * part)
    return Number(value=value, low=value - half, high=value + half)
