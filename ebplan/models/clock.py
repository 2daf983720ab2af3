"""What a locked SM clock costs: capacity against the power that the clock leaves.

Power grows with the clock to an exponent, throughput with power to an elasticity; both depend on
what the GPU computes, so the elasticity is an interval and the planner is given the end that loses
more capacity.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import Positive, require_ordered
from ebplan.errors import RangeError
from ebplan.models.board import BoardLaws
from ebplan.models.card import ModelCard
from ebplan.models.curves import CapCurve, FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.site import MeasurementPoint


class ClockModel(BoardLaws):
    """Capacity under a locked SM clock, as an interval."""

    kind: Literal["clock_model"] = "clock_model"
    """Document kind."""
    name: str
    """Name in the library."""
    hardware: str
    """GPU, in words."""
    workload: str
    """What was computed, in words."""
    elasticity_low: Positive
    """d ln(throughput) / d ln(power) as the clock goes down, lowest reading."""
    elasticity_high: float = Field(gt=0.0, le=4.0)
    """The same, highest reading: what the planner gets."""
    power_exponent: Positive
    """Power grows with the clock to this exponent."""
    max_clock_mhz: Positive
    """Clock at full power."""
    valid_from_clock_mhz: Positive
    """Lowest clock that the data cover."""
    measurement_point: MeasurementPoint
    """Where every power of this model is metered."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _ordered(self) -> ClockModel:
        require_ordered(
            self,
            ("elasticity_low", "elasticity_high"),
            ("valid_from_clock_mhz", "max_clock_mhz"),
        )
        return self

    def curve(
        self, full_kw: float, lowest_clock_mhz: float, *, allow_extrapolation: bool = False
    ) -> CapCurve:
        """Return capacity against power of one instance, at the cautious end.

        Args:
            full_kw: uncapped power at full capacity in kW, at this model's measurement point.
            lowest_clock_mhz: lowest clock that may be locked.
            allow_extrapolation: accept a clock below the data.

        Raises:
            RangeError: the clock lies outside the data.
        """
        low, high = self.valid_from_clock_mhz, self.max_clock_mhz
        # Written so that NaN is refused too.
        covered = low <= lowest_clock_mhz <= high
        if not covered and not (allow_extrapolation and 0.0 < lowest_clock_mhz <= high):
            raise RangeError(
                field="lowest_clock_mhz",
                value=lowest_clock_mhz,
                allowed=f"{low:g}..{high:g}",
                remedy="choose a clock inside the measured range, or allow extrapolation",
            )
        share = (lowest_clock_mhz / high) ** self.power_exponent
        return CapCurve(full_kw=full_kw, elasticity=self.elasticity_high, floor_kw=share * full_kw)

    def throughput(
        self,
        workload: str,
        clock_mhz: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the throughput of a measured workload at locked clocks in 1/s, shape (M,).

        Args:
            workload: one of ``laws``.
            clock_mhz: clocks in MHz, shape (M,) or one.
            confidence: of the interval for a new reading.
            allow_extrapolation: accept clocks outside the measured ones.

        Raises:
            InputError: no law was fitted for the workload.
            RangeError: a clock lies outside the measured ones.
        """
        return self.law(workload).throughput(
            None, clock_mhz, confidence=confidence, allow_extrapolation=allow_extrapolation
        )

    def power(
        self,
        workload: str,
        clock_mhz: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the power of a GPU at locked clocks in kW, shape (M,); as ``throughput``."""
        return self.law(workload).power(
            None, clock_mhz, confidence=confidence, allow_extrapolation=allow_extrapolation
        )
