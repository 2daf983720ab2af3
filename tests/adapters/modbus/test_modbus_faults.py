"""Every fault of the line against every device: an answer each time, in time, and a way back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from modbus_cases import GUARDED, here, until
from modbus_plc import Plc

from ebplan.adapters.answers import Applied, Refused, Unreachable, Unverified
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.meter import RegisterMeter, SunSpecMeter
from ebplan.adapters.modbus.register_battery import RegisterBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.roles import BatteryReading, MeterReading
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

TIMEOUT_S = 0.12
"""Short, and still long for a machine that is busy with other tests."""
SOON = BackOff(first_s=0.01, longest_s=0.05)
FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)]
BATTERIES = ["sunspec", "legacy", "plc"]
METERS = ["sunspec meter", "plc meter"]
UNANSWERED = (Fault.SILENT, Fault.SLOW, Fault.GARBAGE, Fault.PARTIAL)
"""Faults in which a request arrives and its answer does not."""


@asynccontextmanager
async def bench(device: str) -> AsyncIterator[tuple[SunSpecPlant | Plc, FaultProxy]]:
    plant: SunSpecPlant | Plc
    if device.startswith("plc"):
        plant = Plc()
    else:
        plant = SunSpecPlant(PlantSettings(models="legacy" if device == "legacy" else "der"))
    async with plant, FaultProxy(("127.0.0.1", plant.port), slow_s=2.5 * TIMEOUT_S) as line:
        yield plant, line


@asynccontextmanager
async def battery_on(device: str, port: int) -> AsyncIterator[DrivenBattery]:
    address = here(port, timeout_s=TIMEOUT_S)
    battery: DrivenBattery
    if device == "sunspec":
        battery = SunSpecBattery(address, GUARDED, policy=SOON)
    elif device == "legacy":
        battery = LegacyBattery(address, GUARDED, policy=SOON)
    else:
        declared = Plc.battery_map(port)
        declared = declared.model_copy(update={"address": address})
        battery = RegisterBattery(declared, GUARDED, policy=SOON)
    yield battery
    await battery.close()


@pytest.mark.parametrize("device", BATTERIES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.value)
async def test_a_battery_answers_through_every_fault_and_comes_back(
    device: str, fault: Fault
) -> None:
    async with bench(device) as (plant, line), battery_on(device, line.port) as battery:
        assert isinstance(await battery.hold(20.0), Applied)
        arrived = len(plant.writes)
        await line.turn(fault)
        began = time.monotonic()
        answer = await battery.hold(30.0)
        assert isinstance(answer, Unreachable)
        if fault in UNANSWERED:
            assert answer.executed
            assert 1 <= len(plant.writes) - arrived <= 1
        if fault in (Fault.REFUSE, Fault.FLAPPING):
            assert len(plant.writes) == arrived
        for answer in (await battery.renew(5.0), await battery.release()):
            assert isinstance(answer, Unreachable | Unverified | Refused)
        assert isinstance(await battery.read(), Unreachable)
        assert time.monotonic() - began < 2.0
        await line.turn(Fault.NONE)
        assert await _comes_back(battery)
        assert isinstance(await battery.hold(10.0, confirm_s=1.0), Applied)


@pytest.mark.parametrize("device", ["sunspec", "plc"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.value)
async def test_a_battery_that_is_sick_from_the_start_is_never_commanded(
    device: str, fault: Fault
) -> None:
    async with bench(device) as (plant, line), battery_on(device, line.port) as battery:
        await line.turn(fault)
        answer = await battery.hold(30.0)
        assert isinstance(answer, Unreachable)
        if device != "plc" or fault in (Fault.REFUSE, Fault.FLAPPING):
            assert not answer.executed  # it had not even said who it is
            assert not plant.writes
        await line.turn(Fault.NONE)
        assert await _comes_back(battery)


async def _comes_back(battery: DrivenBattery) -> bool:
    for _ in range(60):
        if isinstance(await battery.read(), BatteryReading):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("device", METERS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.value)
async def test_a_meter_answers_through_every_fault_and_comes_back(
    device: str, fault: Fault
) -> None:
    async with bench(device) as (plant, line):
        plant.meter_kw = 37.0
        meter: SunSpecMeter | RegisterMeter
        if device == "sunspec meter":
            meter = SunSpecMeter(here(line.port, timeout_s=TIMEOUT_S), policy=SOON)
        else:
            declared = Plc.meter_map(line.port).model_copy(
                update={"address": here(line.port, timeout_s=TIMEOUT_S)}
            )
            meter = RegisterMeter(declared, policy=SOON)
        reading = await meter.read()
        assert isinstance(reading, MeterReading)
        assert reading.grid_kw == pytest.approx(37.0)
        await line.turn(fault)
        began = time.monotonic()
        for _ in range(3):
            assert isinstance(await meter.read(), Unreachable)
        assert time.monotonic() - began < 1.5
        await line.turn(Fault.NONE)
        for _ in range(60):
            reading = await meter.read()
            if isinstance(reading, MeterReading):
                break
            await asyncio.sleep(0.02)
        assert isinstance(reading, MeterReading)
        await meter.close()


async def test_a_device_that_restarts_is_met_again() -> None:
    async with bench("sunspec") as (plant, line), battery_on("sunspec", line.port) as battery:
        assert isinstance(plant, SunSpecPlant)
        assert isinstance(await battery.hold(20.0), Applied)
        await line.restart(0.1)
        assert await _comes_back(battery)
        assert isinstance(await battery.hold(25.0), Applied)
        assert await until(lambda: abs(plant.battery_kw - 25.0) < 0.1)
