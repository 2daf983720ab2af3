"""The cells behind the converter: what a power at its AC side does to the energy stored.

    giving p > 0:   dE/dt = -(p + loss(p)) / eta
    taking p < 0:   dE/dt =  (|p| - loss(p)) eta
    loss(p) = b1 |p| + b2 p^2 / rated

A power that is smooth over a stretch is integrated by Gauss's five points: exact for polynomials to
degree nine, so for constant and straight powers, and to about 1e-12 for exponentials over one time
constant. The direction must not change inside a stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ebplan.site import Battery

_INNER, _OUTER = (math.sqrt(5.0 + s * 2.0 * math.sqrt(10.0 / 7.0)) / 3.0 for s in (-1.0, 1.0))
_INNER_WEIGHT, _OUTER_WEIGHT = ((322.0 + s * 13.0 * math.sqrt(70.0)) / 1800.0 for s in (1.0, -1.0))
NODES = tuple(
    (0.5 + 0.5 * x, weight)
    for x, weight in (
        (-_OUTER, _OUTER_WEIGHT),
        (-_INNER, _INNER_WEIGHT),
        (0.0, 64.0 / 225.0),
        (_INNER, _INNER_WEIGHT),
        (_OUTER, _OUTER_WEIGHT),
    )
)
"""Places and weights of Gauss's five points on 0..1."""

FULL_KWS = 1e-9
"""Energy this close to a limit is at it, in kW s."""
HALVINGS = 60
"""Halvings in the search for an instant: to the last bit of any stretch."""

Power = Callable[[float], float]
"""Power in kW against seconds since the stretch began."""


class Cells:
    """Energy in the cells within its limits, in kW s."""

    def __init__(self, battery: Battery, soc: float) -> None:
        self._capacity_kws = battery.energy_kwh * 3600.0
        self._min_kws = battery.soc_min * self._capacity_kws
        self._max_kws = battery.soc_max * self._capacity_kws
        self._linear = battery.converter_loss_linear
        self._quadratic = battery.converter_loss_quadratic / battery.converter_rated_kw
        self._efficiency = battery.cell_efficiency
        self.energy_kws = soc * self._capacity_kws
        self._began_kws, self._vanished_kws = self.energy_kws, 0.0
        self.out_kws = 0.0
        """Given since the plant began, at the AC side."""
        self.in_kws = 0.0
        """Taken since the plant began, at the AC side."""

    def drift(self, number: str, factor: float) -> None:
        """Let a number be this many times what it was (``disturbances.BatteryDrift``)."""
        if number == "efficiency":
            self._efficiency = min(self._efficiency * factor, 1.0)
            return
        # as full as before, of less
        self._capacity_kws *= factor
        self._min_kws *= factor
        self._max_kws *= factor
        before_kws, self.energy_kws = self.energy_kws, self.energy_kws * factor
        self._vanished_kws += before_kws - self.energy_kws

    @property
    def left_kws(self) -> float:
        """What has left the energy stored since the plant began, less what has entered it."""
        return self._began_kws - self.energy_kws - self._vanished_kws

    @property
    def soc(self) -> float:
        """State of charge."""
        return self.energy_kws / self._capacity_kws

    def refuses(self, kw: float) -> bool:
        """Return whether the cells are too empty or too full to carry a power."""
        if kw > 0.0:
            return self.energy_kws <= self._min_kws + FULL_KWS
        return kw < 0.0 and self.energy_kws >= self._max_kws - FULL_KWS

    def from_cells_kw(self, kw: float) -> float:
        """Return what leaves the cells at a power of the AC side; < 0 enters them."""
        size = abs(kw)
        loss = self._linear * size + self._quadratic * size * size
        return (kw + loss) / self._efficiency if kw > 0.0 else (kw + loss) * self._efficiency

    def carry_constant(self, kw: float, seconds: float) -> float:
        """Carry a constant power as long as the cells can, and return its energy in kW s."""
        if kw == 0.0 or self.refuses(kw):
            return 0.0
        rate_kw = self.from_cells_kw(kw)
        room_kws = self.energy_kws - (self._min_kws if rate_kw > 0.0 else self._max_kws)
        if abs(rate_kw) * seconds >= abs(room_kws):
            seconds, self.energy_kws = room_kws / rate_kw, self.energy_kws - room_kws
        else:
            self.energy_kws -= rate_kw * seconds
        return self._count(kw * seconds)

    def carry(self, power: Power, begin_s: float, end_s: float) -> float:
        """Carry a power of one direction as long as the cells can; return its energy in kW s."""
        if self.refuses(power(0.5 * (begin_s + end_s))):
            return 0.0
        after_kws = self.energy_kws - self._drawn_kws(power, begin_s, end_s)
        if not self._min_kws <= after_kws <= self._max_kws:
            limit_kws = self._min_kws if after_kws < self._min_kws else self._max_kws
            end_s = self._reached_s(power, begin_s, end_s, abs(self.energy_kws - limit_kws))
            after_kws = limit_kws
        self.energy_kws = after_kws
        span_s = end_s - begin_s
        return self._count(span_s * sum(w * power(begin_s + x * span_s) for x, w in NODES))

    def _drawn_kws(self, power: Power, begin_s: float, end_s: float) -> float:
        span_s = end_s - begin_s
        return span_s * sum(w * self.from_cells_kw(power(begin_s + x * span_s)) for x, w in NODES)

    def _reached_s(self, power: Power, begin_s: float, end_s: float, room_kws: float) -> float:
        """Return when so much has moved, by halving; it grows all the time."""
        low_s, high_s = begin_s, end_s
        for _ in range(HALVINGS):
            middle_s = 0.5 * (low_s + high_s)
            if abs(self._drawn_kws(power, begin_s, middle_s)) < room_kws:
                low_s = middle_s
            else:
                high_s = middle_s
        return low_s

    def _count(self, ac_kws: float) -> float:
        if ac_kws > 0.0:
            self.out_kws += ac_kws
        else:
            self.in_kws -= ac_kws
        return ac_kws
