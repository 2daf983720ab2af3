"""Fit the capacity lost at rest to check-ups of cells stored under several conditions.

``benchmarks/validation/battery_forms.py`` fits other laws in the same way and leaves conditions
out: an exponential and a bare Tafel law of the state of charge are worse, laws with more parameters
no better. This one has the fewest, and is the law by which a planner prices wear.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.models.calendar_ageing import (
    ENERGY_UNIT,
    CalendarAgeing,
    calendar_rates,
)
from ebplan.models.card import ModelCard, Statistic, ValidRange
from ebplan.models.fit import ageing_law
from ebplan.models.fit.ageing_law import FittedRates, RateLaw, fit_rates, leave_one_out
from ebplan.models.fit.build import rounded
from ebplan.models.fit.conditions import Condition, read_conditions, stress_arrays
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_test_time
from ebplan.models.wear import SECONDS_PER_YEAR

STRESSES = ("temperature", "soc")
DAY_S = 86400.0


class CalendarOptions(Part):
    """What a table of check-ups does not say."""

    name: str
    """Name of the artefact."""
    title: str
    """The cell, in words."""
    activation_energy_j_per_mol: NonNegative | None = None
    """Give it where all conditions have one temperature; fitted where absent."""
    soc_cubic: float | None = Field(default=None, ge=0.0, lt=8.0)
    """Give it where all conditions have one state of charge (published: 4.745); fitted where
    absent."""


def fit_calendar_ageing(data: Measurements, options: CalendarOptions) -> CalendarAgeing:
    """Fit the capacity lost at rest.

    Args:
        data: check-ups with the label ``condition`` and the quantities ``temperature``, ``soc``,
            ``elapsed`` and ``capacity`` (share of the initial).
        options: what the table does not say.

    Raises:
        InputError: a condition is not one condition, there are too few, or temperature or state of
            charge do not vary enough to tell their effect.
    """
    check_test_time(data.quantity("elapsed"), data.file)
    conditions, data = read_conditions(data, STRESSES, "elapsed")
    fitted = fit_rates(_law(options), conditions, data.file)
    log_k, energy, cubic = fitted.theta
    temperature, soc = stress_arrays(conditions, STRESSES)
    covariance = [[rounded(v) for v in row] for row in fitted.covariance.tolist()]
    return CalendarAgeing(
        name=options.name,
        title=options.title,
        calendar_rate=rounded(float(np.exp(log_k)) / SECONDS_PER_YEAR**0.5),
        activation_energy_j_per_mol=rounded(energy * ENERGY_UNIT),
        soc_cubic=rounded(float(cubic)),
        covariance=tuple((row[0], row[1], row[2]) for row in covariance),
        degrees=fitted.degrees,
        between_conditions=rounded(fitted.between),
        within_condition=rounded(fitted.within),
        valid_temperature_c=(float(temperature.min()), float(temperature.max())),
        valid_soc=(float(soc.min()), float(soc.max())),
        valid_elapsed_s=max(float(c.x.max()) for c in conditions),
        measurement_point=data.measurement_point,
        points=ageing_law.ageing_points(
            fitted, {"temperature": "temperature_c", "soc": "soc"}, "elapsed_s"
        ),
        card=_card(data, options, fitted),
    )


def _law(options: CalendarOptions) -> RateLaw:
    energy, cubic = options.activation_energy_j_per_mol, options.soc_cubic
    return RateLaw(
        rates=calendar_rates,
        stresses=STRESSES,
        names=("calendar_rate", "activation_energy_j_per_mol", "soc_cubic"),
        start=np.array(
            [0.0, 3.0 if energy is None else energy / ENERGY_UNIT, 3.0 if cubic is None else cubic]
        ),
        free=np.array([True, energy is None, cubic is None]),
        lower=np.array([-np.inf, 0.0, 0.0]),
        upper=np.array([np.inf, 20.0, 8.0]),
        unit=SECONDS_PER_YEAR**-0.5,
    )


def _card(data: Measurements, options: CalendarOptions, fitted: FittedRates) -> ModelCard:
    left, needed = leave_one_out(fitted, data.file)
    return ModelCard(
        title=options.title,
        summary="Capacity lost at rest by temperature, state of charge and time, with intervals "
        "for conditions that were not measured.",
        data=(data.dataset(),),
        method="`k exp(-E/R (1/T - 1/298.15)) (1 + c (s - 0.5)^3) sqrt(t)`. One rate by condition, "
        "least squares through the initial capacity; the law is fitted to the rates, a condition "
        "counting once however many check-ups it has. Intervals: Student's t with the conditions' "
        "degrees of freedom, from the parameters' covariance, the spread of conditions off the "
        "law and of check-ups off their condition.",
        residuals=(*_parameters(fitted), *ageing_law.residual_statistics(fitted)),
        leave_one_out=ageing_law.left_out_statistics(left),
        excluded=(*data.excluded, *ageing_law.excluded(fitted)),
        validity=_validity(fitted.conditions),
        measurement_point=data.measurement_point,
        measurement_note="No power goes into this model. " + data.measurement_note,
        assumptions=ageing_law.given(fitted.law, ("1", "J/mol", "1"), (1.0, ENERGY_UNIT, 1.0)),
        findings=ageing_law.findings(fitted, needed, "time"),
        not_for=(
            "cells of another make: the interval is for new conditions of these cells",
            "pairs of temperature and state of charge beyond those tested together: the law takes "
            "the two effects to multiply, and what is measured there alone can tell",
            "longer times than tested, but as an assumption",
        ),
    )


def _parameters(fitted: FittedRates) -> tuple[Statistic, ...]:
    return ageing_law.parameter_statistics(
        fitted,
        (
            ("loss in the first year at 25 degC and SoC 0.5", np.exp, 100.0, "percentage points"),
            ("activation energy", np.asarray, ENERGY_UNIT / 1000.0, "kJ/mol"),
            ("cubic of the state of charge", np.asarray, 1.0, "1"),
        ),
    )


def _validity(conditions: tuple[Condition, ...]) -> tuple[ValidRange, ...]:
    temperature, soc = stress_arrays(conditions, STRESSES)
    longest = max(float(c.x.max()) for c in conditions) / DAY_S
    return tuple(
        ValidRange(name=name, low=low, high=high, unit=unit)
        for name, low, high, unit in (
            ("temperature of the cells", temperature.min(), temperature.max(), "degrees Celsius"),
            ("state of charge", soc.min(), soc.max(), "share"),
            ("time at rest", 0.0, longest, "d"),
        )
    )
