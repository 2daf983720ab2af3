"""A meter of a node in memory: it shows what a function says."""

from __future__ import annotations

from collections.abc import Callable

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import NodePowerReading
from ebplan.measurement import MeasurementPoint


class FakeNodePower(FakeDevice):
    """Shows ``power_kw()`` of a whole node.

    Args:
        power_kw: its draw, asked at each reading.
        measurement_point: where it is metered.
        age_s: how old its readings may be.
        name: what it is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self,
        power_kw: Callable[[], float],
        *,
        measurement_point: MeasurementPoint = "ac",
        age_s: float = 0.0,
        name: str = "node power",
        clock: Clock | None = None,
        timeout_s: float = 0.2,
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.power_kw = power_kw
        self.measurement_point: MeasurementPoint = measurement_point
        self.age_s = age_s

    async def read(self) -> NodePowerReading | Unreachable:
        """Return what the node draws."""
        return await self._unreadable() or NodePowerReading(
            power_kw=self.power_kw(),
            energy_kwh=None,
            covers="node",
            measurement_point=self.measurement_point,
            age_s=self.age_s,
        )
