"""What a SunSpec battery says about its state, from whichever models it has."""

from __future__ import annotations

from typing import Final

from ebplan.adapters.answers import Range
from ebplan.adapters.modbus.connection import Denied, Failure
from ebplan.adapters.modbus.sunspec import Chain, Model
from ebplan.adapters.modbus.sunspec_device import SunSpecDevice
from ebplan.adapters.roles import BatteryReading

W_PER_KW: Final = 1e3
FAULT, SHUTTING_DOWN, OFF = 6, 5, 0
UNFIT = (FAULT, SHUTTING_DOWN, OFF)
"""States of a converter in which it takes no set-point."""


class Snapshot:
    """Points of several models as they were read."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Model, int, tuple[int, ...]]] = {}

    async def take(
        self, device: SunSpecDevice, number: int, first: str, last: str
    ) -> Failure | None:
        """Read points of a model, where the device has them."""
        model = device.model(number)
        if model is None or first not in model.points or last not in model.points:
            return None
        read = await device.read(device.line.polls, model, first, last)
        if not isinstance(read, tuple):
            return read
        self._read[number] = (model, *read)
        return None

    def number(self, model: int, name: str) -> float | None:
        """Return a point, or None where it was not read or is not implemented."""
        if model not in self._read:
            return None
        read, start, words = self._read[model]
        return read.number_of(name, words, start)

    def names(self, model: int, name: str) -> tuple[str, ...]:
        """Return the names of the bits that are set."""
        if model not in self._read:
            return ()
        read, start, words = self._read[model]
        return read.names(name, words, start)


async def read_battery(
    device: SunSpecDevice, limits: Range, droop_kw: float
) -> BatteryReading | Failure:
    """Return the state of a battery.

    Args:
        device: greeted.
        limits: set-points by its own limits.
        droop_kw: capacity of the droop that was armed; 0 where that is not known.
    """
    seen = Snapshot()
    for number, first, last in (
        (701, "St", "Hz"),
        (703, "ES", "ES"),
        (711, "Ena", "Ena"),
        (713, "SoC", "Sta"),
        (714, "PrtAlrms", "PrtAlrms"),
        (715, "LocRemCtl", "LocRemCtl"),
        (802, "SoC", "Evt1"),
    ):
        failure = await seen.take(device, number, first, last)
        if failure is not None:
            return failure
    watts = seen.number(701, "W")
    if watts is None:
        return Denied(0, "it measures no power")
    soc = seen.number(713, "SoC")
    soc = soc if soc is not None else seen.number(802, "SoC")
    armed_kw = droop_kw or max(limits.high, -limits.low)
    return BatteryReading(
        battery_kw=watts / W_PER_KW,
        soc=None if soc is None else min(max(soc / 100.0, 0.0), 1.0),
        feasible=limits,
        available=_available(seen),
        frequency_hz=seen.number(701, "Hz"),
        droop_kw=armed_kw if seen.number(711, "Ena") == 1 else 0.0,
        alarms=seen.names(701, "Alrm") + seen.names(714, "PrtAlrms") + seen.names(802, "Evt1"),
    )


def limits_of(
    chain: Chain, max_charge_kw: float | None, max_discharge_kw: float | None
) -> Range | None:
    """Return the set-points that a device takes: its settings, else its ratings, else the site's.

    Returns:
        None where a limit is told by nobody.
    """
    model = chain.first(702)

    def told(*names: str) -> float | None:
        if model is None:
            return None
        watts = (model.number_of(name, model.words) for name in names)
        return next((w / W_PER_KW for w in watts if w is not None), None)

    low_kw = told("WChaRteMax", "WChaRteMaxRtg", "WMax", "WMaxRtg")
    high_kw = told("WDisChaRteMax", "WDisChaRteMaxRtg", "WMax", "WMaxRtg")
    low_kw = max_charge_kw if low_kw is None else low_kw
    high_kw = max_discharge_kw if high_kw is None else high_kw
    if low_kw is None or high_kw is None:
        return None
    return Range(-low_kw, high_kw, "kW")


def _available(seen: Snapshot) -> bool:
    return (
        seen.number(701, "St") != 0
        and seen.number(701, "InvSt") not in UNFIT
        and seen.number(701, "ConnSt") != 0
        and seen.number(703, "ES") != 0
        and seen.number(713, "Sta") != 2
        and seen.number(715, "LocRemCtl") != 1
        and seen.number(802, "LocRemCtl") != 1
    )
