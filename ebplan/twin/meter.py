"""A meter, at the connection point or of a pool: mean, gain, offset, noise, silence."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ebplan.twin.noise import Normals, stream
from ebplan.twin.settings import MeterModel


class Meter:
    """Reads an energy register at the end of each step.

    Args:
        model: what it is like.
        seed: of its noise and its silence.
        index: which of the plant's meters it is.
    """

    def __init__(self, model: MeterModel, seed: int, index: int = 0) -> None:
        self._model = model
        self._normals = Normals(stream(seed, "meter", index))
        self._rng = stream(seed, "dropouts", index)
        self._samples: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        self._silent_from_s, self._silent_to_s = math.inf, math.inf
        if model.dropouts_per_h > 0.0:
            self._next_silence(0.0, self._rng)

    def read(self, now_s: float, drawn_kws: float) -> float | None:
        """Return the reading in kW, or None while the meter is silent.

        Args:
            now_s: seconds of the plant, later than at the last reading.
            drawn_kws: energy drawn since the plant began, in kW s.
        """
        samples, since_s = self._samples, now_s - self._model.averaging_s
        while len(samples) > 1 and samples[1][0] <= since_s:
            samples.popleft()
        t_s, kws = samples[0]
        if t_s < since_s and len(samples) > 1:
            next_s, next_kws = samples[1]
            kws += (next_kws - kws) * (since_s - t_s) / (next_s - t_s)
            t_s = since_s
        samples.append((now_s, drawn_kws))
        kw = (drawn_kws - kws) / (now_s - t_s)
        sd_kw = math.hypot(self._model.noise_kw, self._model.noise_share * kw)
        noise = sd_kw * self._normals.next() if sd_kw else 0.0
        while now_s >= self._silent_to_s:
            self._next_silence(self._silent_to_s, self._rng)
        if now_s >= self._silent_from_s:
            return None
        return self._model.gain * kw + self._model.offset_kw + noise

    def _next_silence(self, after_s: float, rng: np.random.Generator) -> None:
        apart_s = 3600.0 / self._model.dropouts_per_h
        self._silent_from_s = after_s + apart_s * rng.standard_exponential()
        self._silent_to_s = self._silent_from_s + (
            self._model.dropout_s * rng.standard_exponential()
        )
