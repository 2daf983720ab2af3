"""A real HAProxy on the loopback, running a rendered configuration.

    async with HaproxyBench(folder, pools=..., classes=..., default_class=...) as bench:
        ...  # bench.config, bench.url

Stopping it, hanging it and starting it again are what a router's client has to live with.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ebplan.adapters.router.config import (
    RoutedClass,
    RouterConfig,
    ServedPool,
    render,
    render_maps,
)

START_S = 5.0
"""Longest time it may take to start."""


def haproxy_path() -> str | None:
    """Return where HAProxy is, or None where it is not installed."""
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class HaproxyBench:
    """One HAProxy in front of servers that are already there.

    Args:
        folder: an empty folder with a short path, for its files and socket.
        pools: servers by pool.
        classes: request classes.
        default_class: class of requests that nothing else puts into one.
        longest_lease_s: longest lease that it obeys.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pools: Mapping[str, ServedPool],
        classes: Mapping[str, RoutedClass],
        default_class: str,
        longest_lease_s: float = 60.0,
    ) -> None:
        self.config = RouterConfig(
            name="bench",
            listen=f"127.0.0.1:{_free_port()}",
            socket=str(folder / "run.sock"),
            directory=str(folder),
            pools=dict(pools),
            classes=dict(classes),
            default_class=default_class,
            longest_lease_s=longest_lease_s,
        )
        self._file = folder / "haproxy.cfg"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.config.listen}"

    async def __aenter__(self) -> Self:
        for path, content in render_maps(self.config).items():
            Path(path).write_text(content)
        self._file.write_text(render(self.config))
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it is not installed, refuses the configuration, or does not start.
        """
        program = haproxy_path()
        if program is None:
            raise RuntimeError("haproxy is not installed")
        self._process = await asyncio.create_subprocess_exec(
            program,
            "-db",
            "-f",
            str(self._file),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_S):
                while not await self._answers():
                    if self._process.returncode is not None:
                        stderr = self._process.stderr
                        said = b"" if stderr is None else await stderr.read()
                        raise RuntimeError(f"haproxy ended: {said.decode(errors='replace')}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise RuntimeError("haproxy does not answer") from None

    async def stop(self) -> None:
        """Kill it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            # what it said is read to the end, else its pipe stays open
            await self._process.communicate()
        self._process = None

    async def restart(self) -> None:
        """Kill it and start it anew: what was changed at run time is lost."""
        await self.stop()
        await self.start()

    def hang(self) -> None:
        """Let it hang: connections are taken and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.config.socket)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
