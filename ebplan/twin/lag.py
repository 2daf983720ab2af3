"""A power that follows what it settles to: dead time, then first order, in closed form.

Every change of the settled power leaves a residue that stays for the dead time and then decays:

    P(t) = settled + sum of residues not started + sum_tau r_tau exp(-(t - now) / tau)

Residues of one time constant add up, so a plant keeps one number for each, however often it is
told something. Nothing is discretised: the energy over any stretch without a start is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

NOTHING_KW = 1e-9
"""A residue this small has died out."""
SAME_TIME_S = 1e-9


class Lag(NamedTuple):
    """Dead time and time constant in seconds."""

    delay_s: float
    time_constant_s: float


class LaggedPower:
    """A power in kW and its way to what it settles to."""

    def __init__(self, settled_kw: float) -> None:
        self.settled_kw = settled_kw
        self.level_kw = settled_kw
        """What does not decay now: settled power and residues that wait for their dead time."""
        self.decays: dict[float, float] = {}
        """Residue in kW by time constant in seconds."""
        self._waiting: list[tuple[float, float, float]] = []
        self.next_start_s = math.inf
        """When the next residue begins to decay."""

    @property
    def kw(self) -> float:
        """The power now."""
        return self.level_kw + sum(self.decays.values())

    def settle_to(self, kw: float, now_s: float, changes: Iterable[tuple[float, Lag]] = ()) -> None:
        """Settle to ``kw`` from now on; ``changes`` lag, what they leave out happens at once."""
        self.settled_kw = kw
        for change_kw, lag in changes:
            if change_kw != 0.0:
                start_s = now_s + lag.delay_s
                self._waiting.append((start_s, lag.time_constant_s, -change_kw))
        self.start_due(now_s)

    def take(self, constant_s: float, share: float) -> float:
        """Take a share of the residues of one time constant out, and return it in kW."""
        taken_kw = share * self.decays.get(constant_s, 0.0)
        if taken_kw != 0.0:
            self.decays[constant_s] -= taken_kw
        waiting, self._waiting = self._waiting, []
        for start_s, tau_s, kw in waiting:
            part_kw = share * kw if tau_s == constant_s else 0.0
            taken_kw += part_kw
            self._waiting.append((start_s, tau_s, kw - part_kw))
        return taken_kw

    def start_due(self, now_s: float) -> None:
        """Let the residues decay whose dead time is over."""
        waiting, self._waiting = self._waiting, []
        for start_s, constant_s, kw in waiting:
            if start_s <= now_s + SAME_TIME_S:
                self.decays[constant_s] = self.decays.get(constant_s, 0.0) + kw
            else:
                self._waiting.append((start_s, constant_s, kw))
        self.next_start_s = min((w[0] for w in self._waiting), default=math.inf)
        self.level_kw = self.settled_kw + sum(w[2] for w in self._waiting)

    def advance(self, seconds: float) -> float:
        """Let time pass, no start inside it, and return the energy in kW s."""
        energy_kws = self.level_kw * seconds
        if self.decays:
            left: dict[float, float] = {}
            for constant_s, kw in self.decays.items():
                gone = -math.expm1(-seconds / constant_s)
                energy_kws += kw * constant_s * gone
                kw *= 1.0 - gone
                if abs(kw) > NOTHING_KW:
                    left[constant_s] = kw
            self.decays = left
        return energy_kws
