"""A controller as a process: takes the lease, caps every GPU, says so, and renews until it dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ebplan.adapters.gpu.capd_client import CapdGpus


async def main(socket: str, ttl_s: float, cap_w: float) -> None:
    device = CapdGpus("node", Path(socket))
    print(await device.renew(ttl_s), flush=True)
    readings = await device.read()
    assert isinstance(readings, dict)
    answers = await device.cap(dict.fromkeys(readings, cap_w))
    print("; ".join(map(str, answers.values())), flush=True)
    while True:
        await asyncio.sleep(ttl_s / 3.0)
        await device.renew(ttl_s)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
