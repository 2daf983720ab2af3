"""A published consolidation experiment, kept as a reference and nothing else.

It was made with another model on fewer GPUs than the fleet map. Neither predicts the other: the
released watts here must not be scaled to the larger model, and the assumed idle watts there must
not be tuned until they give this number.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Positive
from ebplan.models.card import ModelCard
from ebplan.site import MeasurementPoint


class ConsolidationReference(Document):
    """Power released when the load of several GPUs is served by fewer."""

    kind: Literal["consolidation_reference"] = "consolidation_reference"
    """Document kind."""
    name: str
    """Name in the library."""
    hardware: str
    """GPUs, in words."""
    model: str
    """Served model and precision, in words."""
    serving: str
    """Serving software and settings, in words."""
    gpus_before: int = Field(ge=2)
    """GPUs that shared the load."""
    gpus_after: int = Field(ge=1)
    """GPUs that serve all of it afterwards."""
    released_low_kw_per_freed_gpu: Positive
    """Smallest released power over the experiments in kW."""
    released_high_kw_per_freed_gpu: Positive
    """Largest released power over the experiments in kW."""
    load_range_ratio: float = Field(ge=1.0)
    """Highest over lowest load of the experiments."""
    experiments: int = Field(ge=1)
    """Number of experiments."""
    measurement_point: MeasurementPoint
    """Where the powers are taken to be metered."""
    card: ModelCard
    """Origin and limits."""

    @model_validator(mode="after")
    def _ordered(self) -> ConsolidationReference:
        if self.gpus_after >= self.gpus_before:
            raise FieldFault(
                field="gpus_after",
                value=self.gpus_after,
                allowed=f"< gpus_before = {self.gpus_before}",
                remedy="a consolidation frees at least one GPU",
            )
        if self.released_low_kw_per_freed_gpu > self.released_high_kw_per_freed_gpu:
            raise FieldFault(
                field="released_low_kw_per_freed_gpu",
                value=self.released_low_kw_per_freed_gpu,
                allowed=f"<= {self.released_high_kw_per_freed_gpu}",
                remedy="exchange the two",
            )
        return self
