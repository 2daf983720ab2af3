"""What the state of charge says of the battery's efficiency.

Over a stretch in which the battery gives, or takes, at a power that does not jump:

    giving   energy that its site's model takes from the cells / energy that left them
    taking   energy that entered the cells / energy that its site's model puts into them

is the one-way efficiency over the site's.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.models.tracking.assumed import MOVED_SOC
from ebplan.site import Battery
from ebplan.state import State

LONGEST_S = 10.0
"""Readings further apart than this leave unknown what happened between them."""
JUMP_SHARE = 0.1
"""A power that changes by more than this share between two readings jumps."""
IDLE_SHARE = 0.02
"""Less than this share of the rated power is rest."""


@dataclass
class CellsWatch:
    """Gathers what is moved one way."""

    battery: Battery
    _last: State | None = None
    _from_soc: float = 0.0
    """State of charge when the stretch began."""
    _moved_kws: float = 0.0
    """What its model took from the cells since; < 0 put in."""

    def see(self, measured: State) -> float | None:
        """Take a reading in; return the efficiency over the site's once enough has moved."""
        last, self._last = self._last, measured
        if measured.soc is None or not measured.converter_available:
            self._last = None
            return None
        if last is None or last.soc is None or not self._goes_on(last, measured):
            self._from_soc, self._moved_kws = measured.soc, 0.0
            return None
        seconds = (measured.at - last.at).total_seconds()
        # the reading is the mean since the last one
        self._moved_kws += self._from_cells_kw(measured.battery_kw) * seconds
        capacity_kws = self.battery.energy_kwh * 3600.0
        if abs(self._moved_kws) < MOVED_SOC * capacity_kws:
            return None
        left_kws = (self._from_soc - measured.soc) * capacity_kws
        modelled_kws = self._moved_kws
        self._from_soc, self._moved_kws = measured.soc, 0.0
        if left_kws * modelled_kws <= 0.0:
            return None  # a counter that was set anew
        return modelled_kws / left_kws if modelled_kws > 0.0 else left_kws / modelled_kws

    def _goes_on(self, last: State, measured: State) -> bool:
        """Tell whether the battery went on as before between two readings."""
        kw, before_kw = measured.battery_kw, last.battery_kw
        rest_kw = IDLE_SHARE * self.battery.converter_rated_kw
        seconds = (measured.at - last.at).total_seconds()
        return (
            0.0 < seconds <= LONGEST_S
            and abs(kw) > rest_kw
            and abs(kw - before_kw) <= JUMP_SHARE * abs(before_kw)
        )

    def _from_cells_kw(self, kw: float) -> float:
        """Return what leaves the cells by the site's model; < 0 enters them."""
        of, size = self.battery, abs(kw)
        loss_kw = of.converter_loss_linear * size
        loss_kw += of.converter_loss_quadratic * size * size / of.converter_rated_kw
        if kw > 0.0:
            return (kw + loss_kw) / of.cell_efficiency
        return (kw + loss_kw) * of.cell_efficiency
