"""What is lost between two measurement points, fitted from both meters: a line and its interval.

    outer = factor * inner + offset_kw

``factor`` carries what grows with the load (power supplies, wires), ``offset_kw`` what does not
(fans at their lowest, pumps, an idle supply). Both together are known better than either: where
loads lie close to each other, a higher factor with a lower offset says the same. So an artefact
keeps their covariance, and a prediction carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive, require_ordered
from ebplan.models.card import ModelCard
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import student_quantile
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.site import MEASUREMENT_POINTS, LossStage, MeasurementPoint


class Uncertain(Part):
    """A number with its 90 % interval."""

    value: float
    """Best guess."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    @model_validator(mode="after")
    def _ordered(self) -> Uncertain:
        require_ordered(self, ("low", "value"), ("value", "high"))
        return self


class LossModel(WithPoints):
    """What a meter outside shows, given one inside."""

    kind: Literal["loss_model"] = "loss_model"
    """Document kind."""
    name: str
    """Name in the library."""
    equipment: str
    """What lies between the meters, in words."""
    inner: MeasurementPoint
    """Where the inner meter is."""
    outer: MeasurementPoint
    """Where the outer meter is."""
    factor: Uncertain
    """Losses that grow with the load."""
    offset_kw: Uncertain
    """Losses that do not, of what was metered."""
    covariance: tuple[NonNegative, float, NonNegative]
    """Variance of the factor, covariance with the offset in kW, variance of the offset in kW2."""
    spread: Positive
    """Standard deviation of a reading off the line, as a share of it."""
    independent_readings: Positive
    """How many independent pairs of readings the fit is worth."""
    valid_from_kw: Positive
    """Lowest inner power measured."""
    valid_to_kw: Positive
    """Highest inner power measured."""
    lag_s: float | None = None
    """How much later the outer meter shows what the inner one does; None where loads were too
    steady to tell."""
    confidence: float = Field(default=CONFIDENCE, gt=0.0, lt=1.0)
    """Confidence of the intervals."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _leads_outward(self) -> LossModel:
        require_ordered(self, ("valid_from_kw", "valid_to_kw"))
        check_outward(self.inner, self.outer, "outer")
        return self

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the intervals."""
        return max(int(self.independent_readings) - 2, 1)

    def stage(self, count: int = 1) -> LossStage:
        """Return the stage for the field ``losses`` of a site.

        Args:
            count: how many of what was metered the site has; the offset is there once for each.
        """
        if count < 1:
            raise ValueError(f"count = {count}: allowed is >= 1")
        return LossStage(
            inner=self.inner,
            outer=self.outer,
            factor=self.factor.value,
            offset_kw=self.offset_kw.value * count,
        )

    def outer_kw(
        self,
        inner_kw: ArrayLike,
        *,
        confidence: float = CONFIDENCE,
        of_a_reading: bool = False,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return what the outer meter shows on average at inner powers, shape (M,), in kW.

        Args:
            inner_kw: what the inner meter shows.
            confidence: of the interval.
            of_a_reading: for a single reading, noise included.
            allow_extrapolation: also where nothing was measured.

        Raises:
            RangeError: an inner power outside what was measured.
        """
        inner = np.atleast_1d(np.asarray(inner_kw, dtype=float))
        if not allow_extrapolation:
            limits = (self.valid_from_kw, self.valid_to_kw)
            check_ranges(("inner_kw", float(one), limits, "kW") for one in inner)
        mean = self.factor.value * inner + self.offset_kw.value
        variance = line_variance(self.covariance, inner)
        if of_a_reading:
            variance = variance + (self.spread * mean) ** 2
        half = student_quantile(confidence, self.degrees) * np.sqrt(variance)
        return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=confidence)


def line_variance(covariance: Sequence[float], inner_kw: FloatArray) -> FloatArray:
    """Return the variance of the line at inner powers, shape (M,), in kW2."""
    factor, both, offset = covariance
    return np.maximum(factor * inner_kw**2 + 2.0 * both * inner_kw + offset, 0.0)


def check_outward(inner: MeasurementPoint, outer: MeasurementPoint, field: str) -> None:
    """Refuse a pair of measurement points that does not lead outward.

    Raises:
        FieldFault: the second is the first, or lies inside it.
    """
    beyond = MEASUREMENT_POINTS[MEASUREMENT_POINTS.index(inner) + 1 :]
    if outer not in beyond:
        raise FieldFault(
            field=field,
            value=outer,
            allowed=f"a point outside {inner!r}: {', '.join(beyond) or 'there is none'}",
            remedy="name the point of the outer meter",
        )
