"""The droop of model 711: what it can say, what is adopted, and what the converter then gives."""

import asyncio

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from modbus_cases import GUARDED, here, legacy, sunspec

from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unverified
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.modbus.sunspec_droop import capacity_kw, slope
from ebplan.adapters.roles import BatteryReading, Droop
from ebplan.frequency import ResponseCurve
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

LINE = ResponseCurve(shape="droop", dead_band_hz=0.02, full_hz=0.2)
KNEE = ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.2, knee_fraction=0.05, full_hz=0.5)
STEP = ResponseCurve(shape="threshold", full_hz=0.3)


@pytest.mark.parametrize(
    ("hz", "share"),
    [(50.0, 0.0), (50.02, 0.0), (49.98, 0.0), (49.89, 0.5), (50.11, -0.5), (49.8, 1.0), (50.2, -1)],
)
async def test_power_follows_the_frequency_without_us(hz: float, share: float) -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        answer = await battery.arm_droop(Droop(40.0, LINE, 50.0))
        assert isinstance(answer, Applied)
        assert answer.confirmed == pytest.approx(40.0, rel=0.01)
        await battery.close()
        plant.hz = hz
        await asyncio.sleep(0.05)
        assert plant.battery_kw == pytest.approx(40.0 * share, abs=0.5)


async def test_it_adds_to_a_set_point_and_is_reckoned_with_when_that_is_confirmed() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        await battery.arm_droop(Droop(40.0, LINE, 50.0))
        plant.hz = 49.89
        answer = await battery.hold(-50.0, confirm_s=0.5)
        assert isinstance(answer, Applied)
        assert answer.measured_kw == pytest.approx(-30.0, abs=2.0)
        reading = await battery.read()
        assert isinstance(reading, BatteryReading)
        assert reading.droop_kw == pytest.approx(40.0, rel=0.01)


async def test_it_outlives_a_lapse_and_a_release_and_is_disarmed_on_request() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        await battery.arm_droop(Droop(40.0, LINE, 50.0))
        await battery.hold(10.0)
        await battery.release()
        assert plant.droop_armed
        answer = await battery.arm_droop(Droop(0.0, LINE, 50.0))
        assert isinstance(answer, Applied)
        assert answer.confirmed == 0.0
        assert not plant.droop_armed


@pytest.mark.parametrize("curve", [KNEE, STEP])
async def test_a_curve_that_is_no_straight_line_is_refused(curve: ResponseCurve) -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        answer = await battery.arm_droop(Droop(40.0, curve, 50.0))
        assert isinstance(answer, Refused)
        assert curve.shape in answer.why
        assert not plant.writes


@pytest.mark.parametrize("capacity", [-1.0, float("nan"), float("inf")])
async def test_a_capacity_that_is_no_number_is_refused(capacity: float) -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        assert isinstance(await battery.arm_droop(Droop(capacity, LINE, 50.0)), Refused)
        assert not plant.writes


async def test_more_than_the_site_allows_is_clamped() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port, max_charge_kw=25.0) as battery:
        answer = await battery.arm_droop(Droop(80.0, LINE, 50.0))
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(25.0, rel=0.01)
        plant.hz = 49.8
        await asyncio.sleep(0.05)
        assert plant.battery_kw == pytest.approx(25.0, abs=0.3)


async def test_a_droop_for_another_grid_is_refused() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        answer = await battery.arm_droop(Droop(40.0, LINE, 60.0))
        assert isinstance(answer, Refused)
        assert "50 Hz" in answer.why
        assert not plant.droop_armed


@pytest.mark.parametrize("fault", [{"adopts": False}, {"ignores_writes": True}])
async def test_a_droop_that_is_not_adopted_is_unverified(fault: dict[str, bool]) -> None:
    async with SunSpecPlant(PlantSettings(**fault)) as plant, sunspec(plant.port) as battery:
        answer = await battery.arm_droop(Droop(40.0, LINE, 50.0))
        assert isinstance(answer, Unverified)
        assert not plant.droop_armed


async def test_it_is_refused_where_nobody_vouches_for_the_device() -> None:
    async with SunSpecPlant() as plant:
        battery = SunSpecBattery(here(plant.port), GUARDED.model_copy(update={"guardian": None}))
        assert isinstance(await battery.arm_droop(Droop(40.0, LINE, 50.0)), Refused)
        assert isinstance(await battery.arm_droop(Droop(0.0, LINE, 50.0)), Applied)  # always off
        await battery.close()


async def test_an_older_device_has_none() -> None:
    async with SunSpecPlant(PlantSettings(models="legacy")) as plant, legacy(plant.port) as battery:
        assert isinstance(await battery.arm_droop(Droop(40.0, LINE, 50.0)), Refused)


@given(
    st.floats(1.0, 500.0),
    st.floats(0.0, 0.3),
    st.floats(0.05, 2.0),
    st.floats(1.0, 1000.0),
    st.sampled_from((50.0, 60.0)),
)
def test_a_slope_and_its_capacity_are_each_other_s_inverse(
    kw: float, dead_band_hz: float, beyond_hz: float, rating_kw: float, nominal_hz: float
) -> None:
    assume(kw <= rating_kw)
    curve = ResponseCurve(
        shape="droop", dead_band_hz=dead_band_hz, full_hz=dead_band_hz + beyond_hz
    )
    droop = Droop(kw, curve, nominal_hz)
    assert capacity_kw(slope(droop, rating_kw), droop, rating_kw) == pytest.approx(kw)
