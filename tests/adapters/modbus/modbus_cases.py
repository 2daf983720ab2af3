"""Devices and helpers that several tests of the Modbus adapters share."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from ebplan.adapters.modbus.commissioning import Commissioning, Probe
from ebplan.adapters.modbus.connection import Connection, ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery

Request = bytes
Answered = Callable[[Request], Awaitable[bytes | None] | bytes | None]

GUARDED = BatterySettings(guardian="a watchdog of the bench")


def here(port: int, **fields: object) -> ModbusAddress:
    known: dict[str, object] = {"host": "127.0.0.1", "port": port, "timeout_s": 1.0}
    return ModbusAddress.parse({**known, **fields})


def record(serial: str = "EB-0001", *, failed: str | None = None, guardian: str | None = None):
    names = ("set-point", "sign", "timer", "renewal")
    probes = tuple(
        Probe.parse({"name": n, "outcome": "failed" if n == failed else "passed", "seen": "-"})
        for n in names
    )
    return Commissioning(
        device="bench",
        serial=serial,
        at=datetime(2026, 6, 1, tzinfo=UTC),
        guardian=guardian,
        probes=probes,
        may_arm=failed is None,
    )


@contextlib.asynccontextmanager
async def sunspec(port: int, **fields: object) -> AsyncIterator[SunSpecBattery]:
    settings = BatterySettings.parse({**GUARDED.model_dump(mode="json"), **fields})
    battery = SunSpecBattery(here(port), settings)
    try:
        yield battery
    finally:
        await battery.close()


@contextlib.asynccontextmanager
async def legacy(port: int, **fields: object) -> AsyncIterator[LegacyBattery]:
    settings = BatterySettings.parse({**GUARDED.model_dump(mode="json"), **fields})
    battery = LegacyBattery(here(port), settings)
    try:
        yield battery
    finally:
        await battery.close()


@contextlib.asynccontextmanager
async def connected(port: int, **fields: object) -> AsyncIterator[Connection]:
    connection = Connection(here(port, **fields))
    connection.writable = (range(0, 100),)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def scripted(answer: Answered) -> AsyncIterator[int]:
    """A device that says what the script says, byte for byte; None says nothing."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readexactly(6)
                request = head + await reader.readexactly(int.from_bytes(head[4:6], "big"))
                said = answer(request)
                said = await said if isinstance(said, Awaitable) else said
                if said is not None:
                    writer.write(said)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [t for t in tasks if t is not None]:
            task.cancel()
        await asyncio.gather(*(t for t in tasks if t is not None), return_exceptions=True)


def frame(request: Request, pdu: bytes, *, number: int | None = None) -> bytes:
    """An answer to a request, with its number or another one."""
    head = request[:2] if number is None else number.to_bytes(2, "big")
    return head + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + request[6:7] + pdu


def registers(request: Request, *values: int, function: int = 3) -> bytes:
    """An answer to a read."""
    raw = b"".join(value.to_bytes(2, "big") for value in values)
    return frame(request, bytes([function, len(raw)]) + raw)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(true: Callable[[], bool], within_s: float = 2.0) -> bool:
    """Wait for something to come true."""
    for _ in range(int(within_s / 0.01)):
        if true():
            return True
        await asyncio.sleep(0.01)
    return true()
