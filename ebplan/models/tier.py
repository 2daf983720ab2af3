"""A lower precision on the same GPUs: how much more a saturated instance serves, at what draw.

A lower precision does not make a saturated GPU draw much less; it makes it serve more. Both ratios
are intervals (the span of the readings in the library's model, the interval of another reading in
fitted ones) and the planner is given the cautious end of each. Nothing here says that the answers
are as good: quality is verified by class and stands in the site.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import Positive, require_ordered
from ebplan.models.card import ModelCard
from ebplan.models.curves import LoadCurve, LoadTerm
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.site import MeasurementPoint, Name

LOADS = "requests in flight"
"""Range on the card at which the two precisions were compared."""
REPEATABILITY = "repeatability of a ratio"
"""Assumption on the card of a fit, which gives the interval of another reading."""
ROUNDING = 1e-9
"""Share by which a number of requests may miss the range: it is the inverse of an inverse."""


class TierModel(WithPoints):
    """Throughput and power of a lower precision relative to the base precision."""

    kind: Literal["tier_model"] = "tier_model"
    """Document kind."""
    name: str
    """Name in the library."""
    precision: Name
    """The lower precision."""
    hardware: str
    """GPUs it was measured on, in words."""
    model: str
    """Model it was measured with, in words."""
    capacity_factor_low: float = Field(ge=1.0)
    """Throughput of a saturated instance relative to the base precision, lower end."""
    capacity_factor_high: float = Field(ge=1.0)
    """The same, upper end."""
    power_ratio_low: Positive
    """Power above idle at saturation relative to the base precision, lower end."""
    power_ratio_high: Positive
    """The same, upper end."""
    concurrency: tuple[Positive, Positive] | None = None
    """Fewest and most requests in flight at which the two were compared; not enforced where absent,
    in artefacts that were made without it."""
    measurement_point: MeasurementPoint
    """Where the powers are metered."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _ordered(self) -> TierModel:
        require_ordered(
            self,
            ("capacity_factor_low", "capacity_factor_high"),
            ("power_ratio_low", "power_ratio_high"),
        )
        return self

    @property
    def capacity_factor(self) -> float:
        """The cautious end: what a saturated instance serves at least."""
        return self.capacity_factor_low

    def load_curve(self, base: LoadCurve, *, allow_extrapolation: bool = False) -> LoadCurve:
        """Return the uncapped power of an instance in this precision, at the cautious end.

        The busy part of the base precision's curve is scaled; idle is idle.

        Args:
            base: load curve in the base precision.
            allow_extrapolation: accept an instance that is saturated at another number of requests
                in flight than were compared.

        Raises:
            RangeError: it is saturated at fewer or more.
        """
        if self.concurrency is not None and not allow_extrapolation:
            low, high = self.concurrency
            within = (low * (1.0 - ROUNDING), high * (1.0 + ROUNDING))
            full = 1.0 / base.one_request_utilisation
            check_ranges([("requests in flight at saturation", full, within, "requests")])
        return base.model_copy(
            update={
                "terms": tuple(
                    LoadTerm(
                        amplitude_kw=t.amplitude_kw * self.power_ratio_high, exponent=t.exponent
                    )
                    for t in base.terms
                )
            }
        )
