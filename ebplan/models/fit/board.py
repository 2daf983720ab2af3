"""Fit the law of one workload on one board (``ebplan.models.board``) to a table's readings.

Two robust fits, one after the other: power against cap and clock, then throughput against the
*measured* power. Three things are known beforehand and enter as readings that are no readings:

* how well such tables repeat: ``WEIGHT_OF_REPEATABILITY`` residuals of the stated repeatability
  stand beside those of the table, so that six points do not claim to know their own spread;
* how boards track caps (``POWER_PRIOR``), wide enough for any board;
* how workloads lie (``WorkloadPrior``): wide by default, or pooled from workloads fitted before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from ebplan.document import FieldFault, Part
from ebplan.models.board import (
    POWER_NAMES,
    RATE_NAMES,
    BoardLaw,
    log_power,
    log_rate,
    rate_elasticity,
)
from ebplan.models.curves import FloatArray
from ebplan.models.fit.robust import Residuals, RobustFit, fit_robust
from ebplan.models.posterior import Posterior

WEIGHT_OF_REPEATABILITY = 4
"""Readings that the stated repeatability counts as."""
NEVER_OFF = 0.1
"""A reading within this share of the law is never taken for an outlier."""
POWER_PRIOR = (
    (-0.02, 0.03),  # ln tracking: boards hold their cap within a few percent, mostly just below
    (0.05, 0.3),  # ln draw over the highest power measured: at it, or above where all caps bind
    (2.5, 0.7),  # ln sharpness: 12, times or by two
    (0.8, 0.3),  # ln clock exponent: 2.2, between f at fixed voltage and f^3
    (-1.4, 0.7),  # log-odds of the static share: 0.2, from 0.1 to 0.33
)
"""Mean and standard deviation of the parameters of the power law."""


class WorkloadPrior(Part):
    """How workloads lie before one is measured: log-odds of static share and limited share."""

    static: float = -1.4
    """Mean log-odds of static over highest power (0.2)."""
    limited: float = -1.0
    """Mean log-odds of the share of time that power sets (0.27)."""
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((0.49, 0.0), (0.0, 2.25))
    """Their covariance over workloads: 0.1 to 0.33, and 0.08 to 0.62, within one deviation."""
    workloads: int = 0
    """Workloads it was pooled from; 0 for the default, which nobody measured."""

    @model_validator(mode="after")
    def _proper(self) -> WorkloadPrior:
        matrix = np.array(self.covariance)
        if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] <= 0.0:
            raise FieldFault(
                field="covariance",
                value=self.covariance,
                allowed="symmetric and positive definite",
                remedy="pool it from fitted workloads, or leave it out",
            )
        return self


@dataclass(frozen=True)
class Readings:
    """The readings of one workload."""

    cap: FloatArray
    """Caps in kW per GPU; infinite where there is none, shape (N,)."""
    clock: FloatArray | None
    """Locked clocks in MHz, shape (N,); None where none was locked."""
    power: FloatArray
    """Power in kW per GPU, shape (N,)."""
    rate: FloatArray
    """Throughput in 1/s, shape (N,)."""

    def where(self, keep: NDArray[np.bool_]) -> Readings:
        """Return the readings that ``keep`` (shape (N,)) marks."""
        return replace(
            self,
            cap=self.cap[keep],
            clock=None if self.clock is None else self.clock[keep],
            power=self.power[keep],
            rate=self.rate[keep],
        )


@dataclass(frozen=True)
class Repeatability:
    """How well readings repeat, as a share, where the table itself does not say."""

    rate: float
    """Of throughput."""
    power: float
    """Of power."""


@dataclass(frozen=True)
class FittedBoard:
    """The law of one workload with what was seen while fitting it."""

    law: BoardLaw
    """The law."""
    free: NDArray[np.bool_]
    """Readings under a cap that does nothing, or under none, shape (N,)."""
    at_top: NDArray[np.bool_]
    """Readings at the highest clock, shape (N,)."""
    off: NDArray[np.bool_]
    """Readings left out because they lie off either law, shape (N,)."""


def fit_board(
    readings: Readings,
    *,
    prior: WorkloadPrior,
    repeatability: Repeatability,
    field: str = "(rows)",
) -> FittedBoard:
    """Fit the law of one workload.

    Args:
        readings: at least one; with few, the prior speaks and the intervals are wide.
        prior: how workloads lie.
        repeatability: of the readings.
        field: what errors name.

    Raises:
        InputError: too many readings lie off the law.
    """
    top = float(readings.power.max())
    locked = readings.clock is not None
    mhz = np.ones(len(readings.cap)) if readings.clock is None else readings.clock
    clock = mhz / mhz.max()
    power = _fit_power(readings, clock, top, repeatability.power, field)
    rate = _fit_rate(readings, top, prior, repeatability, field)
    free = not_binding(readings, repeatability)
    count = len(readings.cap)
    caps = np.unique(readings.cap[np.isfinite(readings.cap)])
    loose = np.unique(readings.cap[free & (clock == 1.0) & np.isfinite(readings.cap)])
    law = BoardLaw(
        reference_kw_per_gpu=top,
        reference_clock_mhz=float(mhz.max()) if locked else None,
        power_law=_posterior(power, POWER_NAMES),
        rate_law=_posterior(rate, RATE_NAMES),
        caps_kw_per_gpu=tuple(caps.tolist()),
        not_binding_kw_per_gpu=tuple(loose.tolist()),
        clocks_mhz=tuple(np.unique(mhz).tolist()) if locked else (),
        lowest_kw_per_gpu=float(readings.power.min()),
    )
    return FittedBoard(
        law=law,
        free=free,
        at_top=clock == 1.0,
        off=~(power.used & rate.used)[:count],
    )


def not_binding(readings: Readings, repeatability: Repeatability) -> NDArray[np.bool_]:
    """Return which readings stand under a cap that does nothing, shape (N,).

    A cap does nothing when the power lies below it by more than power repeats *and* the throughput
    is that under the higher caps (or none) at the same clock, as well as throughput repeats. Where
    a cap does nothing, no higher one does anything. The highest cap is compared with none: where
    no lower cap gives the same, it may still bind, and is counted as binding.

    Where throughput falls as the cap rises, the table itself shows how badly it repeats: such falls
    are differences of two readings, and count where they say more than what was stated.
    """
    repeats = max(repeatability.rate, _falls(readings) / np.sqrt(2.0))
    free = ~np.isfinite(readings.cap)
    clocks = np.zeros(len(readings.cap)) if readings.clock is None else readings.clock
    # A difference of two readings, each known as well as readings repeat.
    below = readings.power <= readings.cap * (1.0 - np.sqrt(2.0) * repeatability.power)
    for clock in np.unique(clocks):
        at = clocks == clock
        lowest_free = np.inf
        for i in np.flatnonzero(at & below & (readings.cap < readings.cap[at].max())):
            higher = readings.rate[at & (readings.cap > readings.cap[i])]
            least = higher.mean() * (1.0 - np.sqrt(1.0 + 1.0 / len(higher)) * repeats)
            if readings.rate[i] >= least:
                lowest_free = min(lowest_free, float(readings.cap[i]))
        free |= at & (readings.cap >= lowest_free)
    return np.asarray(free)


def _falls(readings: Readings) -> float:
    """Return the root mean square of the falls of throughput from a cap to the next higher one."""
    clocks = np.zeros(len(readings.cap)) if readings.clock is None else readings.clock
    falls = []
    for clock in np.unique(clocks):
        at = np.flatnonzero(clocks == clock)
        change = np.diff(np.log(readings.rate[at[np.argsort(readings.cap[at])]]))
        falls += change[change < 0.0].tolist()
    return float(np.sqrt(np.mean(np.square(falls)))) if falls else 0.0


def pool_workloads(laws: Sequence[BoardLaw]) -> WorkloadPrior:
    """Return how workloads lie, from some that were fitted: a prior for the next one.

    Mean and covariance of the fitted log-odds over the workloads. What each single fit does not
    know adds to that spread, so the prior is rather too wide.

    Raises:
        ValueError: fewer than three workloads.
    """
    if len(laws) < 3:
        raise ValueError(f"{len(laws)} workloads: a spread over workloads takes at least 3")
    odds = np.array([law.rate_law.theta[1:] for law in laws])
    spread = np.cov(odds.T) * (len(laws) + 1.0) / len(laws)
    static, limited = odds.mean(axis=0).tolist()
    (a, b), (_, c) = (spread + 1e-4 * np.eye(2)).tolist()
    return WorkloadPrior(
        static=static, limited=limited, covariance=((a, b), (b, c)), workloads=len(laws)
    )


def _fit_power(
    readings: Readings, clock: FloatArray, top: float, repeats: float, field: str
) -> RobustFit:
    """Fit power against cap and clock."""
    count = 3 if readings.clock is None else 5
    mean, deviation = np.array(POWER_PRIOR[:count]).T
    cap, seen = readings.cap / top, np.log(readings.power / top)
    return fit_robust(
        _beside(lambda theta: seen - log_power(theta, cap, clock), repeats),
        mean,
        POWER_NAMES[:count],
        prior=lambda theta: np.asarray((theta - mean) / deviation),
        floor=NEVER_OFF,
        field=f"{field}.power",
    )


def _fit_rate(
    readings: Readings, top: float, prior: WorkloadPrior, repeats: Repeatability, field: str
) -> RobustFit:
    """Fit throughput against the measured power.

    Power is measured with an error too, which counts more the steeper the curve: residuals are
    taken in units of the error of throughput at a certain power (effective variance), the slope
    being that of a first fit.
    """
    power, seen = readings.power / top, np.log(readings.rate)
    mean = np.array([prior.static, prior.limited])
    whiten = np.linalg.inv(np.linalg.cholesky(np.array(prior.covariance)))
    weight = np.ones(len(power))

    def residuals(theta: FloatArray) -> FloatArray:
        return np.asarray((seen - log_rate(theta, power)) / weight)

    start = np.array([seen[power.argmax()], *mean])
    for _ in range(2):
        fit = fit_robust(
            _beside(residuals, repeats.rate),
            start,
            RATE_NAMES,
            prior=lambda theta: np.asarray(whiten @ (theta[1:] - mean)),
            floor=NEVER_OFF,
            field=f"{field}.throughput",
        )
        start = fit.theta
        elasticity = rate_elasticity(start, power)
        weight = np.hypot(1.0, elasticity * repeats.power / repeats.rate)
    return fit


def _beside(residuals: Residuals, repeats: float) -> Residuals:
    """Return residuals with those that stand for the repeatability beside them."""
    known = np.full(WEIGHT_OF_REPEATABILITY, repeats)
    return lambda theta: np.concatenate([residuals(theta), known])


def _posterior(fit: RobustFit, names: Sequence[str]) -> Posterior:
    return Posterior(
        names=tuple(names[: len(fit.theta)]),
        theta=tuple(fit.theta.tolist()),
        covariance=tuple(tuple(row) for row in fit.covariance.tolist()),
        spread=fit.spread,
        degrees=fit.degrees,
    )
