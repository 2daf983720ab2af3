"""A battery that is driven by writing registers: the same care whatever the registers are.

Whatever is asked is clamped to what the device and the site allow, written once, read back, and
confirmed by measured power where that is waited for. Nothing is left to a device that was not seen
to revert by itself (``commissioning``), or whose guardian nobody has stated.

What the hardware does if we die: its timer runs out at most one term after the last renewal, and it
goes to 0 kW; a droop that is armed stays armed. Where the timer is not real, the guardian does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import floor
from typing import Literal

import numpy as np

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
    clamped,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.confirm import wait_for_power
from ebplan.adapters.modbus.commissioning import Commissioning, why_not
from ebplan.adapters.modbus.connection import Denied, Failure, Lost, Stranger
from ebplan.adapters.modbus.drive import (
    SHORTEST_TERM_S,
    BatterySettings,
    Device,
    Drive,
    Held,
    Seen,
)
from ebplan.adapters.modbus.line import answered_by, unreadable
from ebplan.adapters.roles import BatteryReading, Droop


class DrivenBattery:
    """A battery on a drive.

    Args:
        drive: the device.
        settings: what the site says about it.
        commissioning: what the device was seen to do.
        clock: what time it is.
    """

    def __init__(
        self,
        drive: Drive,
        settings: BatterySettings | None = None,
        *,
        commissioning: Commissioning | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.drive = drive
        self.settings = settings or BatterySettings()
        self.commissioning = commissioning
        self._clock = clock or MonotonicClock()
        self._writing = asyncio.Lock()
        self._term_s = self.settings.first_term_s
        self._held_kw: float | None = None
        self._soc: float | None = None
        self._droop: Droop | None = None
        self._on_trial = False

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Let set-points through that nobody has vouched for yet; only to find out whether to."""
        self._on_trial = True
        try:
            yield
        finally:
            self._on_trial = False

    async def read(self) -> BatteryReading | Unreachable:
        """Return what it does; ``feasible`` within the limits of the device and of the site."""
        device = await self.drive.ready()
        if not isinstance(device, Device):
            return unreadable(device, device=self.settings.name)
        reading = await self.drive.read()
        if not isinstance(reading, BatteryReading):
            return unreadable(reading, device=self.settings.name)
        self._soc = reading.soc
        return replace(reading, feasible=self._feasible(device))

    async def hold(self, battery_kw: float, *, confirm_s: float = 0.0) -> Answer:
        """Hold this power, > 0 discharging, for one term; ``renew`` goes on with it.

        Args:
            battery_kw: set-point at the converter's AC side.
            confirm_s: wait so long for the measured power to reach it.
        """
        began_s = self._clock.now_s()
        answer = await self._hold(battery_kw, confirm_s)
        return _took(answer, self._clock.now_s() - began_s)

    async def why_not(self) -> str | None:
        """Return why this device is not told anything; None where it is."""
        device = await self.drive.ready()
        if not isinstance(device, Device):
            return device.why
        return why_not(device.serial, self.commissioning, self.settings.guardian)

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; ``confirmed`` is the term in whole seconds, rounded down."""
        began_s = self._clock.now_s()
        answer = await self._renew(ttl_s)
        return _took(answer, self._clock.now_s() - began_s)

    async def release(self) -> Answer:
        """Go to 0 kW now; a droop that is armed stays armed."""
        device = await self._commandable("release", 0.0, vouched=False)
        if not isinstance(device, Device):
            return device
        async with self._writing:
            self._held_kw = None
            failure = await self.drive.stop()
            if failure is not None:
                return self._failed(failure, "release", 0.0)
            held = await self.drive.held()
        if not isinstance(held, Held):
            return self._unread(held, "release", 0.0)
        if held.kw is not None and abs(held.kw) > device.step_kw:
            why = f"it still says {held.kw:g} kW"
            return Unverified(
                device=self.settings.name, command="release", asked=0.0, why=why, read_back=held.kw
            )
        return Applied(device=self.settings.name, command="release", asked=0.0, confirmed=0.0)

    async def arm_droop(self, droop: Droop) -> Answer:
        """Refuse: this kind of device answers no frequency by itself."""
        return self._refused("arm_droop", droop.capacity_kw, "it has no droop that can be set")

    async def close(self) -> None:
        """Give up the connections; the term then runs out by itself."""
        await self.drive.close()

    # -- a set-point --

    async def _hold(self, asked_kw: float, confirm_s: float) -> Answer:
        device = await self._commandable("hold", asked_kw)
        if not isinstance(device, Device):
            return device
        feasible = self._feasible(device)
        if not is_number(asked_kw):
            return self._refused("hold", asked_kw, "it is no number", feasible)
        kw, was_clamped = clamped(asked_kw, feasible)
        before = await self.drive.seen() if confirm_s > 0.0 else None
        async with self._writing:
            failure = await self.drive.set(kw, self._term_s)
            if not isinstance(failure, Denied | Stranger):
                self._held_kw = None  # until it is read back
            if failure is not None:
                return self._failed(failure, "hold", asked_kw, feasible)
            held = await self.drive.held()
            if not isinstance(held, Held):
                return self._unread(held, "hold", asked_kw)
            taken = _taken(held, kw, device.step_kw)
            if taken != "ignored":
                self._held_kw = held.kw
        if taken == "ignored" or held.kw is None:
            what = "holds nothing" if held.kw is None else f"says {held.kw:g} kW"
            return Unverified(
                device=self.settings.name,
                command="hold",
                asked=asked_kw,
                why=f"it acknowledged and {what}",
                read_back=held.kw,
            )
        why = f"it takes {feasible}" if was_clamped else ""
        why = f"the device took {held.kw:g} kW" if taken == "less" else why
        if confirm_s <= 0.0:
            return self._as_told(asked_kw, held.kw, feasible, why, None)
        start_kw = before.kw if isinstance(before, Seen) else 0.0
        return await self._confirmed(asked_kw, held.kw, start_kw, feasible, why, confirm_s)

    async def _confirmed(
        self,
        asked_kw: float,
        kw: float,
        start_kw: float,
        feasible: Range,
        why: str,
        within_s: float,
    ) -> Answer:
        tolerance_kw = self._tolerance_kw(feasible)
        frequency_hz: list[float | None] = [None]

        async def power() -> float | None:
            seen = await self.drive.seen()
            if not isinstance(seen, Seen):
                return None
            frequency_hz[0] = seen.hz
            return seen.kw

        def reached(measured_kw: float) -> bool:
            expected_kw = kw + self._droop_answer_kw(frequency_hz[0])
            return min(abs(measured_kw - kw), abs(measured_kw - expected_kw)) <= tolerance_kw

        settled = await wait_for_power(power, reached, within_s=within_s, clock=self._clock)
        measured_kw = settled.measured_kw
        if settled.reached:
            return self._as_told(asked_kw, kw, feasible, why, measured_kw)
        moved_kw = 0.0 if measured_kw is None else measured_kw - start_kw
        towards = moved_kw * (kw - start_kw) > 0.0 and abs(moved_kw) > tolerance_kw
        beyond = measured_kw is not None and abs(moved_kw) > abs(kw - start_kw) + tolerance_kw
        if measured_kw is not None and towards and not beyond:
            return AppliedInPart(
                device=self.settings.name,
                command="hold",
                asked=asked_kw,
                confirmed=measured_kw,
                feasible=feasible,
                why=f"{measured_kw:g} kW measured after {within_s:g} s, {kw:g} kW set",
                measured_kw=measured_kw,
            )
        shown = "no power" if measured_kw is None else f"{measured_kw:g} kW"
        return Unverified(
            device=self.settings.name,
            command="hold",
            asked=asked_kw,
            why=f"it says {kw:g} kW and {shown} was measured after {within_s:g} s",
            read_back=kw,
            measured_kw=measured_kw,
        )

    def _as_told(
        self, asked_kw: float, kw: float, feasible: Range, why: str, measured_kw: float | None
    ) -> Answer:
        if not why:
            return Applied(
                device=self.settings.name,
                command="hold",
                asked=asked_kw,
                confirmed=kw,
                measured_kw=measured_kw,
            )
        return AppliedInPart(
            device=self.settings.name,
            command="hold",
            asked=asked_kw,
            confirmed=kw,
            feasible=feasible,
            why=why,
            measured_kw=measured_kw,
        )

    # -- the lease --

    async def _renew(self, ttl_s: float) -> Answer:
        name = self.settings.name
        if not is_number(ttl_s) or ttl_s < SHORTEST_TERM_S:
            return self._refused("renew", ttl_s, f"a term is {SHORTEST_TERM_S:g} s at least")
        device = await self._commandable("renew", ttl_s)
        if not isinstance(device, Device):
            return device
        if ttl_s < device.shortest_term_s:
            why = f"it reverts after {device.shortest_term_s:g} s, no sooner"
            return self._refused("renew", ttl_s, why)
        longest_s = device.longest_term_s or ttl_s
        term_s = floor(min(ttl_s, longest_s))
        async with self._writing:
            failure = await self.drive.same() or await self.drive.extend(term_s)
            if failure is not None:
                return self._failed(failure, "renew", ttl_s)
            held = await self.drive.held()
            if not isinstance(held, Held):
                return self._unread(held, "renew", ttl_s)
            lapsed = _differ(held.kw, self._held_kw, device.step_kw)
            if lapsed and self._held_kw is not None:
                now = "nothing" if held.kw is None else f"{held.kw:g} kW"
                why = f"it holds {now} instead of {self._held_kw:g} kW: its term had ended"
                self._held_kw = None
                return Unverified(
                    device=name, command="renew", asked=ttl_s, why=why, read_back=held.kw
                )
            granted_s = float(term_s) if held.term_s is None else min(held.term_s, float(term_s))
            if granted_s < SHORTEST_TERM_S:
                why = "its timer is switched off"
                return Unverified(device=name, command="renew", asked=ttl_s, why=why)
            self._term_s = int(granted_s)
        if granted_s < floor(ttl_s):
            return AppliedInPart(
                device=name,
                command="renew",
                asked=ttl_s,
                confirmed=granted_s,
                feasible=Range(SHORTEST_TERM_S, longest_s, "s"),
                why=f"it grants {granted_s:g} s",
            )
        return Applied(device=name, command="renew", asked=ttl_s, confirmed=granted_s)

    # -- whether, and how far --

    async def _commandable(
        self, command: str, asked: float, *, vouched: bool = True
    ) -> Device | Refused | Unreachable:
        device = await self.drive.ready()
        if not isinstance(device, Device):
            return self._failed(device, command, asked)
        if device.local:
            return self._refused(command, asked, "it is under local control")
        if vouched and not self._on_trial:
            why = why_not(device.serial, self.commissioning, self.settings.guardian)
            if why is not None:
                return self._refused(command, asked, why)
        return device

    def _feasible(self, device: Device) -> Range:
        settings = self.settings
        low, high = device.limits.low, device.limits.high
        if settings.max_charge_kw is not None:
            low = max(low, -settings.max_charge_kw)
        if settings.max_discharge_kw is not None:
            high = min(high, settings.max_discharge_kw)
        if self._soc is not None and self._soc <= settings.soc_min:
            high = 0.0
        if self._soc is not None and self._soc >= settings.soc_max:
            low = 0.0
        return Range(min(low, 0.0), max(high, 0.0), "kW")

    def _tolerance_kw(self, feasible: Range) -> float:
        if self.settings.tolerance_kw is not None:
            return self.settings.tolerance_kw
        return 0.02 * max(feasible.high, -feasible.low)

    def _droop_answer_kw(self, hz: float | None) -> float:
        if self._droop is None or hz is None:
            return 0.0
        share = self._droop.curve.share(np.array([hz - self._droop.nominal_hz]))
        return -float(share[0]) * self._droop.capacity_kw

    # -- what failed --

    def _failed(
        self, failure: Failure, command: str, asked: float, feasible: Range | None = None
    ) -> Refused | Unreachable:
        answer = answered_by(failure, device=self.settings.name, command=command, asked=asked)
        if isinstance(answer, Refused) and feasible is not None:
            return self._refused(command, asked, answer.why, feasible)
        return answer

    def _unread(self, failure: Failure, command: str, asked: float) -> Answer:
        """Return the answer to a command that was taken and could not be read back."""
        match failure:
            case Lost():
                return Unreachable(
                    device=self.settings.name,
                    command=command,
                    asked=asked,
                    why=f"taken, and then {failure.why}",
                    executed=True,
                )
            case Denied() | Stranger():
                return Unverified(
                    device=self.settings.name,
                    command=command,
                    asked=asked,
                    why=f"it cannot be read back: {failure.why}",
                )

    def _refused(
        self, command: str, asked: float, why: str, feasible: Range | None = None
    ) -> Refused:
        return Refused(
            device=self.settings.name, command=command, asked=asked, why=why, feasible=feasible
        )


def _differ(one_kw: float | None, other_kw: float | None, step_kw: float) -> bool:
    if one_kw is None or other_kw is None:
        return one_kw is not other_kw
    return abs(one_kw - other_kw) > step_kw


def _taken(held: Held, kw: float, step_kw: float) -> Literal["all", "less", "ignored"]:
    """Return what became of a set-point by what is read back."""
    if held.kw is None:
        return "ignored"
    if not _differ(held.kw, kw, step_kw):
        return "all"
    return "less" if held.kw * kw > 0.0 and abs(held.kw) < abs(kw) else "ignored"


def _took(answer: Answer, seconds: float) -> Answer:
    return replace(answer, took_s=seconds)
