"""The site: pools of serving instances, battery and converter, connection point, prices.

What nobody has measured is an assumption, and a site says so: ``assumptions`` names the fields
whose values are assumed, and why. Pools and battery stand in modules of their own and are imported
from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, NonNegative, Part, Positive
from ebplan.measurement import MEASUREMENT_POINTS, MeasurementPoint
from ebplan.site.battery import Battery, TerminalValue
from ebplan.site.pool import (
    CongestionStep,
    Deferral,
    MechanismPrices,
    Name,
    Pool,
    RequestClass,
    Response,
    SleepTiming,
)
from ebplan.site.uncertainty import Uncertainty

__all__ = [
    "MEASUREMENT_POINTS",
    "Assumption",
    "Battery",
    "CongestionStep",
    "ConnectionPoint",
    "Deferral",
    "LossStage",
    "MeasurementPoint",
    "MechanismPrices",
    "Name",
    "Planning",
    "Pool",
    "RequestClass",
    "Response",
    "Site",
    "SleepTiming",
    "TerminalValue",
    "Uncertainty",
]


class LossStage(Part):
    """What is added between two measurement points: ``outer = inner * factor + offset_kw``."""

    inner: MeasurementPoint
    """Measurement point inside."""
    outer: MeasurementPoint
    """Measurement point outside."""
    factor: float = Field(ge=1.0, le=3.0)
    """Losses that grow with the load."""
    offset_kw: NonNegative = 0.0
    """Losses that do not, once for the site."""


class Assumption(Part):
    """A field of this file whose value nobody measured."""

    field: str
    """Dotted path of the field."""
    why: str
    """Why this value."""


class ConnectionPoint(Part):
    """Where the site meets the grid."""

    import_limit_kw: Positive
    """Contracted draw."""
    export_limit_kw: NonNegative
    """Contracted feed-in; 0 where none is allowed."""
    other_load_kw: NonNegative
    """Load that is not planned (cooling, network), used where no meter reading is given."""


class Planning(Part):
    """What the planner is told about time and priority."""

    max_horizon_s: Positive = 14_400.0
    """Longest event plus recovery that is planned."""
    handoff_excess_per_kwh: NonNegative
    """Price of the battery still carrying the response after the hand-off time."""
    uncertainty: Uncertainty | None = None
    """How far load and response may differ; margins are held against that. None: no margins."""


class Site(Document):
    """Everything about a site that does not change from event to event."""

    kind: Literal["site"] = "site"
    name: str
    """Name of the site."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """ISO 4217 code of every money value in this file."""
    energy_price_per_kwh: float
    """Price of energy drawn at the connection point."""
    connection_point: ConnectionPoint
    """The meter the event is judged at."""
    losses: tuple[LossStage, ...] = ()
    """Loss stages from the fitted models' measurement point to the connection point."""
    pools: dict[Name, Pool] = Field(min_length=1)
    """Pools by name."""
    battery: Battery | None = None
    """The battery, if there is one."""
    planning: Planning
    """Horizon and priority."""
    assumptions: tuple[Assumption, ...] = ()
    """Fields whose values nobody measured."""

    @model_validator(mode="after")
    def _assumptions_name_fields(self) -> Site:
        plain = self.model_dump(mode="json", exclude={"assumptions"})
        for i, assumption in enumerate(self.assumptions):
            if not _has_path(plain, assumption.field):
                raise FieldFault(
                    field=f"assumptions.{i}.field",
                    value=assumption.field,
                    allowed="the dotted path of a field in this file",
                    remedy="correct the path",
                )
        return self

    def loss_to_connection_point(self, inner: MeasurementPoint) -> tuple[float, float]:
        """Return ``(factor, offset_kw)`` that carry a power measured at ``inner`` outside.

        Raises:
            FieldFault: a stage on the way is not declared, so the powers cannot be mixed.
        """
        factor, offset_kw = 1.0, 0.0
        at = inner
        while at != "connection_point":
            stage = next((s for s in self.losses if s.inner == at), None)
            if stage is None:
                raise FieldFault(
                    field="losses",
                    value=f"no stage from {at!r}",
                    allowed=f"a chain of stages from {inner!r} to 'connection_point'",
                    remedy="declare the loss stage; powers of different measurement points are "
                    "not mixed",
                )
            factor, offset_kw = factor * stage.factor, offset_kw * stage.factor + stage.offset_kw
            at = stage.outer
        return factor, offset_kw

    @model_validator(mode="after")
    def _losses_lead_outward(self) -> Site:
        order = MEASUREMENT_POINTS.index
        inner = [stage.inner for stage in self.losses]
        for i, stage in enumerate(self.losses):
            if order(stage.outer) <= order(stage.inner) or inner.count(stage.inner) > 1:
                raise FieldFault(
                    field=f"losses.{i}",
                    value=f"{stage.inner} -> {stage.outer}",
                    allowed="one stage from each point, leading outward: gpu, node, ac, "
                    "connection_point",
                    remedy="correct inner and outer",
                )
        return self


def _has_path(plain: Any, dotted: str) -> bool:
    """Tell whether nested dicts and lists have the dotted path."""
    for key in dotted.split("."):
        if isinstance(plain, dict) and key in plain:
            plain = plain[key]
        elif isinstance(plain, list) and key.isdigit() and int(key) < len(plain):
            plain = plain[int(key)]
        else:
            return False
    return True
