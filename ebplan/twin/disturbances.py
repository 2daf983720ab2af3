"""What happens to a plant besides its commands, each at a second of the plant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ebplan.document import NonNegative, Part, Positive


class LoadStep(Part):
    """From now on this rate of a request class comes."""

    what: Literal["load_step"] = "load_step"
    at_s: NonNegative
    pool: str
    request_class: str
    req_per_s: NonNegative


class OtherLoadStep(Part):
    """From now on the load that is not planned is this."""

    what: Literal["other_load_step"] = "other_load_step"
    at_s: NonNegative
    kw: NonNegative


class InstanceLost(Part):
    """Instances stop answering and draw nothing at once."""

    what: Literal["instance_lost"] = "instance_lost"
    at_s: NonNegative
    pool: str
    mode: Literal["active", "drained", "asleep"] = "active"
    """Where they are looked for first; then in the other modes, in this order."""
    count: int = Field(default=1, ge=1)


class InstanceReturned(Part):
    """Lost instances answer again, drained, with the pool's own weights."""

    what: Literal["instance_returned"] = "instance_returned"
    at_s: NonNegative
    pool: str
    count: int = Field(default=1, ge=1)


class ConverterTrip(Part):
    """The converter opens: no battery power."""

    what: Literal["converter_trip"] = "converter_trip"
    at_s: NonNegative


class ConverterReturn(Part):
    """The converter closes again and goes on with what it was told last."""

    what: Literal["converter_return"] = "converter_return"
    at_s: NonNegative


class FrequencyContingency(Part):
    """A loss in the grid: the frequency leaves, stays away, comes back; straight in between."""

    what: Literal["frequency_contingency"] = "frequency_contingency"
    at_s: NonNegative
    deviation_hz: float
    """What is added at the extreme; < 0 after a loss of generation."""
    fall_s: Positive = 8.0
    """From the loss to the extreme."""
    hold_s: Positive = 20.0
    """At the extreme."""
    recovery_s: Positive = 600.0
    """Back to where it was."""


class PoolDrift(Part):
    """From now on a number of a pool is this many times what it was, at once."""

    what: Literal["pool_drift"] = "pool_drift"
    at_s: NonNegative
    pool: str
    number: Literal["idle_power", "busy_power", "power", "capacity", "cap_delivery"]
    """``power``: idle and busy alike; ``cap_delivery``: of the power that caps and locked clocks
    are meant to take, the share that they take."""
    factor: Positive


class BatteryDrift(Part):
    """From now on a number of the cells is this many times what it was, at once."""

    what: Literal["battery_drift"] = "battery_drift"
    at_s: NonNegative
    number: Literal["efficiency", "energy"] = "efficiency"
    """``efficiency``: one-way, 1 at most; ``energy``: what they hold between states of charge 0 and
    1, the state of charge staying as it is."""
    factor: Positive


Disturbance = Annotated[
    LoadStep
    | OtherLoadStep
    | InstanceLost
    | InstanceReturned
    | ConverterTrip
    | ConverterReturn
    | FrequencyContingency
    | PoolDrift
    | BatteryDrift,
    Field(discriminator="what"),
]
