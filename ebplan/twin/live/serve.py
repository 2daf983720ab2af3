"""The process of a live site: ``python -m ebplan.twin.live.serve FOLDER``.

It reads ``site.json`` and ``twin.json`` of the folder, which nobody else may serve meanwhile, and
writes ``twin-state.json`` once everything answers, and each second how the plant does.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebplan.adapters.only_one import only_one
from ebplan.document import read_json, write_atomically
from ebplan.site import Site
from ebplan.twin.live.bench import LiveBench, live_bench
from ebplan.twin.live.spec import TwinSpec

STATE = "twin-state.json"


def started_at(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine did; None where there is none.

    With its number it tells a process from another that came to have the same one.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


async def serve(folder: Path, say: Callable[[str], None], ended: asyncio.Event) -> None:
    """Serve the site of a folder until ``ended``.

    Raises:
        BlockingIOError: another process serves it.
        RuntimeError: something does not start.
    """
    lock = only_one(folder / "twin")
    try:
        site = Site.parse(read_json(folder / "site.json"))
        spec = TwinSpec.parse(read_json(folder / "twin.json"))
        async with live_bench(site, spec, folder, say=say) as bench:
            until = asyncio.create_task(ended.wait())
            while not until.done():
                write_atomically(folder / STATE, json.dumps(_state(bench), indent=1))
                await asyncio.wait([until], timeout=1.0)
    finally:
        (folder / STATE).unlink(missing_ok=True)
        os.close(lock)
        (folder / "twin.lock").unlink(missing_ok=True)


def _state(bench: LiveBench) -> dict[str, Any]:
    plant, places = bench.plant, bench.places
    processes = {name: process.pid for name, process in bench.daemons.items()}
    if bench.router is not None and bench.router.process is not None:
        processes["haproxy"] = bench.router.process.pid
    own = resource.getrusage(resource.RUSAGE_SELF)
    reading = {name: pool.reading() for name, pool in plant.named_pools.items()}
    return {
        "pid": os.getpid(),
        "started": started_at(os.getpid()),
        "processes": {
            name: {"pid": pid, "started": started_at(pid)} for name, pid in processes.items()
        },
        "site": bench.site.name,
        "addresses": {
            "router": f"http://{places.router}",
            "modbus": f"127.0.0.1:{places.modbus}",
            "engines": places.engines,
            "webhook": f"http://127.0.0.1:{places.webhook}",
            "metrics": f"http://127.0.0.1:{places.metrics}/metrics",
            "redfish": places.redfish,
            "ipmi": {
                node: f"127.0.0.1:{power['port']}"
                for node, power in places.nodes.items()
                if power.get("driver") == "ipmi_dcmi"
            },
        },
        "left_out": bench.left_out,
        "at": time.time(),
        "plant": {
            "seconds": round(plant.now_s, 3),
            "steps": plant.steps,
            "late_steps": plant.late_steps,
            "late_most_s": round(plant.late_s, 3),
            "cpu_s": round(own.ru_utime + own.ru_stime, 2),
            "grid_kw": round(plant.grid_kw, 4),
            "meter_kw": plant.meter_kw,
            "battery_kw": round(plant.battery_kw, 4),
            "soc": round(plant.soc, 5),
            "battery_c": plant.last.battery_c,
            "frequency_hz": round(plant.hz, 4),
            "req_per_s": {
                key: round(rate, 2)
                for pool in reading.values()
                for key, rate in pool.serving_req_per_s.items()
            },
        },
    }


def main(folder: Path, say: Callable[[str], None] = print) -> None:
    """Serve a folder until SIGTERM or SIGINT."""

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, ended.set)
        await serve(folder, say, ended)

    asyncio.run(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), lambda line: print(line, flush=True))
