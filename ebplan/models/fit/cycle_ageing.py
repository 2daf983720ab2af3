"""Fit the capacity lost by cycling to check-ups of cells cycled under several conditions.

As with rest (``calendar_ageing.py``), a condition counts once: its loss by the square root of full
cycles is what the law is fitted to.

Cells age at rest too while they are cycled. Where a model of that is given (``options.calendar``
names one that was fitted), its loss is taken off first, by the check-up's time, temperature and
mean state of charge, and what it leaves open widens the intervals (``rest_taken_off.py``); else
the law holds both, at the pace of the test, and the card says so.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.errors import InputError
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.card import Finding, ModelCard, Statistic, ValidRange
from ebplan.models.cycle_ageing import CycleAgeing, RestTakenOff, cycle_rates
from ebplan.models.fit import ageing_law, rest_taken_off
from ebplan.models.fit.ageing_law import FittedRates, RateLaw, fit_rates, leave_one_out
from ebplan.models.fit.build import rounded
from ebplan.models.fit.conditions import read_conditions, stress_arrays
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.named import load_named
from ebplan.models.fit.rest_taken_off import (
    TakenOff,
    carry_over,
    check_loss_left,
    loss_at_rest,
)

STRESSES = ("c_rate", "depth")
MOST_SLOPE = 100.0
"""Largest a / b: the loss then grows with the current from next to nothing."""


class CycleOptions(Part):
    """What a table of cycle tests does not say."""

    name: str
    """Name of the artefact."""
    title: str
    """The cell, in words."""
    calendar: str | None = None
    """Calendar ageing artefact whose loss at rest is taken off first: its name, or its file beside
    this one (.json). The table then also needs ``elapsed``, ``temperature`` and mean ``soc``."""
    temperature_c: tuple[float, float] | None = None
    """Temperatures of the tests, lowest and highest, where the table has no column for them."""
    depth_exponent: float | None = Field(default=None, ge=0.0, le=2.0)
    """Give it where all conditions have one depth; fitted where absent."""
    c_rate_slope_share: NonNegative | None = None
    """a / b, per C. Give it where all conditions have one rate (0: the rate does not matter);
    fitted where absent."""


def fit_cycle_ageing(
    data: Measurements, options: CycleOptions, *, calendar: CalendarAgeing | None = None
) -> CycleAgeing:
    """Fit the capacity lost by cycling.

    Args:
        data: check-ups with the label ``condition`` and the quantities ``c_rate``, ``depth``,
            ``full_cycles`` and ``capacity`` (share of the initial); with ``calendar`` also
            ``elapsed``, ``temperature`` and ``soc`` (mean).
        options: what the table does not say.
        calendar: what the cells lose at rest, taken off first; what the options name where absent.

    Raises:
        InputError: a condition is not one condition, there are too few, depth or rate do not
            vary enough to tell their effect, or the options name no calendar ageing.
        RangeError: the tests lie outside what ``calendar`` covers.
    """
    if calendar is None and options.calendar is not None:
        calendar = load_named(options.calendar, CalendarAgeing, "options.calendar")
    temperature = _temperatures(data, options)
    rest = None if calendar is None else loss_at_rest(data, calendar)
    conditions, data = read_conditions(data, STRESSES, "full_cycles", rest)
    if calendar is not None:
        check_loss_left(conditions, calendar, data.file)
    fitted, taken = fit_rates(_law(options), conditions, data.file), None
    if calendar is not None:
        fitted, taken = carry_over(fitted, data, calendar)
    log_b, exponent, slope = fitted.theta
    c_rate, depth = stress_arrays(conditions, STRESSES)
    covariance = [[rounded(v) for v in row] for row in fitted.covariance.tolist()]
    constant = float(np.exp(log_b)) / 1000.0**0.5
    return CycleAgeing(
        name=options.name,
        title=options.title,
        c_rate_constant=rounded(constant),
        c_rate_slope=rounded(constant * float(slope)),
        depth_exponent=rounded(float(exponent)),
        covariance=tuple((row[0], row[1], row[2]) for row in covariance),
        degrees=fitted.degrees,
        between_conditions=rounded(fitted.between),
        within_condition=rounded(fitted.within),
        valid_temperature_c=temperature,
        valid_depth=(float(depth.min()), float(depth.max())),
        valid_c_rate=(float(c_rate.min()), float(c_rate.max())),
        valid_full_cycles=max(float(c.x.max()) for c in conditions),
        rest=None if calendar is None else taken_off(calendar),
        measurement_point=data.measurement_point,
        points=ageing_law.ageing_points(
            fitted, {"c_rate": "c_rate", "depth": "depth"}, "full_cycles"
        ),
        card=_card(data, options, fitted, temperature, calendar, taken),
    )


def taken_off(calendar: CalendarAgeing) -> RestTakenOff:
    """Return which law of rest was taken off, so that a planner prices rest by the same."""
    return RestTakenOff(
        name=calendar.name,
        calendar_rate=calendar.calendar_rate,
        activation_energy_j_per_mol=calendar.activation_energy_j_per_mol,
        soc_cubic=calendar.soc_cubic,
    )


def _law(options: CycleOptions) -> RateLaw:
    exponent, slope = options.depth_exponent, options.c_rate_slope_share
    return RateLaw(
        rates=cycle_rates,
        stresses=STRESSES,
        names=("c_rate_constant", "depth_exponent", "c_rate_slope_share"),
        start=np.array(
            [0.0, 0.5 if exponent is None else exponent, 0.5 if slope is None else slope]
        ),
        free=np.array([True, exponent is None, slope is None]),
        lower=np.array([-np.inf, 0.0, 0.0]),
        upper=np.array([np.inf, 2.0, MOST_SLOPE]),
        unit=1000.0**-0.5,
    )


def _temperatures(data: Measurements, options: CycleOptions) -> tuple[float, float]:
    if "temperature" in data.values:
        value = data.quantity("temperature")
        return float(value.min()), float(value.max())
    if options.temperature_c is None:
        raise InputError(
            field="options.temperature_c",
            value=None,
            allowed="[lowest, highest] temperature of the tests in degrees Celsius",
            remedy="give it, or map the column temperature",
            file=data.file,
        )
    return options.temperature_c


def _card(
    data: Measurements,
    options: CycleOptions,
    fitted: FittedRates,
    temperature: tuple[float, float],
    calendar: CalendarAgeing | None,
    taken: TakenOff | None,
) -> ModelCard:
    left, needed = leave_one_out(fitted, data.file)
    c_rate, depth = stress_arrays(fitted.conditions, STRESSES)
    most = max(float(c.x.max()) for c in fitted.conditions)
    return ModelCard(
        title=options.title,
        summary="Capacity lost by cycling, by depth, rate and full cycles, with intervals for "
        "conditions that were not measured.",
        data=(data.dataset(), *(() if calendar is None else calendar.card.data)),
        method="`(a C + b) d^m sqrt(n)`, n full equivalent cycles of depth d. One rate of loss by "
        "condition, least squares through the initial capacity; the law is fitted to those, a "
        "condition counting once however many check-ups it has. Intervals: Student's t with the "
        "conditions' degrees of freedom, from the parameters' covariance, the spread of "
        "conditions off the law and of check-ups off their condition.",
        residuals=(
            *_parameters(fitted),
            *ageing_law.residual_statistics(fitted),
            *(() if taken is None else rest_taken_off.statistics(taken)),
        ),
        leave_one_out=ageing_law.left_out_statistics(left),
        excluded=(*data.excluded, *ageing_law.excluded(fitted)),
        validity=tuple(
            ValidRange(name=name, low=low, high=high, unit=unit)
            for name, low, high, unit in (
                ("temperature of the cells", *temperature, "degrees Celsius"),
                ("depth of cycle", depth.min(), depth.max(), "share"),
                ("rate", c_rate.min(), c_rate.max(), "C"),
                ("full cycles", 0.0, most, "cycles"),
            )
        ),
        measurement_point=data.measurement_point,
        measurement_note="No power goes into this model. " + data.measurement_note,
        assumptions=ageing_law.given(fitted.law, ("1", "1", "1/C"), (1.0, 1.0, 1.0)),
        findings=(
            *ageing_law.findings(fitted, needed, "full cycles"),
            _about_rest(data, calendar, taken),
            *_about_temperature(temperature),
        ),
        not_for=(
            "cells of another make: the interval is for new conditions of these cells",
            "temperatures other than those of the tests: the law knows none",
            "more cycles than tested, but as an assumption",
        ),
    )


def _about_rest(
    data: Measurements, calendar: CalendarAgeing | None, taken: TakenOff | None
) -> Finding:
    if calendar is None or taken is None:
        unread = [name for name in ("elapsed", "soc") if name in data.values]
        return Finding(
            title="Loss at rest is inside",
            text="No model of rest was given: what the cells lost by the time that the test took "
            "counts as lost by cycling. Together with a model of rest it is counted twice."
            + (f" Not used without it: {', '.join(unread)}." if unread else ""),
        )
    return rest_taken_off.finding(taken, calendar)


def _about_temperature(temperature: tuple[float, float]) -> tuple[Finding, ...]:
    low, high = temperature
    if high - low <= 5.0:
        return ()
    return (
        Finding(
            title="Temperature moved and the law knows none",
            text=f"The tests ran from {low:g} to {high:g} degrees Celsius. What that did lies in "
            "the spread of conditions off the law.",
        ),
    )


def _parameters(fitted: FittedRates) -> tuple[Statistic, ...]:
    return ageing_law.parameter_statistics(
        fitted,
        (
            ("loss after 1,000 full cycles of depth 1, at 0 C", np.exp, 100.0, "percentage points"),
            ("exponent of depth", np.asarray, 1.0, "1"),
            ("growth with the rate", np.asarray, 1.0, "1/C"),
        ),
    )
