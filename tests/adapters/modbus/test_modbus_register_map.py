"""A declared register map: its faults in one line, its registers there and back, its battery."""

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_cases import GUARDED, here, record
from modbus_plc import SET_POINT, Plc

from ebplan.adapters.answers import Applied, AppliedInPart, Range, Refused
from ebplan.adapters.modbus.meter import RegisterMeter, SunSpecMeter
from ebplan.adapters.modbus.register_battery import RegisterBattery
from ebplan.adapters.modbus.register_map import RegisterMap
from ebplan.adapters.modbus.registers import PowerRegister, Register
from ebplan.adapters.roles import Battery, BatteryReading, GridMeter, MeterReading
from ebplan.errors import InputError
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

EXAMPLES = Path(__file__).parents[3] / "examples" / "deploy"


@pytest.mark.parametrize("name", ["plc_battery.toml", "meter.toml"])
def test_the_examples_are_read_and_come_back_as_they_were(name: str) -> None:
    declared = RegisterMap.read(EXAMPLES / name)
    assert (declared.battery is None) == (name == "meter.toml")
    assert RegisterMap.parse(declared.to_json().encode()) == declared


def _declared(**battery: object) -> dict[str, object]:
    plc = Plc.battery_map(1502).model_dump(mode="json", exclude_none=True)
    return {**plc, "battery": {**plc["battery"], **battery}}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"heartbeat": None, "watchdog_s": 2.0}, "battery.watchdog_s"),
        ({"term": {"address": 7}, "watchdog_s": 2.0}, "battery.watchdog_s"),
        ({"term": {"address": 7, "table": "input"}}, "battery.term.table"),
        ({"soc": {"address": 70000}}, "battery.soc.address"),
        ({"soc": {"address": 7, "scale": 0.0}}, "battery.soc.scale"),
        ({"soc": {"address": 7, "type": "int64"}}, "battery.soc.type"),
        ({"sock": {"address": 7}}, "battery.sock"),
        (
            {
                "set_point": {
                    "address": 2,
                    "scale": 0.001,
                    "unit": "kW",
                    "positive": "discharge",
                    "max_charge_kw": 30.0,
                    "max_discharge_kw": 50.0,
                }
            },
            "battery.set_point.max_discharge_kw",
        ),
        (
            {"power": {"address": 0, "unit": "kW", "positive": "drawn"}},
            "battery.power.positive",
        ),
        ({"power": {"address": 0, "unit": "kW"}}, "battery.power.positive"),
    ],
)
def test_a_fault_is_one_line_that_names_the_field(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        RegisterMap.parse(_declared(**changed), file="plc.toml")
    line = str(caught.value)
    assert line.startswith(f"plc.toml: {field}: ")
    assert "\n" not in line


def test_a_file_is_for_one_device() -> None:
    both = {**_declared(), "meter": Plc.meter_map(1).model_dump(mode="json")["meter"]}
    for wrong in (both, {"address": {"host": "here"}}):
        with pytest.raises(InputError, match="one of battery and meter"):
            RegisterMap.parse(wrong)


@given(st.sampled_from(("int16", "uint16", "int32", "uint32")), st.data())
def test_a_count_comes_back_in_either_word_order(kind: str, data: st.DataObject) -> None:
    signed, bits = kind.startswith("int"), int(kind[-2:])
    low = -(2 ** (bits - 1)) if signed else 0
    count = data.draw(st.integers(low, low + 2**bits - 1))
    order = data.draw(st.sampled_from(("big", "little")))
    scale = data.draw(st.sampled_from((1.0, 0.1, -0.01, 1000.0)))
    register = Register.parse({"address": 1, "type": kind, "word_order": order, "scale": scale})
    words = register.encoded(count * scale)
    assert len(words) == len(register.where)
    read = register.decoded(words)
    assert read == pytest.approx(count * scale, rel=1e-9, abs=1e-9)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_comes_back(value: float) -> None:
    register = Register.parse({"address": 1, "type": "float32"})
    assert register.decoded(register.encoded(value)) == value


def test_what_is_no_number_has_no_registers_and_no_value() -> None:
    register = Register.parse({"address": 1, "type": "float32"})
    assert register.decoded((0x7FC0, 0)) is None
    assert register.decoded((0x7F80, 0)) is None
    whole = Register.parse({"address": 1, "type": "int16", "missing": -32768})
    assert whole.decoded((0x8000,)) is None
    for value in (math.nan, math.inf, 40000.0):
        with pytest.raises(ValueError, match="does not fit"):
            whole.encoded(value)


@given(st.sampled_from(("discharge", "charge")), st.sampled_from(("W", "kW")), st.floats(-30, 30))
def test_the_declared_sign_and_unit_cancel_out(positive: str, unit: str, kw: float) -> None:
    register = PowerRegister.parse(
        {"address": 1, "type": "int32", "unit": unit, "positive": positive, "scale": 0.001}
    )
    read = register.decoded(register.encoded(kw / register.kw_per_unit))
    assert read is not None
    assert read * register.kw_per_unit == pytest.approx(kw, abs=register.step_kw)


async def test_a_plc_plays_the_role_of_a_battery() -> None:
    async with Plc() as plc:
        battery = RegisterBattery(Plc.battery_map(plc.port), GUARDED)
        assert isinstance(battery, Battery)
        answer = await battery.hold(-12.34, confirm_s=0.5)
        assert isinstance(answer, Applied)
        assert answer.confirmed == pytest.approx(-12.3)
        assert plc.battery_kw == pytest.approx(-12.3)
        reading = await battery.read()
        assert reading == BatteryReading(
            battery_kw=pytest.approx(-12.3),
            soc=0.5,
            feasible=Range(-50.0, 60.0, "kW"),
            available=True,
            frequency_hz=None,
            droop_kw=0.0,
        )
        answer = await battery.hold(500.0, confirm_s=0.5)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(60.0)
        assert isinstance(await battery.release(), Applied)
        assert plc.battery_kw == 0.0
        assert {address for address, _ in plc.writes} <= {2, 4, 5}
        await battery.close()


async def test_its_switch_is_written_last() -> None:
    async with Plc() as plc:
        battery = RegisterBattery(Plc.battery_map(plc.port), GUARDED)
        await battery.hold(5.0)
        assert [address for address, _ in plc.writes] == [SET_POINT, 4]
        await battery.close()


async def test_its_watchdog_is_its_term() -> None:
    async with Plc(watchdog_s=0.4) as plc:
        declared = Plc.battery_map(plc.port, watchdog_s=1.0)
        battery = RegisterBattery(declared, GUARDED)
        assert isinstance(await battery.renew(0.9), Refused)
        answer = await battery.renew(5.0)
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == 1.0
        await battery.hold(20.0)
        for _ in range(3):
            await asyncio.sleep(0.15)
            assert isinstance(await battery.renew(1.0), Applied)
        assert plc.battery_kw == 20.0
        await asyncio.sleep(0.5)
        reading = await battery.read()
        assert isinstance(reading, BatteryReading)
        assert reading.battery_kw == 0.0
        await battery.close()


async def test_another_serial_number_is_not_commanded() -> None:
    async with Plc(serial="PLC-8") as plc:
        settings = GUARDED.model_copy(update={"serial": "PLC-7"})
        battery = RegisterBattery(Plc.battery_map(plc.port), settings)
        answer = await battery.hold(5.0)
        assert isinstance(answer, Refused)
        assert "PLC-8" in answer.why
        assert not plc.writes
        await battery.close()


async def test_a_record_of_another_device_vouches_for_nothing() -> None:
    async with Plc() as plc:
        unguarded = GUARDED.model_copy(update={"guardian": None})
        for serial, held in (("PLC-8", Refused), ("PLC-7", Applied)):
            battery = RegisterBattery(
                Plc.battery_map(plc.port), unguarded, commissioning=record(serial)
            )
            assert isinstance(await battery.hold(5.0), held)
            await battery.close()


async def test_a_meter_tells_what_is_drawn() -> None:
    async with Plc() as plc, SunSpecPlant() as plant:
        plc.meter_kw = plant.meter_kw = 41.5
        declared = RegisterMeter(Plc.meter_map(plc.port))
        described = SunSpecMeter(here(plant.port), age_s=0.2)
        for meter in (declared, described):
            assert isinstance(meter, GridMeter)
        assert await declared.read() == MeterReading(
            grid_kw=pytest.approx(41.5), frequency_hz=None, age_s=0.1
        )
        assert await described.read() == MeterReading(
            grid_kw=pytest.approx(41.5), frequency_hz=50.0, age_s=0.2
        )
        await declared.close()
        await described.close()


async def test_a_meter_that_counts_the_other_way_is_declared_so() -> None:
    async with SunSpecPlant(PlantSettings()) as plant:
        plant.meter_kw = -7.0
        meter = SunSpecMeter(here(plant.port), positive_is_drawn=False)
        reading = await meter.read()
        assert isinstance(reading, MeterReading)
        assert reading.grid_kw == pytest.approx(7.0)
        await meter.close()
