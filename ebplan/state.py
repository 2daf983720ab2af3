"""The state of a site at one moment: what is running, what is on its way, what is stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.document import (
    Document,
    FieldFault,
    Fraction,
    NonNegative,
    Part,
    Positive,
    Timestamp,
)
from ebplan.site import MeasurementPoint


class InTransit(Part):
    """Instances between modes at the start of the plan."""

    to: Literal["asleep", "awake", "tier"]
    """Where they arrive; ``tier``: with the weights of the lower precision."""
    count: int = Field(ge=1)
    """How many."""
    remaining_s: NonNegative
    """Seconds until they arrive."""


class Settling(Part):
    """Power still on its way when the plan starts, from what was commanded before."""

    kw: float
    """Draw above (< 0: below) what the pool settles at, at the connection point."""
    time_constant_s: Positive
    """It decays with this time constant, ..."""
    delay_s: NonNegative = 0.0
    """... from then on."""


class TierState(Part):
    """Instances in the lower precision at the start of the plan."""

    active: int = Field(default=0, ge=0)
    """Instances that take requests."""
    drained: int = Field(default=0, ge=0)
    """Instances that hold its weights without load."""
    load_req_per_s: dict[str, NonNegative] = Field(default_factory=dict)
    """What they serve of the pool's load, by request class."""


Gain = Annotated[float, Field(ge=0.5, le=2.0)]
"""A model's number is multiplied by this; one further off is to be fitted anew, not corrected."""


class PoolCorrection(Part):
    """What tracking found of a pool's models: plans are made with the model's number times this."""

    idle_gain: Gain = 1.0
    """Power of an instance without load."""
    busy_gain: Gain = 1.0
    """Power that load adds."""
    capacity_gain: Gain = 1.0
    """Requests per second that an instance can serve."""
    cap_delivery: float = Field(default=1.0, ge=0.3, le=1.0)
    """Share of the power that a cap is meant to take and does take."""


class PoolState(Part):
    """One pool at the start of the plan."""

    active: int = Field(ge=0)
    """Instances that take requests."""
    drained: int = Field(default=0, ge=0)
    """Instances awake without load."""
    asleep: int = Field(default=0, ge=0)
    """Instances asleep."""
    in_transit: tuple[InTransit, ...] = ()
    """Instances on their way."""
    load_req_per_s: dict[str, NonNegative]
    """Offered load by request class."""
    backlog_requests: dict[str, NonNegative] = Field(default_factory=dict)
    """Requests waiting, by request class; classes that may not wait have none."""
    queued_requests: dict[str, NonNegative] = Field(default_factory=dict)
    """Requests queued for later that may be served ahead, by request class."""
    tier: TierState | None = None
    """Instances in the lower precision."""
    warm_remaining_s: NonNegative = 0.0
    """How long the pool stays warm from a pre-warm."""
    lost: int = Field(default=0, ge=0)
    """Instances that do not answer; they draw nothing and come back in no plan."""
    usually_active: int | None = Field(default=None, ge=0)
    """Instances of the pool's own precision that take requests when nothing is asked, where an
    event has already moved some; as many as now if absent."""
    settling: tuple[Settling, ...] = ()
    """Power still on its way, where an event has already moved some."""
    power_kw: NonNegative | None = None
    """Draw by the pool's own meter, at the connection point; None where none was read."""
    arrived_requests: dict[str, NonNegative] = Field(default_factory=dict)
    """Counter of the requests that have come, by request class; empty where it was not read. Where
    it is, the load is what it tells over some minutes, and has changed when that is sure."""
    served_req_per_s: dict[str, NonNegative] = Field(default_factory=dict)
    """Requests answered, by request class; empty where that was not read."""
    waiting_requests: dict[str, NonNegative] = Field(default_factory=dict)
    """Requests admitted that wait for an instance, by request class."""
    correction: PoolCorrection | None = None
    """What tracking found of its models; as fitted if absent."""

    @property
    def total(self) -> int:
        """Instances accounted for."""
        lower = self.tier.active + self.tier.drained if self.tier else 0
        on_the_way = sum(t.count for t in self.in_transit)
        return self.active + self.drained + self.asleep + lower + on_the_way + self.lost


class MeteredPower(Part):
    """A measured power, with the point it was measured at."""

    kw: float
    """Power in kW; > 0 is drawn."""
    measurement_point: MeasurementPoint
    """Where the meter sits."""

    @model_validator(mode="after")
    def _at_the_connection_point(self) -> MeteredPower:
        if self.measurement_point != "connection_point":
            raise FieldFault(
                field="measurement_point",
                value=self.measurement_point,
                allowed="connection_point",
                remedy="give the meter reading at the connection point: the event is judged there, "
                "and powers of different measurement points are not mixed",
            )
        return self


class State(Document):
    """What the site measures when the plan is made; plan time 0 is ``at``."""

    kind: Literal["state"] = "state"
    at: Timestamp
    """When this was measured."""
    soc: Fraction | None = None
    """State of charge; needed where the site has a battery."""
    grid: MeteredPower | None = None
    """Meter reading; without it the fitted models say what the site draws."""
    converter_available: bool = True
    """Whether the battery's converter answers; without, the site has no battery for now."""
    battery_kw: float = 0.0
    """Battery power when the meter was read, at the connection point; > 0 discharges."""
    cells_kw: float | None = None
    """Power that leaves the energy stored in the cells, by their battery management system:
    open-circuit voltage times current; > 0 discharges. None where it was not read."""
    battery_energy_gain: float = Field(default=1.0, ge=0.5, le=1.1)
    """What tracking found of the energy that the battery holds, as a multiple of the site's."""
    battery_efficiency_gain: float = Field(default=1.0, ge=0.7, le=1.2)
    """What tracking found of the battery's one-way efficiency, as a multiple of the site's."""
    pools: dict[str, PoolState]
    """Each pool of the site."""
