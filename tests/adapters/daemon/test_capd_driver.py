"""A driver that is missing, or a GPU that cannot be read: what was left behind is not forgotten."""

from __future__ import annotations

import asyncio

from capd_rigs import RememberingGpus, until

from ebplan.adapters.answers import Applied, Unreachable
from ebplan.adapters.daemon.gpu_keeper import GpuKeeper


async def test_a_driver_that_comes_late_finds_the_limits_waiting() -> None:
    gpus = RememberingGpus()
    keeper = GpuKeeper(gpus, 0.0, left_behind=True)
    assert isinstance(await gpus.renew(60.0), Applied)
    await gpus.cap({0: 300.0, 1: 300.0})
    gpus.fault = "deaf"
    assert isinstance(await gpus.read(), Unreachable)
    restoring = asyncio.create_task(keeper.safe("a run before left limits behind"))
    await asyncio.sleep(0.3)
    assert not restoring.done()
    assert not await keeper.at_once()
    gpus.fault = None
    await asyncio.wait_for(restoring, 5.0)
    await until(lambda: gpus.caps_w == [600.0] * 4)
    await keeper.close(restored=True)
