"""A battery in memory: it follows its set-point at once; without a lease it holds 0 kW."""

from __future__ import annotations

from ebplan.adapters.answers import Answer, Range, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import BatteryReading, Droop


class FakeBattery(FakeDevice):
    """Safe state: 0 kW, with the droop that was armed.

    Args:
        feasible: set-points that it takes, in kW.
        soc: state of charge at the start.
        energy_kwh: energy between SoC 0 and 1.
        name: what it is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self,
        feasible: Range,
        *,
        soc: float = 0.6,
        energy_kwh: float = 20.0,
        name: str = "battery",
        clock: Clock | None = None,
        timeout_s: float = 0.2,
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.feasible = feasible
        self.soc = soc
        self.energy_kwh = energy_kwh
        self.frequency_hz = 50.0
        self._held_kw = 0.0
        self._droop: Droop | None = None
        self._counted_s = self._clock.now_s()

    @property
    def battery_kw(self) -> float:
        """What it really does: the set-point while it is leased, and the droop."""
        held = self._held_kw if self.leased else 0.0
        return self.feasible.clamp(held + self._droop_kw())

    async def read(self) -> BatteryReading | Unreachable:
        """Return what it does."""
        if broken := await self._unreadable():
            return broken
        self._count()
        return BatteryReading(
            battery_kw=self.battery_kw,
            soc=self.soc,
            feasible=self.feasible,
            available=True,
            frequency_hz=self.frequency_hz,
            droop_kw=self._droop.capacity_kw if self._droop else 0.0,
        )

    async def hold(self, battery_kw: float, *, confirm_s: float = 0.0) -> Answer:
        """Hold this power from now on."""
        self._count()
        value, answer = await self._told("hold", battery_kw, self.feasible)
        if value is not None:
            self._held_kw = value
        return answer

    async def arm_droop(self, droop: Droop) -> Answer:
        """Answer the frequency by itself from now on; only a straight droop can be armed."""
        most = Range(0.0, min(self.feasible.high, -self.feasible.low), "kW")
        if droop.curve.shape != "droop":
            return Refused(
                device=self.name,
                command="arm_droop",
                asked=droop.capacity_kw,
                why=f"a curve of shape {droop.curve.shape} cannot be armed",
            )
        value, answer = await self._told("arm_droop", droop.capacity_kw, most)
        if value is not None:
            self._droop = droop
        return answer

    async def release(self) -> Answer:
        """Hold 0 kW now."""
        self._count()
        return await super().release()

    def _droop_kw(self) -> float:
        if self._droop is None:
            return 0.0
        off_hz = self.frequency_hz - self._droop.nominal_hz
        curve = self._droop.curve
        share = (abs(off_hz) - curve.dead_band_hz) / (curve.full_hz - curve.dead_band_hz)
        size_kw = self._droop.capacity_kw * min(max(share, 0.0), 1.0)
        return -size_kw if off_hz > 0.0 else size_kw

    def _count(self) -> None:
        """Move the energy since it was counted last, at the power of now."""
        now_s = self._clock.now_s()
        moved_kwh = self.battery_kw * (now_s - self._counted_s) / 3600.0
        self.soc = min(max(self.soc - moved_kwh / self.energy_kwh, 0.0), 1.0)
        self._counted_s = now_s
