"""Processes of a bench: they end with whoever started them, also where that one is killed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
START_S = 20.0
"""How long a process may take to open its socket, on a machine that has other work."""


def ends_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """Return what a new process runs first so that it is told to end when its parent is gone.

    Args:
        how: the signal that it is then sent.

    Returns:
        None where the system cannot (only Linux can).
    """
    if not sys.platform.startswith("linux"):
        return None
    return partial(end_with, os.getpid(), how)


def end_with(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Have this process told to end when its parent is gone; only Linux can.

    Args:
        parent: process id of the parent.
        how: the signal that is then sent.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(1)


async def start_process(
    stack: AsyncExitStack,
    log: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    end_s: float = 5.0,
) -> asyncio.subprocess.Process:
    """Start a process that ends with the stack, and with this process.

    Args:
        stack: ends it.
        log: where its errors go.
        words: its command line.
        environment: variables beside ours.
        end_s: how long it may take to end.
    """
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *words,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=said,
            preexec_fn=ends_with_parent(),
        )

    async def stop() -> None:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), end_s)
            except TimeoutError:
                process.kill()
                await process.wait()

    stack.push_async_callback(stop)
    return process


async def start_daemon(
    stack: AsyncExitStack,
    socket: Path,
    module: str,
    *words: str,
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a daemon of ours and wait for its socket; its log lies beside it.

    Raises:
        RuntimeError: it does not start; says what it printed.
    """
    log = socket.parent / f"{socket.stem}.log"
    process = await start_process(
        stack,
        log,
        *(sys.executable, "-c", f"from {module} import main; main()", *words),
        environment=environment,
    )
    for _ in range(round(START_S / 0.02)):
        if socket.exists():
            return process
        if process.returncode is not None:
            break
        await asyncio.sleep(0.02)
    raise RuntimeError(f"{module} does not start: {log.read_text(errors='replace')[-500:]}")
