"""What meters a node is read beside the loop: management controllers take seconds to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.roles import NodePowerReading
from ebplan.adapters.site_devices import Reads

EVERY_S = 1.0
"""Between two readings of the same meter; most of them refresh no faster."""
SILENT_S = 10.0
"""A meter that has not answered for so long is lost. A slow one is not."""


@dataclass
class _Meter:
    reads: Reads
    last: NodePowerReading | None = None
    heard_s: float = 0.0
    why: str = "it has not answered yet"


class NodeMeters:
    """Reads the meters of nodes, each at its own pace.

    Args:
        meters: what is read, by name.
        clock: what time it is.
    """

    def __init__(self, meters: Mapping[str, Reads], clock: Clock) -> None:
        self._clock = clock
        self._meters = {name: _Meter(reads) for name, reads in meters.items()}
        self._began_s = clock.now_s()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            for meter in self._meters.values():
                group.create_task(self._read(meter))

    def readings(self) -> dict[str, NodePowerReading]:
        """Return the last reading of each meter that is not silent, by name."""
        return {
            name: meter.last
            for name, meter in self._meters.items()
            if meter.last is not None and self._silent_s(meter) < SILENT_S
        }

    def silent(self) -> dict[str, str]:
        """Return why each meter does not answer that has been silent for ``SILENT_S``."""
        return {
            name: meter.why
            for name, meter in self._meters.items()
            if self._silent_s(meter) >= SILENT_S
        }

    def _silent_s(self, meter: _Meter) -> float:
        return self._clock.now_s() - max(meter.heard_s, self._began_s)

    async def _read(self, meter: _Meter) -> None:
        while True:
            try:
                reading = await meter.reads.read()
            except Exception as error:  # an adapter that raises must not take the others with it
                meter.why = f"{type(error).__name__}: {error}"
            else:
                if isinstance(reading, NodePowerReading):
                    meter.last, meter.heard_s = reading, self._clock.now_s()
                elif isinstance(reading, Unreachable):
                    meter.why = reading.why
            await self._clock.sleep(EVERY_S)
