"""The bench battery as a process of its own, and a controller that is killed in mid-event."""

import asyncio
import json
import signal
import sys

import pytest
from modbus_cases import sunspec

from ebplan.adapters.answers import Applied
from ebplan.adapters.roles import BatteryReading, Droop
from ebplan.frequency import ResponseCurve

CONTROLLER = """
import asyncio, sys
from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery

async def main():
    address = ModbusAddress(host="127.0.0.1", port=int(sys.argv[1]))
    battery = SunSpecBattery(address, BatterySettings(guardian="a bench"))
    await battery.renew(3.0)
    print(await battery.hold(40.0, confirm_s=1.0), flush=True)
    while True:
        await battery.renew(3.0)
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


async def test_a_controller_that_is_killed_leaves_the_battery_at_nothing() -> None:
    plant = await _start("-m", "ebplan.twin.wire.sunspec_plant", "--port", "0", "--second-s", "0.2")
    port = json.loads(await plant.stdout.readline())["port"]
    controller = await _start("-c", CONTROLLER, str(port))
    assert b"applied, 40 kW" in await controller.stdout.readline()
    async with sunspec(port) as watcher:
        await asyncio.sleep(0.8)  # longer than a term: it is renewed
        assert await _power_kw(watcher) == pytest.approx(40.0, abs=0.1)
        controller.send_signal(signal.SIGKILL)
        await controller.wait()
        await asyncio.sleep(0.8)
        assert await _power_kw(watcher) == 0.0
        assert isinstance(await watcher.hold(5.0), Applied)
    plant.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(plant.wait(), 5.0) == 0
    for process in (plant, controller):
        process._transport.close()


async def test_a_plant_of_its_own_is_told_the_frequency_and_tells_the_truth() -> None:
    plant = await _start("-m", "ebplan.twin.wire.sunspec_plant", "--ask", "--power-kw", "50")
    port = json.loads(await plant.stdout.readline())["port"]
    async with sunspec(port) as battery:
        curve = ResponseCurve(shape="droop", dead_band_hz=0.02, full_hz=0.2)
        assert isinstance(await battery.arm_droop(Droop(20.0, curve, 50.0)), Applied)
    await _tell(plant, {"hz": 49.8})
    await asyncio.sleep(0.1)
    truth = await _tell(plant, {})
    assert truth["droop_armed"]
    assert truth["battery_kw"] == pytest.approx(20.0, abs=0.3)
    plant.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(plant.wait(), 5.0) == 0
    plant._transport.close()


async def _tell(plant, what: dict[str, float]) -> dict[str, float]:
    plant.stdin.write(json.dumps(what).encode() + b"\n")
    return json.loads(await plant.stdout.readline())


async def _start(*words: str):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _power_kw(battery) -> float:
    reading = await battery.read()
    assert isinstance(reading, BatteryReading)
    return reading.battery_kw
