"""Readings as a figure shows them: a line breaks where nothing was metered, and that is shaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.report.canvas import GREY
from ebplan.settlement.series import FloatArray, MeterSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_METERED = "not metered"


@dataclass(frozen=True, eq=False)
class Shown:
    """The readings of a series that a figure shows, each in its slot of an even grid."""

    meter: MeterSeries
    """The series."""
    which: NDArray[np.bool_]
    """Its intervals that are shown, shape (n,)."""
    start_s: float
    """Time 0 of the figure in seconds of the series."""
    scale_s: float
    """Seconds in a unit of the time axis."""

    @property
    def slots(self) -> NDArray[np.intp]:
        """Slot of each reading shown, rising from 0 on, shape (shown,)."""
        at_s = self.meter.time_s[self.which]
        return np.asarray(np.round((at_s - at_s[0]) / self.meter.interval_s), dtype=np.intp)

    @property
    def edges(self) -> FloatArray:
        """Ends of the slots on the time axis, shape (slots + 1,)."""
        first_s = float(self.meter.time_s[self.which][0]) - self.start_s
        count = int(self.slots[-1]) + 2
        return np.asarray((first_s + self.meter.interval_s * np.arange(count)) / self.scale_s)

    def values(self, kw: FloatArray) -> FloatArray:
        """Return a power in each slot, NaN where nothing was metered, shape (slots,).

        Args:
            kw: in each interval of the series, shape (n,).
        """
        found = np.full(int(self.slots[-1]) + 1, np.nan)
        found[self.slots] = kw[self.which]
        return found


def shade_gaps(axes: Axes, meter: MeterSeries, start_s: float, scale_s: float) -> None:
    """Shade what was not metered between the readings of a series.

    Args:
        axes: where.
        meter: the series.
        start_s: time 0 of the axis in seconds of the series.
        scale_s: seconds in a unit of the axis.
    """
    for i, gap_s in enumerate(meter.gaps_s):
        low, high = ((end_s - start_s) / scale_s for end_s in gap_s)
        axes.axvspan(
            low,
            high,
            facecolor="none",
            edgecolor=GREY,
            hatch="////",
            linewidth=0.0,
            alpha=0.5,
            label=None if i else NOT_METERED,
        )
