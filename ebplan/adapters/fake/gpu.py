"""GPUs in memory: each draws what it is asked to, up to its cap; caps end with the lease."""

from __future__ import annotations

from collections.abc import Mapping

from ebplan.adapters.answers import Answer, Applied, Range, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import GpuReading


class FakeGpus(FakeDevice):
    """Safe state: the limits that were requested before, clocks unlocked.

    Args:
        demand_w: what each GPU would draw without a cap, by index.
        cap_range: limits that they take, in W.
        clock_range: clocks that they can be locked to, in MHz; None where they cannot.
        name: what the node is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self,
        demand_w: Mapping[int, float],
        *,
        cap_range: Range | None = None,
        clock_range: Range | None = None,
        name: str = "node",
        clock: Clock | None = None,
        timeout_s: float = 0.2,
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.demand_w = dict(demand_w)
        self.cap_range = cap_range or Range(200.0, 600.0, "W")
        self.clock_range = clock_range
        self.requested_before_w = dict.fromkeys(self.demand_w, self.cap_range.high)
        self._cap_w: dict[int, float] = {}
        self._clock_mhz: dict[int, float] = {}

    def power_w(self, gpu: int) -> float:
        """Return what a GPU really draws."""
        return min(self.demand_w[gpu], self.cap_w(gpu))

    def cap_w(self, gpu: int) -> float:
        """Return the limit that holds now."""
        before = self.requested_before_w[gpu]
        return self._cap_w.get(gpu, before) if self.leased else before

    async def read(self) -> Mapping[int, GpuReading] | Unreachable:
        """Return every GPU."""
        if broken := await self._unreadable():
            return broken
        return {
            gpu: GpuReading(
                power_kw=self.power_w(gpu) / 1000.0,
                energy_kwh=0.0,
                cap_w=self.cap_w(gpu),
                enforced_w=self.cap_w(gpu),
                cap_range=self.cap_range,
                clock_mhz=self._clock_mhz.get(gpu) if self.leased else None,
                clock_range=self.clock_range,
                instantaneous=True,
            )
            for gpu in self.demand_w
        }

    async def baseline_w(self) -> dict[int, float]:
        """Return the limits that were requested before."""
        return dict(self.requested_before_w)

    async def cap(
        self, w: Mapping[int, float | None], *, confirm_s: float = 0.0
    ) -> Mapping[int, Answer]:
        """Limit the power of GPUs; None lifts the limit."""
        return {
            gpu: await self._set("cap", self._cap_w, gpu, value, self.cap_range)
            for gpu, value in w.items()
        }

    async def lock_clock(self, mhz: Mapping[int, float | None]) -> Mapping[int, Answer]:
        """Lock the clock of GPUs; None unlocks it."""
        return {
            gpu: await self._set("lock_clock", self._clock_mhz, gpu, value, self.clock_range)
            for gpu, value in mhz.items()
        }

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; what was set under one that has lapsed is forgotten."""
        if not self.leased:
            self._forget()
        return await super().renew(ttl_s)

    async def release(self) -> Answer:
        """Restore every limit now."""
        answer = await super().release()
        if not self.leased:
            self._forget()
        return answer

    def _forget(self) -> None:
        self._cap_w.clear()
        self._clock_mhz.clear()

    async def _set(
        self,
        command: str,
        held: dict[int, float],
        gpu: int,
        value: float | None,
        feasible: Range | None,
    ) -> Answer:
        who = f"{self.name}/gpu{gpu}"
        if gpu not in self.demand_w:
            known = ", ".join(str(g) for g in self.demand_w)
            return Refused(
                device=who, command=command, asked=value, why=f"no such GPU; there are {known}"
            )
        if feasible is None:
            return Refused(device=who, command=command, asked=value, why="not supported")
        if value is None:
            broken = await self._broken(command, None, f"gpu{gpu}")
            if self.fault in (None, "silent"):
                held.pop(gpu, None)
            before = self.requested_before_w[gpu] if command == "cap" else None
            return broken or Applied(device=who, command=command, asked=None, confirmed=before)
        new, answer = await self._told(command, value, feasible, f"gpu{gpu}")
        if new is not None:
            held[gpu] = new
        return answer
