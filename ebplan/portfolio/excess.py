"""Why a portfolio cannot hold its awards and limits: which, when, and by how much at the least.

One program over all groups, in which nothing costs but kW of an award that nobody carries and kW
beyond the limit of a region. It is asked only where no sharing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.portfolio.regions import RegionalWindow
from ebplan.solvers.part_solver import PartSolver
from ebplan.solvers.parts import Part
from ebplan.solvers.program import FloatArray, Program
from ebplan.study.window import FAR_KW

LEAST_KW = 1e-3
"""Less than this is rounding of a solver."""


@dataclass(frozen=True)
class Excess:
    """What cannot be held."""

    what: str
    """In words."""
    kw: FloatArray
    """By how much, shape (T,)."""

    def words(self, starts: Sequence[datetime] | None = None) -> str:
        """Say it; where the steps start at known times, with that of the worst."""
        worst = int(np.argmax(self.kw))
        when = f"in step {worst}" if starts is None else f"at {starts[worst]:%Y-%m-%d %H:%M}"
        steps = int((self.kw > LEAST_KW).sum())
        often = "" if steps == 1 else f", in {steps} steps"
        return f"{self.what} by {self.kw[worst]:,.4g} kW {when}{often}"


class CannotHold(NoPlanError):
    """Awards or shared limits that the groups cannot hold, whatever they do."""

    def __init__(self, found: Sequence[Excess], starts: Sequence[datetime] | None = None) -> None:
        self.found = tuple(found)
        what = "; ".join(one.words(starts) for one in found)
        super().__init__(f"the portfolio cannot hold this, whatever its sites do: {what}")


def refuse(window: RegionalWindow, program: Program) -> None:
    """Refuse awards and limits that cannot be held.

    Raises:
        CannotHold: at the least by so much.
        NoPlanError: a group cannot keep its own limits.
    """
    least = excess(window, program)
    if least:
        raise CannotHold(least)


def check_alone(parts: Sequence[Part], names: Sequence[str]) -> None:
    """Refuse a group that finds nothing to do even where nothing is asked of it.

    Raises:
        NoPlanError: it cannot keep its own limits; its name.
    """
    for part, name in zip(parts, names, strict=True):
        try:
            PartSolver(part).answer(np.zeros(part.coupling.size))
        except NoPlanError as error:
            raise NoPlanError(f"group {name} cannot keep the limits of its own: {error}") from None


def excess(window: RegionalWindow, program: Program) -> list[Excess]:
    """Return what cannot be held, so that the kW of all of it are least; empty where all can.

    Raises:
        NoPlanError: a group cannot keep its own limits, or HiGHS finds nothing.
    """
    cost = np.zeros(program.n_columns)
    lower, upper = program.lower.copy(), program.upper.copy()
    for award in window.columns.award:
        lower[award] = np.minimum(lower[award], 0.0)
        # what is still to be chosen may as well be nothing
        cost[award] = np.where(program.lower[award] > 0.0, -1.0, 0.0)
    for beyond in window.beyond:
        for side in beyond:
            upper[side], cost[side] = FAR_KW, 1.0
    x = window.live.optimum(
        cost=cost,
        lower=lower,
        upper=upper,
        row_lower=program.row_lower,
        row_upper=program.row_upper,
    ).x
    found = [
        Excess(f"the award of {service.id} is not carried", program.lower[award] - x[award])
        for service, award in zip(window.services, window.columns.award, strict=True)
        if (program.lower[award] > 0.0).any()
    ]
    for region, (above, below) in zip(window.regions, window.beyond, strict=True):
        found += [
            Excess(f"region {region.name} draws more than {region.import_kw:,g} kW", x[above]),
            Excess(f"region {region.name} feeds in more than {region.export_kw:,g} kW", x[below]),
        ]
    return [one for one in found if one.kw.max() > LEAST_KW]
