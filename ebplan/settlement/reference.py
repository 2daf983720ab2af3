"""What delivery is measured against: the baseline on the meter's intervals, and how wrong it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.fit.series import correlation_time
from ebplan.settlement.number import Errors
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries

QUIET_S = 3600.0
"""The noise is that of this long before the event, at most."""
QUIET_READINGS = 8
"""With fewer readings the noise is unknown."""
OFF_SPREADS = 6.0
"""A reading farther from the others, in robust standard deviations, is an outlier and no noise."""
FEWEST_INDEPENDENT = 2
"""A quiet stretch counts as this many independent readings at least."""
BEFORE = "the readings before the event"
"""Where errors come from unless a baseline says otherwise."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution, turned into its standard deviation."""


@dataclass(frozen=True)
class Curve:
    """A baseline on the intervals of a series."""

    kw: FloatArray
    """What would have been drawn, in each interval of the series, shape (n,)."""
    rule: str
    """How it was found."""


@dataclass(frozen=True)
class Reference(Curve):
    """A baseline with its errors."""

    errors: Errors
    """How wrong a draw less this is."""
    quiet: NDArray[np.bool_]
    """Intervals before the event, shape (n,): noise, and what battery and pools usually do."""
    level_unknown: str = ""
    """Why the error of its level is not known, so that only that of the quiet stretch's mean is in
    ``errors``; empty where it is known."""
    errors_from: str = BEFORE
    """What tells the errors."""

    def with_level_error(self, kw: float) -> Reference:
        """Return the same baseline with a standard error of its level that is known."""
        return replace(self, errors=replace(self.errors, lasting_kw=kw), level_unknown="")

    def without_level_error(self, why: str) -> Reference:
        """Return the same baseline, said to be of a level whose error is not known."""
        return replace(self, level_unknown=why)


def quiet_before(meter: MeterSeries, start_s: float, quiet_s: float = QUIET_S) -> NDArray[np.bool_]:
    """Return the intervals that lie wholly in the time before an event, shape (n,).

    Args:
        meter: the series.
        start_s: start of the event in seconds of the series.
        quiet_s: how long before.
    """
    ends_s = meter.time_s + meter.interval_s
    quiet = (ends_s <= start_s + SAME_TIME_S) & (meter.time_s >= start_s - quiet_s - SAME_TIME_S)
    return np.asarray(quiet)


def too_few(
    meter: MeterSeries, quiet: NDArray[np.bool_], why: str = "", quiet_s: float = QUIET_S
) -> InputError:
    """Return the error of a series whose noise nothing tells.

    Args:
        meter: the series.
        quiet: its intervals before the event, shape (n,).
        why: why like days do not tell it either; empty where none were looked at.
        quiet_s: how long before the event was looked at.
    """
    longer = "give a METER that begins an hour before the event"
    earlier = "give earlier days without an event, in METER or by --history"
    fits = QUIET_READINGS * meter.interval_s <= quiet_s
    return InputError(
        field="(time)",
        value=f"{int(quiet.sum())} readings in the {quiet_s:g} s before the event",
        allowed=f"{QUIET_READINGS} or more, for they tell the noise, or like days that do"
        + (f" ({why})" if why else ""),
        remedy=f"{longer}, or {earlier}" if fits else earlier,
        file=meter.file,
    )


def reference(
    meter: MeterSeries,
    start_s: float,
    *,
    baseline_kw: FloatArray | None = None,
    error_kw: float | None = None,
    rule: str = "last value",
    quiet_s: float = QUIET_S,
    accuracy: float = 0.0,
    confidence: float = 0.9,
) -> Reference:
    """Return a baseline with its errors.

    Args:
        meter: the series.
        start_s: start of the event in seconds of the series.
        baseline_kw: the baseline in each interval, shape (n,); the mean of the quiet stretch
            before the event where absent.
        error_kw: standard error of its level; where absent that of the mean of the quiet stretch.
        rule: how it was found.
        quiet_s: length of the quiet stretch.
        accuracy: standard error of the meter's gain, as a share.
        confidence: of every interval.

    Raises:
        InputError: too few readings before the event, or a baseline of another length.
    """
    quiet = quiet_before(meter, start_s, quiet_s)
    if quiet.sum() < QUIET_READINGS:
        raise too_few(meter, quiet, quiet_s=quiet_s)
    if baseline_kw is None:
        baseline_kw = np.full(len(meter), meter.grid_kw[quiet].mean())
    if baseline_kw.shape != meter.time_s.shape or not np.isfinite(baseline_kw).all():
        raise InputError(
            field="baseline_kw",
            value=baseline_kw.shape,
            allowed=f"{len(meter)} finite numbers, one for each interval of {meter.file}",
            remedy="give the baseline on the intervals of the meter",
        )
    errors = noise_of(meter.grid_kw[quiet] - baseline_kw[quiet], accuracy, confidence)
    found = Reference(kw=baseline_kw, rule=rule, errors=errors, quiet=quiet)
    return found if error_kw is None else found.with_level_error(error_kw)


def noise_of(off_kw: FloatArray, accuracy: float = 0.0, confidence: float = 0.9) -> Errors:
    """Return the errors of a quiet stretch: its noise, and the standard error of its mean.

    Args:
        off_kw: draw less baseline in the quiet stretch, shape (m,).
        accuracy: standard error of the meter's gain, as a share.
        confidence: of every interval.
    """
    away = np.abs(off_kw - np.median(off_kw))
    spread = MAD_TO_SIGMA * float(np.median(away))
    usual = off_kw[away <= OFF_SPREADS * spread] if spread > 0.0 else off_kw
    spread_kw = float(usual.std()) if len(usual) > 1 else 0.0
    # what does not move at all is one level, known exactly
    correlation = readings_alike(usual) if spread_kw > 0.0 else 1.0
    independent = max(len(usual) / correlation, FEWEST_INDEPENDENT)
    # about its own mean a stretch spreads by less than about its true level
    noise_kw = spread_kw / sqrt(1.0 - 1.0 / independent)
    return Errors(
        lasting_kw=noise_kw / sqrt(independent),
        noise_kw=noise_kw,
        correlation=correlation,
        degrees=max(round(independent) - 1, 1),
        accuracy=accuracy,
        confidence=confidence,
    )


def readings_alike(off_kw: FloatArray) -> float:
    """Return how many readings in a row say as much as one, from 1 to half of them.

    The sum of the autocorrelations (``correlation_time``) comes out too small where noise remembers
    for as long as the stretch lasts, for it is taken about the stretch's own mean. So does the
    autocorrelation ``rho`` from one reading to the next, but by a known amount, of a first-order
    autoregression about ``(1 + 4 rho) / n``; its correlation time is ``(1 + rho) / (1 - rho)``. The
    larger of the two counts.

    Args:
        off_kw: draw less baseline in the quiet stretch, not all the same, shape (n,).
    """
    count, off = len(off_kw), off_kw - off_kw.mean()
    rho = float(off[1:] @ off[:-1]) / float(off @ off)
    rho = min(max(rho + (1.0 + 4.0 * rho) / count, 0.0), 1.0 - 1.0 / count)
    alike = max((1.0 + rho) / (1.0 - rho), correlation_time(off_kw))
    return max(min(alike, count / FEWEST_INDEPENDENT), 1.0)


def band_kw(errors: Errors, spreads: float) -> float:
    """Return half the band in which a draw is not told from its baseline, in kW."""
    return spreads * hypot(errors.noise_kw, errors.lasting_kw)
