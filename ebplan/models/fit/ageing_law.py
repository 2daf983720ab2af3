"""Fit a law of ageing to the rates of conditions, and say what it errs by for one left out.

The unit of the fit is a condition (``conditions.py``). Its rate is taken to lie off the law by an
amount that is alike for all conditions, in capacity at the end of the test: what wears hardest
then counts most, and intervals of what hardly wears are wide rather than narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Assumption, Excluded, Finding, Statistic
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.fit.conditions import Condition, best_exponent, stress_arrays, within_spread
from ebplan.models.fit.robust import fit_robust
from ebplan.models.intervals import law_variance, student_quantile
from ebplan.models.points import Points

CONDITION_FLOOR = 0.05
"""A condition nearer to the law than this share of capacity at its end is never off."""
AT_BOUND = 1e-3
"""A parameter this near to its bound is at it."""
ROOT_BAND = (0.35, 0.65)
"""Exponents of time between which a square root is not contradicted."""
POINTS = 100.0
"""Percentage points of capacity in a share."""

Rates = Callable[..., FloatArray]
"""Rates, shape (M,), of parameters, shape (P,), and of each stress, shape (M,)."""


@dataclass(frozen=True)
class RateLaw:
    """A law of ageing, and what is known of its parameters beforehand."""

    rates: Rates
    """The law."""
    stresses: tuple[str, ...]
    """Quantities that it depends on, in the order of its arguments."""
    names: tuple[str, ...]
    """Parameters, by the options that would give them."""
    start: FloatArray
    """Where to begin; the values of those that are given. The first is a logarithm of the rate."""
    free: NDArray[np.bool_]
    """Which are fitted."""
    lower: FloatArray
    """Lower bounds."""
    upper: FloatArray
    """Upper bounds."""
    unit: float
    """Rate that the logarithm 0 stands for."""


@dataclass(frozen=True)
class FittedRates:
    """A fitted law."""

    law: RateLaw
    """The law."""
    theta: FloatArray
    """Its parameters, shape (P,)."""
    covariance: FloatArray
    """Their covariance, shape (P, P); zero for those given."""
    degrees: int
    """Conditions used, less parameters fitted."""
    between: float
    """Standard deviation of a rate off the law."""
    within: float
    """Standard deviation of a check-up off its condition, share of capacity."""
    conditions: tuple[Condition, ...]
    """What it was fitted to, also those off the law."""
    used: NDArray[np.bool_]
    """Which conditions were used."""

    def mean_loss(self, condition: Condition) -> FloatArray:
        """Return the mean loss at each check-up of a condition, shape (K,)."""
        at = stress_arrays((condition,), self.law.stresses)
        return np.asarray(self.law.rates(self.theta, *at)[0] * np.sqrt(condition.x))

    def loss(self, condition: Condition, confidence: float = CONFIDENCE) -> Estimate:
        """Return the loss at each check-up of a condition, shape (K,)."""
        at = stress_arrays((condition,), self.law.stresses)
        mean = self.mean_loss(condition)
        known = law_variance(lambda p: self.law.rates(p, *at), self.theta, self.covariance)[0]
        spread = np.sqrt(condition.x * (known + self.between**2) + self.within**2)
        half = student_quantile(confidence, self.degrees) * spread
        return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=confidence)

    def intervals(self, confidence: float = CONFIDENCE) -> FloatArray:
        """Return the ends of each parameter's interval, shape (P, 2)."""
        half = student_quantile(confidence, self.degrees) * np.sqrt(np.diag(self.covariance))
        return np.column_stack([self.theta - half, self.theta + half])


@dataclass(frozen=True)
class LeftOut:
    """A condition predicted from the others."""

    name: str
    """The condition."""
    error: float
    """Loss at the end, predicted less measured, a share of capacity."""
    half_width: float
    """Half the interval of that loss."""
    held: FloatArray
    """1 for each check-up inside its interval, shape (K,)."""


def fit_rates(law: RateLaw, conditions: Sequence[Condition], file: str) -> FittedRates:
    """Fit a law to the rates of conditions.

    Raises:
        InputError: too few conditions, some parameter not determined by them, or one that comes
            out at the end of its range.
    """
    measured = np.array([c.rate for c in conditions])
    stresses = stress_arrays(conditions, law.stresses)
    end = float(np.sqrt(np.median([c.x.max() for c in conditions])))
    free = law.free

    def whole(theta: FloatArray) -> FloatArray:
        full = law.start.copy()
        full[free] = theta
        return full

    def residuals(theta: FloatArray) -> FloatArray:
        return np.asarray(end * (law.rates(whole(theta), *stresses) - measured))

    typical = max(float(np.median(measured)), 1e-3 / end)
    start = np.concatenate([[np.log(typical / law.unit)], law.start[1:]])[free]
    names = [name for name, fitted in zip(law.names, free, strict=True) if fitted]
    try:
        fit = fit_robust(
            residuals,
            start,
            names,
            lower=law.lower[free],
            upper=law.upper[free],
            floor=CONDITION_FLOOR,
            field="(conditions)",
        )
    except InputError as error:
        raise error.in_file(file) from None
    theta = whole(fit.theta)
    _check_bounds(law, theta, file)
    covariance = np.zeros((len(theta), len(theta)))
    covariance[np.ix_(free, free)] = fit.covariance
    return FittedRates(
        law=law,
        theta=theta,
        covariance=covariance,
        degrees=fit.degrees,
        between=fit.spread / end,
        within=within_spread(conditions),
        conditions=tuple(conditions),
        used=fit.used,
    )


def leave_one_out(fitted: FittedRates, file: str) -> tuple[tuple[LeftOut, ...], tuple[str, ...]]:
    """Predict each condition from the others.

    Returns:
        What came out; and the conditions without which the others do not determine the law.
    """
    predicted, needed = [], []
    for i, condition in enumerate(fitted.conditions):
        others = [*fitted.conditions[:i], *fitted.conditions[i + 1 :]]
        try:
            without = fit_rates(fitted.law, others, file)
        except InputError:  # the refusal is the result: the others do not suffice
            needed.append(condition.name)
            continue
        said, last = without.loss(condition), int(condition.x.argmax())
        predicted.append(
            LeftOut(
                name=condition.name,
                error=float(without.mean_loss(condition)[last] - condition.loss[last]),
                half_width=float(0.5 * (said.high[last] - said.low[last])),
                held=said.holds(condition.loss),
            )
        )
    return tuple(predicted), tuple(needed)


def _check_bounds(law: RateLaw, theta: FloatArray, file: str) -> None:
    for i in np.flatnonzero(law.free):
        name, value = law.names[i], theta[i]
        if value - law.lower[i] < AT_BOUND or law.upper[i] - value < AT_BOUND:
            raise InputError(
                field=f"(conditions) {name}",
                value=f"{value:.3g}, the end of its range",
                allowed=f"inside {law.lower[i]:g} to {law.upper[i]:g}",
                remedy=f"the conditions show no effect, or one that the law cannot follow: "
                f"give options.{name}, or measure conditions farther apart",
                file=file,
            )


def ageing_points(
    fitted: FittedRates, columns: Mapping[str, str], clock: str
) -> tuple[Points, ...]:
    """Return the check-ups of each condition, for the figure.

    Args:
        fitted: the fit; all of a condition off the law has weight zero.
        columns: name of each stress in the figure.
        clock: name of the time, or of the full cycles.
    """
    return tuple(
        Points.of(
            c.name,
            {
                clock: np.concatenate([c.x, c.off_x]),
                "capacity": 1.0 - np.concatenate([c.loss, c.off_loss]),
                **{
                    shown: np.full(len(c.x) + len(c.off_x), c.stress[stress])
                    for stress, shown in columns.items()
                },
            },
            np.concatenate([np.full(len(c.x), not used), np.ones(len(c.off_x), dtype=bool)]),
        )
        for c, used in zip(fitted.conditions, fitted.used, strict=True)
    )


# --- on the card -------------------------------------------------------------------------------


def parameter_statistics(
    fitted: FittedRates, shown: Sequence[tuple[str, Callable[..., FloatArray], float, str]]
) -> tuple[Statistic, ...]:
    """Return each parameter with the ends of its interval.

    Args:
        fitted: the fit.
        shown: of each parameter its name, what turns it into what is shown, scale and unit.
    """
    told = []
    rows = zip(shown, fitted.theta, fitted.intervals(), strict=True)
    for (name, turned, scale, unit), value, (low, high) in rows:
        for said, number in (
            ("", value),
            (f": {CONFIDENCE:.0%} interval from", low),
            (f": {CONFIDENCE:.0%} interval to", high),
        ):
            told.append(Statistic(name=name + said, value=float(scale * turned(number)), unit=unit))
    return tuple(told)


def residual_statistics(fitted: FittedRates) -> tuple[Statistic, ...]:
    """Return how far conditions and check-ups lie off the law."""
    last = np.sqrt([c.x.max() for c in fitted.conditions])
    return (
        Statistic(
            name="a condition off the law at the end of the test, standard deviation",
            value=POINTS * fitted.between * float(np.median(last)),
            unit="percentage points of capacity",
        ),
        Statistic(
            name="a check-up off its condition, standard deviation",
            value=POINTS * fitted.within,
            unit="percentage points of capacity",
        ),
        Statistic(
            name="exponent with which the conditions fit best (the law has 0.5)",
            value=best_exponent(fitted.conditions),
            unit="1",
        ),
    )


def left_out_statistics(left: Sequence[LeftOut]) -> tuple[Statistic, ...]:
    """Return the errors for conditions that were left out; nothing where none could be."""
    if not left:
        return ()
    errors = POINTS * np.abs([one.error for one in left])
    inside = np.mean([abs(one.error) <= one.half_width for one in left])
    points = "percentage points of capacity"
    return (
        Statistic(name="loss at the end, mean absolute error", value=errors.mean(), unit=points),
        Statistic(
            name=f"the same, largest ({left[int(errors.argmax())].name})",
            value=errors.max(),
            unit=points,
        ),
        Statistic(
            name=f"ends of test inside their {CONFIDENCE:.0%} interval",
            value=float(inside),
            unit="share of conditions",
        ),
        Statistic(
            name=f"check-ups inside their {CONFIDENCE:.0%} interval",
            value=float(np.concatenate([one.held for one in left]).mean()),
            unit="share",
        ),
    )


def findings(fitted: FittedRates, needed: Sequence[str], clock: str) -> tuple[Finding, ...]:
    """Return what a reader of the fit must know."""
    told = []
    best = best_exponent(fitted.conditions)
    if not ROOT_BAND[0] <= best <= ROOT_BAND[1]:
        told.append(
            Finding(
                title="The conditions do not follow a square root",
                text=f"They fit best with {clock} to the power {best:.2f}. Inside the tested "
                "range the intervals allow for it; beyond its end the law is wrong.",
            )
        )
    risen = np.concatenate([c.loss for c in fitted.conditions])
    if (risen < 0.0).any():
        told.append(
            Finding(
                title="Some check-ups lie above the initial capacity",
                text=f"{int((risen < 0.0).sum())} of {len(risen)}, by up to "
                f"{-POINTS * risen.min():.2f} percentage points. Charge that comes back from the "
                "anode's overhang does this to cells at rest. It is not modelled, and the "
                "check-ups stay in: leaving only them out would make the loss too high.",
            )
        )
    if needed:
        told.append(
            Finding(
                title="Without some conditions the law is not determined",
                text=f"Not predicted from the others: {', '.join(needed)}.",
            )
        )
    return tuple(told)


def excluded(fitted: FittedRates) -> tuple[Excluded, ...]:
    """Return the conditions off the law, named."""
    return tuple(
        Excluded(
            run=f"condition {c.name}",
            weight=0.0,
            reason=f"loss at its end {POINTS * c.loss[c.x.argmax()]:.2f} percentage points, far "
            "off the law of the others",
        )
        for c, used in zip(fitted.conditions, fitted.used, strict=True)
        if not used
    )


def given(law: RateLaw, units: Sequence[str], scales: Sequence[float]) -> tuple[Assumption, ...]:
    """Return the parameters that were given and not fitted."""
    return tuple(
        Assumption(
            name=name,
            value=float(value * scale),
            unit=unit,
            provenance="assumed",
            note="given with the fit's options, not fitted; its interval counts it as exact",
        )
        for name, value, free, unit, scale in zip(
            law.names, law.start, law.free, units, scales, strict=True
        )
        if not free
    )
