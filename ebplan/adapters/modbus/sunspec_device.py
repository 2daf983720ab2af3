"""One SunSpec device on its line: greeted on each connection, and known by its models."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.connection import (
    Connection,
    Denied,
    Failure,
    ModbusAddress,
    Stranger,
    Words,
)
from ebplan.adapters.modbus.line import Line
from ebplan.adapters.modbus.sunspec import COMMON, Chain, Model, decode, walk

Understand = Callable[[Chain], Iterable[range] | Denied]
"""Takes in what a device is; returns the registers that may be written, or why it is of no use."""


class SunSpecDevice:
    """A device behind a line; nothing reaches it before it has said that it is the one meant.

    Args:
        address: where it is.
        wanted: models to read.
        serial: the device that is meant; None takes any.
        understand: takes in what it is.
    """

    def __init__(
        self,
        address: ModbusAddress,
        wanted: frozenset[int],
        serial: str | None,
        understand: Understand,
        *,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.line = Line(address, self._greet, policy=policy, clock=clock)
        self.chain: Chain | None = None
        """As it described itself last."""
        self._wanted = wanted
        self._serial = serial
        self._understand = understand

    def model(self, *numbers: int) -> Model | None:
        """Return the first of these models that it has."""
        return None if self.chain is None else self.chain.first(*numbers)

    async def read(
        self, connection: Connection, model: Model, first: str, last: str
    ) -> tuple[int, tuple[int, ...]] | Failure:
        """Return the registers from one point to another, and the offset of the first."""
        where = model.registers(first, last)
        reply = await connection.read(where.start, len(where))
        if not isinstance(reply, Words):
            return reply
        return model.points[first].offset, reply.values

    async def write(self, model: Model, name: str, *words: int) -> Failure | None:
        """Write registers from a point on."""
        reply = await self.line.set_points.write(model.at(name), words)
        return None if isinstance(reply, Words) else reply

    async def same(self) -> Failure | None:
        """Make sure that its serial number is still the same: a gateway hides an exchange."""
        common = self.model(COMMON)
        if common is None or self.chain is None or not self.chain.nameplate.serial:
            return None
        where = common.registers("SN", "SN")
        reply = await self.line.set_points.read(where.start, len(where))
        if not isinstance(reply, Words):
            return reply
        serial = decode("string", reply.values) or ""
        if serial == self.chain.nameplate.serial:
            return None
        await self.line.close()  # whoever answers now is greeted before it is asked anything
        return Stranger(
            f"another device answers: serial {serial}; {self.chain.nameplate.serial} is meant"
        )

    async def close(self) -> None:
        """Close its connections."""
        await self.line.close()

    async def _greet(self, connection: Connection) -> Failure | None:
        connection.writable = ()
        chain = await walk(connection.read_in_greeting, self._wanted, serial=self._serial)
        if not isinstance(chain, Chain):
            return chain
        if self._serial is None and chain.nameplate.serial:
            self._serial = chain.nameplate.serial  # the first that answers is the one meant
        writable = self._understand(chain)
        if isinstance(writable, Denied):
            return writable
        self.chain = chain
        connection.writable = tuple(writable)
        return None
