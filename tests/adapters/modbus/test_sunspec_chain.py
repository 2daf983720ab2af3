"""What a device says of itself: found wherever it lies, and never believed without an end."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_cases import connected, registers, scripted
from sunspec2 import mb
from sunspec2.device import Model as Theirs

from ebplan.adapters.modbus.connection import Denied, Reply, Stranger, Words
from ebplan.adapters.modbus.sunspec import Chain, Model, Point, decode, encode, layout, walk
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

WANTED = frozenset({701, 702, 704, 711, 713, 715})
KINDS = ("int16", "uint16", "int32", "uint32", "enum16", "bitfield32", "float32", "sunssf")


@pytest.mark.parametrize("base", [40000, 0, 50000])
async def test_a_device_is_found_at_any_of_three_bases(base: int) -> None:
    async with SunSpecPlant(PlantSettings(base=base)) as plant, connected(plant.port) as line:
        chain = await walk(line.read, WANTED, serial="EB-0001")
        assert isinstance(chain, Chain)
        assert set(chain.models) == {1, *WANTED}
        assert str(chain.nameplate) == "ebplan bench battery, serial EB-0001"
        assert chain.models[704].at("WSetEna") == plant.memory.at(704, "WSetEna")
        assert chain.models[711].at("Ctl.1.KOf") == plant.memory.at(711, "Ctl.1.KOf")


async def test_another_serial_number_is_a_stranger() -> None:
    async with SunSpecPlant(PlantSettings(serial="EB-9")) as plant, connected(plant.port) as line:
        answer = await walk(line.read, WANTED, serial="EB-0001")
        assert isinstance(answer, Stranger)
        assert "EB-9; serial EB-0001 is meant" in answer.why


async def test_no_mark_is_no_sunspec_device() -> None:
    async with scripted(lambda r: registers(r, 0, 0)) as port, connected(port) as line:
        assert isinstance(await walk(line.read, WANTED), Stranger)


@pytest.mark.parametrize("length", [0, 1, 60000])
async def test_a_chain_without_an_end_ends(length: int) -> None:
    async def read(address: int, count: int) -> Reply:
        mark = (0x5375, 0x6E53)
        return Words(mark if address == 40000 else (64999, length))

    assert await walk(read, WANTED) == Denied(0, "its chain of models does not end")


async def test_a_model_that_is_shorter_than_its_standard_has_only_those_points() -> None:
    model = Model(701, 0, 20, layout(701, [701, 18, *[0] * 18]), {}, (0,) * 20)
    assert "W" in model.points
    assert "Tmp_SF" not in model.points
    assert model.value("Tmp_SF", model.words) is None


@pytest.mark.parametrize("number", [1, 103, 113, 120, 121, 123, 124, 203, 213, 701, 702, 704, 802])
def test_the_layout_is_the_one_of_the_reference_classes(number: int) -> None:
    ours = layout(number, [0] * 300)
    theirs = Theirs(model_id=number, data=bytes(600), model_len=298)
    for name, point in theirs.points.items():
        if point.pdef["type"] != "pad":
            assert (ours[name].offset, ours[name].length) == (point.offset, point.len), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_implemented_is_none(kind: str) -> None:
    raw = mb.create_unimpl_value(kind, len=4)
    words = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
    assert decode(kind, words) is None
    with pytest.raises(ValueError, match=r"means nothing|does not fit"):
        encode(kind, mb.unimpl_value[kind] if kind != "float32" else float("nan"))


def test_what_is_no_number_is_none() -> None:
    for words in ((0x7FC0, 0), (0x7F80, 0), (0xFF80, 0), (0xFFFF, 0xFFFF)):
        assert decode("float32", words) is None


def test_text_ends_at_its_zero_and_is_never_refused() -> None:
    assert decode("string", (0x4142, 0x4300, 0xFFFF)) == "ABC"
    assert decode("string", (0x41FF, 0)) == "A\ufffd"
    assert decode("string", (0, 0)) is None


@given(st.sampled_from(("int16", "uint16", "int32", "uint32")), st.data())
def test_a_number_comes_back_as_it_was(kind: str, data: st.DataObject) -> None:
    signed, bits = kind.startswith("int"), int(kind[-2:])
    low = -(2 ** (bits - 1)) + 1 if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 2
    number = data.draw(st.integers(low, high))
    assert decode(kind, encode(kind, number)) == number


@given(
    st.floats(-1e5, 1e5, allow_nan=False),
    st.integers(-3, 3),
)
def test_a_scaled_value_is_off_by_half_a_step_at_most(value: float, scale: int) -> None:
    points = {"W": Point("W", "int32", 0, 2, "W_SF", {}, "")}
    model = Model(1, 0, 2, points, {"W_SF": scale}, (0, 0))
    read = model.number_of("W", model.encoded("W", value))
    assert read is not None
    assert abs(read - value) <= 0.5 * 10.0**scale * (1 + 1e-9)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(-6, 6))
def test_raw_values_survive_being_scaled_and_back(raw: int, scale: int) -> None:
    points = {"W": Point("W", "int32", 0, 2, "W_SF", {}, "")}
    model = Model(1, 0, 2, points, {"W_SF": scale}, (0, 0))
    words = encode("int32", raw)
    value = model.number_of("W", words)
    assert value is not None
    assert isclose(value, raw * 10.0**scale, rel_tol=1e-12)
    assert model.encoded("W", value) == words


def test_a_point_without_its_scale_factor_has_no_value() -> None:
    points = {"W": Point("W", "int16", 0, 1, "W_SF", {}, "")}
    model = Model(1, 0, 1, points, {"W_SF": None}, (7,))
    assert model.number_of("W", (7,)) is None
    with pytest.raises(ValueError, match="no W"):
        model.encoded("W", 7.0)
