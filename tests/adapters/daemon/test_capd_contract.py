"""GPUs behind the daemon keep the contract of GPUs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from capd_rigs import capd

from ebplan.adapters.answers import AppliedInPart, Refused, Unverified
from ebplan.adapters.gpu.capd_client import CapdGpus
from ebplan.adapters.roles import GpuPower

sys.path.append(str(Path(__file__).parents[1] / "contract"))
import scenarios


@pytest.mark.parametrize("scenario", scenarios.GPUS, ids=lambda s: s.__name__)
async def test_gpus_behind_the_daemon_keep_the_contract(scenario: Any, tmp_path: Path) -> None:
    async with capd(tmp_path, restore_s=0.1) as (server, _):
        device = CapdGpus("node", server.path)
        assert isinstance(device, GpuPower)
        try:
            await scenario(scenarios.Rig(device, asyncio.sleep, 0.5, parts=(0, 1)))
        finally:
            await device.close()


async def test_a_site_allows_less_than_the_gpu_takes(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, gpus):
        device = CapdGpus("node", server.path, allowed_w=(350.0, 500.0))
        await device.renew(2.0)
        answers = await device.cap({0: 250.0, 1: 400.0, 2: 600.0})
        assert isinstance(answers[0], AppliedInPart), answers
        assert (answers[0].asked, answers[0].confirmed) == (250.0, 350.0)
        assert gpus.caps_w[:3] == [350.0, 400.0, 500.0]
        assert (await device.read())[0].cap_range.low == 350.0  # type: ignore[index]
        assert answers[1].device == "node/gpu1"
        await device.close()


async def test_power_that_does_not_follow_is_said(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, gpus):
        device = CapdGpus("node", server.path)
        await device.renew(2.0)
        gpus.power_w = lambda gpu: 590.0  # type: ignore[method-assign]
        answer = (await device.cap({0: 300.0}, confirm_s=0.1))[0]
        assert isinstance(answer, Unverified), answer
        assert answer.measured_kw == pytest.approx(0.59)
        await device.close()


async def test_clocks_are_locked_and_unlocked(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, _):
        device = CapdGpus("node", server.path)
        assert isinstance((await device.lock_clock({0: 900.0}))[0], Refused)
        await device.renew(2.0)
        await device.lock_clock({0: 900.0})
        assert (await device.read())[0].clock_mhz == 900.0  # type: ignore[index]
        await device.release()
        assert (await device.read())[0].clock_mhz is None  # type: ignore[index]
        await device.close()
