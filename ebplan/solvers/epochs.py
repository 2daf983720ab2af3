"""From epoch to epoch: matrices of a grid and of lead times, which pools and re-plans share.

Kept by value, the last ``CACHED`` of each; none may be written to.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ebplan.solvers.program import Entries, FloatArray, entries
from ebplan.timegrid import TimeGrid

CACHED = 256


def first(epochs: int) -> FloatArray:
    """Return the vector that is 1 at the first epoch and 0 after it."""
    vector = np.zeros(epochs)
    vector[0] = 1.0
    return vector


@lru_cache(maxsize=CACHED)
def one_before(epochs: int) -> Entries:
    """Return what takes a vector one epoch back (zero before the first)."""
    return entries(np.eye(epochs, k=-1))


@lru_cache(maxsize=CACHED)
def change(epochs: int) -> Entries:
    """Return what takes a vector to its change since one epoch before."""
    return entries(np.eye(epochs) - np.eye(epochs, k=-1))


@lru_cache(maxsize=CACHED)
def arriving_later(grid: TimeGrid, lead_s: float) -> Entries:
    """Return what takes commands to the arrivals at each epoch."""
    return entries(arrivals(grid, lead_s))


@lru_cache(maxsize=CACHED)
def arrived_lately(grid: TimeGrid, lead_s: float, length_s: float) -> Entries:
    """Return what takes commands to all that arrived within the last ``length_s`` seconds."""
    return entries(window(grid, length_s) @ arrivals(grid, lead_s))


def arrivals(grid: TimeGrid, lead_s: float) -> FloatArray:
    """Return the matrix that maps commands to arrivals, shape (K, K).

    Row k, column k' is 1 where a command given at epoch k' takes effect at epoch k; a command
    that takes effect after the horizon has an empty column.
    """
    starts = grid.epoch_starts_s
    effect = np.searchsorted(starts, starts + lead_s - 1e-9)
    matrix = np.zeros((len(starts), len(starts)))
    inside = effect < len(starts)
    matrix[effect[inside], np.flatnonzero(inside)] = 1.0
    return matrix


@lru_cache(maxsize=CACHED)
def window(grid: TimeGrid, length_s: float) -> FloatArray:
    """Return the matrix that sums over the last ``length_s`` seconds, shape (K, K)."""
    starts = grid.epoch_starts_s
    ago = starts[:, None] - starts[None, :]
    recent = ((ago >= 0.0) & (ago < length_s)).astype(float)
    recent.setflags(write=False)
    return recent
