"""A meter in memory: it shows what it is told, or what a function says."""

from __future__ import annotations

from collections.abc import Callable

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import MeterReading


class FakeMeter(FakeDevice):
    """Shows ``grid_kw()`` and ``frequency_hz``.

    Args:
        grid_kw: draw at the connection point, asked at each reading.
        frequency_hz: grid frequency.
        name: what it is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self,
        grid_kw: Callable[[], float],
        *,
        frequency_hz: float | None = 50.0,
        name: str = "meter",
        clock: Clock | None = None,
        timeout_s: float = 0.2,
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.grid_kw = grid_kw
        self.frequency_hz = frequency_hz

    async def read(self) -> MeterReading | Unreachable:
        """Return the power at the connection point."""
        return await self._unreadable() or MeterReading(self.grid_kw(), self.frequency_hz, 0.0)
