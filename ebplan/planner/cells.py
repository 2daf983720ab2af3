"""What readings say of the energy and the efficiency of the battery's cells.

Over a stretch in which the battery gives, or takes, at a power that does not jump, what its site's
model takes from the cells is held against what the state of charge says left them: energy and
efficiency together (``giving``, ``taking``). Where the power that leaves the cells is measured, its
sum tells the energy by itself (``counted``), and each reading of it the efficiency. What the values
mean stands in ``ebplan.models.tracking.storage``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from ebplan.models.tracking.assumed import MOVED_SOC
from ebplan.models.tracking.storage import Way
from ebplan.site import Battery
from ebplan.state import State

LONGEST_S = 10.0
"""Readings further apart than this leave unknown what happened between them."""
JUMP_SHARE = 0.1
"""A power that changes by more than this share between two readings jumps."""
IDLE_SHARE = 0.02
"""Less than this share of the rated power is rest."""
FIRM_SHARE = 0.1
"""Less than this share of the rated power says nothing of the efficiency: sensors err by some watts
whatever flows."""

BELIEVED = 2.0
"""Readings that differ from their model by more than this factor are none of these cells."""


@dataclass(frozen=True)
class CellsReading:
    """What one reading says; None where it says nothing."""

    stretch: tuple[Way, float] | None = None
    """What the stretch that it ends says, over the site's numbers."""
    efficiency: float | None = None
    """One-way efficiency over the site's."""


NOTHING = CellsReading()


@dataclass
class CellsWatch:
    """Gathers what is moved one way."""

    battery: Battery
    _last: State | None = None
    _from_soc: float = 0.0
    """State of charge when the stretch began."""
    _modelled_kws: float = 0.0
    """What its model took from the cells since; < 0 put in."""
    _counted_kws: float | None = 0.0
    """What left the cells since as measured; None where a reading was missing."""

    def see(self, measured: State) -> CellsReading:
        """Take a reading in."""
        last, self._last = self._last, measured
        if measured.soc is None or not measured.converter_available:
            self._last = None
            return NOTHING
        if last is None or last.soc is None or not self._goes_on(last, measured):
            self._begin(measured.soc)
            return NOTHING
        seconds = (measured.at - last.at).total_seconds()
        # the reading is the mean since the last one
        modelled_kw = self._from_cells_kw(measured.battery_kw)
        measured_kw = _measured_kw(measured, modelled_kw)
        self._modelled_kws += modelled_kw * seconds
        if measured_kw is None or self._counted_kws is None:
            self._counted_kws = None
        else:
            self._counted_kws += measured_kw * seconds
        efficiency = None
        firm = abs(measured.battery_kw) >= FIRM_SHARE * self.battery.converter_rated_kw
        if measured_kw is not None and firm:
            over = modelled_kw / measured_kw
            efficiency = over if measured.battery_kw > 0.0 else 1.0 / over
        return CellsReading(stretch=self._stretch(measured.soc), efficiency=efficiency)

    def _stretch(self, soc: float) -> tuple[Way, float] | None:
        """Return what a stretch says once enough has moved, and begin another."""
        capacity_kws = self.battery.energy_kwh * 3600.0
        modelled_kws, counted_kws = self._modelled_kws, self._counted_kws
        if abs(modelled_kws) < MOVED_SOC * capacity_kws:
            return None
        left_kws = (self._from_soc - soc) * capacity_kws
        self._begin(soc)
        if not _comparable(modelled_kws, left_kws):
            return None  # a counter that was set anew
        if counted_kws is not None:
            return "counted", counted_kws / left_kws
        return "giving" if modelled_kws > 0.0 else "taking", modelled_kws / left_kws

    def _begin(self, soc: float) -> None:
        self._from_soc, self._modelled_kws, self._counted_kws = soc, 0.0, 0.0

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


def _measured_kw(measured: State, modelled_kw: float) -> float | None:
    """Return the power that leaves the cells as measured; None where it was not, or cannot be."""
    kw = measured.cells_kw
    return kw if kw is not None and isfinite(kw) and _comparable(modelled_kw, kw) else None


def _comparable(modelled: float, found: float) -> bool:
    """Tell whether two powers or energies have one direction, and sizes of one order."""
    return found * modelled > 0.0 and 1.0 / BELIEVED <= found / modelled <= BELIEVED
