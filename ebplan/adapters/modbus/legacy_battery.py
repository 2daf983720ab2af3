"""A battery of the SunSpec models before the 700 series: 103 or 113 measures, 124 sets.

Model 124 knows no set-point, only the most that may be charged and discharged, in percent of
``WChaMax``. Both may be negative: the least charge is a negative discharge. A set-point is both
ends at the same power, written in one step with the term.

What the hardware does if we die: the term runs out and both limits fall, which leaves the battery
to the device's own mode. It has no droop that could be armed.
"""

from __future__ import annotations

from ebplan.adapters.answers import Range
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.commissioning import Commissioning
from ebplan.adapters.modbus.connection import Denied, Failure, ModbusAddress, after_a_write
from ebplan.adapters.modbus.drive import BatterySettings, Device, Held, Seen
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.sunspec import Chain, Model
from ebplan.adapters.modbus.sunspec_device import SunSpecDevice
from ebplan.adapters.modbus.sunspec_reading import W_PER_KW
from ebplan.adapters.roles import BatteryReading

MEASURES = (103, 113, 101, 111, 102, 112)
RATES, SETS, STORES = 120, 124, 802
WANTED = frozenset({*MEASURES, RATES, SETS, STORES})
BOTH_LIMITS = 0b11
LONGEST_TERM_S = float(0xFFFE)
FAULT, SHUTTING_DOWN, OFF = 7, 6, 1


class LegacyDrive:
    """A battery with model 124 and one of 101 to 113.

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
        self._settings = settings
        self._known: Device | None = None
        self._full_kw = 0.0
        self._beat = 0

    async def ready(self) -> Device | Failure:
        """Connect if need be; return the device."""
        failure = await self.device.line.set_points.greet()
        if failure is not None:
            return failure
        assert self._known is not None
        return self._known

    async def same(self) -> Failure | None:
        """Make sure that it is still that device."""
        return await self.device.same()

    async def set(self, kw: float, term_s: int) -> Failure | None:
        """Write both limits with their term, and enable them."""
        model = self._model(SETS)
        percent = 100.0 * kw / self._full_kw
        values = {
            "OutWRte": model.encoded("OutWRte", percent),
            "InWRte": model.encoded("InWRte", -percent),
            "InOutWRte_WinTms": (0,),
            "InOutWRte_RvrtTms": model.encoded("InOutWRte_RvrtTms", term_s),
        }
        words = [word for name in values for word in values[name]]
        failure = await self.device.write(model, "OutWRte", *words)
        if failure is not None:
            return failure
        failure = await self.device.write(model, "StorCtl_Mod", BOTH_LIMITS)
        return None if failure is None else after_a_write(failure)

    async def extend(self, term_s: int) -> Failure | None:
        """Start the term anew and beat."""
        model = self._model(SETS)
        words = model.encoded("InOutWRte_RvrtTms", term_s)
        failure = await self.device.write(model, "InOutWRte_RvrtTms", *words)
        store = self.device.model(STORES)
        if failure is not None or store is None or "CtrlHb" not in store.points:
            return failure
        self._beat = (self._beat + 1) % 0xFFFF
        failure = await self.device.write(store, "CtrlHb", self._beat)
        return None if failure is None else after_a_write(failure)

    async def stop(self) -> Failure | None:
        """Hold 0 kW without a term, or leave it to the device's own mode."""
        if self._settings.on_lapse == "rest":
            return await self.set(0.0, 0)
        return await self.device.write(self._model(SETS), "StorCtl_Mod", 0)

    async def held(self) -> Held | Failure:
        """Read the limits and their term back."""
        model = self._model(SETS)
        line = self.device.line.set_points
        read = await self.device.read(line, model, "StorCtl_Mod", "InOutWRte_RvrtTms")
        if not isinstance(read, tuple):
            return read
        start, words = read
        most = model.number_of("OutWRte", words, start)
        least = model.number_of("InWRte", words, start)
        mode = model.number_of("StorCtl_Mod", words, start)
        one = most is not None and least is not None and most == -least and mode == BOTH_LIMITS
        return Held(
            most / 100.0 * self._full_kw if one and most is not None else None,
            model.number_of("InOutWRte_RvrtTms", words, start),
        )

    async def seen(self) -> Seen | Failure:
        """Read power and frequency."""
        model = self._model(*MEASURES)
        line = self.device.line.set_points
        read = await self.device.read(line, model, *_in_order(model, "W", "Hz"))
        if not isinstance(read, tuple):
            return read
        start, words = read
        watts = model.number_of("W", words, start)
        if watts is None:
            return Denied(0, "it measures no power")
        # W and Hz have their scale factors behind them; both were read when it was greeted
        return Seen(watts / W_PER_KW, model.number_of("Hz", words, start))

    async def read(self) -> BatteryReading | Failure:
        """Read everything."""
        line = self.device.line.polls
        failure = await line.greet()
        if failure is not None:
            return failure
        assert self._known is not None
        measures, sets = self._model(*MEASURES), self._model(SETS)
        power = await self.device.read(line, measures, "W", "Evt1")
        if not isinstance(power, tuple):
            return power
        store = await self.device.read(line, sets, "ChaState", "ChaState")
        if not isinstance(store, tuple):
            return store
        start, words = power
        watts = measures.number_of("W", words, start)
        if watts is None:
            return Denied(0, "it measures no power")
        soc = sets.number_of("ChaState", store[1], store[0])
        state = measures.number_of("St", words, start)
        return BatteryReading(
            battery_kw=watts / W_PER_KW,
            soc=None if soc is None else min(max(soc / 100.0, 0.0), 1.0),
            feasible=self._known.limits,
            available=state not in (FAULT, SHUTTING_DOWN, OFF),
            frequency_hz=measures.number_of("Hz", words, start),
            droop_kw=0.0,
            alarms=measures.names("Evt1", words, start),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.device.close()

    # -- what it is --

    def _model(self, *numbers: int) -> Model:
        model = self.device.model(*numbers)
        assert model is not None
        return model

    def _understand(self, chain: Chain) -> tuple[range, ...] | Denied:
        sets, measures, rates = chain.first(SETS), chain.first(*MEASURES), chain.first(RATES)
        if sets is None or measures is None or "Evt1" not in measures.points:
            return Denied(0, "it has no model 124 and none of 101 to 113")
        if not sets.is_there("OutWRte") or not sets.is_there("InOutWRte_RvrtTms"):
            return Denied(0, "its model 124 takes no limits, or no term")
        full_w = sets.number_of("WChaMax", sets.words)
        if not full_w:
            return Denied(0, "it does not tell its limit (WChaMax)")
        try:
            for percent in (-100.0, 100.0):
                sets.encoded("OutWRte", percent)
                sets.encoded("InWRte", percent)
        except ValueError as error:
            return Denied(0, f"its limits reach no 100 percent ({error})")
        self._full_kw = full_w / W_PER_KW

        def rated(name: str) -> float:
            watts = None if rates is None else rates.number_of(name, rates.words)
            return self._full_kw if not watts else min(watts / W_PER_KW, self._full_kw)

        limits = Range(-rated("MaxChaRte"), rated("MaxDisChaRte"), "kW")
        step_percent = 10.0 ** (sets.scales.get("InOutWRte_SF") or 0)
        plate = chain.nameplate
        self._known = Device(
            f"{plate.maker} {plate.model}",
            plate.serial,
            limits,
            step_percent / 100.0 * self._full_kw,
            LONGEST_TERM_S,
        )
        writable = [
            sets.registers("StorCtl_Mod", "StorCtl_Mod"),
            sets.registers("OutWRte", "InOutWRte_RvrtTms"),
        ]
        store = chain.first(STORES)
        if store is not None and "CtrlHb" in store.points:
            writable.append(store.registers("CtrlHb", "CtrlHb"))
        return tuple(writable)


class LegacyBattery(DrivenBattery):
    """A battery behind a converter with models 103 or 113, and 124.

    Args:
        address: where it is.
        settings: what the site says about it.
        commissioning: what this very device was seen to do.
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
        drive = LegacyDrive(address, settings, policy=policy, clock=clock)
        super().__init__(drive, settings, commissioning=commissioning, clock=clock)


def _in_order(model: Model, *names: str) -> tuple[str, str]:
    """Return the first and the last of these points as they lie."""
    ordered = sorted(names, key=lambda name: model.points[name].offset)
    return ordered[0], ordered[-1]
