"""Meters at the connection point: by a declared register map, or by SunSpec models.

They are read and never written. A reading is as old as the meter's own averaging and refreshing
make it; the protocol does not tell that, so it is declared.
"""

from __future__ import annotations

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.connection import Connection, Denied, Failure, ModbusAddress
from ebplan.adapters.modbus.line import Line, unreadable
from ebplan.adapters.modbus.register_battery import greet_by_serial
from ebplan.adapters.modbus.register_map import MeterRegisters, RegisterMap
from ebplan.adapters.modbus.sunspec import Chain
from ebplan.adapters.modbus.sunspec_device import SunSpecDevice
from ebplan.adapters.modbus.sunspec_reading import W_PER_KW
from ebplan.adapters.roles import MeterReading

INVERTER = 701
METERS = (201, 202, 203, 204, 211, 212, 213, 214)


class RegisterMeter:
    """A meter by a declared register map.

    Args:
        declared: where it is and what its registers mean; a meter's.
        name: what it is called in answers.
        serial: the device that is meant.
    """

    def __init__(
        self,
        declared: RegisterMap,
        *,
        name: str = "meter",
        serial: str | None = None,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        assert declared.meter is not None
        self.registers: MeterRegisters = declared.meter
        self.name = name
        self._serial = serial
        address = declared.address.model_copy(update={"two_connections": False})
        self.line = Line(address, self._greet, policy=policy, clock=clock)

    async def read(self) -> MeterReading | Unreachable:
        """Return the power at the connection point."""
        kw = await self.registers.power.read_kw(self.line.polls)
        if kw is None:
            kw = Denied(0, "it has no value")
        if not isinstance(kw, float):
            return unreadable(kw, device=self.name)
        frequency = self.registers.frequency
        hz = None if frequency is None else await frequency.read(self.line.polls)
        if not isinstance(hz, float | None):
            return unreadable(hz, device=self.name)
        return MeterReading(grid_kw=kw, frequency_hz=hz, age_s=self.registers.age_s)

    async def close(self) -> None:
        """Give up the connection."""
        await self.line.close()

    async def _greet(self, connection: Connection) -> Failure | None:
        found = await greet_by_serial(connection, self.registers.serial, self._serial)
        if not isinstance(found, str):
            return found
        self._serial = self._serial or found or None
        return None


class SunSpecMeter:
    """A meter with a SunSpec model of 201 to 214, or an inverter's 701 where it stands for one.

    Args:
        address: where it is.
        name: what it is called in answers.
        serial: the device that is meant.
        positive_is_drawn: sign of its power; None takes drawn for a meter, fed in for an inverter.
        age_s: how old a reading may be, from its manual.
    """

    def __init__(
        self,
        address: ModbusAddress,
        *,
        name: str = "meter",
        serial: str | None = None,
        positive_is_drawn: bool | None = None,
        age_s: float = 0.0,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._age_s = age_s
        self._positive_is_drawn = positive_is_drawn
        one = address.model_copy(update={"two_connections": False})
        wanted = frozenset({*METERS, INVERTER})
        self.device = SunSpecDevice(
            one, wanted, serial, self._understand, policy=policy, clock=clock
        )

    async def read(self) -> MeterReading | Unreachable:
        """Return the power at the connection point."""
        line = self.device.line.polls
        failure = await line.greet()
        if failure is not None:
            return unreadable(failure, device=self.name)
        model = self.device.model(*METERS, INVERTER)
        assert model is not None
        first, last = sorted(("W", "Hz"), key=lambda name: model.points[name].offset)
        read = await self.device.read(line, model, first, last)
        if not isinstance(read, tuple):
            return unreadable(read, device=self.name)
        start, words = read
        watts = model.number_of("W", words, start)
        if watts is None:
            return unreadable(Denied(0, "it has no value"), device=self.name)
        drawn = self._positive_is_drawn
        drawn = model.number != INVERTER if drawn is None else drawn
        return MeterReading(
            grid_kw=watts / W_PER_KW if drawn else -watts / W_PER_KW,
            frequency_hz=model.number_of("Hz", words, start),
            age_s=self._age_s,
        )

    async def close(self) -> None:
        """Give up the connection."""
        await self.device.close()

    @staticmethod
    def _understand(chain: Chain) -> tuple[range, ...] | Denied:
        model = chain.first(*METERS, INVERTER)
        if model is None or not {"W", "Hz"} <= model.points.keys():
            return Denied(0, "it has none of the models 201 to 214, and no 701")
        return ()
