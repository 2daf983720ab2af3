"""How long a reading of a node takes on loopback: ``python -m benchmarks.adapters.node --help``."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click
import numpy as np
import trustme

from benchmarks.adapters.timing import WARM_UP, Timed
from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.tables import table
from ebplan.adapters.node.ipmi_dcmi import DcmiAddress, DcmiPower
from ebplan.adapters.node.rapl import read_counters
from ebplan.adapters.node.redfish import RedfishAddress, RedfishPower
from ebplan.adapters.roles import NodePower, NodePowerReading
from ebplan.adapters.secrets import Secret
from ebplan.twin.wire import ipmi_sim, redfish_double

CALLS = 1500
OPENED = 30
"""Readings that open a session first."""
HEAD = ("what", "calls", "median, ms", "p99, ms")


@click.command(help=__doc__)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(write: Path | None) -> None:
    """Measure and report."""
    text = section(asyncio.run(measure()))
    click.echo(text)
    if write is not None:
        write_section(write, "node times", text)


def section(told: list[Timed]) -> str:
    """Return the section."""
    rows = [(t.what, f"{t.calls:,}", f"{t.median_ms:.2f}", f"{t.p99_ms:.2f}") for t in told]
    return "\n".join(
        (
            "Written by `python -m benchmarks.adapters.node --write docs/adapters.md`, against",
            "servers on loopback, each a process of its own. What a real controller takes is not",
            "known here.",
            "",
            *describe_machine()[:1],
            "",
            *table(HEAD, rows),
        )
    )


async def measure() -> list[Timed]:
    """Measure each kind of meter: one reading, and one that opens its session."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = []
        for name, make in (
            ("DCMI", await _ipmi(stack, folder)),
            ("Redfish", await _redfish(stack, folder)),
        ):
            rows += await _session(name, make)
        return [*rows, await _rapl(folder)]


async def _ipmi(stack: AsyncExitStack, folder: Path) -> Callable[[], NodePower]:
    home = folder / "bmc"
    home.mkdir()
    bmc = await stack.enter_async_context(ipmi_sim.IpmiSim(home))
    address = DcmiAddress.parse(
        {
            "driver": "ipmi_dcmi",
            "host": "127.0.0.1",
            "port": bmc.port,
            "user": ipmi_sim.USER,
            "password": {"env": "UNUSED"},
            "privilege": "administrator",
        }
    )
    return lambda: DcmiPower("bmc", address, Secret(ipmi_sim.PASSWORD))


async def _redfish(stack: AsyncExitStack, folder: Path) -> Callable[[], NodePower]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        folder / "bmc.pem"
    )
    port = await stack.enter_async_context(_double(folder / "bmc.pem"))
    address = RedfishAddress.parse(
        {
            "driver": "redfish",
            "url": f"https://localhost:{port}",
            "user": redfish_double.USER,
            "password": {"env": "UNUSED"},
            "authority": str(folder / "ca.pem"),
        }
    )
    return lambda: RedfishPower("bmc", address, Secret(redfish_double.PASSWORD))


@asynccontextmanager
async def _double(certificate: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ebplan.twin.wire.redfish_double", "--certificate"),
        str(certificate),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(json.loads(await process.stdout.readline())["port"])
    finally:
        process.terminate()
        await process.communicate()


async def _session(name: str, make: Callable[[], NodePower]) -> list[Timed]:
    meter = make()
    kept = await _timed(f"{name}: reading", meter.read, CALLS)
    await meter.close()

    async def opened() -> object:
        fresh = make()
        began_s = time.perf_counter()
        reading = await fresh.read()
        took_s.append(time.perf_counter() - began_s)
        await fresh.close()
        return reading

    took_s: list[float] = []
    await _timed("", opened, OPENED)
    return [kept, _row(f"{name}: reading that opens a session", took_s[-OPENED:])]


async def _rapl(folder: Path) -> Timed:
    for number in range(2):
        for zone, name in ((f"{number}", f"package-{number}"), (f"{number}:0", "dram")):
            path = folder / "powercap" / f"intel-rapl:{zone}"
            path.mkdir(parents=True)
            for file, content in (
                ("name", name), ("energy_uj", "12345678"), ("max_energy_range_uj", "262143328850"),
            ):  # fmt: skip
                (path / file).write_text(f"{content}\n")

    async def sample() -> object:
        return read_counters(folder / "powercap")

    return await _timed("RAPL: counters of two sockets, from ordinary files", sample, CALLS)


async def _timed(what: str, call: Callable[[], Awaitable[object]], calls: int) -> Timed:
    took_s = []
    for i in range(-WARM_UP, calls):
        began_s = time.perf_counter()
        answer = await call()
        if i >= 0:
            took_s.append(time.perf_counter() - began_s)
        if not isinstance(answer, NodePowerReading | dict):
            raise RuntimeError(f"{what}: {answer}")
    return _row(what, took_s)


def _row(what: str, took_s: list[float]) -> Timed:
    median_ms, p99_ms = np.percentile(1e3 * np.array(took_s), [50, 99])
    return Timed(what, len(took_s), float(median_ms), float(p99_ms))


if __name__ == "__main__":
    main()
