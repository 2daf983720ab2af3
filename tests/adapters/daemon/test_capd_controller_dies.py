"""A controller dies in every way: its caps are gone in time, and never all at once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from capd_rigs import capd, until
from processes import controller

TTL_S, RESTORE_S, LOW_W, HIGH_W = 0.6, 0.8, 250.0, 600.0


@pytest.mark.parametrize(
    ("sign", "noticed_s"),
    [(signal.SIGKILL, (0.0, 0.25)), (signal.SIGTERM, (0.0, 0.25)), (signal.SIGSTOP, (0.2, 0.9))],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
async def test_caps_are_gone_when_the_controller_is(
    tmp_path: Path, sign: signal.Signals, noticed_s: tuple[float, float]
) -> None:
    async with capd(tmp_path, restore_s=RESTORE_S) as (server, gpus):
        async with controller(server.path, TTL_S, LOW_W) as dying:
            assert gpus.caps_w == [LOW_W] * 4
            await asyncio.sleep(2.0 * TTL_S)  # it renews
            assert gpus.caps_w == [LOW_W] * 4
            gpus.told.clear()
            dying.send_signal(sign)
            noticed = await until(lambda: bool(gpus.told))
            assert noticed_s[0] <= noticed <= noticed_s[1]
            back_s = noticed + await until(lambda: gpus.caps_w == [HIGH_W] * 4)
            assert back_s <= noticed_s[1] + RESTORE_S + 0.3
        times, which, _ = zip(*gpus.told, strict=True)
        assert len(gpus.told) == 16
        assert which == (0, 1, 2, 3) * 4
        assert times[-1] - times[0] > 0.8 * RESTORE_S
        # no tenth of the time brings back more than a fifth of the power
        for start_s in times:
            near = sum(start_s <= t < start_s + 0.1 * RESTORE_S for t in times)
            assert near <= 4


async def test_a_controller_that_comes_after_a_dead_one_is_let_in(tmp_path: Path) -> None:
    async with (
        capd(tmp_path, restore_s=RESTORE_S) as (server, gpus),
        controller(server.path, 5.0, LOW_W) as dying,
    ):
        dying.kill()
        await dying.wait()
        async with controller(server.path, 5.0, 400.0):
            assert gpus.caps_w == [400.0] * 4
            await asyncio.sleep(RESTORE_S)
            assert gpus.caps_w == [400.0] * 4
