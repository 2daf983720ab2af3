"""Steps of the study gathered into the steps of a window, which may be longer farther ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.solvers.program import FloatArray, IndexArray
from ebplan.study.window import Shape


@dataclass(frozen=True)
class Horizon:
    """How many steps of the study each step of a window holds."""

    holds: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps of the study that the window covers."""
        return sum(self.holds)

    def shape(
        self,
        hours: float,
        activation: Sequence[float],
        absorption: Sequence[float],
        highest: Sequence[float],
    ) -> Shape:
        """Return the window's shape with calls that are the same throughout."""
        return Shape(
            hours=tuple(hours * n for n in self.holds),
            activation=tuple((share,) * len(self.holds) for share in activation),
            absorption=tuple((share,) * len(self.holds) for share in absorption),
            highest=tuple((share,) * len(self.holds) for share in highest),
        )

    def begins(self) -> IndexArray:
        """Return the first step of each."""
        return np.concatenate([[0], np.cumsum(self.holds)[:-1]])

    def total(self, values: FloatArray) -> FloatArray:
        """Return sums over the last axis."""
        return np.asarray(np.add.reduceat(values, self.begins(), axis=-1))

    def mean(self, values: FloatArray) -> FloatArray:
        """Return means over the last axis."""
        return np.asarray(self.total(values) / np.array(self.holds))
