"""The commands that speak to devices: ``ebplan commission``, and what ``ebplan doctor`` finds."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.errors import named
from ebplan.words import percent_words

if TYPE_CHECKING:
    from ebplan.adapters.devices import DevicesSpec
    from ebplan.adapters.modbus.commissioning import Commissioning

FILE = click.Path(path_type=Path)
REFUSED = 5
"""Exit code: a device refused."""


@click.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="Write the record here (JSON).")
@click.option(
    "--probe-kw",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Power to try, both ways; 6 % of what it may be told if absent.",
)
@click.option(
    "--term",
    type=click.IntRange(1, 3600),
    default=3,
    show_default=True,
    help="Term to try, whole seconds.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0.0, 600.0),
    default=2.0,
    show_default=True,
    help="Longest time to a set-point, s.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the battery is moved.")
@one_line_errors
def commission(
    file: Path, output: Path | None, probe_kw: float | None, term: int, settle: float, yes: bool
) -> None:
    """Try the battery of FILE (a devices file): does it obey, and does it rest by itself?

    The battery is moved a little both ways; then nothing is said to it, and its own timer must put
    it to rest. Where the timer is only for show the battery is not armed, and the record says so.
    """
    from ebplan.document import check_writable, write_atomically
    from ebplan.errors import InputError

    for option, number in (("--probe-kw", probe_kw), ("--settle", settle)):
        if number is not None and not math.isfinite(number):
            raise click.UsageError(f"{option} is a finite number.")
    spec = _spec(file)
    if spec.battery is None:
        raise InputError(
            field="battery",
            value=None,
            allowed="the battery that is to be tried",
            remedy="add [battery]",
            file=str(file),
        )
    if output is not None:
        check_writable(output)
    if not yes:
        click.confirm("The battery will be moved both ways for a few terms. Go on?", abort=True)
    record = asyncio.run(_try_battery(spec, file, probe_kw, float(term), settle))
    if isinstance(record, str):
        click.secho(f"error: {record}", fg="red", err=True)
        sys.exit(REFUSED)
    click.echo(str(record))
    if not record.may_arm:
        click.echo(
            "  It is read and never told anything. Where its timer is not real, name in "
            "settings.guardian what else\n  puts it to rest (a PLC), if there is such a thing."
        )
    if output is not None:
        write_atomically(output, record.to_json() + "\n")
    sys.exit(0 if record.may_arm else REFUSED)


def look_at_devices(file: Path) -> bool:
    """Print what each device of a devices file says; return whether all answered.

    Raises:
        InputError: the file is wrong, or one that it names.
    """
    return asyncio.run(_look(_spec(file), file))


def _spec(file: Path) -> DevicesSpec:
    _hush()
    from ebplan.adapters.devices import DevicesSpec
    from ebplan.document import read_data

    return DevicesSpec.parse(read_data(file), file=str(file))


def _hush() -> None:
    """Let libraries not write between our lines: what they see, our answers say."""
    for name in ("pymodbus", "pymodbus.logging", "redfish", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


async def _try_battery(
    spec: DevicesSpec, file: Path, probe_kw: float | None, term_s: float, settle_s: float
) -> Commissioning | str:
    from ebplan.adapters.modbus.commission import commission as try_battery
    from ebplan.adapters.modbus.commissioning import Commissioning
    from ebplan.adapters.open_devices import open_battery, open_meter

    with named(file):
        battery = open_battery(spec, folder=file.parent)
        meter = open_meter(spec, folder=file.parent)
    try:
        record = await try_battery(
            battery, meter=meter, probe_kw=probe_kw, term_s=term_s, settle_s=settle_s
        )
    finally:
        await battery.close()
        if meter is not None:
            await meter.close()
    return record if isinstance(record, Commissioning) else str(record)


async def _look(spec: DevicesSpec, file: Path) -> bool:
    from ebplan.adapters.answers import Unreachable
    from ebplan.adapters.modbus.driven import DrivenBattery
    from ebplan.adapters.open_devices import open_devices

    with named(file):
        devices = open_devices(spec, folder=file.parent)
    read = {**devices.readable(), **devices.node_meters()}
    try:
        readings = await asyncio.gather(*(device.read() for device in read.values()))
        told = (
            await devices.battery.why_not() if isinstance(devices.battery, DrivenBattery) else None
        )
    finally:
        await devices.close()
    for name, reading in zip(read, readings, strict=True):
        if isinstance(reading, Unreachable):
            click.secho(f"  {name:16s} {reading.why}", fg="red")
        else:
            why_not = f"told nothing: {told}" if told and name == "battery" else None
            click.echo(f"  {name:16s} {_in_words(reading, why_not)}")
    return not any(isinstance(reading, Unreachable) for reading in readings)


def _in_words(reading: object, may_be_told: str | None = None) -> str:
    from collections.abc import Mapping

    from ebplan.adapters import roles

    match reading:
        case roles.BatteryReading():
            told = "" if may_be_told is None else f"; {may_be_told}"
            soc = "" if reading.soc is None else f", SoC {percent_words(reading.soc, 1)}"
            alarms = f", alarms: {', '.join(reading.alarms)}" if reading.alarms else ""
            return f"{reading.battery_kw:+.2f} kW{soc}, takes {reading.feasible}{alarms}{told}"
        case roles.MeterReading():
            hz = "" if reading.frequency_hz is None else f", {reading.frequency_hz:.3f} Hz"
            return f"{reading.grid_kw:.2f} kW drawn{hz}"
        case roles.NodePowerReading():
            of = reading.covers.replace("_", " ")
            seen = f"at {reading.measurement_point}" if of == "node" else f"of its {of} only"
            limit = "" if reading.limit_kw is None else f", limited to {reading.limit_kw:g} kW"
            return f"{reading.power_kw:.3f} kW {seen}{limit}"
        case roles.RouterReading():
            states = [f"{name} {server.state}" for name, server in reading.servers.items()]
            return f"{', '.join(states)}; {'leased' if reading.leased else 'not leased'}"
        case roles.ServingReading():
            state = "awake" if reading.awake else "asleep"
            return f"{state}, {reading.running} running, {reading.waiting} waiting"
        case Mapping():
            draw_kw = sum(gpu.power_kw for gpu in reading.values())
            caps = {f"{gpu.enforced_w:g}" for gpu in reading.values()}
            return f"{len(reading)} GPUs, {draw_kw:.2f} kW, limits {'/'.join(sorted(caps))} W"
    return str(reading)
