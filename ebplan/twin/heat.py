"""How warm battery and converter get, and what that leaves of their power.

One body for cells and converter, warmed by what they lose and cooled by the air:

    C dT/dt = loss - G (T - T_air),   over a tick of constant loss
    T -> T_end + (T - T_end) exp(-G t / C),   T_end = T_air + loss / G

The power that is left falls straight from all of it at ``derate_from_c`` to none at ``stop_c``;
below ``cold_c`` nothing is charged, as lithium would plate. Ticks are the same however time is cut
into steps, so that results are.
"""

from __future__ import annotations

import math

from ebplan.twin.battery import Cells
from ebplan.twin.settings import BatteryHeat

TICK_S = 10.0
"""A body of minutes is followed by seconds."""


class Heat:
    """The temperature, and the shares of the power that it leaves.

    Args:
        model: the body and its limits.
        cells: whose losses warm it.
    """

    def __init__(self, model: BatteryHeat, cells: Cells) -> None:
        self._model, self._cells = model, cells
        self.c = model.air_c if model.begins_c is None else model.begins_c
        """Temperature in degrees Celsius."""
        self.next_tick_s = TICK_S
        self._before_kws = self._lost_kws()

    def _lost_kws(self) -> float:
        """Return what has been lost until now, but for a constant, in kW s."""
        cells = self._cells
        return cells.left_kws - (cells.out_kws - cells.in_kws)

    def tick(self) -> None:
        """Let the loss since the last tick warm the body."""
        lost_kws = self._lost_kws()
        loss_kw = (lost_kws - self._before_kws) / TICK_S
        self._before_kws = lost_kws
        model = self._model
        end_c = model.air_c + loss_kw / model.conductance_kw_per_k
        hours = TICK_S / 3600.0
        fades = math.exp(-model.conductance_kw_per_k * hours / model.capacity_kwh_per_k)
        self.c = end_c + (self.c - end_c) * fades
        self.next_tick_s += TICK_S

    @property
    def discharge_share(self) -> float:
        """Share of the discharging power that is left."""
        model = self._model
        left = (model.stop_c - self.c) / (model.stop_c - model.derate_from_c)
        return min(max(left, 0.0), 1.0)

    @property
    def charge_share(self) -> float:
        """Share of the charging power that is left."""
        return 0.0 if self.c < self._model.cold_c else self.discharge_share
