"""SunSpec batteries and their meter keep the contract of their roles, as fakes do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import scenarios
from modbus_cases import GUARDED, here
from scenarios import Rig

from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.meter import SunSpecMeter
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.roles import Battery, GridMeter
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

Scenario = Callable[[Rig], Awaitable[None]]
WITHOUT_DROOP = [
    s for s in scenarios.BATTERY if s is not scenarios.a_battery_arms_a_straight_droop_and_no_other
]
"""Models 103 to 124 have no droop to arm."""


@pytest.mark.parametrize("scenario", scenarios.BATTERY, ids=lambda s: s.__name__)
async def test_a_battery_of_models_701_to_715(scenario: Scenario) -> None:
    async with SunSpecPlant(PlantSettings(power_kw=10.0)) as plant:
        device = SunSpecBattery(here(plant.port), GUARDED)
        assert isinstance(device, Battery)
        await scenario(Rig(device, asyncio.sleep, ttl_s=1.0, settle_s=0.2))
        await device.close()


@pytest.mark.parametrize("scenario", WITHOUT_DROOP, ids=lambda s: s.__name__)
async def test_a_battery_of_models_103_to_124(scenario: Scenario) -> None:
    async with SunSpecPlant(PlantSettings(power_kw=10.0, models="legacy")) as plant:
        device = LegacyBattery(here(plant.port), GUARDED)
        assert isinstance(device, Battery)
        await scenario(Rig(device, asyncio.sleep, ttl_s=1.0, settle_s=0.2))
        await device.close()


@pytest.mark.parametrize("scenario", scenarios.METER, ids=lambda s: s.__name__)
async def test_a_meter(scenario: Scenario) -> None:
    async with SunSpecPlant(PlantSettings(meter_follows=True)) as plant:
        await asyncio.sleep(0.05)
        device = SunSpecMeter(here(plant.port))
        assert isinstance(device, GridMeter)
        await scenario(Rig(device, asyncio.sleep, ttl_s=1.0))
        await device.close()
