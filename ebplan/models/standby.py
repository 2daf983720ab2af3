"""What a GPU draws while it serves nothing: awake and empty, awake with a model loaded, asleep."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ebplan.document import FieldFault, Part, Positive, require_ordered
from ebplan.models.card import ModelCard
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.points import WithPoints
from ebplan.site import MeasurementPoint

W_PER_KW = 1000.0


class StandbyPower(Part):
    """Mean power of one mode in kW per GPU, with its 90 % interval."""

    mean_kw_per_gpu: Positive
    """Mean."""
    low_kw_per_gpu: Positive
    """Lower end of the interval of the mean."""
    high_kw_per_gpu: Positive
    """Upper end."""
    readings: Positive
    """Readings."""
    independent_readings: Positive
    """How many independent readings they are worth."""

    @model_validator(mode="after")
    def _ordered(self) -> StandbyPower:
        require_ordered(
            self,
            ("low_kw_per_gpu", "mean_kw_per_gpu"),
            ("mean_kw_per_gpu", "high_kw_per_gpu"),
        )
        return self


class StandbyModel(WithPoints):
    """Power of a GPU that serves nothing."""

    kind: Literal["standby_model"] = "standby_model"
    """Document kind."""
    name: str
    """Name in the library."""
    hardware: str
    """GPU, in words."""
    idle: StandbyPower | None = None
    """Awake, no model loaded."""
    loaded_idle: StandbyPower | None = None
    """Awake, model loaded, no request: a drained instance."""
    asleep: StandbyPower | None = None
    """Asleep."""
    confidence: float = CONFIDENCE
    """Confidence of the intervals."""
    measurement_point: MeasurementPoint
    """Where power was metered."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _says_something(self) -> StandbyModel:
        if self.idle is None and self.loaded_idle is None and self.asleep is None:
            raise FieldFault(
                field="idle",
                value=None,
                allowed="at least one of idle, loaded_idle and asleep",
                remedy="fit it from a table with one of these modes",
            )
        return self

    @property
    def idle_w_per_gpu(self) -> float | None:
        """For the option ``idle_w_per_gpu`` of a fleet's fit; None where it was not measured.

        A drained instance has its model loaded, so ``loaded_idle`` goes before ``idle``.
        """
        of = self.loaded_idle or self.idle
        return None if of is None else of.mean_kw_per_gpu * W_PER_KW

    @property
    def pool_fields(self) -> dict[str, float | bool]:
        """What a site's pool may say instead of an assumption, at this measurement point.

        ``asleep_kw_per_gpu`` is the upper end of the interval: sleep is not credited with more
        than was measured. Empty where sleep was not.
        """
        if self.asleep is None:
            return {}
        return {"asleep_kw_per_gpu": self.asleep.high_kw_per_gpu, "asleep_measured": True}
