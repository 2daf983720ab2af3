"""A battery that describes itself by the 700 series of SunSpec models, droop included.

What the hardware does if we die: its reversion timer runs out, at most one term after the last
renewal, and it holds 0 kW (or what ``on_lapse`` says). Its droop stays armed and answers the
frequency without us. The controller beats once per renewal: a device that wants a beat each second
wants terms of 3 s at most.
"""

from __future__ import annotations

from dataclasses import replace

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Unverified,
)
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.commissioning import Commissioning
from ebplan.adapters.modbus.connection import Denied, ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings, Device
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.sunspec_drive import DROOPS, SunSpecDrive
from ebplan.adapters.modbus.sunspec_droop import Armed, arm, cannot_say, disarm
from ebplan.adapters.roles import Droop

NOMINAL_WITHIN = 0.1
"""A frequency that is further from nominal than this share is another grid's."""


class SunSpecBattery(DrivenBattery):
    """A battery behind a converter with models 701 and 704.

    Args:
        address: where it is.
        settings: what the site says about it.
        commissioning: what this very device was seen to do; without, and without a guardian, it
            is read and never commanded.
        policy: how often one tries again.
        clock: what time it is.
    """

    def __init__(
        self,
        address: ModbusAddress,
        settings: BatterySettings | None = None,
        *,
        commissioning: Commissioning | None = None,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or BatterySettings()
        self._sunspec = SunSpecDrive(address, settings, policy=policy, clock=clock)
        super().__init__(self._sunspec, settings, commissioning=commissioning, clock=clock)

    async def arm_droop(self, droop: Droop) -> Answer:
        """Let the converter answer the frequency by itself; ``confirmed`` is the capacity in kW.

        Refused where the curve has a knee or a threshold: the model knows straight lines only.
        Beyond ``full_hz`` the converter goes on along the line, up to its rating.
        """
        began_s = self._clock.now_s()
        answer = await self._arm_or_disarm(droop)
        return replace(answer, took_s=self._clock.now_s() - began_s)

    async def _arm_or_disarm(self, droop: Droop) -> Answer:
        asked_kw = droop.capacity_kw
        why = cannot_say(droop)
        if why is not None:
            return self._refused("arm_droop", asked_kw, why)
        device = await self._commandable("arm_droop", asked_kw, vouched=asked_kw > 0.0)
        if not isinstance(device, Device):
            return device
        model = self._sunspec.device.model(DROOPS)
        if model is None or "RspTms_SF" not in model.points:
            return await super().arm_droop(droop)
        async with self._writing:
            if asked_kw == 0.0:
                failure = await disarm(self._sunspec.device, model)
                if failure is None:
                    self._droop, self._sunspec.droop_kw = None, 0.0
                    return self._armed(asked_kw, 0.0, "")
                return self._failed(failure, "arm_droop", asked_kw)
            return await self._arm(droop, device)

    async def _arm(self, droop: Droop, device: Device) -> Answer:
        asked_kw = droop.capacity_kw
        model = self._sunspec.model(DROOPS)
        feasible = self._feasible(device)
        most_kw = min(feasible.high, -feasible.low)
        if most_kw <= 0.0:
            return self._refused("arm_droop", asked_kw, "it has no power both ways", feasible)
        seen = await self._sunspec.seen()
        hz = getattr(seen, "hz", None)
        if hz is not None and abs(hz / droop.nominal_hz - 1.0) > NOMINAL_WITHIN:
            why = f"it sees {hz:g} Hz, which is no grid of {droop.nominal_hz:g} Hz"
            return self._refused("arm_droop", asked_kw, why)
        told = Droop(min(asked_kw, most_kw), droop.curve, droop.nominal_hz, droop.response_s)
        rating_kw = max(device.limits.high, -device.limits.low)
        armed = await arm(self._sunspec.device, model, told, rating_kw, self._clock)
        if isinstance(armed, Armed):
            self._droop = Droop(armed.capacity_kw, told.curve, told.nominal_hz, told.response_s)
            self._sunspec.droop_kw = armed.capacity_kw
            why = f"it has {most_kw:g} kW both ways" if asked_kw > most_kw else ""
            return self._armed(asked_kw, armed.capacity_kw, why)
        if isinstance(armed, Denied) and armed.code == 0:
            return Unverified(
                device=self.settings.name, command="arm_droop", asked=asked_kw, why=armed.why
            )
        return self._failed(armed, "arm_droop", asked_kw)

    def _armed(self, asked_kw: float, capacity_kw: float, why: str) -> Answer:
        name, command = self.settings.name, "arm_droop"
        if not why:
            return Applied(device=name, command=command, asked=asked_kw, confirmed=capacity_kw)
        return AppliedInPart(
            device=name,
            command=command,
            asked=asked_kw,
            confirmed=capacity_kw,
            feasible=Range(0.0, capacity_kw, "kW"),
            why=why,
        )
