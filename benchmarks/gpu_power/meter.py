"""What can be read of a GPU, read only, and the one reading taken at an instant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from typing import Any, Protocol

POWER_AVERAGE = 185
"""NVML_FI_DEV_POWER_AVERAGE: mW, averaged over 1 s (Ampere and later, nvml.h)."""

POWER_INSTANT = 186
"""NVML_FI_DEV_POWER_INSTANT: mW, of the whole GPU board."""

VALUE_MEMBER = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
"""Member of nvmlValue_t that holds a field's value, by nvmlValueType_t (nvml.h)."""


class MeterUnavailable(Exception):
    """There is no GPU to read here; the message says why in one line."""


@dataclass(frozen=True)
class Sample:
    """One reading. `t_s` is `time.monotonic()`, one clock for all processes of a Linux machine.

    A quantity the GPU does not report is None. `energy_j` counts since the driver was loaded;
    `utilisation` is the share of time 0..1 in which a kernel ran.
    """

    t_s: float
    power_instant_w: float | None
    power_average_w: float | None
    energy_j: float | None
    sm_clock_mhz: float | None
    mem_clock_mhz: float | None
    temperature_c: float | None
    utilisation: float | None
    power_limit_w: float | None

    def line(self) -> str:
        """Return the reading as one line of CSV, columns as in `SAMPLE_COLUMNS`."""
        return ",".join("" if value is None else str(round(value, 4)) for value in astuple(self))

    @classmethod
    def parse(cls, line: str) -> Sample:
        """Return the reading a line holds.

        Raises:
            ValueError: the line is not one whole reading.
        """
        cells = line.split(",")
        if len(cells) != len(SAMPLE_COLUMNS):
            raise ValueError(f"{len(cells)} cells where {len(SAMPLE_COLUMNS)} are due: {line!r}")
        values = [float(cell) if cell else None for cell in cells[1:]]
        return cls(float(cells[0]), *values)


SAMPLE_COLUMNS = tuple(field.name for field in fields(Sample))


class Meter(Protocol):
    """A source of readings."""

    gpu: str
    driver: str

    def read(self) -> Sample:
        """Return the readings of this instant."""
        ...


class NvmlMeter:
    """The readings of one NVIDIA GPU through NVML: only `Get` calls are made."""

    def __init__(self, index: int, nvml: Any | None = None) -> None:
        """Open GPU `index` of the driver. `nvml` is the module pynvml, or a stand-in.

        Raises:
            MeterUnavailable: no NVML module, driver or GPU of that index.
        """
        if nvml is None:
            try:
                import pynvml as nvml
            except ImportError as error:
                raise MeterUnavailable("no module pynvml: install nvidia-ml-py") from error
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            self.gpu = _text(nvml.nvmlDeviceGetName(self._gpu))
            self.driver = _text(nvml.nvmlSystemGetDriverVersion())
        except nvml.NVMLError as error:
            raise MeterUnavailable(f"NVML shows no GPU {index}: {error}") from error

    def read(self) -> Sample:
        """Return the readings of this instant; what the GPU refuses to tell is None."""
        nvml, gpu = self._nvml, self._gpu
        t_s = time.monotonic()
        average_mw, instant_mw = self._fields(POWER_AVERAGE, POWER_INSTANT)
        energy_mj = self._ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))
        used = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        limit_mw = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu))
        return Sample(
            t_s=t_s,
            power_instant_w=_scaled(instant_mw, 1e-3),
            power_average_w=_scaled(average_mw, 1e-3),
            energy_j=_scaled(energy_mj, 1e-3),
            sm_clock_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            mem_clock_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)),
            temperature_c=self._ask(
                lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
            ),
            utilisation=_scaled(used, 1e-2),
            power_limit_w=_scaled(limit_mw, 1e-3),
        )

    def _ask(self, call: Callable[[], float]) -> float | None:
        try:
            return call()
        except self._nvml.NVMLError:
            return None

    def _fields(self, *ids: int) -> list[float | None]:
        try:
            answers = self._nvml.nvmlDeviceGetFieldValues(self._gpu, list(ids))
        except self._nvml.NVMLError:
            return [None] * len(ids)
        return [_field(answer) for answer in answers]


def _field(answer: Any) -> float | None:
    # the value is undefined unless its own return code is 0, and its type is said beside it
    member = VALUE_MEMBER.get(answer.valueType)
    if answer.nvmlReturn != 0 or member is None:
        return None
    return float(getattr(answer.value, member))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class DryMeter:
    """Invented readings, to try the script where there is no GPU; its rows say so."""

    gpu = "dry run: no GPU was measured"
    driver = "none"

    def read(self) -> Sample:
        """Return 100 W with a ripple and a counter that steps every 100 ms."""
        now = time.monotonic()
        watts = 100.0 + math.sin(now)
        stepped = math.floor(now * 10.0) / 10.0
        return Sample(now, watts, watts, 100.0 * stepped, 1000.0, 2000.0, 40.0, None, 700.0)


def open_meter(index: int, dry: bool) -> Meter:
    """Return the meter of GPU `index`, or an invented one.

    Raises:
        MeterUnavailable: there is no such GPU.
    """
    return DryMeter() if dry else NvmlMeter(index)
