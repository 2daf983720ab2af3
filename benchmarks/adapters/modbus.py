"""How long a set-point takes over Modbus, from the call to its confirmed read-back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.adapters.timing import Timed, timed
from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery

CALLS = 1500
GOAL_MS = 5.0
WORDS = {"der": "SunSpec 701-715", "legacy": "SunSpec 103-124"}


async def measure() -> list[Timed]:
    """Measure both kinds of battery; each is a process of its own, as a device is."""
    rows = []
    for models in WORDS:
        async with _plant(models) as port:
            rows += await _cases(models, port)
    return rows


async def _cases(models: str, port: int) -> list[Timed]:
    rows = []
    name = f"{WORDS[models]}: set-point to read-back"
    for two, polled in ((True, False), (True, True), (False, True)):
        address = ModbusAddress(host="127.0.0.1", port=port, two_connections=two)
        make = SunSpecBattery if models == "der" else LegacyBattery
        battery = make(address, BatterySettings(guardian="a bench"))
        load = asyncio.create_task(_poll(battery)) if polled else None
        how = "two connections" if two else "one connection"
        how += ", polled at 20 Hz" if polled else ""

        async def hold(i: int, b: SunSpecBattery | LegacyBattery = battery) -> object:
            return await b.hold(10.0 + i % 50)

        async def renew(i: int, b: SunSpecBattery | LegacyBattery = battery) -> object:
            return await b.renew(5.0)

        rows.append(await timed(f"{name}, {how}", hold, CALLS, goal_ms=GOAL_MS))
        if two and not polled:
            rows.append(await timed(f"{WORDS[models]}: renewal", renew, CALLS // 3))
        if load is not None:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await battery.close()
    return rows


async def _poll(battery: SunSpecBattery | LegacyBattery) -> None:
    while True:
        await battery.read()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _plant(models: str) -> AsyncIterator[int]:
    plant = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ebplan.twin.wire.sunspec_plant", "--models", models),
        stdout=asyncio.subprocess.PIPE,
    )
    assert plant.stdout is not None
    try:
        yield int(json.loads(await plant.stdout.readline())["port"])
    finally:
        plant.terminate()
        await plant.wait()
