"""The commands that speak to devices: ``ebplan commission``, and what ``ebplan doctor`` finds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors

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
    help="Power to try, both ways; 6 % of the rating if absent.",
)
@click.option("--term", default=3, show_default=True, help="Term to try, whole seconds.")
@click.option("--settle", default=2.0, show_default=True, help="Longest time to a set-point, s.")
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

    spec = _spec(file)
    if spec.battery is None:
        raise click.UsageError(f"{file} has no battery.")
    if output is not None:
        check_writable(output)
    if not yes:
        click.confirm("The battery will be moved both ways for a few terms. Go on?", abort=True)
    record = asyncio.run(_try_battery(spec, file, probe_kw, float(term), settle))
    if isinstance(record, str):
        click.secho(f"error: {record}", fg="red", err=True)
        sys.exit(REFUSED)
    click.echo(str(record))
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
    from ebplan.adapters.devices import DevicesSpec
    from ebplan.document import read_data

    return DevicesSpec.parse(read_data(file), file=str(file))


async def _try_battery(
    spec: DevicesSpec, file: Path, probe_kw: float | None, term_s: float, settle_s: float
) -> Commissioning | str:
    from ebplan.adapters.modbus.commission import commission as try_battery
    from ebplan.adapters.modbus.commissioning import Commissioning
    from ebplan.adapters.open_devices import open_battery, open_meter

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
    from ebplan.adapters.open_devices import open_devices

    devices = open_devices(spec, folder=file.parent)
    named = devices.readable()
    try:
        readings = await asyncio.gather(*(device.read() for device in named.values()))
    finally:
        await devices.close()
    for name, reading in zip(named, readings, strict=True):
        if isinstance(reading, Unreachable):
            click.secho(f"  {name:16s} {reading.why}", fg="red")
        else:
            click.echo(f"  {name:16s} {_in_words(reading)}")
    return not any(isinstance(reading, Unreachable) for reading in readings)


def _in_words(reading: object) -> str:
    from collections.abc import Mapping

    from ebplan.adapters import roles

    match reading:
        case roles.BatteryReading():
            soc = "" if reading.soc is None else f", SoC {reading.soc:.1%}"
            alarms = f", alarms: {', '.join(reading.alarms)}" if reading.alarms else ""
            return f"{reading.battery_kw:+.2f} kW{soc}, takes {reading.feasible}{alarms}"
        case roles.MeterReading():
            hz = "" if reading.frequency_hz is None else f", {reading.frequency_hz:.3f} Hz"
            return f"{reading.grid_kw:.2f} kW drawn{hz}"
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
