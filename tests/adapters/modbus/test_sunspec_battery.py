"""A SunSpec battery, of either generation: told once, read back, and believed by its power."""

import asyncio
import math
from dataclasses import replace

import pytest
from modbus_cases import GUARDED, here, legacy, record, sunspec

from ebplan.adapters.answers import (
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
)
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.roles import Battery, BatteryReading
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

MAKE = {"der": sunspec, "legacy": legacy}
both = pytest.mark.parametrize("models", ["der", "legacy"])


@both
async def test_it_plays_the_role_of_a_battery(models: str) -> None:
    async with (
        SunSpecPlant(PlantSettings(models=models)) as plant,
        MAKE[models](plant.port) as battery,
    ):
        assert isinstance(battery, Battery)


@both
async def test_it_reads_what_the_battery_does(models: str) -> None:
    async with SunSpecPlant(PlantSettings(models=models, soc=0.37)) as plant:
        plant.hz = 49.91
        plant.alarms = 0b10000001
        async with MAKE[models](plant.port, max_charge_kw=40.0) as battery:
            reading = await battery.read()
            assert isinstance(reading, BatteryReading)
            assert reading.battery_kw == 0.0
            assert reading.soc == pytest.approx(0.37)
            assert reading.frequency_hz == pytest.approx(49.91)
            assert reading.feasible == Range(-40.0, 100.0, "kW")
            assert reading.available
            assert reading.droop_kw == 0.0
            assert reading.alarms == ("GROUND_FAULT", "OVER_TEMP")


@both
@pytest.mark.parametrize("kw", [30.0, -30.0, 0.0, 99.99, -100.0])
async def test_a_set_point_is_measured(models: str, kw: float) -> None:
    async with (
        SunSpecPlant(PlantSettings(models=models)) as plant,
        MAKE[models](plant.port) as battery,
    ):
        answer = await battery.hold(kw, confirm_s=1.0)
        assert isinstance(answer, Applied)
        assert answer.confirmed == pytest.approx(kw, abs=0.01)
        assert answer.measured_kw == pytest.approx(kw, abs=2.0)
        assert 0.0 < answer.took_s < 1.0
        await asyncio.sleep(0.05)
        assert plant.battery_kw == pytest.approx(kw, abs=0.01)


@both
async def test_more_than_the_site_allows_is_clamped(models: str) -> None:
    async with (
        SunSpecPlant(PlantSettings(models=models)) as plant,
        MAKE[models](plant.port, max_charge_kw=40.0) as battery,
    ):
        answer = await battery.hold(-70.0, confirm_s=1.0)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(-40.0)
        assert answer.feasible == Range(-40.0, 100.0, "kW")
        assert plant.battery_kw == pytest.approx(-40.0)


@both
@pytest.mark.parametrize("kw", [math.nan, math.inf, -math.inf])
async def test_what_is_no_number_is_refused(models: str, kw: float) -> None:
    async with (
        SunSpecPlant(PlantSettings(models=models)) as plant,
        MAKE[models](plant.port) as battery,
    ):
        assert isinstance(await battery.hold(kw), Refused)
        assert not plant.writes


@both
async def test_an_empty_battery_is_not_discharged(models: str) -> None:
    async with (
        SunSpecPlant(PlantSettings(models=models, soc=0.1)) as plant,
        MAKE[models](plant.port, soc_min=0.15) as battery,
    ):
        await battery.read()
        answer = await battery.hold(20.0)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(0.0)
        assert answer.feasible == Range(-100.0, 0.0, "kW")


@both
async def test_acknowledged_and_ignored_is_unverified(models: str) -> None:
    settings = PlantSettings(models=models, ignores_writes=True)
    async with SunSpecPlant(settings) as plant, MAKE[models](plant.port) as battery:
        answer = await battery.hold(20.0, confirm_s=0.1)
        assert isinstance(answer, Unverified)
        assert plant.writes


@both
async def test_kept_and_not_obeyed_is_unverified(models: str) -> None:
    settings = PlantSettings(models=models, obeys=False)
    async with SunSpecPlant(settings) as plant, MAKE[models](plant.port) as battery:
        assert isinstance(await battery.hold(20.0), Applied)  # nobody asked for its power
        answer = await battery.hold(20.0, confirm_s=0.1)
        assert isinstance(answer, Unverified)
        assert answer.measured_kw == 0.0
        assert answer.read_back == pytest.approx(20.0)


@both
async def test_the_wrong_way_round_is_unverified(models: str) -> None:
    settings = PlantSettings(models=models, inverted=True)
    async with SunSpecPlant(settings) as plant, MAKE[models](plant.port) as battery:
        answer = await battery.hold(20.0, confirm_s=0.1)
        assert isinstance(answer, Unverified)
        assert answer.measured_kw == pytest.approx(-20.0)


async def test_a_device_that_clamps_says_what_it_took() -> None:
    async with (
        SunSpecPlant(PlantSettings(takes_at_most_kw=60.0)) as plant,
        sunspec(plant.port) as battery,
    ):
        for asked in (80.0, 90.0):
            answer = await battery.hold(asked, confirm_s=1.0)
            assert isinstance(answer, AppliedInPart)
            assert answer.confirmed == pytest.approx(60.0)
            assert answer.measured_kw == pytest.approx(60.0, abs=2.0)


@both
async def test_a_device_that_gives_less_is_applied_in_part(models: str) -> None:
    settings = PlantSettings(models=models, gives_at_most_kw=25.0)
    async with SunSpecPlant(settings) as plant, MAKE[models](plant.port) as battery:
        answer = await battery.hold(80.0, confirm_s=0.1)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(25.0)


@both
async def test_a_slow_ramp_is_waited_for(models: str) -> None:
    settings = PlantSettings(models=models, ramp_kw_per_s=200.0)
    async with SunSpecPlant(settings) as plant, MAKE[models](plant.port) as battery:
        answer = await battery.hold(60.0, confirm_s=2.0)
        assert isinstance(answer, Applied)
        assert 0.2 < answer.took_s < 1.0


async def test_one_write_carries_the_set_point_its_term_and_the_switch() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        await battery.hold(-12.345)
        ((address, words),) = plant.writes
        assert address == plant.memory.at(704, "WSetEna")
        assert len(words) == 11
        assert words[:2] == [1, 1]
        assert words[2:4] == [0xFFFF, 65536 - 12345]
        assert words[-2:] == [0, 10]


async def test_a_device_that_wants_points_apart_gets_the_switch_last() -> None:
    async with (
        SunSpecPlant(PlantSettings(one_write=False)) as plant,
        sunspec(plant.port) as battery,
    ):
        answer = await battery.hold(20.0, confirm_s=1.0)
        assert isinstance(answer, Applied)
        enable = plant.memory.at(704, "WSetEna")
        apart = [address for address, _ in plant.writes[1:]]
        assert apart[0] == plant.memory.at(704, "WSetRvrtTms")  # never without its term
        assert apart[-1] == enable
        assert apart.count(enable) == 1
        plant.writes.clear()
        assert isinstance(await battery.hold(10.0), Applied)
        assert all(len(words) <= 2 for _, words in plant.writes)  # it was not asked again


@both
async def test_release_goes_to_nothing_now(models: str) -> None:
    async with SunSpecPlant(PlantSettings(models=models)) as plant:
        async with MAKE[models](plant.port) as battery:
            await battery.hold(50.0, confirm_s=1.0)
            assert isinstance(await battery.release(), Applied)
            await asyncio.sleep(0.06)
            assert plant.battery_kw == 0.0
        async with MAKE[models](plant.port, on_lapse="disable") as battery:
            await battery.hold(50.0, confirm_s=1.0)
            assert isinstance(await battery.release(), Applied)
            assert plant.set_point_kw is None


@both
async def test_a_device_exchanged_for_another_is_not_commanded(models: str) -> None:
    one = SunSpecPlant(PlantSettings(models=models))
    async with (
        one,
        SunSpecPlant(PlantSettings(models=models, serial="EB-0002")) as other,
        FaultProxy(("127.0.0.1", one.port)) as line,
        MAKE[models](line.port) as battery,
    ):
        assert isinstance(await battery.hold(20.0), Applied)
        line.target = ("127.0.0.1", other.port)
        line.drop()
        await asyncio.sleep(0.02)
        for _ in range(3):
            answer = await battery.hold(20.0)
            assert isinstance(answer, Refused)
            assert "serial EB-0002" in answer.why
            assert isinstance(await battery.release(), Refused)
        assert isinstance(await battery.read(), Unreachable)
        assert not other.writes


@both
async def test_an_exchange_behind_a_gateway_shows_at_the_next_renewal(models: str) -> None:
    def swapped(answer: bytes) -> bytes:
        return answer.replace(b"EB-0001", b"EB-6666")

    async with (
        SunSpecPlant(PlantSettings(models=models)) as plant,
        FaultProxy(("127.0.0.1", plant.port), edit=swapped) as line,
        MAKE[models](line.port) as battery,
    ):
        assert isinstance(await battery.hold(20.0), Applied)
        await line.turn(Fault.EDIT)
        for _ in range(2):
            answer = await battery.renew(5.0)
            assert isinstance(answer, Refused)
            assert "EB-6666" in answer.why
        assert isinstance(await battery.hold(30.0), Refused)
        assert plant.set_point_kw == pytest.approx(20.0)


async def test_a_device_under_local_control_is_left_alone() -> None:
    async with SunSpecPlant(PlantSettings(local=True)) as plant, sunspec(plant.port) as battery:
        answer = await battery.hold(20.0)
        assert isinstance(answer, Refused)
        assert "local control" in answer.why
        reading = await battery.read()
        assert isinstance(reading, BatteryReading)
        assert not reading.available


async def test_a_switch_to_local_control_shows_at_the_next_renewal() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        assert isinstance(await battery.renew(5.0), Applied)
        plant.memory.put(715, "LocRemCtl", 1)
        assert isinstance(await battery.renew(5.0), Refused)
        assert isinstance(await battery.hold(5.0), Refused)


@both
async def test_a_device_of_the_other_generation_says_what_it_lacks(models: str) -> None:
    make = {"der": legacy, "legacy": sunspec}[models]
    async with SunSpecPlant(PlantSettings(models=models)) as plant, make(plant.port) as battery:
        answer = await battery.hold(1.0)
        assert isinstance(answer, Refused)
        assert "model" in answer.why


@pytest.mark.parametrize("kind", [SunSpecBattery, LegacyBattery])
async def test_nothing_is_held_on_a_device_that_was_not_commissioned(
    kind: type[SunSpecBattery] | type[LegacyBattery],
) -> None:
    models = "der" if kind is SunSpecBattery else "legacy"
    unguarded = replace_guardian(None)
    async with SunSpecPlant(PlantSettings(models=models)) as plant:
        for commissioning, why in (
            (None, "was not commissioned"),
            (record("EB-7"), "EB-7 was"),
            (record(failed="timer"), "not seen to revert"),
            (record(failed="renewal"), "not seen to revert"),
            (record(failed="sign"), "did not pass"),
        ):
            battery = kind(here(plant.port), unguarded, commissioning=commissioning)
            for answer in (await battery.hold(5.0), await battery.renew(5.0)):
                assert isinstance(answer, Refused)
                assert why in answer.why
            assert isinstance(await battery.read(), BatteryReading)
            await battery.close()
        assert not plant.writes
        battery = kind(here(plant.port), unguarded, commissioning=record())
        assert isinstance(await battery.hold(5.0), Applied)
        await battery.close()


def replace_guardian(guardian: str | None):
    return GUARDED.model_copy(update={"guardian": guardian})


async def test_a_read_back_that_fails_says_that_it_may_have_been_executed() -> None:
    async with (
        SunSpecPlant() as plant,
        FaultProxy(("127.0.0.1", plant.port)) as line,
        sunspec(line.port) as battery,
    ):
        assert isinstance(await battery.hold(20.0), Applied)
        await line.turn(Fault.SILENT)
        answer = await battery.hold(30.0)
        assert isinstance(answer, Unreachable)
        assert answer.executed
        await asyncio.sleep(0.05)
        assert plant.battery_kw == pytest.approx(30.0)
        assert sum(len(words) == 11 for _, words in plant.writes) == 2


async def test_answers_compare_without_their_time() -> None:
    one = Applied(device="b", command="hold", asked=1.0, confirmed=1.0)
    assert replace(one, took_s=3.0) == one
