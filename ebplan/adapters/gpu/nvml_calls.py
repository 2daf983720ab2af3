"""Calls of the GPU library; they block, so each runs on the thread of its GPU.

Units turn here: the library speaks mW and mJ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ebplan.adapters.answers import Range
from ebplan.adapters.lane import Lane
from ebplan.adapters.roles import GpuReading

INSTANT_FIELD = 186
"""Power now; ``nvmlDeviceGetPowerUsage`` is a mean over a second from Ampere on."""
MILLI = 1000.0
J_PER_KWH = 3.6e6


@dataclass
class Gpu:
    """One GPU as it was found."""

    uuid: str
    handle: Any
    lane: Lane
    cap_range: Range
    clock_range: Range | None
    locked_mhz: float | None = None


def find(
    uuids: tuple[str, ...] | None,
) -> dict[int, tuple[str, Any, Range, Range | None, float]]:
    """Return identity, handle, ranges and requested limit of each GPU that has limits."""
    import pynvml

    pynvml.nvmlInit()
    if uuids is None:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        uuids = tuple(_text(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles)
    found = {}
    for index, uuid in enumerate(uuids):
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
            low_mw, high_mw = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
            limit_w = pynvml.nvmlDeviceGetPowerManagementLimit(handle) / MILLI
        except pynvml.NVMLError:
            continue  # lost, or without limits: it cannot be commanded
        caps = Range(low_mw / MILLI, high_mw / MILLI, "W")
        found[index] = (uuid, handle, caps, _clocks(handle), limit_w)
    return found


def _clocks(handle: Any) -> Range | None:
    import pynvml

    try:
        memory_mhz = max(pynvml.nvmlDeviceGetSupportedMemoryClocks(handle))
        mhz = pynvml.nvmlDeviceGetSupportedGraphicsClocks(handle, memory_mhz)
    except pynvml.NVMLError:
        return None
    return Range(float(min(mhz)), float(max(mhz)), "MHz")


def reading_of(gpu: Gpu) -> GpuReading:
    """Return a GPU as it is."""
    import pynvml

    now_w, instantaneous = power_w(gpu.handle)
    return GpuReading(
        power_kw=now_w / MILLI,
        energy_kwh=pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle) / MILLI / J_PER_KWH,
        cap_w=pynvml.nvmlDeviceGetPowerManagementLimit(gpu.handle) / MILLI,
        enforced_w=pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu.handle) / MILLI,
        cap_range=gpu.cap_range,
        clock_mhz=gpu.locked_mhz,
        clock_range=gpu.clock_range,
        instantaneous=instantaneous,
    )


def power_w(handle: Any) -> tuple[float, bool]:
    """Return the power in W, and whether it is that of now and no mean."""
    import pynvml

    field = pynvml.nvmlDeviceGetFieldValues(handle, [INSTANT_FIELD])[0]
    if field.nvmlReturn == pynvml.NVML_SUCCESS:
        return field.value.uiVal / MILLI, True
    return pynvml.nvmlDeviceGetPowerUsage(handle) / MILLI, False


def set_limit(handle: Any, limit_w: float) -> tuple[float, float]:
    """Set a limit; return what is requested and what is enforced then, in W."""
    import pynvml

    pynvml.nvmlDeviceSetPowerManagementLimit(handle, round(limit_w * MILLI))
    return (
        pynvml.nvmlDeviceGetPowerManagementLimit(handle) / MILLI,
        pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / MILLI,
    )


def lock_sm_clock(handle: Any, mhz: int | None) -> float:
    """Lock or unlock the SM clock; return the clock it runs at then, in MHz."""
    import pynvml

    if mhz is None:
        pynvml.nvmlDeviceResetGpuLockedClocks(handle)
    else:
        pynvml.nvmlDeviceSetGpuLockedClocks(handle, mhz, mhz)
    return float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
