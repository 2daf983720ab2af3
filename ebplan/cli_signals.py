"""Work that goes on until somebody ends it: Ctrl-C, SIGTERM, or a time that was given."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_told(work: Coroutine[Any, Any, None], seconds: float | None) -> None:
    """Do work until a signal comes, or for so long, then cancel it; raise what it raises.

    Args:
        work: what is done; what it does when it is cancelled is waited for.
        seconds: for how long; without end if absent.
    """
    running = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, running.cancel)
    done, _ = await asyncio.wait([running], timeout=seconds)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for task in done:
        if not task.cancelled():
            task.result()
