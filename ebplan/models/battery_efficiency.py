"""What a battery stores and loses, fitted: the fields of a site's battery, with intervals.

At the AC power P, the converter of rated power R loses

    loss(P) = c + l |P| + q P^2 / R

and the cells' energy changes, with their one-way efficiency e, by

    discharge  -(P + loss) / e          charge  (|P| - loss) e

A site knows l, q and e (``ebplan/site/battery.py``). It has no field for c, what the converter
draws whenever it is on: add that to the site's constant load.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import NonNegative, Part, Positive
from ebplan.errors import RangeError
from ebplan.models.card import ModelCard, Provenance
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import law_variance, student_quantile
from ebplan.models.points import WithPoints
from ebplan.site import MeasurementPoint

PARAMETERS = 5
"""ln(energy), ln(e), l, q, and c / R, in this order wherever they stand together."""


def converter_loss(theta: FloatArray, power: FloatArray) -> FloatArray:
    """Return the converter's loss over its rated power, at a size of power over rated power.

    Args:
        theta: the parameters, shape (5,).
        power: not negative, shape (M,).
    """
    return np.asarray(theta[4] + theta[2] * power + theta[3] * power**2)


def cells_take(theta: FloatArray, power: FloatArray) -> FloatArray:
    """Return the power into the cells over rated power, at a signed AC power over rated power.

    Args:
        theta: the parameters, shape (5,).
        power: > 0 is discharge, shape (M,).
    """
    direct = -power - converter_loss(theta, np.abs(power))
    efficiency = np.exp(theta[1])
    return np.asarray(np.where(direct > 0.0, direct * efficiency, direct / efficiency))


class FittedNumber(Part):
    """A number of the fit, its interval, and where it comes from."""

    value: float
    """The number."""
    low: float
    """Lower end of its interval; the value where it was given."""
    high: float
    """Upper end."""
    provenance: Provenance
    """Measured: fitted. Assumed: given with the options."""


class BatteryEfficiency(WithPoints):
    """Energy, efficiency and converter loss of a battery."""

    kind: Literal["battery_efficiency"] = "battery_efficiency"
    """Document kind."""
    name: str
    """Name of the artefact."""
    title: str
    """The battery, in words."""
    energy_kwh: FittedNumber
    """Usable energy between SoC 0 and 1."""
    cell_efficiency: FittedNumber
    """e: one-way efficiency of the cells."""
    converter_loss_linear: FittedNumber
    """l: loss growing with power, as a share of it."""
    converter_loss_quadratic: FittedNumber
    """q: loss growing with power squared, as a share of rated power at rated power."""
    no_load_kw: FittedNumber
    """c: loss whenever the converter is on, in kW."""
    converter_rated_kw: Positive
    """R: rated power that the loss refers to."""
    covariance: tuple[tuple[float, ...], ...] = Field(min_length=PARAMETERS, max_length=PARAMETERS)
    """Of ln(energy), ln(e), l, q, and c / R."""
    degrees: int = Field(ge=1)
    """Readings less fitted parameters."""
    spread: NonNegative
    """Standard deviation of a reading off the law."""
    valid_power_kw: tuple[NonNegative, NonNegative]
    """Sizes of AC power that the readings cover."""
    measurement_point: MeasurementPoint
    """Where the power is metered."""
    card: ModelCard
    """What it was made from."""

    def site_fields(self) -> dict[str, float]:
        """Return the fields of a site's ``[battery]`` that this fit replaces."""
        return {
            "energy_kwh": self.energy_kwh.value,
            "converter_rated_kw": self.converter_rated_kw,
            "converter_loss_linear": self.converter_loss_linear.value,
            "converter_loss_quadratic": self.converter_loss_quadratic.value,
            "cell_efficiency": self.cell_efficiency.value,
        }

    def site_toml(self) -> str:
        """Return those fields as lines to paste into a site's ``[battery]``."""
        return "\n".join(f"{name} = {value:.6g}" for name, value in self.site_fields().items())

    def round_trip(
        self,
        power_kw: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return AC energy out over AC energy in, charging and discharging at one power.

        The interval is that of the fitted law, without the noise of one cycle's meters.

        Args:
            power_kw: size of the AC power, shape () or (M,).
            confidence: of the interval.
            allow_extrapolation: accept powers outside those measured.

        Raises:
            RangeError: a power outside those measured.
        """
        kw = np.asarray(power_kw, dtype=float)
        least, most = self.valid_power_kw
        if not allow_extrapolation and not (kw.min() >= least and kw.max() <= most):
            raise RangeError(
                field="power_kw",
                value=float(kw.max() if kw.max() > most else kw.min()),
                allowed=f"{least:g} to {most:g} kW",
                remedy="stay inside what was measured, or allow extrapolation",
            )
        share = np.atleast_1d(kw / self.converter_rated_kw)
        theta = self._theta()
        mean = np.exp(log_round_trip(theta, share)).reshape(kw.shape)
        variance = law_variance(
            lambda p: log_round_trip(p, share), theta, np.array(self.covariance)
        ).reshape(kw.shape)
        wide = np.exp(student_quantile(confidence, self.degrees) * np.sqrt(variance))
        # no more comes out than went in
        high = np.minimum(mean * wide, 1.0)
        return Estimate(mean=mean, low=mean / wide, high=high, confidence=confidence)

    def _theta(self) -> FloatArray:
        return np.array(
            [
                np.log(self.energy_kwh.value),
                np.log(self.cell_efficiency.value),
                self.converter_loss_linear.value,
                self.converter_loss_quadratic.value,
                self.no_load_kw.value / self.converter_rated_kw,
            ]
        )


def log_round_trip(theta: FloatArray, power: FloatArray) -> FloatArray:
    """Return ln(energy out / energy in) at a size of power over rated power, shape (M,)."""
    loss = converter_loss(theta, power)
    return np.asarray(2.0 * theta[1] + np.log((power - loss) / (power + loss)))
