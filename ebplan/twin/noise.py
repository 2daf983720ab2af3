"""Seeded chance: one stream for each use, so that one more reading moves no other draw."""

from __future__ import annotations

import math

import numpy as np

from ebplan.twin.settings import LoadNoise

Use = str
_USES = ("frequency", "meter", "dropouts", "wakes", "load", "arrivals", "sizes", "residues")


def stream(seed: int, use: Use, index: int = 0) -> np.random.Generator:
    """Return the generator of a use; ``index`` tells its pools apart."""
    return np.random.default_rng([seed, _USES.index(use), index])


class Normals:
    """Standard normal numbers one at a time, drawn in blocks because a single draw is dear."""

    BLOCK = 1024

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: list[float] = []

    def next(self) -> float:
        """Return the next number."""
        if not self._block:
            self._block = self._rng.standard_normal(self.BLOCK)[::-1].tolist()
        return self._block.pop()


class Autoregression:
    """``e' = a e + std sqrt(1 - a^2) n`` with ``a = exp(-tick / correlation)``; stationary."""

    def __init__(
        self, rng: np.random.Generator, *, std: float, tick_s: float, correlation_s: float
    ) -> None:
        self._normals = Normals(rng)
        self._keep = math.exp(-tick_s / correlation_s)
        self._fresh = std * math.sqrt(1.0 - self._keep**2)
        self.value = std * self._normals.next()

    def advance(self) -> float:
        """Move one tick on and return the value there."""
        self.value = self._keep * self.value + self._fresh * self._normals.next()
        return self.value


class LoadErrors:
    """Forecast errors of the loads of all pools, tick by tick; errors count from the first tick."""

    def __init__(self, noise: LoadNoise, pools: list[str], seed: int) -> None:
        self._every_s = noise.every_s
        self.next_tick_s = math.inf if noise.std == 0.0 else noise.every_s
        self._errors = {
            name: Autoregression(
                stream(seed, "load", i),
                std=noise.std,
                tick_s=noise.every_s,
                correlation_s=noise.correlation_s,
            )
            for i, name in enumerate(pools)
        }

    def tick(self) -> dict[str, float]:
        """Move a tick on; return each pool's load as a multiple of its forecast."""
        self.next_tick_s += self._every_s
        return {name: max(0.0, 1.0 + error.advance()) for name, error in self._errors.items()}
