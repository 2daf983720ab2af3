"""A declared register map: any battery or meter that does not describe itself, as a file.

    kind = "register_map"
    [address]
    host = "10.20.0.12"
    [battery.power]
    address = 100
    ...

Only what the file names is ever written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.registers import (
    PowerRegister,
    Register,
    SetPointRegister,
    Switch,
    TextRegister,
)
from ebplan.document import Document, FieldFault, NonNegative, Part, Positive, read_toml


class BatteryRegisters(Part):
    """Registers of a battery behind a converter, or of the PLC that drives it."""

    power: PowerRegister
    """Power at the converter's AC side."""
    set_point: SetPointRegister
    """Power it shall hold."""
    enable: Switch | None = None
    """Whether it follows the set-point; written last. Without, it always does."""
    term: Register | None = None
    """Seconds after which it goes to 0 kW by itself, counted from each write; 0 never."""
    term_left: Register | None = None
    """Seconds that are left."""
    heartbeat: Register | None = None
    """Counter that the controller moves with each renewal."""
    watchdog_s: Positive | None = None
    """It goes to 0 kW this long after the heartbeat last moved."""
    soc: Register | None = None
    """State of charge, with a scale that makes it 0 to 1."""
    frequency: Register | None = None
    """Grid frequency, in Hz."""
    available: Switch | None = None
    """Whether it takes set-points."""
    local: Switch | None = None
    """Whether somebody commands it on the spot."""
    serial: TextRegister | None = None
    """Its serial number."""

    @model_validator(mode="after")
    def _makes_sense(self) -> BatteryRegisters:
        for name in ("power", "set_point"):
            positive = getattr(self, name).positive
            if positive not in ("charge", "discharge"):
                raise FieldFault(
                    field=f"{name}.positive",
                    value=positive,
                    allowed="'charge' or 'discharge' with a battery",
                    remedy="say which way is positive",
                )
        for name in ("set_point", "enable", "term", "heartbeat"):
            register = getattr(self, name)
            if register is not None and register.table != "holding":
                raise FieldFault(
                    field=f"{name}.table",
                    value=register.table,
                    allowed="'holding': input registers cannot be written",
                    remedy="correct the table",
                )
        if self.watchdog_s is not None and self.heartbeat is None:
            raise FieldFault(
                field="watchdog_s",
                value=self.watchdog_s,
                allowed="only with a heartbeat that it watches",
                remedy="name the heartbeat, or remove watchdog_s",
            )
        if self.watchdog_s is not None and self.term is not None:
            raise FieldFault(
                field="watchdog_s",
                value=self.watchdog_s,
                allowed="either a term or a watchdog",
                remedy="keep the one that puts the battery to 0 kW",
            )
        taken: dict[int, str] = {}
        for name in ("set_point", "enable", "term", "heartbeat"):
            register = getattr(self, name)
            for at in () if register is None else _where(register):
                if at in taken:
                    raise FieldFault(
                        field=f"{name}.address",
                        value=at,
                        allowed=f"registers of its own; {taken[at]} has this one",
                        remedy="correct one of the two addresses",
                    )
                taken[at] = name
        return self

    @property
    def written(self) -> tuple[range, ...]:
        """Registers that may be written; no others are."""
        switch = () if self.enable is None else (_one(self.enable.address),)
        others = (r for r in (self.set_point, self.term, self.heartbeat) if r is not None)
        return (*(register.where for register in others), *switch)


class MeterRegisters(Part):
    """Registers of the meter at the connection point."""

    power: PowerRegister
    """Power at the connection point."""
    frequency: Register | None = None
    """Grid frequency, in Hz."""
    age_s: NonNegative = 0.0
    """How old a reading may be: the meter's own averaging and refreshing, from its manual."""
    serial: TextRegister | None = None
    """Its serial number."""

    @model_validator(mode="after")
    def _at_the_connection_point(self) -> MeterRegisters:
        if self.power.positive not in ("drawn", "fed in"):
            raise FieldFault(
                field="power.positive",
                value=self.power.positive,
                allowed="'drawn' or 'fed in' with a meter",
                remedy="say which way is positive",
            )
        return self


class RegisterMap(Document):
    """Where a device is and what its registers mean."""

    kind: Literal["register_map"] = "register_map"
    address: ModbusAddress
    """Where the device is."""
    battery: BatteryRegisters | None = None
    """Its registers, where it is a battery."""
    meter: MeterRegisters | None = None
    """Its registers, where it is a meter."""

    @model_validator(mode="after")
    def _one_of_two(self) -> RegisterMap:
        if (self.battery is None) == (self.meter is None):
            raise FieldFault(
                field="battery",
                value=None if self.battery is None else "both",
                allowed="one of battery and meter",
                remedy="write a file for each device",
            )
        return self

    @classmethod
    def read(cls, path: Path) -> RegisterMap:
        """Read a register map.

        Raises:
            InputError: the file cannot be read or says something that makes no sense.
        """
        return cls.parse(read_toml(path), file=str(path))


def _where(register: Register | Switch) -> range:
    return _one(register.address) if isinstance(register, Switch) else register.where


def _one(register: int) -> range:
    return range(register, register + 1)
