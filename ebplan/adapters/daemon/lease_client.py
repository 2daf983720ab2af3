"""Lease calls to a daemon, answered as devices answer; what clients of every daemon share."""

from __future__ import annotations

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Refused,
    Unreachable,
    Unverified,
    is_number,
)
from ebplan.adapters.clock import Clock
from ebplan.adapters.daemon.client import DaemonClient, NoAnswer
from ebplan.adapters.daemon.wire import Denied


async def renewed(daemon: DaemonClient, device: str, ttl_s: float, clock: Clock) -> Answer:
    """Extend the lease; ``confirmed`` is the term that the daemon grants."""
    command, started_s = "renew", clock.now_s()
    if not (is_number(ttl_s) and ttl_s > 0.0):
        return Refused(device=device, command=command, asked=ttl_s, why="no term")
    try:
        granted_s = (await daemon.ask("renew", ttl_s=ttl_s)).get("ttl_s")
    except NoAnswer as error:
        return Unreachable(
            device=device, command=command, asked=ttl_s, why=error.why, executed=error.executed
        )
    except Denied as denied:
        return Refused(device=device, command=command, asked=ttl_s, why=denied.why)
    took_s = clock.now_s() - started_s
    if isinstance(granted_s, bool) or not isinstance(granted_s, int | float) or not granted_s > 0.0:
        return Unverified(
            device=device, command=command, asked=ttl_s, why="no term in the answer", took_s=took_s
        )
    if granted_s < ttl_s:
        return AppliedInPart(
            device=device,
            command=command,
            asked=ttl_s,
            confirmed=float(granted_s),
            feasible=None,
            why="no longer term is granted",
            took_s=took_s,
        )
    return Applied(device=device, command=command, asked=ttl_s, confirmed=ttl_s, took_s=took_s)


async def released(daemon: DaemonClient, device: str, clock: Clock) -> Answer:
    """Give the lease back and wait until the daemon says that the safe state is reached."""
    command, started_s = "release", clock.now_s()
    try:
        safe = (await daemon.ask("release", longer_s=daemon.safe_s * 1.5)).get("safe")
    except NoAnswer as error:
        return Unreachable(
            device=device, command=command, asked=None, why=error.why, executed=error.executed
        )
    except Denied as denied:
        return Refused(device=device, command=command, asked=None, why=denied.why)
    took_s = clock.now_s() - started_s
    if safe is not True:
        why = "another controller came before the safe state was reached"
        return Unverified(device=device, command=command, asked=None, why=why, took_s=took_s)
    return Applied(device=device, command=command, asked=None, confirmed=None, took_s=took_s)
