"""Eight caps at once against one, with calls of the driver that take their time."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.adapters.timing import Timed, timed
from ebplan.adapters.gpu.capd_client import CapdGpus
from ebplan.adapters.gpu.nvml import NvmlGpus
from ebplan.adapters.roles import GpuPower
from ebplan.twin.wire.nvml_stub import StubGpus, build

CALLS = 100
CALL_S = 0.005
"""How long a call of the driver takes here: assumed, a stand-in has no driver."""
GPUS = 8
START = "from ebplan.adapters.daemon.capd import main; main()"


async def measure() -> list[Timed]:
    """Measure one cap and eight, directly and through the daemon."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = build(folder)
        stub = StubGpus.create(folder / "gpus", GPUS)
        stub.install(library)
        stub.delay_all(CALL_S)
        direct = NvmlGpus("node")
        rows = await _one_and_eight(direct, f"caps, {CALL_S * 1e3:g} ms a call")
        await direct.close()
        async with _daemon(folder, stub.environment(library)) as socket:
            gpus = CapdGpus("node", socket, timeout_s=2.0)
            await gpus.renew(60.0)
            rows += await _one_and_eight(gpus, "caps through ebplan-capd")

            async def renew(i: int) -> object:
                return await gpus.renew(60.0)

            rows.append(await timed("ebplan-capd: renewal", renew, 5 * CALLS))
            await gpus.close()
        stub.close()
    return rows


async def _one_and_eight(gpus: GpuPower, what: str) -> list[Timed]:
    async def cap(i: int, count: int) -> object:
        return await gpus.cap(dict.fromkeys(range(count), 300.0 + 100.0 * (i % 2)))

    one = await timed(f"one of eight {what}", lambda i: cap(i, 1), CALLS)
    eight = await timed(f"eight {what}", lambda i: cap(i, GPUS), CALLS)
    return [one, eight]


@asynccontextmanager
async def _daemon(folder: Path, environment: dict[str, str]) -> AsyncIterator[Path]:
    socket = folder / "capd.sock"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, "--socket", str(socket), "--restore-s", "0"),
        *("--baseline", str(folder / "limits.json")),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.DEVNULL,
    )
    while not socket.exists():
        await asyncio.sleep(0.01)
    try:
        yield socket
    finally:
        process.terminate()
        await process.wait()
