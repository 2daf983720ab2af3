"""What a plan wants of the engines of a pool at one moment, free of what was told before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebplan.disaggregate import Mode
from ebplan.plan import ClassEpoch, PoolEpoch

WORKING: frozenset[Mode] = frozenset({"active", "locked", "lower_active"})
"""Modes in which an engine takes requests."""
ASLEEP: frozenset[Mode] = frozenset({"asleep", "to_asleep"})
"""Modes in which it is to sleep."""
RELOADING: frozenset[Mode] = frozenset({"to_lower", "to_own", "lower_active", "lower_drained"})
"""Modes that need weights which no engine loads while it runs."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a pool."""

    modes: Mapping[str, Mode]
    """By engine."""
    cap_w: Mapping[str, float | None] = field(default_factory=dict)
    """Limit for the GPUs of each engine; None: as before ebplan came."""
    clock_mhz: Mapping[str, float | None] = field(default_factory=dict)
    """Clock that the GPUs of each engine are locked to; None: unlocked."""
    admitted_per_s: Mapping[str, float | None] = field(default_factory=dict)
    """Rate let in of each request class; None: all of it."""
    lowered: Mapping[str, float] = field(default_factory=dict)
    """Share of each request class that goes to the lower precision."""
    warm: bool = False
    """Whether caches are to be warmed."""


def wanted(epoch: PoolEpoch, modes: Mapping[str, Mode]) -> Wanted:
    """Return what an epoch wants of engines in these modes."""
    by_mode: dict[Mode, float | None] = {
        "active": epoch.cap_w_per_gpu,
        "lower_active": epoch.tier.cap_w_per_gpu if epoch.tier else None,
    }
    mhz = epoch.clock_lock.clock_mhz if epoch.clock_lock else None
    return Wanted(
        modes=dict(modes),
        cap_w={name: by_mode.get(mode) for name, mode in modes.items()},
        clock_mhz={name: mhz if mode == "locked" else None for name, mode in modes.items()},
        admitted_per_s={name: _admitted(asked) for name, asked in epoch.classes.items()},
        lowered={name: _lowered(asked) for name, asked in epoch.classes.items()},
        warm=epoch.prewarm,
    )


def _admitted(asked: ClassEpoch) -> float | None:
    """Return the rate let in; None where nothing is turned away or put off."""
    kept_out = asked.rejected_req_per_s + max(asked.deferred_req_per_s, 0.0)
    return max(asked.offered_req_per_s - kept_out, 0.0) if kept_out > 0.0 else None


def _lowered(asked: ClassEpoch) -> float:
    served = asked.served_req_per_s
    return min(asked.lowered_req_per_s / served, 1.0) if served > 0.0 else 0.0
