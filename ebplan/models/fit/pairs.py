"""Readings of two meters at the same instants, from series with times of their own.

The rule, in this order:

1. A reading that keeps every digit for longer than ``stale_s`` is stale: the meter, or what reads
   it, hangs. The first of them are kept until then.
2. Each reading of the slower meter is a pair with the faster one's value at its time, linear
   between its two neighbours there.
3. Where the nearer of these neighbours is more than ``most_apart_s`` away, or they are twice that
   apart, there is no pair. It is one and a half of the faster meter's usual interval by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import FloatArray

APART_INTERVALS = 1.5
"""Intervals of the faster meter that make ``most_apart_s`` where it is not given."""


@dataclass(frozen=True)
class Readings:
    """What one meter said."""

    time: FloatArray
    """Seconds, increasing, shape (N,)."""
    kw: FloatArray
    """Power, shape (N,)."""
    lines: NDArray[np.intp]
    """Line of each in its file, shape (N,)."""

    @property
    def interval_s(self) -> float:
        """Usual time between two readings; 0 where there are fewer than two."""
        return float(np.median(np.diff(self.time))) if len(self.time) > 1 else 0.0

    def fresh(self, stale_s: float) -> Readings:
        """Return the readings that are not stale."""
        starts = [0, *(np.flatnonzero(np.diff(self.kw)) + 1).tolist(), len(self.kw)]
        keep = np.ones(len(self.kw), dtype=bool)
        for begin, end in pairwise(starts):
            keep[begin:end] = self.time[begin:end] - self.time[begin] <= stale_s
        return Readings(self.time[keep], self.kw[keep], self.lines[keep])


@dataclass(frozen=True)
class Pairs:
    """Powers at the same instants."""

    time: FloatArray
    """Seconds by the slower meter, shape (N,)."""
    inner: FloatArray
    """Inner power in kW, shape (N,)."""
    outer: FloatArray
    """Outer power in kW, shape (N,)."""
    lines: NDArray[np.intp]
    """Line of the slower meter's reading, shape (N,)."""
    unpaired: int
    """Readings of the slower meter without a partner."""


def pair(
    inner: Readings, outer: Readings, *, lag_s: float = 0.0, most_apart_s: float | None = None
) -> Pairs:
    """Return pairs of readings.

    Args:
        inner: what the inner meter said.
        outer: what the outer meter said.
        lag_s: how much later the outer meter shows the same.
        most_apart_s: a neighbour farther away is no partner.
    """
    outer_time = outer.time - lag_s
    by_outer = outer.interval_s >= inner.interval_s
    slow_time, fast_time = (outer_time, inner.time) if by_outer else (inner.time, outer_time)
    slow, fast = (outer, inner) if by_outer else (inner, outer)
    apart_s = fast.interval_s * APART_INTERVALS if most_apart_s is None else most_apart_s
    after = np.searchsorted(fast_time, slow_time).clip(0, len(fast_time) - 1)
    before = np.where(fast_time[after] > slow_time, after - 1, after).clip(0)
    within = (slow_time >= fast_time[0]) & (slow_time <= fast_time[-1])
    gap = fast_time[after] - fast_time[before]
    nearest = np.minimum(fast_time[after] - slow_time, slow_time - fast_time[before])
    good = within & (gap <= 2.0 * apart_s) & (nearest <= apart_s)
    partner = np.interp(slow_time, fast_time, fast.kw)
    own, other = slow.kw[good], partner[good]
    return Pairs(
        time=slow_time[good],
        inner=other if by_outer else own,
        outer=own if by_outer else other,
        lines=slow.lines[good],
        unpaired=int((~good).sum()),
    )
