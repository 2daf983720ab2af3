"""Confirmation by measured power: a set-point that is read back is a promise, no power yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ebplan.adapters.clock import Clock

POLL_S = 0.02
"""Between two readings while a power is waited for."""


@dataclass(frozen=True)
class Settled:
    """How the measured power came out."""

    reached: bool
    """Whether it satisfied what was asked within the time."""
    measured_kw: float | None
    """The last reading; None where none could be had."""


async def wait_for_power(
    read_kw: Callable[[], Awaitable[float | None]],
    satisfies: Callable[[float], bool],
    *,
    within_s: float,
    clock: Clock,
) -> Settled:
    """Read a power until it satisfies what was asked, or the time is over.

    Args:
        read_kw: returns the power now, or None where it cannot be read.
        satisfies: whether that is what was asked.
        within_s: how long to wait; at least one reading is taken.
        clock: what time it is.
    """
    until_s = clock.now_s() + within_s
    while True:
        measured_kw = await read_kw()
        if measured_kw is not None and satisfies(measured_kw):
            return Settled(True, measured_kw)
        if clock.now_s() >= until_s:
            return Settled(False, measured_kw)
        await clock.sleep(min(POLL_S, max(until_s - clock.now_s(), 0.0)))
