"""Capacity lost at rest, fitted to check-ups: a mean, and an interval for cells not yet measured.

    loss = k exp(-E/R (1/T - 1/T_ref)) (1 + c (s - 1/2)^3) sqrt(t)

the form of Naumann et al., J. Energy Storage 17 (2018) 153, doi 10.1016/j.est.2018.01.019: an
Arrhenius law, a cubic of the state of charge s and the square root of time. It is the law of
``WearModel``, so that a planner can price wear by it.

The interval of a capacity knows two errors: how far a whole condition lies off the law (it grows
like the loss), and how far a check-up lies off its condition.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import Fraction, NonNegative, Positive
from ebplan.models.card import ModelCard
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import gradient, law_estimate, law_variance, student_quantile
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.models.wear import GAS_CONSTANT, KELVIN, SECONDS_PER_YEAR, SOC_MIDDLE
from ebplan.site import MeasurementPoint

REFERENCE_C = 25.0
"""Temperature at which the rate is stated, in degrees Celsius."""
ENERGY_UNIT = 1e4
"""Activation energies in J/mol are fitted in this unit, to be of order one."""


def calendar_rates(theta: FloatArray, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return the loss at rest as a share of capacity per square root of a second, shape (M,).

    Args:
        theta: ln(k sqrt(year)), activation energy in 10 kJ/mol, and the cubic c; shape (3,).
        temperature_c: in degrees Celsius, shape (M,).
        soc: state of charge, shape (M,).
    """
    log_k, energy, cubic = theta
    apart = 1.0 / (temperature_c + KELVIN) - 1.0 / (REFERENCE_C + KELVIN)
    warmer = np.exp(log_k - energy * ENERGY_UNIT / GAS_CONSTANT * apart)
    return np.asarray(warmer * (1.0 + cubic * (soc - SOC_MIDDLE) ** 3) / SECONDS_PER_YEAR**0.5)


class CalendarAgeing(WithPoints):
    """Capacity lost at rest."""

    kind: Literal["calendar_ageing"] = "calendar_ageing"
    """Document kind."""
    name: str
    """Name of the artefact."""
    title: str
    """The cell, in words."""
    calendar_rate: Positive
    """k: share of capacity per square root of a second, at 25 degrees Celsius and SoC 0.5."""
    activation_energy_j_per_mol: NonNegative
    """E."""
    soc_cubic: float = Field(ge=0.0, lt=8.0)
    """c; below 8 the loss is positive at every state of charge."""
    covariance: tuple[tuple[float, float, float], ...] = Field(min_length=3, max_length=3)
    """Of ln k, E in 10 kJ/mol, and c."""
    degrees: int = Field(ge=1)
    """Conditions less fitted parameters."""
    between_conditions: NonNegative
    """Standard deviation of a condition's rate off the law, in the unit of ``calendar_rate``."""
    within_condition: NonNegative
    """Standard deviation of a check-up off its condition, a share of capacity."""
    valid_temperature_c: tuple[float, float]
    """Temperatures measured, lowest and highest."""
    valid_soc: tuple[Fraction, Fraction]
    """States of charge measured, lowest and highest."""
    valid_elapsed_s: Positive
    """Longest time measured."""
    measurement_point: MeasurementPoint
    """Where the tables' powers are metered; no power goes into this model."""
    card: ModelCard
    """What it was made from."""

    def capacity(
        self,
        temperature_c: float,
        soc: float,
        seconds: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the capacity left after a time at rest, a share of the initial capacity.

        Args:
            temperature_c: of the cells, in degrees Celsius.
            soc: state of charge at which they rest.
            seconds: time at rest, shape () or (M,).
            confidence: share of check-ups of new conditions that the interval is made to hold.
            allow_extrapolation: accept what lies outside the ranges measured. Beyond the
                temperatures and states of charge the interval grows; that the law itself holds
                there, or for longer, nothing tells.

        Raises:
            RangeError: outside the ranges measured.
        """
        time = np.asarray(seconds, dtype=float)
        mean = 1.0 - self.loss(temperature_c, soc, time, allow_extrapolation=allow_extrapolation)
        at = (np.array([temperature_c]), np.array([soc]))
        known = law_variance(
            lambda theta: calendar_rates(theta, *at), self._theta(), np.array(self.covariance)
        )[0]
        spread = np.sqrt(time * (known + self.between_conditions**2) + self.within_condition**2)
        half = student_quantile(confidence, self.degrees) * spread
        return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=confidence)

    def rate(self, temperature_c: float, soc: float, *, confidence: float = CONFIDENCE) -> Estimate:
        """Return the loss of a new condition, share of capacity per square root of a second.

        Raises:
            RangeError: outside the ranges measured.
        """
        self._check(temperature_c, soc, np.zeros(1))
        at = (np.array([temperature_c]), np.array([soc]))
        return law_estimate(
            lambda theta: calendar_rates(theta, *at),
            self._theta(),
            np.array(self.covariance),
            off_the_law=self.between_conditions,
            confidence=confidence,
            degrees=self.degrees,
        )

    def loss_errors(
        self, temperature_c: FloatArray, soc: FloatArray, seconds: FloatArray
    ) -> FloatArray:
        """Return the independent errors of the mean loss, one standard deviation of each.

        Each is an error of every loss at once. Three are of the parameters, along the axes of
        their covariance; the last is of a whole condition off the law, common to all the losses.

        Args:
            temperature_c: in degrees Celsius, shape (M,).
            soc: state of charge, shape (M,).
            seconds: time at rest, shape (M,).

        Returns:
            Shares of capacity, shape (M, 4).
        """
        variance, axes = np.linalg.eigh(np.array(self.covariance))
        steps = axes * np.sqrt(np.maximum(variance, 0.0))
        slope = gradient(lambda theta: calendar_rates(theta, temperature_c, soc), self._theta())
        rates = np.column_stack([slope @ steps, np.full(len(seconds), self.between_conditions)])
        return np.asarray(rates * np.sqrt(seconds)[:, None])

    def loss(
        self,
        temperature_c: float,
        soc: float,
        seconds: float | FloatArray,
        *,
        allow_extrapolation: bool = False,
    ) -> FloatArray:
        """Return the mean share of capacity lost after a time at rest, shaped like ``seconds``.

        Raises:
            RangeError: outside the ranges measured.
        """
        time = np.asarray(seconds, dtype=float)
        if not allow_extrapolation:
            self._check(temperature_c, soc, time)
        at = (np.array([temperature_c]), np.array([soc]))
        return np.asarray(calendar_rates(self._theta(), *at)[0] * np.sqrt(time))

    def _theta(self) -> FloatArray:
        return np.array(
            [
                np.log(self.calendar_rate * SECONDS_PER_YEAR**0.5),
                self.activation_energy_j_per_mol / ENERGY_UNIT,
                self.soc_cubic,
            ]
        )

    def _check(self, temperature_c: float, soc: float, seconds: FloatArray) -> None:
        longest = float(seconds.max(initial=0.0))
        shortest = float(seconds.min(initial=0.0))
        check_ranges(
            (
                ("temperature_c", temperature_c, self.valid_temperature_c, "degrees Celsius"),
                ("soc", soc, self.valid_soc, ""),
                ("seconds", longest, (0.0, self.valid_elapsed_s), "s"),
                ("seconds", shortest, (0.0, self.valid_elapsed_s), "s"),
            )
        )
