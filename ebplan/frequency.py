"""Frequency response: a curve says how much of the capacity each frequency asks for.

Below the nominal frequency the site releases, above it absorbs; the share lies between -1 (all of
the release) and 1 (all of the absorption), like every target. Curves:

- ``droop``: nothing within the dead band, then linear from its edge to everything at ``full_hz``
  (a dead band by offset).
- ``knee``: linear from the dead band to ``knee_fraction`` at ``knee_hz``, and from there to
  everything at ``full_hz``. Dynamic Containment in Great Britain: 0.015 Hz, 5 % at 0.2 Hz, 100 %
  at 0.5 Hz (NESO, Response Service Terms, in force from 2026-07-31).
- ``threshold``: everything at once at ``full_hz`` and beyond, nothing before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

FARTHEST = 0.1
"""A frequency further from nominal than this share of it is no frequency of a grid."""


class ResponseCurve(Part):
    """Share of the capacity asked for against the deviation from nominal; the same both ways."""

    shape: Literal["droop", "knee", "threshold"]
    """How the response grows with the deviation."""
    dead_band_hz: NonNegative = 0.0
    """Nothing is asked up to this deviation."""
    full_hz: Positive
    """Everything is asked from this deviation on."""
    knee_hz: Positive | None = None
    """Deviation at the knee; only for ``knee``."""
    knee_fraction: Fraction | None = None
    """Share asked at the knee; only for ``knee``."""

    @model_validator(mode="after")
    def _knee_where_it_is_one(self) -> ResponseCurve:
        for field in ("knee_hz", "knee_fraction"):
            value = getattr(self, field)
            if (value is None) == (self.shape == "knee"):
                raise FieldFault(
                    field=field,
                    value=value,
                    allowed="a value with shape 'knee', none with the others",
                    remedy=f"add or remove {field}",
                )
        return self

    @model_validator(mode="after")
    def _rising(self) -> ResponseCurve:
        if self.shape == "threshold" and self.dead_band_hz:
            raise FieldFault(
                field="dead_band_hz",
                value=self.dead_band_hz,
                allowed="0 with shape 'threshold': nothing is asked before full_hz",
                remedy="remove dead_band_hz",
            )
        at_hz = [hz for hz in (self.dead_band_hz, self.knee_hz, self.full_hz) if hz is not None]
        if any(b <= a for a, b in pairwise(at_hz)):
            raise FieldFault(
                field="full_hz",
                value=self.full_hz,
                allowed="dead_band_hz < knee_hz (where there is one) < full_hz",
                remedy="correct the deviations",
            )
        return self

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Deviations at which the curve bends or jumps, rising."""
        corners = (self.dead_band_hz, self.knee_hz, self.full_hz)
        return tuple(hz for hz in corners if hz is not None)

    def share(self, deviation_hz: FloatArray) -> FloatArray:
        """Return the share asked for at deviations ``f - nominal``, -1 to 1, same shape."""
        import numpy as np

        size = np.abs(deviation_hz)
        if self.shape == "threshold":
            grown = (size >= self.full_hz).astype(float)
        else:
            knee = () if self.knee_fraction is None else (self.knee_fraction,)
            grown = np.interp(size, self.corners_hz, (0.0, *knee, 1.0))
        return np.asarray(np.sign(deviation_hz) * grown)


class FrequencyResponse(Part):
    """A capacity that follows the frequency, and the frequency it meets."""

    release_capacity_kw: NonNegative
    """Draw less by this at full under-frequency."""
    absorb_capacity_kw: NonNegative
    """Draw more by this at full over-frequency."""
    curve: ResponseCurve
    """Share of the capacity against the deviation."""
    nominal_hz: Positive
    """Nominal frequency."""
    trace: tuple[tuple[float, float], ...] = ()
    """Frequency over time as (seconds from the start of the event, Hz), linear in between."""
    trace_file: str | None = None
    """The same as a CSV file with the header t_s,hz; its path counts from the event's file."""
    tolerance_kw: NonNegative = 0.0
    """How far the draw may lie from the target, either way, without missing it."""

    @model_validator(mode="after")
    def _worth_answering(self) -> FrequencyResponse:
        most_kw = max(self.release_capacity_kw, self.absorb_capacity_kw)
        if most_kw <= self.tolerance_kw:
            raise FieldFault(
                field="release_capacity_kw",
                value=self.release_capacity_kw,
                allowed=f"> tolerance_kw = {self.tolerance_kw:g}, this or absorb_capacity_kw",
                remedy="offer a capacity that is more than the tolerance",
            )
        if bool(self.trace) == (self.trace_file is not None):
            raise FieldFault(
                field="trace",
                value="both" if self.trace else None,
                allowed="either trace or trace_file",
                remedy="keep one",
            )
        return self

    @model_validator(mode="after")
    def _a_trace_of_a_grid(self) -> FrequencyResponse:
        for i, (before, after) in enumerate(pairwise(self.trace)):
            if after[0] <= before[0]:
                raise FieldFault(
                    field=f"trace.{i + 1}",
                    value=after[0],
                    allowed=f"> {before[0]:g} s, the time before it",
                    remedy="sort the trace by time",
                )
        low, high = (1.0 - FARTHEST) * self.nominal_hz, (1.0 + FARTHEST) * self.nominal_hz
        for i, (_, hz) in enumerate(self.trace):
            if not low <= hz <= high:
                raise FieldFault(
                    field=f"trace.{i}",
                    value=hz,
                    allowed=f"{low:g} to {high:g} Hz",
                    remedy="give the frequency in Hz, or correct nominal_hz",
                )
        return self

    def target_kw(self, edges_s: FloatArray) -> FloatArray:
        """Return the mean change asked for in each step, shape (T,).

        The mean of the curve over the trace inside the step, exact: between the times at which
        the trace bends or crosses a corner of the curve, the share is linear. What moves faster
        than a step is left to the droop armed in the converter. Outside the trace its ends hold.

        Args:
            edges_s: step edges in seconds from the start of the event, shape (T + 1,).
        """
        import numpy as np

        t_s, hz = np.array(self.trace).T
        deviation_hz = hz - self.nominal_hz
        times = np.unique(np.concatenate([edges_s, t_s, self._crossings_s(t_s, deviation_hz)]))
        times = times[(times >= edges_s[0]) & (times <= edges_s[-1])]
        middle_s = 0.5 * (times[:-1] + times[1:])
        share = self.curve.share(np.interp(middle_s, t_s, deviation_hz))
        kw = np.where(share < 0.0, self.release_capacity_kw, self.absorb_capacity_kw) * share
        summed = np.r_[0.0, np.cumsum(kw * np.diff(times))]
        return np.asarray(np.diff(summed[np.searchsorted(times, edges_s)]) / np.diff(edges_s))

    def _crossings_s(self, t_s: FloatArray, deviation_hz: FloatArray) -> FloatArray:
        """Return the times at which the trace crosses a corner of the curve, on either side."""
        import numpy as np

        found = [np.zeros(0)]
        for corner_hz in self.curve.corners_hz:
            for level in (-corner_hz, corner_hz):
                above = deviation_hz - level
                at = np.flatnonzero(above[:-1] * above[1:] < 0.0)
                share = above[at] / (above[at] - above[at + 1])
                found.append(t_s[at] + share * (t_s[at + 1] - t_s[at]))
        return np.concatenate(found)
