"""The roles that devices play, each as a small protocol free of any vendor.

A reading comes out, a set-point goes in and is answered (``answers``). Every actuator holds a lease
(``lease``): what the hardware does when it lapses stands in the docstring of its adapter.

Signs and units as everywhere: ``grid_kw > 0`` is drawn, ``battery_kw > 0`` is discharge. Methods
never raise for what a device does; they raise for a programming error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ebplan.adapters.answers import Answer, Range, Unreachable
from ebplan.frequency import ResponseCurve
from ebplan.measurement import MeasurementPoint


class Leased(Protocol):
    """An actuator that obeys only while its lease is renewed."""

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; ``confirmed`` is the term that the device granted, in seconds."""
        ...

    async def release(self) -> Answer:
        """Go to the safe state now and give the lease back."""
        ...

    async def close(self) -> None:
        """Give up the connection; the lease then lapses by itself where the device counts it."""
        ...


@dataclass(frozen=True)
class GpuReading:
    """One GPU as it is."""

    power_kw: float
    """Draw now (instantaneous where the GPU has such a reading)."""
    energy_kwh: float
    """Counter since the driver was loaded."""
    cap_w: float
    """Limit that was requested."""
    enforced_w: float
    """Limit that is enforced: somebody else may hold a lower one."""
    cap_range: Range
    """Limits that it takes, in W."""
    clock_mhz: float | None
    """Clock it was locked to by this adapter, if it is."""
    clock_range: Range | None
    """Clocks that it can be locked to, in MHz; None where that is not supported."""
    instantaneous: bool
    """Whether ``power_kw`` is not an average over the last second."""


@runtime_checkable
class GpuPower(Leased, Protocol):
    """The GPUs of one node, by index."""

    async def read(self) -> Mapping[int, GpuReading] | Unreachable:
        """Return every GPU that answers."""
        ...

    async def cap(
        self, w: Mapping[int, float | None], *, confirm_s: float = 0.0
    ) -> Mapping[int, Answer]:
        """Limit the power of GPUs in W; None restores the limit requested before ebplan came.

        Args:
            w: limit by GPU; others are left alone.
            confirm_s: wait so long for the measured power to come below the limit.
        """
        ...

    async def lock_clock(self, mhz: Mapping[int, float | None]) -> Mapping[int, Answer]:
        """Lock the SM clock of GPUs in MHz; None unlocks it."""
        ...


@dataclass(frozen=True)
class Droop:
    """What a converter does on its own as the frequency moves."""

    capacity_kw: float
    """Power at full deviation, the same both ways; 0 disarms."""
    curve: ResponseCurve
    """Share of the capacity against the deviation."""
    nominal_hz: float
    """Nominal frequency."""
    response_s: float = 0.1
    """Time in which 90 % of the power follows."""


@dataclass(frozen=True)
class BatteryReading:
    """The battery and its converter as they are."""

    battery_kw: float
    """Power at the converter's AC side; > 0 discharges."""
    soc: float | None
    """State of charge, 0 to 1."""
    feasible: Range
    """Set-points that it takes now, in kW: charge is negative."""
    available: bool
    """Whether it is connected and without a fault."""
    frequency_hz: float | None
    """Grid frequency it sees."""
    droop_kw: float
    """Capacity of the droop that is armed; 0 where none is."""
    alarms: tuple[str, ...] = ()
    """Faults that it names."""


@runtime_checkable
class Battery(Leased, Protocol):
    """A battery behind a bidirectional converter."""

    async def read(self) -> BatteryReading | Unreachable:
        """Return what it does."""
        ...

    async def hold(self, battery_kw: float, *, confirm_s: float = 0.0) -> Answer:
        """Hold this power, > 0 discharging.

        Args:
            battery_kw: set-point at the converter's AC side.
            confirm_s: wait so long for the measured power to reach it.
        """
        ...

    async def arm_droop(self, droop: Droop) -> Answer:
        """Let the converter answer the frequency by itself; ``confirmed`` is the capacity in kW."""
        ...


@dataclass(frozen=True)
class MeterReading:
    """The meter at the connection point."""

    grid_kw: float
    """Power; > 0 is drawn."""
    frequency_hz: float | None
    """Grid frequency, where the meter tells it."""
    age_s: float
    """How old the reading may be at most: the meter's own averaging and refreshing, as declared.

    An upper bound: set too low, the battery that is steered by it swings."""


@runtime_checkable
class GridMeter(Protocol):
    """The meter the event is judged at; it obeys nobody."""

    async def read(self) -> MeterReading | Unreachable:
        """Return the power at the connection point."""
        ...

    async def close(self) -> None:
        """Give up the connection."""
        ...


@dataclass(frozen=True)
class NodePowerReading:
    """What one node draws."""

    power_kw: float
    """Draw; > 0."""
    energy_kwh: float | None
    """A counter of which only differences mean something; None where there is none."""
    covers: Literal["node", "processors", "processors_and_memory"]
    """What the power is that of. Only ``node`` is the whole of a measurement point; the others
    leave out GPUs, fans, network and the losses of power supplies."""
    measurement_point: MeasurementPoint | None
    """Where the whole node is metered; None where ``covers`` is less than the node."""
    age_s: float
    """How old the reading may be: the meter's own averaging and refreshing, as declared."""
    low_kw: float | None = None
    """Lowest draw over ``window_s``, where the meter tells it."""
    average_kw: float | None = None
    """Mean draw over ``window_s``, where the meter tells it."""
    high_kw: float | None = None
    """Highest draw over ``window_s``, where the meter tells it."""
    window_s: float | None = None
    """What the three above are taken over."""
    limit_kw: float | None = None
    """Limit that somebody has set at the meter's side; None where there is none, or it is silent
    about it."""

    def __post_init__(self) -> None:
        if (self.covers == "node") != (self.measurement_point is not None):
            raise ValueError(f"{self.covers} at measurement point {self.measurement_point}")


@runtime_checkable
class NodePower(Protocol):
    """A meter of one node; it obeys nobody."""

    async def read(self) -> NodePowerReading | Unreachable:
        """Return what the node draws."""
        ...

    async def close(self) -> None:
        """Give up the connection."""
        ...


@dataclass(frozen=True)
class ServerReading:
    """One server behind the router."""

    weight: float
    """Share of a full server's traffic that it is given, 0 to 1; 0 where it is drained."""
    state: Literal["up", "drained", "down"]
    """``down``: its health check fails; ``drained``: told to take nothing new."""
    in_flight: int
    """Requests it is answering."""
    queued: int
    """Requests that wait for it."""


@dataclass(frozen=True)
class RouterReading:
    """The router as it is."""

    servers: Mapping[str, ServerReading]
    """By server."""
    leased: bool
    """Whether it follows the plan; otherwise its static weights hold."""
    lower_share: Mapping[str, float]
    """Share of each request class that goes to the lower precision."""
    admitted_per_s: Mapping[str, float | None]
    """Limit of each request class; None where there is none."""
    arrived: Mapping[str, float] = field(default_factory=dict)
    """Counter of the requests that came, by class, those turned away among them; it starts anew
    where the router restarts, and a class that nobody asked for may not be in it."""


@runtime_checkable
class Router(Leased, Protocol):
    """Who sends requests to serving instances."""

    async def read(self) -> RouterReading | Unreachable:
        """Return weights, states and what is in flight."""
        ...

    async def route(self, weight: Mapping[str, float]) -> Mapping[str, Answer]:
        """Give servers this share of a full server's traffic, 0 to 1; 0 drains.

        Draining moves new requests at once and lets those in flight end; ``read`` tells when.
        """
        ...

    async def lower(self, share: Mapping[str, float]) -> Mapping[str, Answer]:
        """Send this share of request classes to the servers of the lower precision."""
        ...

    async def admit(self, req_per_s: Mapping[str, float | None]) -> Mapping[str, Answer]:
        """Admit at most this rate of request classes; None lifts the limit."""
        ...


@dataclass(frozen=True)
class ServingReading:
    """One serving engine as it is. Counters only grow, except when the engine restarts."""

    awake: bool
    """Whether it answers requests: a sleeping engine lets them hang."""
    running: int
    """Requests it is computing."""
    waiting: int
    """Requests it has queued."""
    kv_cache_used: float
    """Share of the cache in use, 0 to 1."""
    prompt_tokens: float
    """Counter of tokens read."""
    generated_tokens: float
    """Counter of tokens written."""
    finished: float
    """Counter of requests that ended well."""
    cache_hits: float
    """Counter of prompt tokens found in the cache."""
    preempted: float
    """Counter of requests put back for want of cache."""


@runtime_checkable
class Serving(Leased, Protocol):
    """One serving engine. It is put to sleep only when the router sends it nothing."""

    async def read(self) -> ServingReading | Unreachable:
        """Return what it is doing."""
        ...

    async def sleep(self) -> Answer:
        """Put it to sleep; refused while anything is in flight."""
        ...

    async def wake(self) -> Answer:
        """Wake it and make sure that it answers before traffic returns."""
        ...

    async def warm(self, prompts: Sequence[str]) -> Answer:
        """Load the working memory of these prompts; ``confirmed`` counts those found warm after."""
        ...
