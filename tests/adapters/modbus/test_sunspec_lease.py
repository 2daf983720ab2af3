"""Leases: a battery obeys while it is told so, and goes to nothing by itself when nobody does."""

import asyncio

import pytest
from modbus_cases import legacy, sunspec, until

from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unverified
from ebplan.adapters.lease import LeaseKeeper
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

MAKE = {"der": sunspec, "legacy": legacy}
both = pytest.mark.parametrize("models", ["der", "legacy"])
FAST_S = 0.15
"""Length of the device's second: terms of a few seconds are over soon."""


def fast(models: str, **fields: object) -> PlantSettings:
    return PlantSettings(models=models, second_s=FAST_S, **fields)  # type: ignore[arg-type]


@both
async def test_a_term_is_whole_seconds_rounded_down(models: str) -> None:
    async with SunSpecPlant(PlantSettings(models=models)) as plant, MAKE[models](plant.port) as b:
        answer = await b.renew(3.9)
        assert isinstance(answer, Applied)
        assert answer.confirmed == 3.0


@both
@pytest.mark.parametrize("ttl_s", [0.0, 0.9, -1.0, float("nan"), float("inf")])
async def test_a_term_that_would_switch_the_timer_off_is_refused(models: str, ttl_s: float) -> None:
    async with SunSpecPlant(PlantSettings(models=models)) as plant, MAKE[models](plant.port) as b:
        assert isinstance(await b.renew(ttl_s), Refused)
        assert not plant.writes


async def test_a_term_longer_than_the_timer_counts_is_granted_in_part() -> None:
    async with SunSpecPlant(PlantSettings(models="legacy")) as plant, legacy(plant.port) as b:
        answer = await b.renew(1e6)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == 65534.0


@both
async def test_silence_brings_it_to_nothing(models: str) -> None:
    async with SunSpecPlant(fast(models)) as plant, MAKE[models](plant.port) as battery:
        await battery.renew(2.0)
        assert isinstance(await battery.hold(40.0, confirm_s=0.2), Applied)
        await asyncio.sleep(FAST_S)
        assert plant.battery_kw == pytest.approx(40.0, abs=0.1)
        assert await until(lambda: plant.battery_kw == 0.0, 2.0 * FAST_S + 0.5)


@both
async def test_a_controller_that_dies_leaves_nothing_held(models: str) -> None:
    async with SunSpecPlant(fast(models)) as plant:
        async with MAKE[models](plant.port) as battery:
            await battery.renew(2.0)
            await battery.hold(-40.0)
            await asyncio.sleep(0.05)
            assert plant.battery_kw == pytest.approx(-40.0, abs=0.1)
        assert await until(lambda: plant.battery_kw == 0.0, 2.0 * FAST_S + 0.5)


@both
async def test_renewals_keep_it_going(models: str) -> None:
    async with SunSpecPlant(fast(models)) as plant, MAKE[models](plant.port) as battery:
        keeper = LeaseKeeper({"battery": battery}, ttl_s=4.0)
        await keeper.renew("battery")
        await battery.hold(40.0)
        for _ in range(6):
            await asyncio.sleep(FAST_S)
            assert isinstance(await keeper.renew("battery"), Applied)
        assert keeper.usable() == {"battery"}
        assert plant.battery_kw == pytest.approx(40.0, abs=0.1)
        await keeper.release()
        assert await until(lambda: plant.battery_kw == 0.0)


@both
async def test_a_renewal_that_comes_too_late_says_so_and_raises_nothing_from_the_dead(
    models: str,
) -> None:
    async with SunSpecPlant(fast(models)) as plant, MAKE[models](plant.port) as battery:
        await battery.renew(1.0)
        await battery.hold(40.0)
        assert await until(lambda: plant.set_point_kw in (None, 0.0))
        answer = await battery.renew(3.0)
        assert isinstance(answer, Unverified)
        assert "its term had ended" in answer.why
        await asyncio.sleep(0.05)
        assert plant.battery_kw == 0.0
        assert isinstance(await battery.renew(3.0), Applied)
        assert isinstance(await battery.hold(40.0, confirm_s=0.3), Applied)


async def test_each_renewal_beats_once() -> None:
    async with SunSpecPlant() as plant, sunspec(plant.port) as battery:
        for _ in range(4):
            await battery.renew(5.0)
        assert plant.heartbeats == [1, 2, 3, 4]


async def test_a_set_point_before_the_first_renewal_has_a_term_as_well() -> None:
    async with SunSpecPlant(fast("der")) as plant, sunspec(plant.port, first_term_s=2) as battery:
        await battery.hold(40.0)
        assert plant.memory.get(704, "WSetRvrtTms") == 2
        assert await until(lambda: plant.battery_kw == 0.0, 2.0 * FAST_S + 0.5)


async def test_a_confirmation_that_waits_delays_no_renewal() -> None:
    async with (
        SunSpecPlant(PlantSettings(ramp_kw_per_s=50.0)) as plant,
        sunspec(plant.port) as battery,
    ):
        holding = asyncio.create_task(battery.hold(40.0, confirm_s=2.0))
        await asyncio.sleep(0.1)
        renewed = await battery.renew(5.0)
        assert isinstance(renewed, Applied)
        assert renewed.took_s < 0.2
        assert not holding.done()
        assert isinstance(await holding, Applied)
