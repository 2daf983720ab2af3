"""Processes of tests: started, spoken to by signals, and ended whatever happens."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def process(*arguments: object, **environment: str) -> AsyncIterator[Process]:
    """Run Python with these arguments; what it prints is kept from the screen."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        stdout=PIPE,
        stderr=DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


@asynccontextmanager
async def controller(socket: Path, ttl_s: float, cap_w: float) -> AsyncIterator[Process]:
    """Run a controller and return when its caps hold."""
    script = Path(__file__).with_name("a_controller.py")
    async with process(script, socket, ttl_s, cap_w) as started:
        assert started.stdout is not None
        for _ in range(2):
            line = (await asyncio.wait_for(started.stdout.readline(), 10.0)).decode()
            assert "applied" in line, line
        yield started
