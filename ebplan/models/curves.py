"""The two curves of an awake, loaded serving instance: power against load, capacity against power.

Together they bound the *lens* in which an instance can be operated (formulation in
docs/formulation.md): capped exactly to its load at the bottom, not capped at all at the top.

Both are concave. A line *through* two points of a concave curve lies below it between them, so
piecewise-linear interpolation never overestimates the power that can be drawn nor the work that
can be served.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part, Positive

FloatArray = NDArray[np.float64]
Lines = tuple[tuple[float, float], ...]
"""Lines ``(slope, intercept)``; the curve is their minimum."""


class LoadTerm(Part):
    """One workload's share of the busy power: ``amplitude_kw * u ** exponent``."""

    amplitude_kw: Positive
    """Power above idle at saturation in kW."""
    exponent: float = Field(gt=0.0, le=1.0)
    """Exponent of the load; at most 1, so that the term is concave."""


class LoadCurve(Part):
    """Uncapped power of one awake instance against its utilisation ``u`` in 0..1.

        f(u) = idle + sum_j a_j u^g_j        for u >= u_1
        f(u) = idle + (u / u_1) (f(u_1) - idle)   below

    ``u_1`` is one request in flight: below it the instance is busy with one request part of the
    time and idle otherwise, so power is linear in the duty. ``u = 1`` is an uncapped instance at
    saturation.
    """

    idle_kw: Positive
    """Power of an awake instance without load in kW."""
    terms: tuple[LoadTerm, ...] = Field(min_length=1)
    """Busy power by workload."""
    one_request_utilisation: float = Field(gt=0.0, lt=1.0)
    """Utilisation at which one request is in flight on average."""
    valid_from_utilisation: float = Field(ge=0.0, lt=1.0)
    """Lowest utilisation that the data cover."""

    @property
    def full_kw(self) -> float:
        """Power at saturation in kW."""
        return self.idle_kw + sum(term.amplitude_kw for term in self.terms)

    def power_kw(self, utilisation: float | FloatArray) -> FloatArray:
        """Return the uncapped power in kW, same shape as ``utilisation``."""
        u = np.asarray(utilisation, dtype=float)
        busy = np.maximum(u, self.one_request_utilisation)
        above: FloatArray | float = 0.0
        for term in self.terms:
            above = above + term.amplitude_kw * busy**term.exponent
        duty = np.minimum(u / self.one_request_utilisation, 1.0)
        return np.asarray(self.idle_kw + duty * above)

    def tangent(self, utilisation: float) -> tuple[float, float]:
        """Return ``(slope, intercept)`` of the tangent at ``utilisation``: nowhere below."""
        u = max(utilisation, self.one_request_utilisation)
        slope = sum(t.amplitude_kw * t.exponent * u ** (t.exponent - 1.0) for t in self.terms)
        return slope, float(self.power_kw(u)) - slope * u

    def scaled(self, factor: float) -> LoadCurve:
        """Return the same curve seen at another measurement point (power times ``factor``)."""
        return self.model_copy(
            update={
                "idle_kw": self.idle_kw * factor,
                "terms": tuple(
                    LoadTerm(amplitude_kw=t.amplitude_kw * factor, exponent=t.exponent)
                    for t in self.terms
                ),
            }
        )


class CapCurve(Part):
    """Capacity of one instance against the power it is allowed, as a share of its full capacity.

        s(p) = min( (p / p_1)^g, 1 + g (p / p_1 - 1), 1 )

    ``p_1`` is the power from which on a cap costs nothing: the draw at the highest utilisation
    planned for. ``g`` is the elasticity of throughput to power. For ``g <= 1`` the power law
    rules; for ``g > 1`` the power law is convex and its tangent at ``p_1``, which lies below it,
    is taken: the curve is concave and cautious either way.
    """

    full_kw: Positive
    """Power from which on the capacity is full, in kW."""
    elasticity: float = Field(gt=0.0, le=4.0)
    """d ln(throughput) / d ln(power) at full power."""
    floor_kw: Positive
    """Lowest power an instance may be capped to in kW."""

    @model_validator(mode="after")
    def _ordered(self) -> CapCurve:
        if self.floor_kw > self.full_kw:
            raise FieldFault(
                field="floor_kw",
                value=self.floor_kw,
                allowed=f"<= full_kw = {self.full_kw}",
                remedy="a cap above the full power never binds: lower the floor",
            )
        if self.capacity(self.floor_kw) < 0.0:
            raise FieldFault(
                field="floor_kw",
                value=self.floor_kw,
                allowed=f">= {self.full_kw * (1 - 1 / self.elasticity):.3f} at this elasticity",
                remedy="raise the floor: the capacity there would be negative",
            )
        return self

    def capacity(self, power_kw: float | FloatArray) -> FloatArray:
        """Return the capacity (1 = uncapped) at ``power_kw``, same shape."""
        ratio = np.asarray(power_kw, dtype=float) / self.full_kw
        capped = np.minimum(ratio**self.elasticity, 1.0 + self.elasticity * (ratio - 1.0))
        return np.minimum(capped, 1.0)

    def lowest_power_kw(self, capacity: float | FloatArray) -> FloatArray:
        """Return the lowest power that may be set and leaves a capacity of at most 1, same shape.

        The smaller branch decides the capacity, the larger one its inverse.
        """
        needed = np.asarray(capacity, dtype=float)
        by_power_law = self.full_kw * needed ** (1.0 / self.elasticity)
        by_tangent = self.full_kw * (1.0 + (needed - 1.0) / self.elasticity)
        return np.maximum(self.floor_kw, np.maximum(by_power_law, by_tangent))


def chords(x: Sequence[float] | FloatArray, y: FloatArray) -> Lines:
    """Return the lines through neighbouring points of a concave curve.

    Args:
        x: abscissae, strictly increasing, shape (K,), K >= 2.
        y: ordinates of a concave curve there, shape (K,).

    Between ``x[0]`` and ``x[-1]`` the minimum of the lines interpolates the points.
    """
    xs = np.asarray(x, dtype=float)
    slope = np.diff(y) / np.diff(xs)
    return tuple((float(a), float(b)) for a, b in zip(slope, y[:-1] - slope * xs[:-1], strict=True))
