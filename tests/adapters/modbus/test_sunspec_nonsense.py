"""Nonsense from a device: whatever its registers say, an answer comes out and nothing is raised."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from modbus_cases import GUARDED, here

from ebplan.adapters.modbus.connection import Denied, Reply, Stranger, Words
from ebplan.adapters.modbus.legacy_battery import WANTED as OLD
from ebplan.adapters.modbus.legacy_battery import LegacyDrive
from ebplan.adapters.modbus.meter import SunSpecMeter
from ebplan.adapters.modbus.sunspec import END, MARK, Chain, walk
from ebplan.adapters.modbus.sunspec_drive import WANTED as NEW
from ebplan.adapters.modbus.sunspec_drive import SunSpecDrive
from ebplan.twin.wire.sunspec_image import der_image, legacy_image
from ebplan.twin.wire.sunspec_memory import Memory
from ebplan.twin.wire.sunspec_plant import PlantSettings

Word = st.integers(0, 0xFFFF)
NUMBERS = sorted({1, 201, 203, 213, *OLD, *NEW})


def reader(words: Sequence[int]):
    async def read(address: int, count: int) -> Reply:
        start = address - 40000
        if start >= 0 and start + count <= len(words):
            return Words(tuple(words[start : start + count]))
        return Denied(2, "no such register")

    return read


def understood(words: Sequence[int]) -> None:
    """Take a device in by every way there is."""
    address = here(502)
    wanted = frozenset(NUMBERS)
    chain = asyncio.run(walk(reader(words), wanted))
    assert isinstance(chain, Chain | Denied | Stranger)
    if not isinstance(chain, Chain):
        return
    for drive in (SunSpecDrive(address, GUARDED), LegacyDrive(address, GUARDED)):
        taken = drive._understand(chain)
        assert isinstance(taken, Denied | tuple)
    assert isinstance(SunSpecMeter._understand(chain), Denied | tuple)


@st.composite
def chains(draw: st.DrawFn) -> list[int]:
    words = [*MARK, 1, 66, *([0x4142] * 66)]
    for number in draw(st.lists(st.sampled_from(NUMBERS), max_size=6)):
        length = draw(st.integers(1, 160))
        seed = draw(st.lists(Word, min_size=1, max_size=20))
        words += [number, length, *(seed * length)[:length]]
    return [*words, END, 0]


@given(chains())
def test_a_chain_of_nonsense_is_taken_in_or_turned_away(words: list[int]) -> None:
    understood(words)


@given(st.sampled_from(["der", "legacy"]), st.data())
def test_a_device_with_a_few_registers_wrong_is_taken_in_or_turned_away(
    models: str, data: st.DataObject
) -> None:
    settings = PlantSettings()
    memory = Memory(40000, (der_image if models == "der" else legacy_image)(settings))
    words = list(memory.words)
    for _ in range(data.draw(st.integers(1, 8))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(Word)
    understood(words)


@given(st.sampled_from(["der", "legacy"]), st.sampled_from(NUMBERS), st.integers(1, 200))
def test_a_model_cut_short_is_taken_in_or_turned_away(models: str, cut: int, length: int) -> None:
    memory = Memory(40000, (der_image if models == "der" else legacy_image)(PlantSettings()))
    words, at = [*MARK], 2
    while memory.words[at] != END:
        number, full = memory.words[at : at + 2]
        kept = min(length, full) if number == cut else full
        words += [number, kept, *memory.words[at + 2 : at + 2 + kept]]
        at += 2 + full
    understood([*words, END, 0])
