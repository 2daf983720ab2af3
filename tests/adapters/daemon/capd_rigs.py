"""A daemon of caps in this process, over GPUs in memory that remember what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ebplan.adapters.answers import Answer, Range
from ebplan.adapters.clock import MonotonicClock
from ebplan.adapters.daemon.capd_name import NAME
from ebplan.adapters.daemon.gpu_keeper import GpuKeeper
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.adapters.fake import FakeGpus

DEMAND_W = {0: 500.0, 1: 550.0, 2: 450.0, 3: 580.0}


class RememberingGpus(FakeGpus):
    """Writes down when which limit was set."""

    def __init__(self) -> None:
        super().__init__(DEMAND_W, clock_range=Range(300.0, 1980.0, "MHz"), timeout_s=0.05)
        self.told: list[tuple[float, int, float | None]] = []
        self.slow_s = 0.0

    async def cap(
        self, w: Mapping[int, float | None], *, confirm_s: float = 0.0
    ) -> Mapping[int, Answer]:
        await asyncio.sleep(self.slow_s)
        now_s = MonotonicClock().now_s()
        self.told += [(now_s, gpu, value) for gpu, value in w.items()]
        return await super().cap(w, confirm_s=confirm_s)

    @property
    def caps_w(self) -> list[float]:
        return [self.cap_w(gpu) for gpu in self.demand_w]


@asynccontextmanager
async def capd(
    folder: Path, *, restore_s: float = 0.2
) -> AsyncIterator[tuple[LeaseServer, RememberingGpus]]:
    gpus = RememberingGpus()
    keeper = GpuKeeper(gpus, restore_s)
    server = LeaseServer(keeper, folder / "capd.sock", daemon=NAME, safe_s=restore_s)
    await server.start()
    try:
        yield server, gpus
    finally:
        reached = await server.stop(5.0)
        await keeper.close(restored=reached)


async def until(holds: Callable[[], bool], within_s: float = 3.0) -> float:
    """Wait until something holds; return how long that took."""
    clock = MonotonicClock()
    began_s = clock.now_s()
    while not holds():
        assert clock.now_s() - began_s < within_s, "it never came to hold"
        await asyncio.sleep(0.005)
    return clock.now_s() - began_s
