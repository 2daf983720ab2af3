"""What is known before measuring: partial pooling over configurations that others have measured.

The parameters of a configuration are what physics says, plus terms that it shares with others

    theta = physical + mean + slopes . descriptors + of its GPU + of its model + its own

each normal about zero with its own spread, by parameter. Configurations of one model share the
model's term, those on one kind of GPU the GPU's; a new model or GPU begins at zero with the whole
spread, which is why its interval is wide. The known configurations are kept as what their points
say of theta (information form, the law taken as linear about its most likely parameters), so a
prior is one linear system.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import Document, Part, Positive
from ebplan.models.card import ModelCard
from ebplan.models.configuration import Configuration
from ebplan.models.curve import Curve, Spreads
from ebplan.models.curves import FloatArray
from ebplan.models.laws import LawName
from ebplan.site import MeasurementPoint

Triple = tuple[float, float, float]
P = 3
"""Parameters of a law."""


class Pooling(Part):
    """Spreads of the terms, by parameter of the law."""

    mean: Triple
    """Centre of the common mean, beyond what physics says."""
    mean_spread: Triple
    """Standard deviation of the common mean: wide, the data decide it."""
    descriptor_spread: Triple
    """Of a slope, and of a kind of GPU."""
    model_spread: Triple
    """Of a model."""
    own_spread: Triple
    """Of a configuration by itself."""
    spreads: Spreads
    """How far points lie from the law."""

    def covariance(self, a: Sequence[Configuration], b: Sequence[Configuration]) -> FloatArray:
        """Return the prior covariance between the parameters of configurations, (3A, 3B).

        A configuration is itself only where it stands at the same place of the same sequence.
        """
        shared, model, own = similarities(a, b)
        result = np.zeros((len(a), P, len(b), P))
        for k in range(P):
            result[:, k, :, k] = (
                self.mean_spread[k] ** 2
                + self.descriptor_spread[k] ** 2 * shared
                + self.model_spread[k] ** 2 * model
                + self.own_spread[k] ** 2 * own
            )
        return result.reshape(P * len(a), P * len(b))

    def centre(self, law: LawName, configurations: Sequence[Configuration]) -> FloatArray:
        """Return the prior mean of the parameters, shape (3N,)."""
        return np.concatenate([c.physical(law) + np.array(self.mean) for c in configurations])


class Known(Part):
    """What the points of one known configuration say of its parameters."""

    configuration: Configuration
    """The configuration."""
    points: int = Field(ge=1)
    """Points it was measured at."""
    lowest_concurrency: Positive
    """Fewest requests in flight among them."""
    highest_concurrency: Positive
    """Most requests in flight among them."""
    information: tuple[Triple, ...] = Field(min_length=P, max_length=P)
    """J' W^-1 J at the most likely parameters."""
    score: Triple
    """J' W^-1 (ln y - law + J (theta - centre)): information times the estimate."""


class LawPrior(Part):
    """The prior of one law."""

    law: LawName
    """Which law."""
    pooling: Pooling
    """Spreads of the terms."""
    known: tuple[Known, ...]
    """Known configurations."""
    calibration: tuple[tuple[int, Positive], ...] = Field(min_length=1)
    """(points of one's own, what a standard deviation is multiplied by), fewest first: found on
    models that were held out."""

    def curves(self, configurations: Sequence[Configuration]) -> tuple[FloatArray, FloatArray]:
        """Return mean, shape (3N,), and covariance, shape (3N, 3N), of new configurations."""
        pooling = self.pooling
        centre = pooling.centre(self.law, configurations)
        among = pooling.covariance(configurations, configurations)
        if not self.known:
            return centre, among
        old = [k.configuration for k in self.known]
        across = pooling.covariance(configurations, old)
        covariance = pooling.covariance(old, old)
        information = np.zeros_like(covariance)
        for i, known in enumerate(self.known):
            information[P * i : P * i + P, P * i : P * i + P] = known.information
        score = np.concatenate([known.score for known in self.known])
        # K* (I + A K)^-1 s: no inverse of A, which is singular where points are few
        solved = np.linalg.solve(
            np.eye(len(score)) + information @ covariance,
            np.column_stack([score, information @ across.T]),
        )
        return centre + across @ solved[:, 0], among - across @ solved[:, 1:]

    def factor(self, points: int) -> float:
        """Return the calibration for so many points of one's own."""
        at, factor = zip(*self.calibration, strict=True)
        return float(np.interp(points, at, factor))

    def curve(
        self,
        configuration: Configuration,
        concurrency: Sequence[float] = (),
        measured: Sequence[float] = (),
    ) -> Curve:
        """Return the law of one configuration with the points measured, if any."""
        mean, covariance = self.curves([configuration])
        return self.conditioned(mean, covariance, concurrency, measured)

    def conditioned(
        self,
        mean: FloatArray,
        covariance: FloatArray,
        concurrency: Sequence[float],
        measured: Sequence[float],
    ) -> Curve:
        """Return a curve from the mean, (3,), and covariance, (3, 3), of its parameters."""
        symmetric = 0.5 * (covariance + covariance.T)
        return Curve(
            law=self.law,
            prior_mean=_triple(mean),
            prior_covariance=tuple(_triple(row) for row in symmetric),
            spreads=self.pooling.spreads,
            concurrency=tuple(float(c) for c in concurrency),
            measured=tuple(float(y) for y in measured),
            calibration=self.factor(len(concurrency)),
        )


class FleetPrior(Document):
    """What the known fleet data say of a configuration that nobody has measured."""

    kind: Literal["fleet_prior"] = "fleet_prior"
    """Document kind."""
    name: str
    """Name in the library."""
    measurement_point: MeasurementPoint
    """Where every power of this prior is metered."""
    power: LawPrior
    """Power of an instance in kW."""
    throughput: LawPrior
    """Output tokens of an instance per second."""
    pace: LawPrior | None = None
    """Requests in flight over the median time between two tokens, per second; absent in priors that
    were learnt without it."""
    card: ModelCard
    """What it was made from."""


def similarities(
    a: Sequence[Configuration], b: Sequence[Configuration]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how alike configurations are, shape (A, B) each.

    By descriptors and kind of GPU; 1 where they serve one model; 1 where they are the same, at the
    same place of the same sequence.
    """
    one, other = (np.array([c.descriptors() for c in cs]) for cs in (a, b))
    shared = one @ other.T + _alike([c.gpu for c in a], [c.gpu for c in b])
    model = _alike([c.family() for c in a], [c.family() for c in b])
    return shared, model, np.eye(len(a)) if a is b else np.zeros((len(a), len(b)))


def _alike(a: Sequence[str], b: Sequence[str]) -> FloatArray:
    return np.array([[float(x == y) for y in b] for x in a])


def _triple(values: FloatArray) -> Triple:
    a, b, c = (float(value) for value in values)
    return a, b, c
