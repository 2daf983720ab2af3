"""What a plant is: commands go in, time passes, measurements come out.

The fluid plant and one that follows single requests answer to the same interface, so that a
control loop cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from ebplan.adapters.commands import Command
from ebplan.state import InTransit, MeteredPower, PoolState, State, TierState

Destination = Literal["asleep", "awake", "own", "tier"]
"""Where an instance in transit arrives; ``own``: awake with the pool's own weights again."""


class Transit(NamedTuple):
    """Instances on their way."""

    arrive_s: float
    """When they arrive, in seconds of the plant."""
    to: Destination
    """Where."""
    instances: int
    """How many."""


class Refusal(NamedTuple):
    """A command that could not be carried out in full."""

    command: str
    """Its tag."""
    pool: str
    """The pool it was for."""
    asked: int
    """Instances asked for."""
    done: int
    """Instances that could do it."""


class Registers(NamedTuple):
    """Energy counted since the plant began, in kWh; never rounded, free of noise."""

    grid_kwh: float
    """Drawn at the connection point."""
    pools_kwh: Mapping[str, float]
    """Drawn by each pool, seen at the connection point."""
    battery_out_kwh: float
    """Given by the battery at the converter's AC side."""
    battery_in_kwh: float
    """Taken by it."""


@dataclass(frozen=True, slots=True)
class PoolReading:
    """What a pool says of itself at one instant."""

    active: int
    """Instances that take requests in the pool's own precision, locked clocks included."""
    locked: int
    """Those of them under a locked clock."""
    drained: int
    """Awake without load."""
    asleep: int
    """Asleep."""
    tier_active: int
    """Taking requests in the lower precision."""
    tier_drained: int
    """With its weights, without load."""
    lost: int
    """Not answering."""
    transit: tuple[Transit, ...]
    """On their way."""
    load_req_per_s: Mapping[str, float]
    """Requests that come, by class."""
    lowered_req_per_s: Mapping[str, float]
    """Requests that the lower precision serves, by class."""
    backlog_requests: Mapping[str, float]
    """Put off, by class."""
    queued_requests: Mapping[str, float]
    """Queued for later, by class."""
    waiting_requests: Mapping[str, float]
    """Admitted beyond what the instances can serve and waiting for them, by class."""
    serving_req_per_s: Mapping[str, float]
    """Requests that are being served, by class."""
    served_requests: Mapping[str, float]
    """Served since the plant began, by class."""
    rejected_requests: Mapping[str, float]
    """Turned away since the plant began, by class."""
    warm_until_s: float
    """Until when its cache is warm, in seconds of the plant; told from the pre-warm's command on,
    while it is still at work."""
    in_flight_requests: Mapping[str, float] = field(default_factory=dict)
    """In service on an instance, by class; empty where requests are flows."""
    arrived_requests: Mapping[str, float] = field(default_factory=dict)
    """Come since the plant began, by class; empty where requests are flows."""
    ttft_s: Mapping[str, float] = field(default_factory=dict)
    """Mean time to the first token of what was answered of late, by class; classes of which nothing
    was answered yet are left out, all where requests are flows."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What is measured at the end of a step; powers are means over it."""

    at_s: float
    """Seconds since the plant began."""
    dt_s: float
    """Length of the step."""
    started: datetime
    """Wall time of the plant's second 0."""
    grid_kw: float | None
    """Reading of the meter at the connection point; None while it is silent."""
    pool_kw: Mapping[str, float]
    """Mean draw of each pool at the connection point."""
    pool_meter_kw: Mapping[str, float | None]
    """Reading of each pool's own meter, seen at the connection point; None while it is silent."""
    battery_kw: float
    """Mean battery power at the converter's AC side; > 0 is discharge."""
    battery_meter_kw: float
    """The same over the time that the meter at the connection point averages: what is to be added
    to its reading; over a shorter step the two would not belong together."""
    soc: float | None
    """State of charge; None without a battery."""
    frequency_hz: float
    """Grid frequency at the end of the step."""
    converter: Literal["available", "tripped"] | None
    """Whether the converter answers; None without a battery."""
    pools: Mapping[str, PoolReading]
    """What each pool says of itself."""
    registers: Registers
    """Energy counted."""
    refused: tuple[Refusal, ...] = ()
    """Commands of this step that could not be carried out in full."""
    battery_c: float | None = None
    """Temperature of the battery in degrees Celsius; None where it is not followed."""
    cells_meter_kw: float | None = None
    """Reading of the power that leaves the energy stored in the cells; None where it is not
    measured, and while its meter is silent."""

    @property
    def lost(self) -> dict[str, int]:
        """Instances that do not answer, by pool; only pools with any."""
        return {name: pool.lost for name, pool in self.pools.items() if pool.lost}

    def state(self) -> State:
        """Return the state to plan from, built when it is asked for.

        ``grid`` is absent while the meter is silent.
        """
        grid = None
        if self.grid_kw is not None:
            grid = MeteredPower(kw=self.grid_kw, measurement_point="connection_point")
        return State(
            at=self.started + timedelta(seconds=self.at_s),
            soc=self.soc,
            grid=grid,
            battery_kw=self.battery_meter_kw,
            cells_kw=self.cells_meter_kw,
            converter_available=self.converter != "tripped",
            pools={
                name: _pool_state(pool, self.at_s, self.dt_s, self.pool_meter_kw[name])
                for name, pool in self.pools.items()
            },
        )


class Plant(Protocol):
    """A site that takes commands and can be measured."""

    @property
    def now_s(self) -> float:
        """Seconds since the plant began."""
        ...

    def step(self, commands: Sequence[Command], dt_s: float) -> Measurements:
        """Carry commands out now, let time pass, and measure.

        Args:
            commands: carried out at once, in the order given, whatever their ``at_s`` says.
            dt_s: how long to wait before measuring, > 0.
        """
        ...

    def state(self) -> State:
        """Return the state to plan from, as it is now."""
        ...


def _pool_state(pool: PoolReading, now_s: float, dt_s: float, meter_kw: float | None) -> PoolState:
    tier = None
    if pool.tier_active or pool.tier_drained:
        tier = TierState(
            active=pool.tier_active,
            drained=pool.tier_drained,
            load_req_per_s=dict(pool.lowered_req_per_s),
        )
    return PoolState(
        active=pool.active,
        drained=pool.drained,
        asleep=pool.asleep,
        in_transit=tuple(
            InTransit(
                to="awake" if t.to == "own" else t.to,
                count=t.instances,
                remaining_s=max(t.arrive_s - now_s, 0.0),
            )
            for t in pool.transit
        ),
        load_req_per_s=dict(pool.load_req_per_s),
        arrived_requests=dict(pool.arrived_requests),
        backlog_requests={k: n for k, n in pool.backlog_requests.items() if n > 0.0},
        queued_requests={k: n for k, n in pool.queued_requests.items() if n > 0.0},
        tier=tier,
        warm_remaining_s=max(pool.warm_until_s - now_s, 0.0),
        lost=pool.lost,
        # a meter near nothing may read less
        power_kw=None if meter_kw is None else max(meter_kw, 0.0),
        served_req_per_s={k: max(rate, 0.0) for k, rate in pool.serving_req_per_s.items()}
        if dt_s > 0.0
        else {},
        waiting_requests={k: n for k, n in pool.waiting_requests.items() if n > 0.0},
    )
