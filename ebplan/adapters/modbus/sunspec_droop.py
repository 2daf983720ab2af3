"""Arming the droop of model 711: the converter then answers the frequency by itself.

The model says how much frequency, per unit of nominal, makes one per unit of power beyond a dead
band, so it can say a straight line from the edge of a dead band and nothing else. It says no end of
that line either: beyond ``full_hz`` the device goes on, up to its own rating.

A curve is written into a control that is not in force, and adopted as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.adapters.clock import Clock
from ebplan.adapters.modbus.connection import Denied, Failure, Words, after_a_write
from ebplan.adapters.modbus.sunspec import Model
from ebplan.adapters.modbus.sunspec_device import SunSpecDevice
from ebplan.adapters.roles import Droop

IN_PROGRESS, COMPLETED = 0, 1
ADOPTED_WITHIN_S = 5.0
POLL_S = 0.05
NAMES = ("DbOf", "DbUf", "KOf", "KUf", "RspTms")


@dataclass(frozen=True)
class Armed:
    """A droop that is in force, as it was read back."""

    capacity_kw: float
    """Power at full deviation that the rounded curve gives."""


def cannot_say(droop: Droop) -> str | None:
    """Return why the model cannot express a droop; None where it can."""
    if droop.curve.shape != "droop":
        return f"a curve with a {droop.curve.shape} cannot be told to it, only a straight droop"
    if not droop.capacity_kw >= 0.0 or droop.capacity_kw == float("inf"):
        return "a capacity is a number of at least 0 kW"
    return None


async def disarm(device: SunSpecDevice, model: Model) -> Failure | None:
    """Switch the droop off and read that back."""
    failure = await device.write(model, "Ena", 0)
    if failure is not None:
        return failure
    state = await _state(device, model, "Ena")
    if isinstance(state, float):
        return None if state == 0 else Denied(0, "it does not switch its droop off")
    return after_a_write(state)


async def arm(
    device: SunSpecDevice, model: Model, droop: Droop, rating_kw: float, clock: Clock
) -> Armed | Failure:
    """Write, adopt and enable a droop, and read back what is in force.

    Args:
        device: greeted.
        model: its model 711.
        droop: expressible, with a capacity above 0 and up to the rating.
        rating_kw: power of one per unit.
        clock: what time it is.
    """
    control = _free_control(model)
    if control is None:
        return Denied(0, "it has no droop curve that may be written")
    try:
        words = _encoded(model, control, droop, rating_kw)
    except ValueError as error:
        return Denied(0, f"its registers cannot say this droop: {error}")
    where = model.registers(f"Ctl.{control}.DbOf", f"Ctl.{control}.RspTms")
    reply = await device.line.set_points.write(where.start, words)
    if not isinstance(reply, Words):
        return reply
    failure = await _adopt(device, model, control, clock)
    failure = failure or await device.write(model, "Ena", 1)
    if failure is not None:
        return after_a_write(failure)
    armed = await _in_force(device, model, words, droop, rating_kw)
    return armed if isinstance(armed, Armed) else after_a_write(armed)


def slope(droop: Droop, rating_kw: float) -> float:
    """Return the frequency, per unit of nominal, that makes one per unit of power."""
    beyond_hz = droop.curve.full_hz - droop.curve.dead_band_hz
    return beyond_hz / droop.nominal_hz * rating_kw / droop.capacity_kw


def capacity_kw(slope_pu: float, droop: Droop, rating_kw: float) -> float:
    """Return the power at full deviation for a slope."""
    beyond_hz = droop.curve.full_hz - droop.curve.dead_band_hz
    return beyond_hz / droop.nominal_hz * rating_kw / slope_pu


def _free_control(model: Model) -> int | None:
    count = sum(f"Ctl.{i}.ReadOnly" in model.points for i in range(len(model.words)))
    for i in range(count):
        if model.number_of(f"Ctl.{i}.ReadOnly", model.words) == 0:
            return i
    return None


def _encoded(model: Model, control: int, droop: Droop, rating_kw: float) -> list[int]:
    slope_pu = slope(droop, rating_kw)
    values = {
        "DbOf": droop.curve.dead_band_hz,
        "DbUf": droop.curve.dead_band_hz,
        "KOf": slope_pu,
        "KUf": slope_pu,
        "RspTms": droop.response_s,
    }
    words: list[int] = []
    for name in NAMES:
        encoded = model.encoded(f"Ctl.{control}.{name}", values[name])
        if name.startswith("K") and not any(encoded):
            raise ValueError(f"a slope of {slope_pu:g} is rounded to 0")
        words.extend(encoded)
    return words


async def _adopt(device: SunSpecDevice, model: Model, control: int, clock: Clock) -> Failure | None:
    failure = await device.write(model, "AdptCtlReq", control + 1)
    if failure is not None:
        return failure
    until_s = clock.now_s() + ADOPTED_WITHIN_S
    while True:
        state = await _state(device, model, "AdptCtlRslt")
        if not isinstance(state, float):
            return state
        if state == COMPLETED:
            return None
        if state != IN_PROGRESS:
            return Denied(0, "it does not adopt the curve")
        if clock.now_s() >= until_s:
            return Denied(0, f"it has not adopted the curve after {ADOPTED_WITHIN_S:g} s")
        await clock.sleep(POLL_S)


async def _in_force(
    device: SunSpecDevice, model: Model, words: list[int], droop: Droop, rating_kw: float
) -> Armed | Failure:
    line = device.line.set_points
    read = await device.read(line, model, "Ctl.0.DbOf", "Ctl.0.RspTms")
    if not isinstance(read, tuple):
        return read
    start, found = read
    enabled = await _state(device, model, "Ena")
    if not isinstance(enabled, float):
        return enabled
    if enabled != 1 or list(found) != words:
        return Denied(0, "another droop is in force than the one it was told")
    slope_pu = model.number_of("Ctl.0.KUf", found, start)
    assert slope_pu
    return Armed(capacity_kw(slope_pu, droop, rating_kw))


async def _state(device: SunSpecDevice, model: Model, name: str) -> float | Failure:
    read = await device.read(device.line.set_points, model, name, name)
    if not isinstance(read, tuple):
        return read
    value = model.number_of(name, read[1], read[0])
    return Denied(0, f"it does not tell {name}") if value is None else value
