"""Work that is done to its end, however often whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do work in a task of its own and return what it returns.

    A shield alone is not enough: cancelled once, the caller would go on without the work, and the
    event loop might end before it.

    Raises:
        asyncio.CancelledError: the caller was cancelled meanwhile; the work has been done.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break  # the work's own, told below
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    return task.result()
