"""Commissioning: find out what a battery really does before anything relies on it.

A small set-point is sent both ways and watched by measured power, with the site's meter as a
witness where there is one. Then the controller plays dead: the timer must count, and power must
fall to 0 by itself. Reading is silence too: a device that only misses requests must not be kept
alive by being watched, so it is left alone for most of its term.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.modbus.commissioning import Commissioning, Outcome, Probe, ProbeName, passed
from ebplan.adapters.modbus.drive import Device, Held, Seen
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.modbus.line import answered_by
from ebplan.adapters.roles import BatteryReading, Droop, GridMeter, MeterReading
from ebplan.frequency import ResponseCurve

SMALL = 0.06
"""Share of the rating that is sent: three times what measured power may be off."""
POLL_S = 0.05
SILENT_SHARE = 0.9
"""Share of a term in which the device is left alone."""
EARLIEST, LATEST = 0.7, 1.5
"""A term that ends outside these shares of itself was not counted."""
SLACK_S = 1.5
"""Timers count whole seconds, and power needs time to fall."""


@dataclass
class _Trial:
    battery: DrivenBattery
    device: Device
    meter: GridMeter | None
    clock: Clock
    probe_kw: float
    term_s: float
    settle_s: float
    tolerance_kw: float
    probes: list[Probe]

    def note(
        self, name: ProbeName, outcome: Outcome, seen: str, measured_s: float | None = None
    ) -> None:
        self.probes.append(Probe(name=name, outcome=outcome, seen=seen, measured_s=measured_s))

    @property
    def outcome(self) -> Outcome:
        return self.probes[-1].outcome


async def commission(
    battery: DrivenBattery,
    *,
    meter: GridMeter | None = None,
    probe_kw: float | None = None,
    term_s: float = 3.0,
    settle_s: float = 2.0,
    droop: Droop | None = None,
    clock: Clock | None = None,
    at: datetime | None = None,
) -> Commissioning | Refused | Unreachable:
    """Try a battery; it moves ``probe_kw`` both ways for a few terms and ends released.

    Args:
        battery: to be tried; it must not be in use.
        meter: at the connection point, as a witness of the sign.
        probe_kw: power to try; 6 % of the rating where nothing is said.
        term_s: term to try, whole seconds; two settling times at least.
        settle_s: how long power may take to reach a set-point, or to fall from it.
        droop: to be adopted and taken back; a mild one where nothing is said.
        clock: what time it is.
        at: date of the record.

    Returns:
        The record, or why the device could not be asked at all.
    """
    device = await battery.drive.ready()
    name = battery.settings.name
    if not isinstance(device, Device):
        return answered_by(device, device=name, command="commission", asked=None)
    reading = await battery.read()
    if not isinstance(reading, BatteryReading):
        return reading
    if device.local or not reading.available:
        why = "it is under local control" if device.local else "it is not available"
        return Refused(device=name, command="commission", asked=None, why=why)
    rating_kw = max(reading.feasible.high, -reading.feasible.low)
    size_kw = SMALL * rating_kw if probe_kw is None else abs(probe_kw)
    trial = _Trial(
        battery=battery,
        device=device,
        meter=meter,
        clock=clock or MonotonicClock(),
        probe_kw=size_kw,
        term_s=max(term_s, device.shortest_term_s),
        settle_s=settle_s,
        tolerance_kw=size_kw / 3.0,
        probes=[],
    )
    with battery.trial():
        try:
            await _try_all(trial, reading, droop)
        finally:
            await battery.release()
    probes = tuple(trial.probes)
    return Commissioning(
        device=device.name,
        serial=device.serial,
        at=at or datetime.now(UTC),
        guardian=battery.settings.guardian,
        probes=probes,
        may_arm=passed(probes, battery.settings.guardian),
    )


async def _try_all(trial: _Trial, reading: BatteryReading, droop: Droop | None) -> None:
    granted = await trial.battery.renew(trial.term_s)
    await _set_point(trial)
    if trial.outcome != "passed":
        trial.note("sign", "not possible", "no set-point is obeyed")
    else:
        await _sign(trial)
    if not isinstance(granted, Applied):
        why = getattr(granted, "why", str(granted))
        trial.note("timer", "failed", f"it grants no term: {why}")
        trial.note("renewal", "not possible", "it grants no term")
    elif trial.probes[0].outcome != "passed":
        trial.note("timer", "not possible", "no set-point is obeyed")
        trial.note("renewal", "not possible", "no set-point is obeyed")
    else:
        await _timer(trial)
        await _renewal(trial)
    await trial.battery.release()
    await _droop(trial, reading, droop)


async def _set_point(trial: _Trial) -> None:
    answer = await trial.battery.hold(trial.probe_kw, confirm_s=trial.settle_s)
    if isinstance(answer, Applied):
        seen = f"{trial.probe_kw:g} kW set, {answer.measured_kw:g} kW measured"
        trial.note("set-point", "passed", seen, answer.took_s)
    else:
        trial.note("set-point", "failed", _said(answer))


async def _sign(trial: _Trial) -> None:
    before = await _drawn_kw(trial)
    answer = await trial.battery.hold(-trial.probe_kw, confirm_s=trial.settle_s)
    if not isinstance(answer, Applied) or answer.measured_kw is None:
        trial.note("sign", "failed", _said(answer))
        return
    seen = f"{-trial.probe_kw:g} kW set, {answer.measured_kw:g} kW measured"
    if trial.meter is None:
        trial.note("sign", "passed", f"{seen} by the device itself; no meter as a witness")
        return
    after = await _drawn_kw(trial)
    if before is None or after is None:
        trial.note("sign", "not possible", "the meter does not answer")
        return
    more_kw = after - before
    outcome: Outcome = "passed" if more_kw > trial.probe_kw else "failed"
    trial.note("sign", outcome, f"{seen}; the meter saw {more_kw:+g} kW drawn")


async def _timer(trial: _Trial) -> None:
    answer = await trial.battery.hold(trial.probe_kw, confirm_s=trial.settle_s)
    if not isinstance(answer, Applied):
        trial.note("timer", "not possible", _said(answer))
        return
    # the term counts from the write, which lies this long back
    armed_s = trial.clock.now_s() - answer.took_s
    counts = await _counts_down(trial, armed_s)
    await _sleep_until(trial, armed_s + SILENT_SHARE * trial.term_s)
    until_s = armed_s + LATEST * trial.term_s + SLACK_S
    held: object = None
    while trial.clock.now_s() < until_s:
        held, seen = await trial.battery.drive.held(), await trial.battery.drive.seen()
        took_s = trial.clock.now_s() - armed_s
        if _has_reverted(trial, held, seen):
            if took_s < EARLIEST * trial.term_s:
                trial.note("timer", "failed", "it reverted before the term was over", took_s)
            else:
                text = f"power fell to 0 after a term of {trial.term_s:g} s, {counts}"
                trial.note("timer", "passed", text, took_s)
            return
        await trial.clock.sleep(POLL_S)
    left = f"{held.kw} kW still held" if isinstance(held, Held) else "it does not answer"
    trial.note("timer", "failed", f"silence changed nothing: {left}, {counts}")


async def _counts_down(trial: _Trial, armed_s: float) -> str:
    """Return what the device says of the time that is left, after half of it."""
    await _sleep_until(trial, armed_s + 0.5 * trial.term_s)
    held = await trial.battery.drive.held()
    if not isinstance(held, Held) or held.left_s is None:
        return "what is left was not told"
    return f"{held.left_s:g} s left at half the term"


async def _renewal(trial: _Trial) -> None:
    answer = await trial.battery.hold(trial.probe_kw)
    if not isinstance(answer, Applied):
        trial.note("renewal", "not possible", _said(answer))
        return
    held_s = trial.clock.now_s()
    await _sleep_until(trial, held_s + 0.6 * trial.term_s)
    renewed = await trial.battery.renew(trial.term_s)
    if not isinstance(renewed, Applied):
        trial.note("renewal", "failed", _said(renewed))
        return
    await _sleep_until(trial, held_s + 1.4 * trial.term_s)
    held, seen = await trial.battery.drive.held(), await trial.battery.drive.seen()
    took_s = trial.clock.now_s() - held_s
    if isinstance(held, Held) and isinstance(seen, Seen) and not _has_reverted(trial, held, seen):
        trial.note("renewal", "passed", "it still holds, one renewal later", took_s)
    else:
        trial.note("renewal", "failed", "its term ended although it was renewed", took_s)


async def _droop(trial: _Trial, reading: BatteryReading, droop: Droop | None) -> None:
    if reading.droop_kw:
        trial.note("droop", "not possible", "one is armed, which is left as it is")
        return
    nominal_hz = 60.0 if (reading.frequency_hz or 50.0) > 55.0 else 50.0
    mild = ResponseCurve(shape="droop", dead_band_hz=0.2, full_hz=0.5)
    answer = await trial.battery.arm_droop(droop or Droop(trial.probe_kw, mild, nominal_hz))
    if isinstance(answer, Refused):
        trial.note("droop", "not possible", answer.why)
        return
    if not isinstance(answer, Applied):
        trial.note("droop", "failed", _said(answer))
    else:
        trial.note("droop", "passed", f"{answer.confirmed:g} kW adopted", answer.took_s)
    await trial.battery.arm_droop(Droop(0.0, mild, nominal_hz))


def _has_reverted(trial: _Trial, held: object, seen: object) -> bool:
    if not isinstance(held, Held) or not isinstance(seen, Seen):
        return False
    released = held.kw is None or abs(held.kw) <= trial.device.step_kw
    return released and abs(seen.kw) <= trial.tolerance_kw


async def _drawn_kw(trial: _Trial) -> float | None:
    if trial.meter is None:
        return None
    reading = await trial.meter.read()
    if not isinstance(reading, MeterReading):
        return None
    await trial.clock.sleep(reading.age_s)
    reading = await trial.meter.read()
    return reading.grid_kw if isinstance(reading, MeterReading) else None


async def _sleep_until(trial: _Trial, at_s: float) -> None:
    await trial.clock.sleep(max(at_s - trial.clock.now_s(), 0.0))


def _said(answer: Answer) -> str:
    return str(getattr(answer, "why", answer))
