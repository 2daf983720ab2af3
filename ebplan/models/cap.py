"""What a per-GPU power cap costs: capacity against capped power.

One snapshot of four instances under different caps carries two readings of the elasticity of
throughput to power. Across its instances, tokens/s grow like power to about one half; against the
uncapped fleet at the same load, req/s fall about as fast as power. They differ by a factor of two
and one snapshot cannot decide, so both are kept as an interval and the planner is given the end
that loses more capacity.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import Fraction, Positive, require_ordered
from ebplan.errors import RangeError
from ebplan.models.board import BoardLaws
from ebplan.models.card import ModelCard
from ebplan.models.curves import CapCurve, FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.site import MeasurementPoint


def capped_power_kw(cap_kw: float | FloatArray, natural_kw: float | FloatArray) -> FloatArray:
    """Return the power under a cap: ``min(cap, natural draw)``, so a high cap does nothing.

    Args:
        cap_kw: cap in kW.
        natural_kw: uncapped power in kW, broadcast against ``cap_kw``.
    """
    return np.minimum(cap_kw, natural_kw)


class CapModel(BoardLaws):
    """Capacity under per-GPU power caps, as an interval."""

    kind: Literal["cap_model"] = "cap_model"
    """Document kind."""
    name: str
    """Name in the library."""
    fleet: str
    """Name of the fleet model whose hardware and workload it belongs to."""
    workload: str
    """Workload of the snapshot."""
    gpus_per_instance: int = Field(ge=1)
    """GPUs of one instance."""
    elasticity_low: float = Field(gt=0.0, le=4.0)
    """d ln(throughput) / d ln(power), the reading that loses least capacity."""
    elasticity_high: float = Field(gt=0.0, le=4.0)
    """The reading that loses most capacity; the planner's."""
    throughput_residual: Fraction
    """Half-width of the throughput fit's residual interval, as a share of throughput."""
    valid_from_kw_per_gpu: Positive
    """Lowest cap in the snapshot in kW per GPU."""
    valid_to_kw_per_gpu: Positive
    """Highest cap in the snapshot in kW per GPU."""
    measurement_point: MeasurementPoint
    """Where powers and caps are metered."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _ordered(self) -> CapModel:
        require_ordered(
            self,
            ("elasticity_low", "elasticity_high"),
            ("valid_from_kw_per_gpu", "valid_to_kw_per_gpu"),
        )
        return self

    def check_cap(self, cap_kw_per_gpu: float, *, allow_extrapolation: bool = False) -> None:
        """Refuse a cap that the snapshot does not cover.

        Args:
            cap_kw_per_gpu: cap in kW per GPU.
            allow_extrapolation: accept caps outside the snapshot.

        Raises:
            RangeError: outside the caps of the snapshot.
        """
        low, high = self.valid_from_kw_per_gpu, self.valid_to_kw_per_gpu
        # Written so that NaN is refused too.
        if not (allow_extrapolation and cap_kw_per_gpu > 0.0) and not low <= cap_kw_per_gpu <= high:
            raise RangeError(
                field="cap_kw_per_gpu",
                value=cap_kw_per_gpu,
                allowed=f"{low}..{high}",
                remedy="choose a cap inside the measured range, or allow extrapolation",
            )

    def curve(
        self,
        full_kw: float,
        floor_kw: float,
        *,
        gpus: int | None = None,
        allow_extrapolation: bool = False,
    ) -> CapCurve:
        """Return capacity against capped power of one instance, at the cautious end.

        Args:
            full_kw: uncapped power at saturation in kW, at this model's measurement point.
            floor_kw: lowest power that the instance may be capped to in kW.
            gpus: GPUs of the instance; those of the snapshot's instances where absent.
            allow_extrapolation: accept a floor below the caps of the snapshot.

        Raises:
            RangeError: the floor lies outside the caps of the snapshot.
        """
        per_gpu_kw = floor_kw / (gpus or self.gpus_per_instance)
        self.check_cap(per_gpu_kw, allow_extrapolation=allow_extrapolation)
        return CapCurve(full_kw=full_kw, elasticity=self.elasticity_high, floor_kw=floor_kw)

    def interval(self, power_kw: float, full_kw: float) -> tuple[float, float]:
        """Return the capacity that remains at a capped power, as a share of the uncapped.

        The interval spans both elasticities and is widened on either side by the residual interval
        of the throughput fit, since the uncapped capacity itself is known no better.

        Args:
            power_kw: capped power; any number of instances.
            full_kw: uncapped power of the same instances at saturation.

        Returns:
            Lower and upper end; the upper end can exceed 1 by the residual.
        """
        power = float(capped_power_kw(power_kw, full_kw))
        ends = [
            float(CapCurve(full_kw=full_kw, elasticity=e, floor_kw=full_kw).capacity(power))
            for e in (self.elasticity_low, self.elasticity_high)
        ]
        # The tangent of a steep curve would go below zero far from full power.
        low = max(min(ends), 0.0) * (1.0 - self.throughput_residual)
        return low, max(ends) * (1.0 + self.throughput_residual)

    def throughput(
        self,
        workload: str,
        cap_kw_per_gpu: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the throughput of a measured workload under caps in 1/s, shape (M,).

        Args:
            workload: one of ``laws``.
            cap_kw_per_gpu: caps in kW per GPU, shape (M,) or one.
            confidence: of the interval for a new reading.
            allow_extrapolation: accept caps outside the measured ones.

        Raises:
            InputError: no law was fitted for the workload.
            RangeError: a cap lies outside the measured ones.
        """
        return self.law(workload).throughput(
            cap_kw_per_gpu, confidence=confidence, allow_extrapolation=allow_extrapolation
        )

    def power(
        self,
        workload: str,
        cap_kw_per_gpu: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the power of a GPU under caps in kW, shape (M,); as ``throughput``."""
        return self.law(workload).power(
            cap_kw_per_gpu, confidence=confidence, allow_extrapolation=allow_extrapolation
        )
