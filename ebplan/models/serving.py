"""Serving instances as measured: power, throughput and latency against requests in flight.

Each configuration carries the prior it began from and the points measured, so that it answers with
an interval whether it was measured much, a little, or not at all.

Latency is two things. With ``c`` requests in flight and ``x`` output tokens per second, Little's
law gives the mean time between two tokens, over a request, as ``c / x``: it is no percentile, and
prompts that are worked on between the steps are in it. The median is fitted where it was measured;
where it was not, the prior gives an interval of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import Part, Positive
from ebplan.errors import InputError
from ebplan.models.card import ModelCard
from ebplan.models.configuration import Configuration
from ebplan.models.curve import Curve
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.laws import PARAMETERS
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.site import MeasurementPoint

Evidence = Literal["prior", "prior and points", "measured"]

ALIKE = 0.05
"""Loads that differ by less than this share are one: a repeat does not determine a law."""


class Served(Part):
    """One configuration."""

    configuration: Configuration
    """What is served on what."""
    power: Curve
    """Power of an instance in kW."""
    throughput: Curve
    """Output tokens of an instance per second."""
    pace: Curve | None = None
    """Requests in flight over the median time between two tokens, per second; absent in models that
    were fitted without it."""
    concurrency: tuple[Positive, Positive]
    """Fewest and most requests in flight covered: by the points, or by the prior without any."""

    @property
    def evidence(self) -> Evidence:
        """What it rests on: measured only where it has more loads than a law has parameters."""
        loads = min(distinct_loads(c.concurrency) for c in (self.power, self.throughput))
        if not loads:
            return "prior"
        return "measured" if loads > len(PARAMETERS["power"]) else "prior and points"


class ServingModel(WithPoints):
    """Power, throughput and latency of serving instances."""

    kind: Literal["serving_model"] = "serving_model"
    """Document kind."""
    name: str
    """Name of the artefact."""
    measurement_point: MeasurementPoint
    """Where every power of this model is metered."""
    configurations: tuple[Served, ...] = Field(min_length=1)
    """The configurations."""
    card: ModelCard
    """What it was made from."""

    def configuration(self, name: str) -> Served:
        """Return a configuration by name.

        Raises:
            InputError: there is none; the error names those there are.
        """
        for served in self.configurations:
            if served.configuration.name == name:
                return served
        raise InputError(
            field="configuration",
            value=name,
            allowed=", ".join(s.configuration.name for s in self.configurations),
            remedy="choose one of these, or fit it",
        )

    def power_kw(
        self,
        name: str,
        concurrency: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the power of one instance in kW.

        Args:
            name: configuration.
            concurrency: requests in flight, shape () or (N,).
            confidence: share of new readings that the interval is made to hold.
            allow_extrapolation: accept loads outside those covered.

        Raises:
            InputError: no such configuration.
            RangeError: outside the loads covered.
        """
        served = self.configuration(name)
        at = _covered(served, concurrency, allow_extrapolation)
        return _within_limit(served, served.power.estimate(at, confidence))

    def tokens_per_s(
        self,
        name: str,
        concurrency: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the output tokens of one instance per second; for arguments see ``power_kw``."""
        served = self.configuration(name)
        at = _covered(served, concurrency, allow_extrapolation)
        return served.throughput.estimate(at, confidence)

    def itl_s(
        self,
        name: str,
        concurrency: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the mean time between two tokens, over a request, in s; arguments: ``power_kw``.

        By Little's law from throughput, with throughput's interval: not a percentile.
        """
        served = self.configuration(name)
        at = _covered(served, concurrency, allow_extrapolation)
        return _between_tokens(at, served.throughput.estimate(at, confidence))

    def itl_p50_s(
        self,
        name: str,
        concurrency: float | FloatArray,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the median time between two tokens in s; for arguments see ``power_kw``.

        Without a mean where it was not measured: the prior gives the interval alone.

        Raises:
            InputError: the model was fitted without it.
        """
        served = self.configuration(name)
        if served.pace is None:
            raise InputError(
                field="pace",
                value=None,
                allowed="a model with the median time between two tokens",
                remedy="fit it again, with a column itl; itl_s gives the mean over a request",
            )
        at = _covered(served, concurrency, allow_extrapolation)
        return _between_tokens(at, served.pace.estimate(at, confidence))


def distinct_loads(concurrency: Sequence[float]) -> int:
    """Return how many different loads a configuration was measured at."""
    count, last = 0, 0.0
    for load in sorted(concurrency):
        if load > (1.0 + ALIKE) * last:
            count, last = count + 1, load
    return count


def _between_tokens(concurrency: FloatArray, per_s: Estimate) -> Estimate:
    """Return the time between two tokens of a request from the tokens per second of all."""
    return Estimate(
        mean=None if per_s.mean is None else concurrency / per_s.mean,
        low=concurrency / per_s.high,
        high=concurrency / per_s.low,
        confidence=per_s.confidence,
    )


def _within_limit(served: Served, power: Estimate) -> Estimate:
    """Return a power that the boards' own limit allows: they hold it."""
    board = served.configuration
    most_kw = board.gpus * board.gpu_limit_w / 1000.0
    mean = None if power.mean is None else np.minimum(power.mean, most_kw)
    return Estimate(
        mean=mean,
        low=np.minimum(power.low, most_kw),
        high=np.minimum(power.high, most_kw),
        confidence=power.confidence,
    )


def _covered(served: Served, concurrency: float | FloatArray, anyway: bool) -> FloatArray:
    at = np.atleast_1d(np.asarray(concurrency, dtype=float))
    if not anyway:
        check_ranges(
            ("concurrency", float(c), served.concurrency, "requests in flight") for c in at
        )
    return at
