"""Single registers of a device that does not describe itself: where, how coded, in which unit."""

from __future__ import annotations

import struct
from math import isfinite
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.modbus.connection import Connection, Failure, Table, Words
from ebplan.document import FieldFault, NonNegative, Part

FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
Number = Annotated[int, Field(ge=0, le=0xFFFF)]


class Register(Part):
    """One value of a device."""

    address: Number
    """Address in the request, counted from 0 (manuals often count from 1 or 40001)."""
    type: Literal["int16", "uint16", "int32", "uint32", "float32"] = "int16"
    """How it is coded; 32 bits take two registers."""
    word_order: Literal["big", "little"] = "big"
    """Which half of 32 bits comes first."""
    table: Table = "holding"
    """Holding registers (function 3) or input registers (function 4)."""
    scale: float = 1.0
    """Value of one count, in the unit."""
    missing: int | None = None
    """Count with which the device says that it has no value."""

    @model_validator(mode="after")
    def _can_be_divided(self) -> Register:
        if self.scale == 0.0:
            raise FieldFault(
                field="scale", value=0.0, allowed="not 0", remedy="give the value of one count"
            )
        return self

    @property
    def where(self) -> range:
        """Registers it takes."""
        return range(self.address, self.address + (1 if self.type.endswith("16") else 2))

    def decoded(self, words: tuple[int, ...]) -> float | None:
        """Return the value in its unit; None where the device says that it has none."""
        ordered = words if self.word_order == "big" else words[::-1]
        raw = b"".join(word.to_bytes(2, "big") for word in ordered)
        (count,) = struct.unpack(FORMATS[self.type], raw)
        if not isfinite(count) or count == self.missing:
            return None
        return float(count) * self.scale

    def encoded(self, value: float) -> tuple[int, ...]:
        """Return the registers that say a value, rounded to a count.

        Raises:
            ValueError: it does not fit.
        """
        count = value / self.scale
        try:
            raw = struct.pack(FORMATS[self.type], count if self.type == "float32" else round(count))
        except (struct.error, OverflowError, ValueError):
            raise ValueError(f"{value:g} does not fit into {self.type}") from None
        words = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
        return tuple(words if self.word_order == "big" else words[::-1])

    @property
    def step(self) -> float:
        """What a value is rounded to, in the unit."""
        return abs(self.scale) if self.type != "float32" else 1e-6

    async def read(self, connection: Connection) -> float | Failure | None:
        """Return the value now."""
        reply = await connection.read(self.address, len(self.where), self.table)
        return self.decoded(reply.values) if isinstance(reply, Words) else reply

    async def write(self, connection: Connection, value: float) -> Failure | None:
        """Write a value."""
        reply = await connection.write(self.address, self.encoded(value))
        return None if isinstance(reply, Words) else reply


class PowerRegister(Register):
    """A power; which way is positive must be said."""

    unit: Literal["W", "kW"]
    """Unit of ``scale``."""
    positive: Literal["discharge", "charge", "drawn", "fed in"]
    """What a positive value means to the device."""

    @property
    def kw_per_unit(self) -> float:
        """Factor to kW, > 0 discharging or drawn."""
        sign = 1.0 if self.positive in ("discharge", "drawn") else -1.0
        return sign * (1.0 if self.unit == "kW" else 1e-3)

    @property
    def step_kw(self) -> float:
        """What a power is rounded to."""
        return self.step * abs(self.kw_per_unit)

    async def read_kw(self, connection: Connection) -> float | Failure | None:
        """Return the power now, in our sign."""
        value = await self.read(connection)
        return value * self.kw_per_unit if isinstance(value, float) else value

    async def write_kw(self, connection: Connection, kw: float) -> Failure | None:
        """Write a power in our sign."""
        return await self.write(connection, kw / self.kw_per_unit)


class SetPointRegister(PowerRegister):
    """A power that is written; nothing outside its range ever is."""

    max_charge_kw: NonNegative
    """The device takes no faster charge."""
    max_discharge_kw: NonNegative
    """The device takes no faster discharge."""

    @model_validator(mode="after")
    def _can_say_its_range(self) -> SetPointRegister:
        for name, kw in (
            ("max_charge_kw", -self.max_charge_kw),
            ("max_discharge_kw", self.max_discharge_kw),
        ):
            try:
                self.encoded(kw / self.kw_per_unit)
            except ValueError:
                raise FieldFault(
                    field=name,
                    value=abs(kw),
                    allowed=f"what {self.type} can say with this scale and unit",
                    remedy="correct the type or the scale",
                ) from None
        return self


class TextRegister(Part):
    """Text, two letters to a register."""

    address: Number
    """Address in the request, counted from 0."""
    length: Annotated[int, Field(ge=1, le=60)]
    """Registers it takes."""
    table: Table = "holding"
    """Holding registers (function 3) or input registers (function 4)."""

    async def read_in_greeting(self, connection: Connection) -> str | Failure:
        """Return the text; only for a greeting."""
        reply = await connection.read_in_greeting(self.address, self.length, self.table)
        return self._text(reply.values) if isinstance(reply, Words) else reply

    async def read(self, connection: Connection) -> str | Failure:
        """Return the text."""
        reply = await connection.read(self.address, self.length, self.table)
        return self._text(reply.values) if isinstance(reply, Words) else reply

    @staticmethod
    def _text(words: tuple[int, ...]) -> str:
        raw = b"".join(word.to_bytes(2, "big") for word in words)
        return raw.split(b"\0")[0].decode("utf-8", "replace").strip()


class Switch(Part):
    """A register with one meaning per value."""

    address: Number
    """Address in the request, counted from 0."""
    on: Number = 1
    """Value that means yes."""
    off: Number = 0
    """Value that means no; for a reading, anything but ``on`` does."""
    table: Table = "holding"
    """Holding registers (function 3) or input registers (function 4)."""

    async def read(self, connection: Connection) -> bool | Failure:
        """Return whether it is on."""
        reply = await connection.read(self.address, 1, self.table)
        return reply.values[0] == self.on if isinstance(reply, Words) else reply

    async def write(self, connection: Connection, on: bool) -> Failure | None:
        """Switch it."""
        reply = await connection.write(self.address, (self.on if on else self.off,))
        return None if isinstance(reply, Words) else reply
