"""Power of processors by RAPL, from a tree of files like the kernel's."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import ManualClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.node import rapl
from ebplan.adapters.node.rapl import RaplAddress, RaplPower, find_domains
from ebplan.adapters.roles import NodePowerReading
from ebplan.errors import InputError

AT_ONCE = BackOff(first_s=0.0, longest_s=0.0)
RANGE_UJ = 262_143_328_850


class Sysfs:
    """A tree like /sys/class/powercap, and how fast its counters run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watts: dict[Path, float] = {}

    def zone(
        self, folder: str, name: str, watts: float, at_uj: int = 1_000_000, range_uj: int = RANGE_UJ
    ) -> Path:
        path = self.root / folder
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (path / "energy_uj").write_text(f"{at_uj}\n")
        self.watts[path] = watts
        return path

    def pass_s(self, seconds: float) -> None:
        for path, watts in self.watts.items():
            if path.exists():
                size = int((path / "max_energy_range_uj").read_text()) + 1
                count = int((path / "energy_uj").read_text()) + round(watts * seconds * 1e6)
                (path / "energy_uj").write_text(f"{count % size}\n")


class TreeClock(ManualClock):
    """A clock whose sleeps let the counters run."""

    def __init__(self, tree: Sysfs) -> None:
        super().__init__(1000.0)
        self.tree = tree

    async def sleep(self, seconds: float) -> None:
        self.tree.pass_s(seconds)
        self._now_s += seconds


@pytest.fixture
def tree(tmp_path: Path) -> Sysfs:
    """Two sockets as a server shows them, with what must not be added."""
    (tmp_path / "intel-rapl").mkdir()
    tree = Sysfs(tmp_path)
    for socket in (0, 1):
        tree.zone(f"intel-rapl:{socket}", f"package-{socket}", 150.0)
        tree.zone(f"intel-rapl:{socket}:0", "core", 90.0)
        tree.zone(f"intel-rapl:{socket}:1", "dram", 20.0)
    tree.zone("intel-rapl:2", "psys", 600.0)
    tree.zone("intel-rapl-mmio:0", "package-0", 150.0)
    tree.zone("dtpm", "other", 5.0)
    return tree


def device(tree: Sysfs, clock: ManualClock | None = None, **more: object) -> RaplPower:
    address = RaplAddress.parse({"driver": "rapl", "root": str(tree.root), **more})
    return RaplPower("cpu", address, policy=AT_ONCE, clock=clock or TreeClock(tree))


async def reading_of(power: RaplPower) -> NodePowerReading:
    reading = await power.read()
    assert isinstance(reading, NodePowerReading), reading
    return reading


async def why(power: RaplPower) -> str:
    reading = await power.read()
    assert isinstance(reading, Unreachable), reading
    return reading.why


async def test_packages_and_their_memory_are_added_once(tree: Sysfs) -> None:
    power = device(tree)
    reading = await reading_of(power)
    assert reading.power_kw == pytest.approx(2 * (0.150 + 0.020))
    assert [domain.name for domain in find_domains(tree.root)] == [
        "package-0", "package-1", "package-0/dram", "package-1/dram",
    ]  # fmt: skip
    await power.close()


async def test_it_is_not_passed_off_as_a_node(tree: Sysfs) -> None:
    power = device(tree)
    reading = await reading_of(power)
    assert (reading.covers, reading.measurement_point) == ("processors_and_memory", None)
    for socket in (0, 1):
        (tree.root / f"intel-rapl:{socket}:1" / "name").write_text("uncore\n")
    again = device(tree)
    assert (await reading_of(again)).covers == "processors"
    for one in (power, again):
        await one.close()


def test_a_reading_without_a_place_cannot_be_of_a_node() -> None:
    with pytest.raises(ValueError, match="measurement point"):
        NodePowerReading(1.0, None, "node", None, 0.0)
    with pytest.raises(ValueError, match="measurement point"):
        NodePowerReading(1.0, None, "processors", "ac", 0.0)


async def test_power_is_the_mean_since_the_last_reading(tree: Sysfs) -> None:
    clock = TreeClock(tree)
    power = device(tree, clock)
    first = await reading_of(power)
    assert first.age_s == pytest.approx(0.5)
    for path in tree.watts:
        tree.watts[path] *= 2.0
    await clock.sleep(10.0)
    second = await reading_of(power)
    assert second.age_s == pytest.approx(10.0)
    assert second.power_kw == pytest.approx(0.68)
    assert first.energy_kwh is not None
    assert second.energy_kwh is not None
    assert second.energy_kwh - first.energy_kwh == pytest.approx(0.68 * 10.0 / 3600.0)
    await power.close()


@given(
    start=st.integers(0, RANGE_UJ),
    watts=st.floats(1.0, 900.0),
    seconds=st.floats(0.5, 100.0),
)
async def test_a_wrap_changes_nothing(start: int, watts: float, seconds: float) -> None:
    with TemporaryDirectory() as folder:
        tree = Sysfs(Path(folder))
        tree.zone("intel-rapl:0", "package-0", watts, at_uj=start)
        clock = TreeClock(tree)
        power = device(tree, clock)
        await reading_of(power)
        await clock.sleep(seconds)
        assert (await reading_of(power)).power_kw == pytest.approx(watts / 1000.0, rel=1e-5)
        await power.close()


async def test_a_counter_that_may_have_gone_round_twice_is_begun_anew(tree: Sysfs) -> None:
    clock = TreeClock(tree)
    power = device(tree, clock)
    await reading_of(power)
    await clock.sleep(3600.0)  # 540 kJ of a counter of 262 kJ
    reading = await reading_of(power)
    assert reading.age_s == pytest.approx(0.5)
    assert reading.power_kw == pytest.approx(0.34)
    await power.close()


async def test_a_counter_that_goes_backwards_is_no_power(tree: Sysfs) -> None:
    power = device(tree)
    await reading_of(power)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text("5\n")
    assert "W: allowed is" in await why(power)
    assert (await reading_of(power)).power_kw == pytest.approx(0.34)
    await power.close()


async def test_a_counter_that_stands_still_is_no_power(tree: Sysfs) -> None:
    for path in tree.watts:
        tree.watts[path] = 0.0
    power = device(tree)
    assert "0 W" in await why(power)
    await power.close()


async def test_a_domain_that_vanishes_is_noticed_and_then_left_out(tree: Sysfs) -> None:
    power = device(tree)
    await reading_of(power)
    for name in ("name", "energy_uj", "max_energy_range_uj"):
        (tree.root / "intel-rapl:1:1" / name).unlink()
    (tree.root / "intel-rapl:1:1").rmdir()
    assert "others than before" in await why(power)
    assert (await reading_of(power)).power_kw == pytest.approx(0.32)
    await power.close()


async def test_without_the_right_to_read_it_says_what_to_do(
    tree: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, who may run this, reads a file of mode 0400 all the same: the refusal is made up."""
    read_text = Path.read_text

    def refuse(self: Path, *args: str, **named: str) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(self, *args, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    power = device(tree)
    told = await why(power)
    assert "root" in told
    assert "CAP_DAC_READ_SEARCH" in told
    assert "\n" not in told
    await power.close()


@pytest.mark.parametrize("content", ["", "-5\n", "1e9\n", "1_000\n", "9" * 40, "٣\n"])
async def test_what_is_no_count_is_no_reading(tree: Sysfs, content: str) -> None:
    power = device(tree)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text(content)
    assert "intel-rapl:0/energy_uj" in await why(power)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text("7\n")
    assert (await reading_of(power)).power_kw == pytest.approx(0.34)
    await power.close()


async def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        power = device(Sysfs(root))
        assert "no RAPL package" in await why(power)
        await power.close()


def test_a_window_must_fit_into_the_deadline() -> None:
    with pytest.raises(InputError, match="window_s"):
        RaplAddress.parse({"driver": "rapl", "window_s": 3.0})


def test_the_remedy_is_one_line() -> None:
    assert len(rapl.DENIED.splitlines()) == 1
