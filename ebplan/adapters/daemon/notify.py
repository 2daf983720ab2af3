"""Tells systemd that a daemon is ready, and again and again that it lives."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(state: str) -> bool:
    """Send a state such as ``READY=1``; return whether anybody wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        line.setblocking(False)
        try:
            line.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_s() -> float | None:
    """Return how often a sign of life is due, in seconds; None where none is asked for."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isascii() or not usec.isdigit() or int(usec) == 0 or pid != str(os.getpid()):
        return None
    return int(usec) / 1e6


async def show_life() -> None:
    """Send signs of life from the daemon's own loop, so that one that hangs sends none."""
    every_s = watchdog_s()
    while every_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(every_s / 3.0)
