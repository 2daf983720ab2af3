"""A real HAProxy on loopback with a rendered configuration.

    async with HaproxyBench(config):
        router = HaproxyRouter(config)

It runs in the foreground of its own process, keeps every file in the configuration's folder, and
is gone, children and all, when the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ebplan.adapters.router.config import RouterConfig, render, render_maps
from ebplan.adapters.router.runtime_socket import NoAnswer, RuntimeSocket
from ebplan.twin.wire.processes import ends_with_parent

START_S = 5.0
"""How long it may take to answer."""


def can_run() -> bool:
    """Whether HAProxy is installed."""
    return shutil.which("haproxy") is not None


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HaproxyBench:
    """Runs HAProxy for a configuration.

    Args:
        config: what it runs; its folder must exist.
    """

    def __init__(self, config: RouterConfig) -> None:
        self.config = config
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.write()
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def write(self) -> Path:
        """Write the configuration and its maps; return the configuration's file."""
        for path, content in render_maps(self.config).items():
            Path(path).write_text(content)
        file = Path(self.config.directory) / "haproxy.cfg"
        file.write_text(render(self.config))
        return file

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it does not start; says what it printed.
        """
        file = Path(self.config.directory) / "haproxy.cfg"
        self.process = await asyncio.create_subprocess_exec(
            *("haproxy", "-db", "-f", str(file)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=ends_with_parent(),
        )
        asked = RuntimeSocket(self.config.socket, 0.5)
        until_s = time.monotonic() + START_S
        while True:
            with contextlib.suppress(NoAnswer):
                if (await asked.identity()).pid == self.process.pid:
                    return
            if self.process.returncode is not None or time.monotonic() > until_s:
                await self.stop()
                assert self.process is not None
                assert self.process.stderr is not None
                said = (await self.process.stderr.read()).decode(errors="replace")
                raise RuntimeError(f"haproxy does not start:\n{said}")
            await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            try:
                await asyncio.wait_for(self.process.wait(), 2.0)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        if self.process is not None:
            # pipes are closed by the loop one turn after the process has ended
            await asyncio.sleep(0)
