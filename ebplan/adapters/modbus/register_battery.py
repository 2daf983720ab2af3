"""A battery by a declared register map: a PLC, or any converter that does not describe itself.

What the hardware does if we die: what the map says, its term or its watchdog; where it says
neither, nothing, and a guardian must be stated before it takes a set-point.
"""

from __future__ import annotations

from ebplan.adapters.answers import Range
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.commissioning import Commissioning
from ebplan.adapters.modbus.connection import (
    Connection,
    Denied,
    Failure,
    Stranger,
    after_a_write,
)
from ebplan.adapters.modbus.drive import BatterySettings, Device, Held, Seen
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.line import Line
from ebplan.adapters.modbus.register_map import BatteryRegisters, RegisterMap
from ebplan.adapters.modbus.registers import TextRegister
from ebplan.adapters.roles import BatteryReading

LONGEST_TERM_S = {"int16": 32767.0, "uint16": 65535.0}


class RegisterDrive:
    """A battery with declared registers.

    Args:
        declared: where it is and what its registers mean; a battery's.
        settings: what the site says about it.
    """

    def __init__(
        self,
        declared: RegisterMap,
        settings: BatterySettings,
        *,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        assert declared.battery is not None
        self.registers: BatteryRegisters = declared.battery
        self.line = Line(declared.address, self._greet, policy=policy, clock=clock)
        self._settings = settings
        self._serial = settings.serial
        self._answers = ""
        self._local = False
        self._beat = 0

    async def ready(self) -> Device | Failure:
        """Connect if need be; return the device."""
        failure = await self.line.set_points.greet()
        return failure if failure is not None else self._device()

    async def same(self) -> Failure | None:
        """Make sure that it is still that device, and under our control."""
        registers, line = self.registers, self.line.set_points
        if registers.serial is not None:
            serial = await registers.serial.read(line)
            if not isinstance(serial, str):
                return serial
            if serial != self._answers:
                await self.line.close()
                return Stranger(f"another device answers: serial {serial}")
        if registers.local is not None:
            local = await registers.local.read(line)
            if not isinstance(local, bool):
                return local
            self._local = local
            return Denied(0, "it is under local control") if local else None
        return None

    async def set(self, kw: float, term_s: int) -> Failure | None:
        """Write the term, the set-point, and last the switch that enables it."""
        registers, line = self.registers, self.line.set_points
        if registers.term is not None:
            failure = await registers.term.write(line, term_s)
            if failure is not None:
                return failure
        failure = await registers.set_point.write_kw(line, kw)
        if failure is None and registers.enable is not None:
            failure = await registers.enable.write(line, True)
            return None if failure is None else after_a_write(failure)
        return after_a_write(failure) if failure and registers.term is not None else failure

    async def extend(self, term_s: int) -> Failure | None:
        """Start the term anew and beat."""
        registers, line = self.registers, self.line.set_points
        if registers.term is not None:
            failure = await registers.term.write(line, term_s)
            if failure is not None:
                return failure
        if registers.heartbeat is None:
            return None
        self._beat = self._beat % 32000 + 1
        return await registers.heartbeat.write(line, self._beat * registers.heartbeat.scale)

    async def stop(self) -> Failure | None:
        """Hold 0 kW without a term, or leave it to the device's own mode."""
        registers, line = self.registers, self.line.set_points
        failure = await registers.set_point.write_kw(line, 0.0)
        if failure is not None:
            return failure
        if registers.enable is not None and self._settings.on_lapse == "disable":
            failure = await registers.enable.write(line, False)
        return None if failure is None else after_a_write(failure)

    async def held(self) -> Held | Failure:
        """Read the set-point and its term back."""
        registers, line = self.registers, self.line.set_points
        kw = await registers.set_point.read_kw(line)
        if not isinstance(kw, float | None):
            return kw
        if registers.enable is not None:
            enabled = await registers.enable.read(line)
            if not isinstance(enabled, bool):
                return enabled
            kw = kw if enabled else None
        times: list[float | None] = []
        for register in (registers.term, registers.term_left):
            value = None if register is None else await register.read(line)
            if not isinstance(value, float | None):
                return value
            times.append(value)
        return Held(kw, *times)

    async def seen(self) -> Seen | Failure:
        """Read the power."""
        kw = await self.registers.power.read_kw(self.line.set_points)
        if kw is None:
            return Denied(0, "it measures no power")
        return Seen(kw) if isinstance(kw, float) else kw

    async def read(self) -> BatteryReading | Failure:
        """Read everything that is declared."""
        registers, line = self.registers, self.line.polls
        kw = await registers.power.read_kw(line)
        if kw is None:
            return Denied(0, "it measures no power")
        if not isinstance(kw, float):
            return kw
        numbers: list[float | None] = []
        for register in (registers.soc, registers.frequency):
            value = None if register is None else await register.read(line)
            if not isinstance(value, float | None):
                return value
            numbers.append(value)
        soc, hz = numbers
        states: list[bool] = []
        for switch, otherwise in ((registers.available, True), (registers.local, False)):
            state = otherwise if switch is None else await switch.read(line)
            if not isinstance(state, bool):
                return state
            states.append(state)
        available, self._local = states
        return BatteryReading(
            battery_kw=kw,
            soc=None if soc is None else min(max(soc, 0.0), 1.0),
            feasible=self._device().limits,
            available=available and not self._local,
            frequency_hz=hz,
            droop_kw=0.0,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.line.close()

    def _device(self) -> Device:
        registers = self.registers
        limits = Range(
            -registers.set_point.max_charge_kw, registers.set_point.max_discharge_kw, "kW"
        )
        longest_s = registers.watchdog_s or 0.0
        if registers.term is not None:
            counts = LONGEST_TERM_S.get(registers.term.type, 2.0**31 - 1.0)
            longest_s = counts * abs(registers.term.scale)
        return Device(
            "declared by a register map",
            self._answers,
            limits,
            registers.set_point.step_kw,
            longest_s,
            self._local,
            registers.watchdog_s or 0.0,
        )

    async def _greet(self, connection: Connection) -> Failure | None:
        found = await greet_by_serial(connection, self.registers.serial, self._serial)
        if not isinstance(found, str):
            return found
        self._answers = found
        self._serial = self._serial or found or None  # the first that answers is the one meant
        connection.writable = self.registers.written
        return None


class RegisterBattery(DrivenBattery):
    """A battery by a declared register map.

    Args:
        declared: where it is and what its registers mean; a battery's.
        settings: what the site says about it.
        commissioning: what this very device was seen to do.
        policy: how often one tries again.
        clock: what time it is.
    """

    def __init__(
        self,
        declared: RegisterMap,
        settings: BatterySettings | None = None,
        *,
        commissioning: Commissioning | None = None,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or BatterySettings()
        drive = RegisterDrive(declared, settings, policy=policy, clock=clock)
        super().__init__(drive, settings, commissioning=commissioning, clock=clock)


async def greet_by_serial(
    connection: Connection, register: TextRegister | None, serial: str | None
) -> str | Failure:
    """Return the serial number of a declared device, empty where it has none declared."""
    connection.writable = ()
    if register is None:
        return "" if serial is None else Stranger("it declares no serial number to know it by")
    found = await register.read_in_greeting(connection)
    if isinstance(found, str) and serial is not None and found != serial:
        return Stranger(f"another device answers: serial {found}; {serial} is meant")
    return found
