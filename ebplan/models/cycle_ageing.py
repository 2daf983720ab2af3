"""Capacity lost by cycling, fitted to cycle tests: a mean, and an interval for other cells.

    loss = (a C + b) d^m sqrt(n)          C rate, d depth, n full equivalent cycles

the law of ``WearModel`` with a power of the depth in place of the published cubic, because a
planner needs depth convex. One cycle of depth d then takes the share

    d ((a C + b) d^m / L)^2  =  ((a C + b) / L)^2 d^(2 m + 1)

of a life that ends at the loss L.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import NonNegative, Part, Positive
from ebplan.models.card import ModelCard
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import law_estimate, law_variance, student_quantile
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.site import MeasurementPoint


def cycle_rates(theta: FloatArray, c_rate: FloatArray, depth: FloatArray) -> FloatArray:
    """Return the loss as a share of capacity per square root of a full cycle, shape (M,).

    Args:
        theta: ln(b sqrt(1,000 cycles)), m, and a / b; shape (3,).
        c_rate: power over energy, in C, shape (M,).
        depth: of the cycles, a share of capacity, shape (M,).
    """
    log_b, exponent, slope = theta
    return np.asarray(np.exp(log_b) * (1.0 + slope * c_rate) * depth**exponent / 1000.0**0.5)


class RestTakenOff(Part):
    """The law of loss at rest that was taken off before the fit."""

    name: str
    """Name of the calendar ageing artefact."""
    calendar_rate: Positive
    """Its k."""
    activation_energy_j_per_mol: NonNegative
    """Its E."""
    soc_cubic: NonNegative
    """Its c."""


class CycleAgeing(WithPoints):
    """Capacity lost by cycling."""

    kind: Literal["cycle_ageing"] = "cycle_ageing"
    """Document kind."""
    name: str
    """Name of the artefact."""
    title: str
    """The cell, in words."""
    c_rate_constant: Positive
    """b: share of capacity per square root of a full cycle of depth 1, without current."""
    c_rate_slope: NonNegative
    """a: the same, per C."""
    depth_exponent: float = Field(ge=0.0, le=2.0)
    """m."""
    covariance: tuple[tuple[float, float, float], ...] = Field(min_length=3, max_length=3)
    """Of ln b, m, and a / b; with what ``rest`` leaves open."""
    degrees: int = Field(ge=1)
    """Conditions less fitted parameters."""
    between_conditions: NonNegative
    """Standard deviation of a condition's rate off the law, in the unit of ``c_rate_constant``."""
    within_condition: NonNegative
    """Standard deviation of a check-up off its condition, a share of capacity."""
    valid_temperature_c: tuple[float, float]
    """Temperatures of the tests, lowest and highest; the law knows none."""
    valid_depth: tuple[Positive, Positive]
    """Depths measured, lowest and highest."""
    valid_c_rate: tuple[NonNegative, NonNegative]
    """Rates measured, lowest and highest."""
    valid_full_cycles: Positive
    """Most full cycles measured."""
    rest: RestTakenOff | None = None
    """What was taken off as loss at rest; None: nothing, loss at rest is inside."""
    measurement_point: MeasurementPoint
    """Where the tables' powers are metered; no power goes into this model."""
    card: ModelCard
    """What it was made from."""

    def capacity(
        self,
        c_rate: float,
        depth: float,
        full_cycles: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the capacity left after cycling, a share of the initial capacity.

        Args:
            c_rate: power over energy while cycling, in C.
            depth: of the cycles, a share of capacity.
            full_cycles: full equivalent cycles, shape () or (M,).
            confidence: share of check-ups of new conditions that the interval is made to hold.
            allow_extrapolation: accept what lies outside the ranges measured.

        Raises:
            RangeError: outside the ranges measured.
        """
        cycles = np.asarray(full_cycles, dtype=float)
        if not allow_extrapolation:
            self._check(c_rate, depth, cycles)
        at = (np.array([c_rate]), np.array([depth]))
        rate = cycle_rates(self._theta(), *at)[0]
        known = law_variance(
            lambda theta: cycle_rates(theta, *at), self._theta(), np.array(self.covariance)
        )[0]
        spread = np.sqrt(cycles * (known + self.between_conditions**2) + self.within_condition**2)
        half = student_quantile(confidence, self.degrees) * spread
        mean = 1.0 - rate * np.sqrt(cycles)
        return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=confidence)

    def rate(self, c_rate: float, depth: float, *, confidence: float = CONFIDENCE) -> Estimate:
        """Return the loss of a new condition, share of capacity per square root of a full cycle.

        Raises:
            RangeError: outside the ranges measured.
        """
        self._check(c_rate, depth, np.zeros(1))
        at = (np.array([c_rate]), np.array([depth]))
        return law_estimate(
            lambda theta: cycle_rates(theta, *at),
            self._theta(),
            np.array(self.covariance),
            off_the_law=self.between_conditions,
            confidence=confidence,
            degrees=self.degrees,
        )

    def _theta(self) -> FloatArray:
        return np.array(
            [
                np.log(self.c_rate_constant * 1000.0**0.5),
                self.depth_exponent,
                self.c_rate_slope / self.c_rate_constant,
            ]
        )

    def _check(self, c_rate: float, depth: float, full_cycles: FloatArray) -> None:
        most = float(full_cycles.max(initial=0.0))
        least = float(full_cycles.min(initial=0.0))
        check_ranges(
            (
                ("c_rate", c_rate, self.valid_c_rate, "C"),
                ("depth", depth, self.valid_depth, ""),
                ("full_cycles", most, (0.0, self.valid_full_cycles), ""),
                ("full_cycles", least, (0.0, self.valid_full_cycles), ""),
            )
        )
