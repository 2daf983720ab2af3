"""Driving a battery by the 700 series of SunSpec models: 704 sets, 701 measures, 715 beats.

A set-point is one write over ``WSetEna`` to ``WSetRvrtTms``: its term is armed with it and by the
same step. A device that takes no such write gets its values first and the switch last; a write by
points in the order of their registers would enable the old value without a term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.connection import Denied, Failure, ModbusAddress, Words, after_a_write
from ebplan.adapters.modbus.drive import BatterySettings, Device, Held, Seen
from ebplan.adapters.modbus.sunspec import Chain, Model
from ebplan.adapters.modbus.sunspec_device import SunSpecDevice
from ebplan.adapters.modbus.sunspec_reading import W_PER_KW, limits_of, read_battery
from ebplan.adapters.roles import BatteryReading

MEASURES, RATES, ENTERS, SETS, DROOPS, STORES, BEATS = 701, 702, 703, 704, 711, 713, 715
WANTED = frozenset({MEASURES, RATES, ENTERS, SETS, DROOPS, STORES, 714, BEATS, 802})
LONGEST_TERM_S = float(0xFFFFFFFE)
IN_WATTS = 1
BLOCK_IS_NOT_TAKEN = (1, 2, 3)
"""Exceptions with which devices answer a write over several points that they want apart."""


class SunSpecDrive:
    """A battery with models 701 and 704; 702, 703, 711, 713 to 715 and 802 where it has them.

    Args:
        address: where it is.
        settings: what the site says about it.
    """

    def __init__(
        self,
        address: ModbusAddress,
        settings: BatterySettings,
        *,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.device = SunSpecDevice(
            address, WANTED, settings.serial, self._understand, policy=policy, clock=clock
        )
        self.droop_kw = 0.0
        """Capacity of the droop that was armed here; what a device says does not tell it."""
        self._settings = settings
        self._clock = clock or MonotonicClock()
        self._known: Device | None = None
        self._apart = False
        self._beat = 0

    def model(self, number: int) -> Model:
        """Return a model that the device is known to have."""
        model = self.device.model(number)
        assert model is not None
        return model

    async def ready(self) -> Device | Failure:
        """Connect if need be; return the device."""
        failure = await self.device.line.set_points.greet()
        if failure is not None:
            return failure
        assert self._known is not None
        return self._known

    async def same(self) -> Failure | None:
        """Make sure that it is still that device, and under our control."""
        failure = await self.device.same()
        beats = self.device.model(BEATS)
        if failure is not None or beats is None or "LocRemCtl" not in beats.points:
            return failure
        line = self.device.line.set_points
        read = await self.device.read(line, beats, "LocRemCtl", "LocRemCtl")
        if not isinstance(read, tuple):
            return read
        local = beats.value("LocRemCtl", read[1], read[0]) == 1
        assert self._known is not None
        self._known = replace(self._known, local=local)
        return Denied(0, "it is under local control") if local else None

    async def set(self, kw: float, term_s: int) -> Failure | None:
        """Write a set-point with its term, enabled."""
        return await self._control(kw, term_s, enabled=True)

    async def extend(self, term_s: int) -> Failure | None:
        """Start the term anew and beat."""
        model = self.model(SETS)
        words = model.encoded("WSetRvrtTms", term_s)
        failure = await self.device.write(model, "WSetRvrtTms", *words)
        beats = self.device.model(BEATS)
        if failure is not None or beats is None or "ControllerHb" not in beats.points:
            return failure
        self._beat = self._beat % (2**31) + 1
        words = beats.encoded("ControllerHb", self._beat)
        failure = await self.device.write(beats, "ControllerHb", *words)
        return None if failure is None else after_a_write(failure)

    async def stop(self) -> Failure | None:
        """Hold 0 kW without a term, or leave it to the device's own mode."""
        return await self._control(0.0, 0, enabled=self._settings.on_lapse == "rest")

    async def held(self) -> Held | Failure:
        """Read the set-point and its term back."""
        model = self.model(SETS)
        last = "WSetRvrtRem" if "WSetRvrtRem" in model.points else "WSetRvrtTms"
        read = await self.device.read(self.device.line.set_points, model, "WSetEna", last)
        if not isinstance(read, tuple):
            return read
        start, words = read

        def number(name: str) -> float | None:
            return model.number_of(name, words, start)

        watts = number("WSet")
        holds = (
            number("WSetEna") == 1 and number("WSetMod") in (None, IN_WATTS) and watts is not None
        )
        return Held(
            watts / W_PER_KW if holds and watts is not None else None,
            number("WSetRvrtTms"),
            number("WSetRvrtRem"),
        )

    async def seen(self) -> Seen | Failure:
        """Read power and frequency."""
        model = self.model(MEASURES)
        last = "Hz" if "Hz" in model.points else "W"
        read = await self.device.read(self.device.line.set_points, model, "W", last)
        if not isinstance(read, tuple):
            return read
        start, words = read
        watts = model.number_of("W", words, start)
        if watts is None:
            return Denied(0, "it measures no power")
        return Seen(watts / W_PER_KW, model.number_of("Hz", words, start))

    async def read(self) -> BatteryReading | Failure:
        """Read everything."""
        failure = await self.device.line.polls.greet()
        if failure is not None:
            return failure
        assert self._known is not None
        return await read_battery(self.device, self._known.limits, self.droop_kw)

    async def close(self) -> None:
        """Close the connections."""
        await self.device.close()

    # -- what it is --

    def _understand(self, chain: Chain) -> tuple[range, ...] | Denied:
        sets, measures = chain.first(SETS), chain.first(MEASURES)
        if sets is None or "WSetRvrtTms" not in sets.points or not _has(measures, "W"):
            return Denied(0, "it has no models 701 and 704 to set and measure power with")
        limits = limits_of(chain, self._settings.max_charge_kw, self._settings.max_discharge_kw)
        if limits is None:
            return Denied(0, "it does not tell its limits, and the site states none")
        try:
            for kw in (limits.low, limits.high):
                sets.encoded("WSet", W_PER_KW * kw)
        except ValueError as error:
            return Denied(0, f"it takes no set-point in watts ({error})")
        step_kw = 10.0 ** (sets.scales.get("WSet_SF") or 0) / W_PER_KW
        beats = chain.first(BEATS)
        local = beats is not None and beats.value("LocRemCtl", beats.words) == 1
        plate = chain.nameplate
        self._known = Device(
            f"{plate.maker} {plate.model}", plate.serial, limits, step_kw, LONGEST_TERM_S, local
        )
        self._apart = False
        return tuple(self._writable(sets, beats, chain.first(DROOPS)))

    @staticmethod
    def _writable(sets: Model, beats: Model | None, droops: Model | None) -> Iterator[range]:
        yield sets.registers("WSetEna", "WSetRvrtTms")
        if _has(beats, "ControllerHb"):
            yield beats.registers("ControllerHb", "ControllerHb")
        if _has(droops, "RspTms_SF"):
            yield droops.registers("Ena", "AdptCtlReq")
            i = 0
            while f"Ctl.{i}.RspTms" in droops.points:
                yield droops.registers(f"Ctl.{i}.DbOf", f"Ctl.{i}.RspTms")
                i += 1

    # -- the set-point --

    async def _control(self, kw: float, term_s: int, *, enabled: bool) -> Failure | None:
        model = self.model(SETS)
        values = {
            "WSetRvrtTms": model.encoded("WSetRvrtTms", term_s),
            "WSetMod": (IN_WATTS,),
            "WSetRvrt": model.encoded("WSet", 0.0),
            "WSetEnaRvrt": (int(self._settings.on_lapse == "rest"),),
            "WSet": model.encoded("WSet", W_PER_KW * kw),
            "WSetEna": (int(enabled),),
        }
        if not self._apart:
            failure = await self._in_one(model, values)
            if not (isinstance(failure, Denied) and failure.code in BLOCK_IS_NOT_TAKEN):
                return failure
        failure = await self._one_by_one(model, values)
        self._apart = self._apart or failure is None  # else the value was the matter, not the block
        return failure

    async def _in_one(self, model: Model, values: dict[str, tuple[int, ...]]) -> Failure | None:
        where = model.registers("WSetEna", "WSetRvrtTms")
        start = model.points["WSetEna"].offset
        words = list(model.words[start : start + len(where)])  # percentages stay as they are
        for name, written in values.items():
            at = model.points[name].offset - start
            words[at : at + len(written)] = written
        reply = await self.device.line.set_points.write(where.start, words)
        return None if isinstance(reply, Words) else reply

    async def _one_by_one(self, model: Model, values: dict[str, tuple[int, ...]]) -> Failure | None:
        for i, (name, written) in enumerate(values.items()):
            if name == "WSetEna" and self._settings.settle_s:
                await self._clock.sleep(self._settings.settle_s)
            failure = await self.device.write(model, name, *written)
            optional = name in ("WSetRvrt", "WSetEnaRvrt") and isinstance(failure, Denied)
            if failure is not None and not optional:
                return after_a_write(failure) if i else failure
        return None


def _has(model: Model | None, name: str) -> TypeGuard[Model]:
    return model is not None and name in model.points
