"""The integer columns of a formulation by what they mean: arrays only, for the solver process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.solvers.program import FloatArray, IndexArray

NOTHING_KW = 1e-6
"""Powers below a milliwatt are rounding of the solver."""


@dataclass(frozen=True)
class Serving:
    """Instances that run in one way: their count per epoch, and the load that bounds it."""

    count: IndexArray
    load: IndexArray
    min_utilisation: float
    max_utilisation: float


@dataclass(frozen=True)
class Directions:
    """A battery that follows a target both ways: its relaxation gives and takes at once.

    The direction of a step is the sign of the net power of the relaxation (formulation.md 2.2).
    """

    discharge: IndexArray
    """Shape (T,)."""
    charge: IndexArray
    """Shape (T,)."""
    asked: FloatArray
    """Where the net power is zero: > 0 gives, < 0 takes, 0 is left open; shape (T,)."""

    def fixed(self, x: FloatArray, upper: FloatArray) -> FloatArray | None:
        """Return upper bounds (n,) that leave one direction; None where the point keeps to one."""
        discharge, charge = x[self.discharge], x[self.charge]
        if float(np.minimum(discharge, charge).max()) <= NOTHING_KW:
            return None
        net_kw = discharge - charge
        ways = np.where(np.abs(net_kw) < NOTHING_KW, self.asked, np.sign(net_kw))
        ways = np.where(self.asked == 0.0, 0.0, ways)
        upper = upper.copy()
        upper[self.charge[ways > 0.0]] = 0.0
        upper[self.discharge[ways < 0.0]] = 0.0
        return upper


@dataclass(frozen=True)
class Integers:
    """The integer columns of a formulation by what they mean; each array has shape (K,)."""

    transitions: tuple[IndexArray, ...]
    serving: tuple[Serving, ...]
    not_drained: tuple[tuple[IndexArray, tuple[IndexArray, ...], int], ...]
    """Binaries that are 1 where no count fell: (columns, counts they watch, count at start)."""
    one_of: tuple[tuple[IndexArray, ...], ...]
    """Binaries of which one is 1 in each epoch."""
    battery: tuple[IndexArray, ...]
    """Binaries of the battery."""
    directions: Directions | None = None
    """Where a battery may work both ways in one step, as no battery can."""

    @property
    def left_open(self) -> IndexArray:
        """Binaries that counts and transitions leave open."""
        groups = [*(line for lines in self.one_of for line in lines), *self.battery]
        return np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64)
