"""Whether something has changed: the two-sided cumulative sum of Page (Biometrika 41, 1954).

    up <- max(0, up + z - k),   down <- max(0, down - z - k);   changed once either exceeds h

``z`` is how far a reading lies from what it should be, in standard deviations; ``k``, the
reference, is half of the shift to be found. How long it takes on average until noise alone raises
an alarm follows from ``k`` and ``h`` (Siegmund, *Sequential Analysis*, 1985, equation 2.57):

    run = (exp(2 k b) - 2 k b - 1) / (2 k^2),   b = h + 1.166

for one side, with independent normal readings. Readings that are correlated with their neighbours
are allowed for by ``long_run_sd``: sums over many of them spread like those of independent ones of
that standard deviation. It overstates the alarms where the reference lies beyond what a correlated
error reaches, which errs on the safe side.
"""

from __future__ import annotations

import math

from ebplan.document import NonNegative, Part, Timestamp

OVERSHOOT = 1.166
"""Siegmund's correction for the sum that jumps past the threshold: 2 x 0.583."""
MOST = 4.0
"""A single reading counts at most so many standard deviations beyond the reference."""


class Cusum(Part):
    """The two sums, and since when each is above zero."""

    up: NonNegative = 0.0
    down: NonNegative = 0.0
    up_since: Timestamp | None = None
    down_since: Timestamp | None = None

    @property
    def highest(self) -> float:
        """The larger of the two sums."""
        return max(self.up, self.down)

    @property
    def since(self) -> Timestamp | None:
        """Since when the larger sum has been above zero."""
        return self.up_since if self.up >= self.down else self.down_since


def add(before: Cusum, z: float, reference: float, at: Timestamp) -> Cusum:
    """Return the sums after a reading at a time."""
    up = max(0.0, before.up + min(z - reference, MOST))
    down = max(0.0, before.down + min(-z - reference, MOST))
    return Cusum(
        up=up,
        down=down,
        up_since=(before.up_since or at) if up > 0.0 else None,
        down_since=(before.down_since or at) if down > 0.0 else None,
    )


def average_run(reference: float, threshold: float) -> float:
    """Return after how many readings noise alone raises an alarm on either side, on average."""
    x = 2.0 * reference * (threshold + OVERSHOOT)
    return 0.5 * (math.expm1(x) - x) / (2.0 * reference**2)


def threshold_for(reference: float, run: float) -> float:
    """Return the threshold at which noise alone raises an alarm every ``run`` readings."""
    low, high = 0.0, 1.0
    while average_run(reference, high) < run:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if average_run(reference, middle) < run else (low, middle)
    return high


def long_run_sd(white: float, correlated: float, correlation_s: float, apart_s: float) -> float:
    """Return the standard deviation of independent readings whose sums spread as these do.

    Args:
        white: standard deviation of what is new in each reading.
        correlated: standard deviation of a first-order autoregression that is added.
        correlation_s: time after which a share 1/e of its deviation is left.
        apart_s: time between two readings.
    """
    keep = math.exp(-apart_s / correlation_s)
    return math.sqrt(white**2 + correlated**2 * (1.0 + keep) / (1.0 - keep))
