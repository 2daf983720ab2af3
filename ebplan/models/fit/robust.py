"""Robust nonlinear least squares: parameters, covariance, outliers, what is not determined.

    minimise  sum_i rho(r_i(theta) / s) + sum_k prior_k(theta)^2

``r`` are relative errors (differences of logarithms), so that a small reading counts as much as a
large one; ``s`` is their robust spread (1.4826 times the median absolute deviation). The loss is
soft l1 first; readings farther off than ``OUTLIER_SPREADS`` robust spreads and a floor then get
weight zero, and the rest is fitted by plain least squares, from which the covariance comes:

    C = s^2 (J' J)^-1,      s^2 = sum r^2 / (n - p)

Parameters that the readings do not determine show as a direction in which J does not change the
residuals: the fit is refused and names the parameters that make up the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student_t

from ebplan.errors import InputError
from ebplan.models.curves import FloatArray

OUTLIER_SPREADS = 6.0
"""A reading is off when its residual exceeds this many robust spreads, and the floor."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution, turned into its standard deviation."""
UNKNOWN_SPREAD = 1e3
"""A parameter (of order one, mostly a logarithm) is not determined when noise as large as the
fit's own would move it by more than this."""
EXPECTED_SPREAD = 0.02
"""Residuals beyond this count less in the first, robust pass."""
LEAST_SPREAD = 1e-6
"""Readings closer to the law than this differ from it by rounding."""
MOST_OUTLIERS = 0.25
"""With a larger share of the readings off, the law is wrong and not the readings."""

Residuals = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class RobustFit:
    """A fitted law."""

    theta: FloatArray
    """Parameters, shape (P,)."""
    covariance: FloatArray
    """Their covariance, shape (P, P)."""
    spread: float
    """Standard deviation of the residuals of the readings used."""
    residuals: FloatArray
    """Residuals of all readings, shape (N,)."""
    used: NDArray[np.bool_]
    """Which readings were used, shape (N,)."""

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the spread."""
        return max(int(self.used.sum()) - len(self.theta), 1)

    def half_width(
        self, gradient: FloatArray, confidence: float, *, of_a_reading: bool = True
    ) -> FloatArray:
        """Return the half-width of the interval of a prediction, in units of the residuals.

        Args:
            gradient: of the predictions by the parameters, shape (M, P).
            confidence: of the interval.
            of_a_reading: for a new reading, noise included; else for the law itself.
        """
        variance = np.einsum("mp,pq,mq->m", gradient, self.covariance, gradient)
        if of_a_reading:
            variance = variance + self.spread**2
        return np.asarray(student_t.ppf(0.5 + 0.5 * confidence, self.degrees) * np.sqrt(variance))

    def parameter_intervals(self, confidence: float) -> FloatArray:
        """Return lower and upper end of each parameter, shape (P, 2)."""
        wide = student_t.ppf(0.5 + 0.5 * confidence, self.degrees)
        half = wide * np.sqrt(np.diag(self.covariance))
        return np.column_stack([self.theta - half, self.theta + half])


def fit_robust(
    residuals: Residuals,
    start: FloatArray,
    names: Sequence[str],
    *,
    prior: Residuals | None = None,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
    floor: float = 0.0,
    field: str = "(rows)",
) -> RobustFit:
    """Fit a law to readings.

    Args:
        residuals: relative errors of the readings for parameters, shape (N,).
        start: where to begin, shape (P,).
        names: names of the parameters, for errors.
        prior: further residuals in standard deviations that are not readings (a prior); they are
            never off and count as no reading.
        lower: lower bounds of the parameters, shape (P,).
        upper: upper bounds of the parameters, shape (P,).
        floor: residuals below this are never off.
        field: what errors name.

    Raises:
        InputError: too few readings, too many off the law, or parameters that the readings do not
            determine.
    """
    count, p = len(residuals(start)), len(start)
    known = 0 if prior is None else len(prior(start))
    if count + known <= p:
        raise InputError(
            field=field,
            value=f"{count} readings",
            allowed=f"at least {p + 1 - known} for {', '.join(names)}",
            remedy=f"measure {p + 1 - known - count} more, or leave it to the prior",
        )
    bounds = (
        np.full(p, -np.inf) if lower is None else lower,
        np.full(p, np.inf) if upper is None else upper,
    )

    def stacked(theta: FloatArray, used: NDArray[np.bool_], scale: float) -> FloatArray:
        mine = np.where(used, residuals(theta), 0.0) / scale
        return mine if prior is None else np.concatenate([mine, prior(theta)])

    every = np.ones(count, dtype=bool)
    first = least_squares(
        stacked, start, bounds=bounds, loss="soft_l1", args=(every, EXPECTED_SPREAD)
    )
    used, spread = _usable(residuals(first.x), floor, field)
    scale = max(spread, LEAST_SPREAD)
    for _ in range(2):  # the weight of the prior needs the spread, the spread the fit
        found = least_squares(stacked, first.x, bounds=bounds, args=(used, scale), x_scale="jac")
        r = residuals(found.x)
        degrees = max(int(used.sum()) - max(p - known, 0), 1)
        scale = max(float(np.sqrt((r[used] ** 2).sum() / degrees)), LEAST_SPREAD)
    at_last_spread = least_squares(
        stacked, found.x, bounds=bounds, args=(used, scale), max_nfev=1
    ).jac
    return RobustFit(
        theta=np.asarray(found.x),
        covariance=_covariance(np.asarray(at_last_spread), names, field),
        spread=scale,
        residuals=r,
        used=used,
    )


def _usable(r: FloatArray, floor: float, field: str) -> tuple[NDArray[np.bool_], float]:
    """Return which readings lie near enough to the law, and their robust spread."""
    spread = MAD_TO_SIGMA * float(np.median(np.abs(r)))
    used = np.abs(r) <= max(OUTLIER_SPREADS * spread, floor, LEAST_SPREAD)
    if (~used).sum() > MOST_OUTLIERS * len(r):
        raise InputError(
            field=field,
            value=f"{int((~used).sum())} of {len(r)} readings off the law",
            allowed=f"at most {MOST_OUTLIERS:.0%}",
            remedy="check units and grouping: the law does not describe these readings",
        )
    return used, spread


def _covariance(jacobian: FloatArray, names: Sequence[str], field: str) -> FloatArray:
    """Return (J'J)^-1, or refuse and name what the readings do not determine."""
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=False)
    if singular[-1] * UNKNOWN_SPREAD < 1.0:
        weak = np.abs(directions[-1])
        listed = [name for name, share in zip(names, weak, strict=True) if share > 0.3 * weak.max()]
        raise InputError(
            field=field,
            value=f"{' and '.join(listed)} not identifiable",
            allowed="readings that determine each parameter",
            remedy="readings change alike, or not at all, with "
            + ("them" if len(listed) > 1 else "it")
            + ": measure over a wider range, or give a value",
        )
    return np.asarray((directions.T / singular**2) @ directions)
