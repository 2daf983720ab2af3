"""What a window of readings says: means, spread, and power from the energy counter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from benchmarks.gpu_power.meter import Sample


@dataclass(frozen=True)
class Reading:
    """Readings of a window in one; None where the GPU did not report the quantity.

    `power_instant_std_w` is the spread of the readings, not the error of their mean.
    """

    power_instant_mean_w: float | None
    power_instant_std_w: float | None
    power_average_mean_w: float | None
    energy_counter_power_w: float | None
    sm_clock_mhz: float | None
    mem_clock_mhz: float | None
    temperature_c: float | None
    utilisation: float | None
    power_limit_w: float | None
    samples: int


class NoReadings(Exception):
    """A window holds no reading: the sampler ended, or the window is shorter than its period."""


def summarise(samples: Sequence[Sample]) -> Reading:
    """Return the readings of a window in one.

    Raises:
        NoReadings: there are none.
    """
    if not samples:
        raise NoReadings("no reading in the window: has the sampling process ended?")
    instant = _known(samples, lambda s: s.power_instant_w)
    return Reading(
        power_instant_mean_w=_mean(instant),
        power_instant_std_w=stdev(instant) if len(instant) > 1 else None,
        power_average_mean_w=_mean(_known(samples, lambda s: s.power_average_w)),
        energy_counter_power_w=counter_power_w(samples),
        sm_clock_mhz=_mean(_known(samples, lambda s: s.sm_clock_mhz)),
        mem_clock_mhz=_mean(_known(samples, lambda s: s.mem_clock_mhz)),
        temperature_c=_mean(_known(samples, lambda s: s.temperature_c)),
        utilisation=_mean(_known(samples, lambda s: s.utilisation)),
        power_limit_w=_mean(_known(samples, lambda s: s.power_limit_w)),
        samples=len(samples),
    )


def counter_power_w(samples: Sequence[Sample]) -> float | None:
    """Return the mean power between the first and last step of the energy counter.

    The counter steps about every 100 ms, so its value at the ends of a window is up to that much
    old; at a step it is fresh, to within one sampling period. None where the counter is not
    reported, steps fewer than twice, or goes back (the driver was loaded anew).
    """
    known = [(s.t_s, s.energy_j) for s in samples if s.energy_j is not None]
    steps = [after for before, after in itertools.pairwise(known) if after[1] != before[1]]
    if any(after[1] < before[1] for before, after in itertools.pairwise(known)):
        return None
    if len(steps) < 2:
        return None
    (begin_s, begin_j), (end_s, end_j) = steps[0], steps[-1]
    return (end_j - begin_j) / (end_s - begin_s)


def _known(samples: Sequence[Sample], pick: Callable[[Sample], float | None]) -> list[float]:
    return [value for sample in samples if (value := pick(sample)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
