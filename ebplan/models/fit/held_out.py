"""What a prior is worth on configurations it has not seen, and the calibration that follows.

A group of configurations (all those of one model, say) is taken out, spreads and prior are learnt
anew from the rest, and each configuration of the group is given back ``k`` points, spread evenly
over its logarithmic range with both ends in, as someone would who may measure only so many. The
other points are predicted. Learning anew begins from nothing: where several sets of spreads are
likely, a search that began from those of all readings would stay with what the group itself said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curve import Curve
from ebplan.models.curves import FloatArray
from ebplan.models.fit.pooling import Readings, law_prior, learn
from ebplan.models.fleet_prior import LawPrior
from ebplan.models.laws import LawName

GIVEN = (0, 2, 5)
"""Numbers of points that are given back."""
CALIBRATED_AT = 0.9
"""Confidence at which the standard deviations are calibrated."""
_LEAST_FACTOR = 0.5

GroupOf = Callable[[Readings], str]
_Missed = tuple[str, FloatArray, FloatArray]
"""Group, ln of prediction over measurement, and the standard deviation stated, of some points."""


@dataclass(frozen=True)
class HeldOut:
    """Points that were predicted without having been seen."""

    group: NDArray[np.str_]
    """What was taken out with each, shape (M,)."""
    off: FloatArray
    """ln of prediction over measurement, shape (M,)."""
    deviation: FloatArray
    """Standard deviation that was stated, shape (M,)."""

    @property
    def share(self) -> FloatArray:
        """Absolute relative error, shape (M,)."""
        return np.abs(np.expm1(self.off))

    def factor(self, keep: NDArray[np.bool_] | None = None) -> float:
        """Return what standard deviations are to be multiplied by, from the points in ``keep``."""
        ratio = np.abs(self.off / self.deviation)
        return calibration(ratio if keep is None else ratio[keep])

    def coverage(self) -> float:
        """Return the share of points inside their interval, calibrated on the other groups."""
        wide = NormalDist().inv_cdf(0.5 + 0.5 * CALIBRATED_AT)
        inside = np.zeros(len(self.off), dtype=bool)
        for group in np.unique(self.group):
            mine = self.group == group
            limit = wide * self.factor(~mine) * self.deviation[mine]
            inside[mine] = np.abs(self.off[mine]) <= limit
        return float(inside.mean())


def calibration(ratio: FloatArray) -> float:
    """Return the factor that makes the interval hold the stated share of such points.

    The quantile of the errors in standard deviations, with the finite-sample correction of split
    conformal prediction (Vovk et al., Algorithmic Learning in a Random World, 2005), over that of
    the normal distribution.
    """
    n = len(ratio)
    rank = min(ceil((n + 1) * CALIBRATED_AT), n)
    wide = NormalDist().inv_cdf(0.5 + 0.5 * CALIBRATED_AT)
    return max(float(np.sort(ratio)[rank - 1]) / wide, _LEAST_FACTOR)


def spread_evenly(count: int, given: int) -> NDArray[np.intp]:
    """Return which of ``count`` ordered points are given back."""
    return np.unique(np.round(np.linspace(0, count - 1, given)).astype(np.intp))


def at_random(seed: int) -> Callable[[int, int], NDArray[np.intp]]:
    """Return a choice of points by chance, always the same for one seed."""
    random = np.random.default_rng(seed)
    return lambda count, given: np.sort(random.permutation(count)[:given])


def without_groups(
    law: LawName,
    readings: Sequence[Readings],
    group_of: GroupOf,
    *,
    only: Iterable[str] | None = None,
) -> dict[str, LawPrior]:
    """Return, by group, the prior learnt from all configurations outside it.

    Args:
        law: which law.
        readings: points by configuration, in order of concurrency.
        group_of: names the group of a configuration.
        only: groups to take out; each in turn where absent.
    """
    priors = {}
    for group in sorted({group_of(r) for r in readings} if only is None else only):
        others = [r for r in readings if group_of(r) != group]
        priors[group] = law_prior(law, others, learn(law, others))
    return priors


def leave_groups_out(
    priors: Mapping[str, LawPrior],
    readings: Sequence[Readings],
    group_of: GroupOf,
    *,
    given: Iterable[int] = GIVEN,
    choose: Callable[[int, int], NDArray[np.intp]] = spread_evenly,
    draws: int = 1,
) -> dict[int, HeldOut]:
    """Predict each group from the others and from a few points of its own.

    Args:
        priors: what the others teach, by group (``without_groups``).
        readings: points by configuration, in order of concurrency.
        group_of: names the group of a configuration.
        given: numbers of points given back.
        choose: picks the points given back.
        draws: how often, where the choice is by chance.
    """
    found: dict[int, list[_Missed]] = {k: [] for k in given}
    for r in readings:
        group = group_of(r)
        if group not in priors:
            continue
        count, predict = len(r.concurrency), _predictor(priors[group], r)
        for k, into in found.items():
            if count <= k:
                continue
            for _ in range(draws if k else 1):
                into.append((group, *predict(np.isin(np.arange(count), choose(count, k)))))
    return {k: _gathered(parts) for k, parts in found.items() if parts}


def leave_points_out(priors: Mapping[str, LawPrior], readings: Sequence[Readings]) -> HeldOut:
    """Predict each point from the others of its configuration and all other configurations.

    Args:
        priors: what the others teach, by name of the configuration (``without_groups``): its own
            points enter no spread.
        readings: points by configuration, in order of concurrency.
    """
    parts: list[_Missed] = []
    for r in readings:
        name = r.configuration.name
        predict = _predictor(priors[name], r)
        which = np.arange(len(r.concurrency))
        parts.extend((name, *predict(which != j)) for j in which)
    return _gathered(parts)


def _predictor(
    prior: LawPrior, r: Readings
) -> Callable[[NDArray[np.bool_]], tuple[FloatArray, FloatArray]]:
    """Return what predicts a configuration from those of its points that are kept."""
    mean, covariance = prior.curves([r.configuration])

    def predict(keep: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        curve = prior.conditioned(
            mean, covariance, r.concurrency[keep].tolist(), r.measured[keep].tolist()
        )
        return _miss(curve, r.where(~keep))

    return predict


def _miss(curve: Curve, r: Readings) -> tuple[FloatArray, FloatArray]:
    """Return how far a curve lies from points, and how far it says it may; in logarithms."""
    ln_y, deviation = curve.logarithm(np.log(r.concurrency))
    return ln_y - np.log(r.measured), deviation


def _gathered(parts: Sequence[_Missed]) -> HeldOut:
    return HeldOut(
        group=np.array([group for group, off, _ in parts for _ in off], dtype=str),
        off=np.concatenate([off for _, off, _ in parts]),
        deviation=np.concatenate([deviation for _, _, deviation in parts]),
    )
