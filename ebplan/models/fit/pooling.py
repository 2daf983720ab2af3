"""Learn a prior from many configurations: empirical Bayes on two laws.

With the laws linear about the most likely parameters, all readings are jointly normal,

    ln y ~ N(law, J K J' + W),

``K`` the pooled covariance of the parameters and ``W`` that of misfit and noise. The spreads are
those that make the readings most likely, each with a weak normal prior on its logarithm, because a
few dozen configurations say little about some of them. Linearising and finding spreads take turns.
With few configurations several sets of spreads are likely, depending on whether descriptors or
models are taken to explain what differs: the search begins from either view, and the likelier end
is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from ebplan.models.configuration import Configuration
from ebplan.models.curve import Spreads
from ebplan.models.curves import FloatArray
from ebplan.models.fleet_prior import Known, LawPrior, P, Pooling, Triple, similarities
from ebplan.models.laws import LAWS, LawName

ROUNDS = 8
"""Most turns of linearising and finding spreads: after six nothing moves."""
_SETTLED = 1e-3
"""Spreads that move by less than this share from one turn to the next have settled."""
_MEDIANS = np.log([*[0.2] * 9, 0.01, 0.03, 1.5])
"""Medians of the weak priors of the spreads (in the order of ``_STARTS``),"""
_LOG_SPREADS = np.array([*[1.5] * 9, 0.7, 1e3, 0.7])
"""and the standard deviations of their logarithms: about the misfit nothing is said."""
_LOG_BOUNDS = (float(np.log(1e-5)), float(np.log(1e2)))
"""Where the search for a spread stays: beyond, no reading could tell it from none or from any."""
_STEPS, _STEP = 12, 0.7
_EVALUATIONS = 100
_LITTLE, _MUCH = np.log(0.05), np.log(0.3)
_STARTS: dict[LawName, tuple[FloatArray, tuple[Triple, Triple]]] = {
    "power": (
        np.log([0.15, 0.2, 0.4, 0.05, 0.1, 0.4, 0.05, 0.1, 0.4, 0.01, 0.03, 1.5]),
        ((-0.5, 0.4, 3.0), (1.5, 1.0, 3.0)),
    ),
    "throughput": (
        np.log([0.4, 0.4, 0.15, 0.1, 0.2, 0.2, 0.1, 0.2, 0.2, 0.01, 0.03, 1.5]),
        ((-4.0, 7.0, 0.0), (3.0, 3.0, 1.0)),
    ),
}
_STARTS["pace"] = _STARTS["throughput"]
"""Where the search begins first: logarithms of the spreads (descriptors, models, own, each by
parameter; noise, misfit, misfit length), then centre and spread of the common mean."""


@dataclass(frozen=True)
class Readings:
    """The points of one configuration."""

    configuration: Configuration
    """The configuration."""
    concurrency: FloatArray
    """Requests in flight, shape (N,)."""
    measured: FloatArray
    """What the law gives of the instance: power in kW, throughput or pace in tokens/s; (N,)."""

    def where(self, keep: NDArray[np.bool_]) -> Readings:
        """Return the points that ``keep`` marks."""
        return replace(self, concurrency=self.concurrency[keep], measured=self.measured[keep])


@dataclass(frozen=True)
class Learnt:
    """Spreads, and the parameters they go with."""

    pooling: Pooling
    """The spreads."""
    theta: FloatArray
    """Most likely parameters of each configuration, shape (N, 3)."""


def learn(
    law: LawName, readings: Sequence[Readings], *, start: Learnt | None = None, rounds: int = ROUNDS
) -> Learnt:
    """Find spreads and parameters.

    Args:
        law: which law.
        readings: points by configuration, each at least one.
        start: where to begin; from nothing but the readings, in two ways, where absent.
        rounds: most turns to take.
    """
    if start is not None:
        return _settled(law, readings, _logarithms(start.pooling), start.theta, rounds)
    theta = np.array([_first_guess(law, r) for r in readings])
    ends = [_settled(law, readings, logs, theta, rounds) for logs in _views(law)]
    return min(ends, key=lambda end: unlikelihood(law, readings, end))


def unlikelihood(law: LawName, readings: Sequence[Readings], learnt: Learnt) -> float:
    """Return -ln of how likely readings and spreads are, parameters integrated out.

    Up to a constant, with the law linear about the most likely parameters (Laplace's method).
    """
    configurations = [r.configuration for r in readings]
    centre = learnt.pooling.centre(law, configurations).reshape(-1, P)
    left, jacobian = _linear(law, readings, learnt.theta, centre)
    covariance = learnt.pooling.covariance(configurations, configurations)
    lower = np.linalg.cholesky(
        jacobian @ covariance @ jacobian.T + _about_law(readings, learnt.pooling.spreads)
    )
    apart = solve_triangular(lower, left, lower=True)
    weak = (_logarithms(learnt.pooling) - _MEDIANS) / _LOG_SPREADS
    return float(0.5 * (apart @ apart + weak @ weak) + np.log(np.diag(lower)).sum())


def _views(law: LawName) -> Iterator[FloatArray]:
    """Yield spreads to begin from: usual ones, then as if descriptors explained next to nothing."""
    usual = _STARTS[law][0]
    yield usual
    yield np.concatenate([P * [_LITTLE], 2 * P * [_MUCH], usual[3 * P :]])


def _settled(
    law: LawName,
    readings: Sequence[Readings],
    logs: FloatArray,
    theta: FloatArray,
    rounds: int,
) -> Learnt:
    """Take turns from the logarithms of spreads, (12,), and parameters, (N, 3)."""
    _, (mean, mean_spread) = _STARTS[law]
    for _ in range(rounds):
        pooling = _pooling(logs, mean, mean_spread)
        theta = most_likely(law, readings, pooling, theta)
        before, logs = logs, _likeliest_spreads(law, readings, theta, pooling)
        if np.abs(logs - before).max() < _SETTLED:
            break
    pooling = _pooling(logs, mean, mean_spread)
    return Learnt(pooling, most_likely(law, readings, pooling, theta))


def most_likely(
    law: LawName, readings: Sequence[Readings], pooling: Pooling, theta: FloatArray
) -> FloatArray:
    """Return the parameters that readings and spreads make most likely, shape (N, 3)."""
    configurations = [r.configuration for r in readings]
    centre = pooling.centre(law, configurations).reshape(-1, P)
    covariance = pooling.covariance(configurations, configurations)
    about = _about_law(readings, pooling.spreads)
    for _ in range(_STEPS):
        left, jacobian = _linear(law, readings, theta, centre)
        own = jacobian @ covariance @ jacobian.T + about
        weights = cho_solve(cho_factor(own, lower=True), left)
        step = centre + (covariance @ jacobian.T @ weights).reshape(-1, P) - theta
        theta = theta + np.clip(step, -_STEP, _STEP)
        if np.abs(step).max() < 1e-6:
            break
    return theta


def law_prior(
    law: LawName,
    readings: Sequence[Readings],
    learnt: Learnt,
    calibration: Sequence[tuple[int, float]] = ((0, 1.0),),
) -> LawPrior:
    """Return a prior that knows these configurations."""
    return LawPrior(
        law=law,
        pooling=learnt.pooling,
        known=tuple(
            known(law, r, learnt.pooling, theta)
            for r, theta in zip(readings, learnt.theta, strict=True)
        ),
        calibration=tuple(calibration),
    )


def known(law: LawName, readings: Readings, pooling: Pooling, theta: FloatArray) -> Known:
    """Return what the points of a configuration say of its parameters."""
    centre = pooling.centre(law, [readings.configuration])
    ln_c, ln_y = np.log(readings.concurrency), np.log(readings.measured)
    here, gradient = LAWS[law](theta, ln_c)
    weighted = np.linalg.solve(pooling.spreads.covariance(ln_c), gradient)
    score = weighted.T @ (ln_y - here + gradient @ (theta - centre))
    information = weighted.T @ gradient
    return Known(
        configuration=readings.configuration,
        points=len(ln_c),
        lowest_concurrency=float(readings.concurrency.min()),
        highest_concurrency=float(readings.concurrency.max()),
        information=tuple(_triple(row) for row in information),
        score=_triple(score),
    )


def _likeliest_spreads(
    law: LawName, readings: Sequence[Readings], theta: FloatArray, pooling: Pooling
) -> FloatArray:
    """Return the logarithms of the spreads that make the readings most likely, shape (12,).

    The covariance is a sum of fixed matrices, each times the square of its spread, so value and
    gradient cost one factorisation.
    """
    centre = pooling.centre(law, [r.configuration for r in readings]).reshape(-1, P)
    left, jacobian = _linear(law, readings, theta, centre)
    fixed, terms = _terms(readings, jacobian, pooling)
    apart, among = _distances(readings)

    def unlikely(logs: FloatArray) -> tuple[float, FloatArray]:
        squares = np.exp(2.0 * logs[:-1])
        ratio = apart / np.exp(logs[-1])
        fading = among * np.exp(-ratio)
        misfit = (1.0 + ratio) * fading
        covariance = fixed + np.tensordot(squares[:9], terms, 1) + squares[10] * misfit
        covariance[np.diag_indices_from(covariance)] += squares[9]
        try:
            lower = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:  # spreads so far apart that rounding spoils it
            return 1e9, np.zeros_like(logs)
        inverse = cho_solve((lower, True), np.eye(len(left)))
        weights = inverse @ left
        # d/d ln s of (1/2) (y' V^-1 y + ln det V), V = s^2 M + ...: s^2 (V^-1 - w w') : M
        pull = inverse - np.outer(weights, weights)
        gradient = np.concatenate(
            [
                squares[:9] * np.tensordot(terms, pull, 2),
                [squares[9] * np.trace(pull)],
                [squares[10] * np.sum(pull * misfit)],
                [0.5 * squares[10] * np.sum(pull * ratio**2 * fading)],
            ]
        )
        weak = (logs - _MEDIANS) / _LOG_SPREADS
        value = 0.5 * (left @ weights + weak @ weak) + np.log(np.diag(lower)).sum()
        return float(value), gradient + weak / _LOG_SPREADS

    found = minimize(
        unlikely,
        _logarithms(pooling),
        jac=True,
        method="L-BFGS-B",
        bounds=[_LOG_BOUNDS] * len(_MEDIANS),
        options={"maxiter": _EVALUATIONS},
    )
    return np.asarray(found.x)


def _terms(
    readings: Sequence[Readings], jacobian: FloatArray, pooling: Pooling
) -> tuple[FloatArray, FloatArray]:
    """Return the covariance of the readings from the common mean, (M, M), and from each term.

    The terms have a spread of 1, (9, M, M): descriptors, models, own, each by parameter.
    """
    configurations = [r.configuration for r in readings]
    shared, model, own = similarities(configurations, configurations)
    by_parameter = [jacobian[:, k::P] for k in range(P)]
    terms = [j @ alike @ j.T for alike in (shared, model, own) for j in by_parameter]
    fixed = sum(
        (
            spread**2 * np.outer(j.sum(axis=1), j.sum(axis=1))
            for spread, j in zip(pooling.mean_spread, by_parameter, strict=True)
        ),
        start=np.zeros((len(jacobian), len(jacobian))),
    )
    return fixed, np.array(terms)


def _distances(readings: Sequence[Readings]) -> tuple[FloatArray, FloatArray]:
    """Return how far readings lie apart in ln c, and 1 where they are of one configuration."""
    ln_c = np.log(np.concatenate([r.concurrency for r in readings]))
    which = np.repeat(np.arange(len(readings)), [len(r.concurrency) for r in readings])
    among = (which[:, None] == which[None, :]).astype(float)
    return np.abs(ln_c[:, None] - ln_c[None, :]), among


def _linear(
    law: LawName, readings: Sequence[Readings], theta: FloatArray, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the readings less the law at the centre, (M,), and the jacobian, (M, 3N)."""
    total = sum(len(r.concurrency) for r in readings)
    jacobian, parts, at = np.zeros((total, P * len(readings))), [], 0
    for i, r in enumerate(readings):
        here, gradient = LAWS[law](theta[i], np.log(r.concurrency))
        parts.append(np.log(r.measured) - here + gradient @ (theta[i] - centre[i]))
        jacobian[at : at + len(here), P * i : P * i + P] = gradient
        at += len(here)
    return np.concatenate(parts), jacobian


def _about_law(readings: Sequence[Readings], spreads: Spreads) -> FloatArray:
    """Return the covariance of all readings about the law: one block by configuration."""
    total, at = sum(len(r.concurrency) for r in readings), 0
    result = np.zeros((total, total))
    for r in readings:
        n = len(r.concurrency)
        result[at : at + n, at : at + n] = spreads.covariance(np.log(r.concurrency))
        at += n
    return result


def _first_guess(law: LawName, readings: Readings) -> Triple:
    """Return parameters to begin from: the ends of the points."""
    order = np.argsort(readings.concurrency)
    ln_c, ln_y = np.log(readings.concurrency[order]), np.log(readings.measured[order])
    if law == "power":
        rise = max(float(ln_y[-1] - ln_y[0]) + 0.1, 0.1)
        return float(ln_y[0]) - 0.05, rise, float(ln_c.mean())
    return float(ln_c[0] - ln_y[0]), float(ln_y[-1]) + 0.3, 0.0


def _pooling(logs: FloatArray, mean: Triple, mean_spread: Triple) -> Pooling:
    spread = np.exp(logs)
    return Pooling(
        mean=mean,
        mean_spread=mean_spread,
        descriptor_spread=_triple(spread[0:3]),
        model_spread=_triple(spread[3:6]),
        own_spread=_triple(spread[6:9]),
        spreads=Spreads(
            noise=float(spread[9]), misfit=float(spread[10]), misfit_length=float(spread[11])
        ),
    )


def _logarithms(pooling: Pooling) -> FloatArray:
    about = pooling.spreads
    return np.log(
        [
            *pooling.descriptor_spread,
            *pooling.model_spread,
            *pooling.own_spread,
            about.noise,
            about.misfit,
            about.misfit_length,
        ]
    )


def _triple(values: FloatArray) -> Triple:
    a, b, c = (float(value) for value in values)
    return a, b, c
