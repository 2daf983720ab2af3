"""What may be missing for awards that have been given, and what that costs in a window's program.

No more may be missing than given awards ask for, and nothing for the sake of a new bid: what is
missing costs more than any open award earns that it could make room for, in all steps of its block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.solvers.program import FloatArray, IndexArray
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, ServiceNumbers
from ebplan.study.window import is_bridged, top_rated

UNCOVERED_TIMES = 3.0
"""What is missing costs this many times the dearest energy, and what a new bid could earn by it."""


@dataclass(frozen=True)
class Needs:
    """What a kW of each product asks for of one thing that may be missing, each of shape (S,)."""

    most: FloatArray
    """In the row that asks for most of it."""
    least: FloatArray
    """In the row that asks for least, 0 where none does."""


@dataclass(frozen=True)
class Open:
    """Awards of a window as far as they matter to what may be missing."""

    given_kw: FloatArray
    """What has been given, 0 where it is open, shape (S, T)."""
    earned: FloatArray
    """What a kW earns that is still open, in all of its block, 0 of others, shape (S, T)."""

    def most(self, needs: Needs) -> FloatArray:
        """Return how much may be missing, shape (T,)."""
        return np.asarray(needs.most @ self.given_kw)

    def price(self, needs: Needs, dear: float | FloatArray) -> FloatArray:
        """Return what it costs, shape (T,).

        Args:
            needs: for it.
            dear: what it costs where no award is open.
        """
        asks = needs.least > 0.0
        by_it = self.earned[asks] / needs.least[asks, None]
        return np.asarray(dear + UNCOVERED_TIMES * by_it.max(axis=0, initial=0.0))


def open_awards(
    award_kw: FloatArray, held: NDArray[np.bool_], block: IndexArray, money: FloatArray
) -> Open:
    """Return what is given of awards, and what those earn that are open; all of shape (S, T).

    Args:
        award_kw: NaN where it is open.
        held: where a product may be called.
        block: number of the block of each step.
        money: earned by a kW in each step.
    """
    still = np.isnan(award_kw) & held
    earned = np.where(still, money.reshape(still.shape), 0.0)
    for i, blocks in enumerate(block):
        # lacking in one step, a bid is lost in all of its block
        _, of = np.unique(blocks, return_inverse=True)
        earned[i] = np.bincount(of, weights=earned[i])[of]
    return Open(
        given_kw=np.where(np.isnan(award_kw), 0.0, award_kw),
        earned=np.where(still, np.maximum(earned, 0.0), 0.0),
    )


def power_needs(group: GroupNumbers, services: Sequence[ServiceNumbers]) -> tuple[Needs, Needs]:
    """Return what products ask for of power, to release and to absorb, in kW of awards.

    Rows are those of the meter, of power, and of the power that a market asks for; without a
    battery none is held in the direction that is not sold, or beyond what is sold.
    """
    store, top = group.battery is not None, top_rated(services)

    def asked(sold: bool, other: bool, s: ServiceNumbers) -> list[float]:
        if not store:
            return [float(sold)]
        return [float(sold), sold + s.opposite * other, sold * (s.rated > 1.0) * s.rated / top]

    release = [asked(s.releases, s.absorbs, s) for s in services]
    absorb = [asked(s.absorbs, s.releases, s) for s in services]
    return _needs(release), _needs(absorb)


def energy_needs(group: GroupNumbers, services: Sequence[ServiceNumbers]) -> Needs:
    """Return the energy that products ask for in a group's cells.

    It is sustained, or bridges where compute goes on.
    """
    assert group.battery is not None
    out = 3600.0 * group.battery.discharge_efficiency
    return _needs(
        [
            [s.sustain_s / out]
            + ([group.bridge_s / out] if group.slices and is_bridged(s, group) else [])
            for s in services
        ]
    )


def room_needs(battery: BatteryNumbers, services: Sequence[ServiceNumbers]) -> Needs:
    """Return the room that products ask for in a group's cells."""
    return _needs([[s.room_s / 3600.0 * battery.charge_efficiency] for s in services])


def _needs(rows: Sequence[Sequence[float]]) -> Needs:
    return Needs(
        most=np.array([max(asked) for asked in rows]),
        least=np.array([min((one for one in asked if one > 0.0), default=0.0) for asked in rows]),
    )
