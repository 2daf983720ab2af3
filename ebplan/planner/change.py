"""Whether a level has shifted, by readings whose noise is known.

A bank of cumulative sums (Page, Biometrika 41, 1954), one for each shift that is looked for; each
adds the logarithm of how much likelier a reading is after the shift than without it:

    sum <- max(0, sum + a y - b t),      shifted once it exceeds h

with ``y`` what was read over ``t`` seconds: a count, or the integral of a deviation.

    counts, rate l0 -> l1 (Poisson)      a = ln(l1 / l0),  b = l1 - l0,     I = b - l0 a
    mean 0 -> d, noise of s2 per second  a = d / s2,       b = d^2 / 2 s2,  I = b

Without a shift a sum falls by ``I`` nats a second, and noise alone carries it over ``h`` after

    run = (exp(h) - h - 1) / I      seconds on average

(Siegmund, *Sequential Analysis*, 1985, equation 2.56, without the overshoot: real runs are longer).
So the threshold follows from the run that is asked for. A shift is found after some h / I' seconds,
with I' the nats a second that it gives; no test of the same run finds it sooner in the worst case,
to first order (Lorden, Annals of Mathematical Statistics 42, 1971).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIZES = 4
"""Shifts looked for each way: the smallest, and each twice as large as the one before."""


@dataclass(frozen=True)
class Shift:
    """A shift that is looked for."""

    per_reading: float
    """a: nats for each unit of what is read."""
    per_second: float
    """b: nats that a second takes."""
    falls_nats_per_s: float
    """I: by how much the sum falls without the shift."""


def shifts_of_rate(req_per_s: float, smallest_req_per_s: float) -> list[Shift]:
    """Return shifts of a rate of counts, both ways, from the smallest on.

    Args:
        req_per_s: the rate without a shift, > 0.
        smallest_req_per_s: the smallest shift upwards that is looked for, > 0.
    """
    step = math.log1p(smallest_req_per_s / req_per_s)
    found = []
    for i in range(SIZES):
        for log in (step * 2**i, -step * 2**i):
            more = req_per_s * math.expm1(log)
            found.append(Shift(log, more, more - req_per_s * log))
    return found


def shifts_of_mean(up: float, down: float, noise_per_s: float) -> list[Shift]:
    """Return shifts of a mean of zero, both ways, from the smallest on.

    Args:
        up: the smallest shift upwards.
        down: the smallest downwards, > 0 as well.
        noise_per_s: variance of the integral of the noise, per second.
    """
    found = []
    for i in range(SIZES):
        for shift in (up * 2**i, -down * 2**i):
            nats = shift**2 / (2.0 * noise_per_s)
            found.append(Shift(shift / noise_per_s, nats, nats))
    return found


def threshold_nats(falls_nats_per_s: float, run_s: float) -> float:
    """Return the threshold that noise alone crosses once every ``run_s`` seconds on average."""
    asked = falls_nats_per_s * run_s
    low, high = 0.0, math.log1p(asked) + 10.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.expm1(middle) - middle < asked else (low, middle)
    return high


@dataclass(frozen=True)
class Shifted:
    """A shift that was found."""

    mean: float
    """What was read a second since it came, as far as can be told."""
    lasted_s: float
    """How long ago that was."""
    upwards: bool


class ShiftTest:
    """Looks for several shifts at once.

    Args:
        shifts: what is looked for.
        run_s: how long until noise alone raises an alarm, on average.
    """

    def __init__(self, shifts: Sequence[Shift], run_s: float) -> None:
        each_s = run_s * len(shifts)
        self._shifts = [(s, threshold_nats(s.falls_nats_per_s, each_s)) for s in shifts]
        self._sums = [0.0] * len(shifts)
        self._since = [(0.0, 0.0)] * len(shifts)
        """What was read, and over how many seconds, since each sum left zero."""

    def add(self, read: float, seconds: float, *, spread: float = 1.0) -> Shifted | None:
        """Take a reading in; return the shift that is sure now, the surest of them.

        Args:
            read: the count, or the integral of the deviation.
            seconds: over how long.
            spread: the variance of readings over that of the noise reckoned with.
        """
        best, found = 0.0, None
        for i, (shift, threshold) in enumerate(self._shifts):
            nats = (shift.per_reading * read - shift.per_second * seconds) / spread
            total = self._sums[i] + nats
            if total <= 0.0:
                self._sums[i], self._since[i] = 0.0, (0.0, 0.0)
                continue
            self._sums[i] = total
            read_since, seconds_since = self._since[i]
            self._since[i] = read_since + read, seconds_since + seconds
            if total - threshold > best:
                best = total - threshold
                read_since, lasted_s = self._since[i]
                found = Shifted(read_since / lasted_s, lasted_s, shift.per_reading > 0.0)
        return found
