"""Commissioning: a device that only pretends is found out, and may not be armed."""

import pytest
from modbus_cases import here, record
from modbus_plc import Plc

from ebplan.adapters.answers import Applied, Refused, Unreachable
from ebplan.adapters.clock import MonotonicClock
from ebplan.adapters.modbus.commission import commission
from ebplan.adapters.modbus.commissioning import Commissioning, why_not
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.meter import SunSpecMeter
from ebplan.adapters.modbus.register_battery import RegisterBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.errors import InputError
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

SECOND_S = 0.2
"""Length of a second, for the device and for who tries it."""


class Hurried(MonotonicClock):
    """A clock of shorter seconds."""

    def now_s(self) -> float:
        return super().now_s() / SECOND_S

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds * SECOND_S)


async def tried(
    models: str = "der", *, guardian: str | None = None, **fields: object
) -> tuple[Commissioning, SunSpecPlant, dict[str, str]]:
    settings = PlantSettings(models=models, second_s=SECOND_S, **fields)  # type: ignore[arg-type]
    make = SunSpecBattery if models == "der" else LegacyBattery
    async with SunSpecPlant(settings) as plant:
        battery: DrivenBattery = make(
            here(plant.port), BatterySettings(guardian=guardian), clock=Hurried()
        )
        found = await commission(battery, term_s=2.0, settle_s=0.6, clock=Hurried())
        assert isinstance(found, Commissioning)
        battery.commissioning = found
        answer = await battery.hold(5.0)
        assert isinstance(answer, Applied) == found.may_arm
        await battery.close()
    return found, plant, {probe.name: probe.outcome for probe in found.probes}


@pytest.mark.parametrize("models", ["der", "legacy"])
async def test_an_honest_device_may_be_armed(models: str) -> None:
    found, _plant, outcome = await tried(models)
    assert found.may_arm
    assert outcome == {
        "set-point": "passed",
        "sign": "passed",
        "timer": "passed",
        "renewal": "passed",
        "droop": "passed" if models == "der" else "not possible",
    }
    timer = next(p for p in found.probes if p.name == "timer")
    assert timer.measured_s == pytest.approx(2.0, abs=0.6)
    assert Commissioning.parse(found.to_json().encode()) == found


async def test_a_timer_for_show_is_found_out() -> None:
    found, plant, outcome = await tried(reversion="cosmetic")
    assert outcome["timer"] == "failed"
    assert not found.may_arm
    assert plant.set_point_kw in (None, 0.0)  # it was not left with what it was tried with


async def test_a_stated_guardian_stands_in_for_the_timer() -> None:
    found, _plant, outcome = await tried(reversion="absent", guardian="PLC watchdog K7")
    assert outcome["timer"] == "failed"
    assert found.may_arm
    assert "guardian   stated" in str(found)


@pytest.mark.parametrize(
    ("knob", "probe"),
    [
        ({"renews": False}, "renewal"),
        ({"ignores_writes": True}, "set-point"),
        ({"obeys": False}, "set-point"),
        ({"inverted": True}, "set-point"),
        ({"ramp_kw_per_s": 2.0}, "set-point"),
    ],
)
async def test_each_habit_is_named(knob: dict[str, object], probe: str) -> None:
    found, _plant, outcome = await tried(**knob)
    assert outcome[probe] == "failed"
    assert not found.may_arm


async def test_a_droop_that_is_not_adopted_is_named_and_does_not_matter_for_set_points() -> None:
    found, _plant, outcome = await tried(adopts=False)
    assert outcome["droop"] == "failed"
    assert found.may_arm


async def test_a_meter_is_the_witness_of_the_sign() -> None:
    class Witness(SunSpecMeter):
        async def read(self):
            plant.meter_kw = 300.0 - wired * plant.battery_kw
            return await super().read()

    for wired, outcome in ((1.0, "passed"), (-1.0, "failed")):  # noqa: B007
        async with SunSpecPlant(PlantSettings(second_s=SECOND_S)) as plant:
            battery = SunSpecBattery(here(plant.port), clock=Hurried())
            meter = Witness(here(plant.port))
            found = await commission(
                battery, meter=meter, term_s=2.0, settle_s=0.6, clock=Hurried()
            )
            assert isinstance(found, Commissioning)
            probe = next(p for p in found.probes if p.name == "sign")
            assert probe.outcome == outcome, probe.seen
            assert found.may_arm == (outcome == "passed")
            await battery.close()
            await meter.close()


@pytest.mark.parametrize(("watchdog_s", "outcome"), [(0.5, "passed"), (None, "failed")])
async def test_a_plc_s_watchdog_is_tried_like_a_timer(
    watchdog_s: float | None, outcome: str
) -> None:
    async with Plc(watchdog_s=watchdog_s) as plc:
        declared = Plc.battery_map(plc.port, watchdog_s=2.0)  # seconds of the clock that is used
        battery = RegisterBattery(declared, clock=Hurried())
        found = await commission(battery, term_s=2.0, settle_s=0.6, clock=Hurried())
        assert isinstance(found, Commissioning)
        assert next(p for p in found.probes if p.name == "timer").outcome == outcome
        assert found.may_arm == (outcome == "passed")
        await battery.close()


async def test_a_device_that_cannot_be_asked_leaves_no_record() -> None:
    async with SunSpecPlant(PlantSettings(local=True)) as plant:
        battery = SunSpecBattery(here(plant.port))
        assert isinstance(await commission(battery), Refused)
        assert not plant.writes
        await battery.close()
    battery = SunSpecBattery(here(plant.port))
    assert isinstance(await commission(battery), Unreachable)
    await battery.close()


def test_a_record_that_was_edited_is_refused() -> None:
    text = record(failed="timer").to_json().replace('"may_arm": false', '"may_arm": true')
    assert '"may_arm": true' in text
    with pytest.raises(InputError, match="not to be edited"):
        Commissioning.parse(text.encode())


@pytest.mark.parametrize(
    ("serial", "found", "guardian", "armed"),
    [
        ("A", None, None, False),
        ("A", None, "a PLC", True),
        ("A", record("A"), None, True),
        ("B", record("A"), None, False),
        ("B", record("A"), "a PLC", False),
        ("", record(""), None, False),
        ("A", record("A", failed="timer"), None, False),
        ("A", record("A", failed="set-point"), "a PLC", False),
    ],
)
def test_who_vouches(
    serial: str, found: Commissioning | None, guardian: str | None, armed: bool
) -> None:
    assert (why_not(serial, found, guardian) is None) == armed
