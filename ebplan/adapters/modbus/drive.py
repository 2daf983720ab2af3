"""What differs from battery to battery, and what the site says about one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from ebplan.adapters.answers import Range
from ebplan.adapters.modbus.connection import Failure
from ebplan.adapters.roles import BatteryReading
from ebplan.document import Fraction, NonNegative, Part

SHORTEST_TERM_S = 1.0
"""Timers count whole seconds, and 0 switches them off."""


class BatterySettings(Part):
    """What the site says about a battery, whatever the battery says about itself."""

    name: str = "battery"
    """What it is called in answers."""
    serial: str | None = None
    """Serial number of the device that is meant; another one is not commanded."""
    max_charge_kw: NonNegative | None = None
    """Charge no faster than this; the device's own limit holds as well."""
    max_discharge_kw: NonNegative | None = None
    """Discharge no faster than this."""
    soc_min: Fraction = 0.0
    """Discharge no further than this, by the last reading."""
    soc_max: Fraction = 1.0
    """Charge no further than this, by the last reading."""
    tolerance_kw: NonNegative | None = None
    """How near measured power must come; 2 % of the rating where nothing is said."""
    first_term_s: Annotated[int, Field(ge=1, le=3600)] = 10
    """Term of a set-point that is sent before the first renewal."""
    on_lapse: Literal["rest", "disable"] = "rest"
    """At the end of a term: hold 0 kW, or leave it to the device's own mode."""
    settle_s: NonNegative = 0.0
    """Wait between values and the switch that enables them, where these are written apart."""
    guardian: str | None = None
    """What puts the battery into its safe state if its own timer does not, e.g. a PLC's watchdog;
    state it only if it is there."""


@dataclass(frozen=True)
class Held:
    """What a device says it holds."""

    kw: float | None
    """Set-point, > 0 discharging; None where none is enabled."""
    term_s: float | None = None
    """Term of its timer; None where it has none."""
    left_s: float | None = None
    """What is left of it, where the device says so."""


@dataclass(frozen=True)
class Seen:
    """Power now, and the frequency where it is told."""

    kw: float
    hz: float | None = None


@dataclass(frozen=True)
class Device:
    """What a device said of itself when its connection was opened."""

    name: str
    """Maker and model."""
    serial: str
    """Empty where it says none."""
    limits: Range
    """Set-points by its own limits, in kW."""
    step_kw: float
    """What its set-point is rounded to."""
    longest_term_s: float
    """Longest term of its timer; 0 where it has none."""
    local: bool = False
    """Whether somebody commands it on the spot."""
    shortest_term_s: float = 0.0
    """It reverts no sooner than this, whatever is asked."""


class Drive(Protocol):
    """What differs from device to device."""

    async def ready(self) -> Device | Failure:
        """Connect if need be; return the device."""
        ...

    async def same(self) -> Failure | None:
        """Make sure that the device that answers is still that one, and may be commanded."""
        ...

    async def set(self, kw: float, term_s: int) -> Failure | None:
        """Write a set-point with its term, enabled."""
        ...

    async def extend(self, term_s: int) -> Failure | None:
        """Start the term anew and say that the controller is alive."""
        ...

    async def stop(self) -> Failure | None:
        """Write the safe state."""
        ...

    async def held(self) -> Held | Failure:
        """Read the set-point back."""
        ...

    async def seen(self) -> Seen | Failure:
        """Read the power."""
        ...

    async def read(self) -> BatteryReading | Failure:
        """Read everything; ``feasible`` by the device's own limits."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
