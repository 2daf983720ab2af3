"""The converter: it holds a draw at the connection point and answers the frequency.

    battery = clip(site - held, -charge + reserve, discharge - reserve) + droop
    battery = clip(set-point, ...) + droop       where a power of the battery itself is held
    droop   = -reserve * share(frequency - nominal)

Within its limits it holds the draw exactly: between its dead time and a control cycle lie factors.
Without a draw to hold the first term is the set-point, or zero. The site's draw is a level and
decaying residues, the droop is straight over a stretch; where the power turns round or meets a
limit the stretch is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

from ebplan.adapters.commands import ArmDroop, HoldConnectionPoint, RestConverter
from ebplan.site import Battery
from ebplan.twin.battery import HALVINGS, Cells, Power

SAME_TIME_S = 1e-9


class HoldBattery(NamedTuple):
    """Hold a power of the battery itself, as a set-point of a real converter does; > 0 gives."""

    battery_kw: float


ConverterCommand = HoldConnectionPoint | RestConverter | ArmDroop | HoldBattery
NEGLIGIBLE_KW = 1e-7
"""A residue smaller than this does not shorten the stretches; it is integrated all the same."""


class Converter:
    """Set-points with their delay, limits, trips; the cells behind it."""

    def __init__(self, battery: Battery, soc: float, *, delay_s: float) -> None:
        self.cells = Cells(battery, soc)
        self.delay_s = delay_s
        self.reserve_kw = 0.0
        self.tripped = False
        self._full_kw = battery.discharge_limit_kw, battery.charge_limit_kw
        self._discharge_kw, self._charge_kw = self._full_kw
        self._asked_reserve_kw = 0.0
        self._held_kw: float | None = None
        self._battery_kw = 0.0
        self._told: list[tuple[float, ConverterCommand]] = []
        self.next_event_s = math.inf

    @property
    def standing(self) -> Literal["available", "tripped"]:
        """Whether it answers."""
        return "tripped" if self.tripped else "available"

    def tell(self, command: ConverterCommand, now_s: float) -> None:
        """Hold a draw or none, or keep power free both ways, once the delay has passed."""
        self._told.append((now_s + self.delay_s, command))
        self.take_effect(now_s)

    def take_effect(self, now_s: float) -> None:
        """Let what was told take effect where its delay has passed."""
        waiting = []
        for at_s, command in self._told:
            if at_s > now_s + SAME_TIME_S:
                waiting.append((at_s, command))
            elif isinstance(command, HoldConnectionPoint):
                self._held_kw = command.grid_kw
            elif isinstance(command, RestConverter):
                self._held_kw, self._battery_kw = None, 0.0
            elif isinstance(command, HoldBattery):
                self._held_kw, self._battery_kw = None, command.battery_kw
            else:
                self._asked_reserve_kw = command.reserve_kw
                self._keep_reserve()
        self._told = waiting
        self.next_event_s = min((at_s for at_s, _ in waiting), default=math.inf)

    def _keep_reserve(self) -> None:
        """Keep what was asked free both ways, as far as the limits allow."""
        self.reserve_kw = min(self._asked_reserve_kw, self._discharge_kw, self._charge_kw)

    def derate(self, discharge_share: float, charge_share: float) -> None:
        """Leave shares of the power from now on, of discharging and of charging."""
        self._discharge_kw = self._full_kw[0] * discharge_share
        self._charge_kw = self._full_kw[1] * charge_share
        self._keep_reserve()

    def advance(
        self,
        seconds: float,
        level_kw: float,
        decays: Mapping[float, float],
        share: tuple[float, float] = (0.0, 0.0),
    ) -> float:
        """Let time pass and return the energy given at the AC side in kW s; < 0 is taken.

        Args:
            seconds: how long; nothing starts or bends inside.
            level_kw: what the site draws without the battery, what decays left out.
            decays: what decays of it, in kW by time constant.
            share: share of the reserve that the frequency asks for at both ends, straight between.
        """
        if self.tripped:
            return 0.0
        begin_kw, end_kw = -share[0] * self.reserve_kw, -share[1] * self.reserve_kw
        held_kw = self._held_kw
        if held_kw is None:
            decays, off_kw = {}, self._battery_kw
        else:
            off_kw = level_kw - held_kw
        low_kw, high_kw = self.reserve_kw - self._charge_kw, self._discharge_kw - self.reserve_kw
        if not decays and begin_kw == end_kw:
            kw = min(max(off_kw, low_kw), high_kw) + begin_kw
            return self.cells.carry_constant(kw, seconds)
        slope_kw = (end_kw - begin_kw) / seconds
        residues = [(-1.0 / constant_s, kw) for constant_s, kw in decays.items()]

        def off_at(t_s: float) -> float:
            return off_kw + sum(kw * math.exp(rate * t_s) for rate, kw in residues)

        def power_at(t_s: float) -> float:
            return min(max(off_at(t_s), low_kw), high_kw) + begin_kw + slope_kw * t_s

        given_kws = 0.0
        for from_s, to_s in _stretches(seconds, decays):
            cuts = _crossings(
                from_s,
                to_s,
                (lambda t: off_at(t) - low_kw, lambda t: off_at(t) - high_kw, power_at),
            )
            for a_s, b_s in pairwise(cuts):
                given_kws += self.cells.carry(power_at, a_s, b_s)
        return given_kws


def _stretches(seconds: float, decays: Mapping[float, float]) -> Iterator[tuple[float, float]]:
    """Yield pieces no longer than the shortest time constant whose residue still matters."""
    at_s = 0.0
    while at_s < seconds:
        longest_s = min(
            (
                constant_s
                for constant_s, kw in decays.items()
                if abs(kw) * math.exp(-at_s / constant_s) > NEGLIGIBLE_KW
            ),
            default=math.inf,
        )
        to_s = seconds if seconds - at_s <= 1.5 * longest_s else at_s + longest_s
        yield at_s, to_s
        at_s = to_s


def _crossings(from_s: float, to_s: float, gaps: tuple[Power, ...]) -> list[float]:
    """Return the ends of a stretch and where a gap changes its sign inside it, in order."""
    cuts = [from_s, to_s]
    for gap in gaps:
        first, last = gap(from_s), gap(to_s)
        if first * last < 0.0:
            low_s, high_s = from_s, to_s
            for _ in range(HALVINGS):
                middle_s = 0.5 * (low_s + high_s)
                if gap(middle_s) * first > 0.0:
                    low_s = middle_s
                else:
                    high_s = middle_s
            cuts.append(high_s)
    return sorted(cuts)
