"""The measurement of a GPU, without one: the meter on a stand-in of NVML, windows, statistics."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.gpu_power.meter import DryMeter, MeterUnavailable, NvmlMeter, Sample
from benchmarks.gpu_power.sampler import Readings, sample
from benchmarks.gpu_power.statistics import NoReadings, counter_power_w, summarise


def reading(t_s: float, watts: float | None = 300.0, energy_j: float | None = None) -> Sample:
    return Sample(t_s, watts, watts, energy_j, 1980.0, 2619.0, 50.0, 1.0, 700.0)


# -- the meter


class NvmlError(Exception):
    pass


class FakeNvml:
    """What NVML would answer; it has no call that sets anything."""

    NVMLError = NvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, refused: Sequence[str] = (), average_code: int = 0) -> None:
        self.refused, self.average_code = refused, average_code

    def __getattribute__(self, name: str) -> object:
        if name.startswith("nvml") and name in object.__getattribute__(self, "refused"):
            return object.__getattribute__(self, "_refuse")
        return object.__getattribute__(self, name)

    def _refuse(self, *_: object) -> None:
        raise NvmlError("Not Supported")

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, gpu: int) -> bytes:
        return b"GPU of bytes"

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetFieldValues(self, gpu: int, ids: list[int]) -> list[SimpleNamespace]:
        # garbage in the members that are not the value's own
        values = {
            185: (self.average_code, 1, {"uiVal": 250_000, "dVal": 1e-300}),
            186: (0, 0, {"dVal": 310_500.0, "uiVal": 7}),
        }
        return [
            SimpleNamespace(nvmlReturn=code, valueType=kind, value=SimpleNamespace(**value))
            for code, kind, value in (values[i] for i in ids)
        ]

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: int) -> int:
        return 5_000_000_000_123

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=37, memory=9)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: int) -> int:
        return 700_000

    def nvmlDeviceGetClockInfo(self, gpu: int, kind: int) -> int:
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        return 41


def test_a_reading_has_each_quantity_in_its_unit() -> None:
    meter = NvmlMeter(0, FakeNvml())
    read = meter.read()
    assert (meter.gpu, meter.driver) == ("GPU of bytes", "580.1")
    assert read.power_instant_w == pytest.approx(310.5)
    assert read.power_average_w == pytest.approx(250.0)
    assert read.energy_j == pytest.approx(5_000_000_000.123)
    assert read.utilisation == pytest.approx(0.37)
    assert (read.sm_clock_mhz, read.mem_clock_mhz, read.temperature_c) == (1980, 2619, 41)
    assert read.power_limit_w == pytest.approx(700.0)


def test_what_the_gpu_refuses_is_empty_and_nothing_else() -> None:
    refused = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetClockInfo")
    read = NvmlMeter(0, FakeNvml(refused, average_code=3)).read()
    assert read.energy_j is None
    assert read.sm_clock_mhz is None
    # its own return code says that the value is undefined
    assert read.power_average_w is None
    assert read.power_instant_w == pytest.approx(310.5)
    none = NvmlMeter(0, FakeNvml(("nvmlDeviceGetFieldValues",))).read()
    assert none.power_instant_w is None


def test_no_gpu_is_one_line() -> None:
    with pytest.raises(MeterUnavailable, match=r"^NVML shows no GPU 0: Not Supported$"):
        NvmlMeter(0, FakeNvml(("nvmlInit",)))


def test_a_reading_survives_its_line() -> None:
    whole = Sample(123456.789, 310.5, None, 5e9 + 0.123, 1980.0, 2619.0, 41.0, 0.37, 700.0)
    assert Sample.parse(whole.line()) == whole
    with pytest.raises(ValueError, match="cells where 9 are due"):
        Sample.parse("1.0,2.0")


# -- the sampler's file


def test_the_sampler_keeps_its_rate_and_the_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    began_s = time.monotonic()
    taken = iter(range(10))
    thread = threading.Thread(
        target=sample, args=(DryMeter(), path, 200.0, lambda: next(taken, None) is not None)
    )
    thread.start()
    thread.join()
    samples = Readings(path).between(began_s, time.monotonic())
    assert len(samples) == 10
    # a late reading is not caught up, so ten readings do not crowd into fewer periods
    assert samples[-1].t_s - samples[0].t_s > 7.9 / 200.0


def test_a_half_written_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    lines = [reading(float(t)).line() for t in range(4)]
    path.write_text("t_s,rest\n" + "\n".join(lines[:2]) + "\n" + lines[2][:5])
    readings = Readings(path)
    assert [s.t_s for s in readings.between(0.0, 9.0)] == [0.0, 1.0]
    with path.open("a") as file:
        file.write(lines[2][5:] + "\n" + lines[3] + "\n")
    assert [s.t_s for s in readings.between(1.0, 2.0)] == [1.0, 2.0]
    assert readings.between(3.5, 9.0) == []


# -- statistics


def stepping(begin_s: float, end_s: float, watts: float) -> list[Sample]:
    """Readings at 20 Hz of a counter that steps each 100 ms, out of phase with them."""
    times = [begin_s + 0.05 * i for i in range(round((end_s - begin_s) / 0.05))]
    return [reading(t, watts, watts * (int((t + 0.03) * 10.0) / 10.0)) for t in times]


def test_the_counter_gives_the_power_between_its_steps() -> None:
    assert counter_power_w(stepping(10.0, 20.0, 412.0)) == pytest.approx(412.0, rel=0.01)
    # over the window's ends it would lose a step in so short a window; from step to step not
    held = [reading(0.1 * i, energy_j=e) for i, e in enumerate([0, 0, 0, 30, 60, 90, 90, 90])]
    assert counter_power_w(held) == pytest.approx(300.0)


@pytest.mark.parametrize(
    "energies",
    [[None, None, None], [5.0, 5.0, 5.0], [5.0, 5.0, 9.0], [5.0, 9.0, 1.0, 4.0], []],
    ids=["not reported", "still", "one step", "went back", "none"],
)
def test_a_counter_that_says_nothing_says_nothing(energies: list[float | None]) -> None:
    samples = [reading(0.1 * i, energy_j=e) for i, e in enumerate(energies)]
    assert counter_power_w(samples) is None


def test_a_gap_in_the_counter_is_no_step() -> None:
    energies = [0.0, 10.0, None, 20.0, 30.0]
    samples = [reading(0.1 * i, energy_j=e) for i, e in enumerate(energies)]
    assert counter_power_w(samples) == pytest.approx(20.0 / 0.3)


def test_a_window_in_one() -> None:
    read = summarise([reading(0.0, 100.0), reading(0.1, 300.0), reading(0.2, None)])
    assert read.power_instant_mean_w == pytest.approx(200.0)
    assert read.power_instant_std_w == pytest.approx(100.0 * 2.0**0.5)
    assert read.samples == 3
    assert read.energy_counter_power_w is None
    assert summarise([reading(0.0)]).power_instant_std_w is None
    with pytest.raises(NoReadings):
        summarise([])
