"""The linear relaxation by pools: prices go out, answers come back (Dantzig and Wolfe, 1960).

Once round: each pool answers the prices pi of the coupling rows, which gives a lower bound on the
optimum (Lagrange), whatever the prices,

    L(pi) = constant + sum_i min_{x_i in X_i} (c_i - A_i'pi)'x_i + min_{lower <= r <= upper} pi'r

and a column of the restricted master, whose optimum gives the next prices and, where it breaks no
row, an upper bound. The first prices come from a pilot (``pilot.py``); the master's stay near those
with the best bound (``restricted_master.py``). Pools answer apart from each other: time grows with
their number, and whoever calls decides where they answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from ebplan.solvers.part_solver import Answer, PartSolver
from ebplan.solvers.parts import Part, Parts
from ebplan.solvers.pilot import MOST_SAMPLED, Pilot
from ebplan.solvers.program import FloatArray
from ebplan.solvers.restricted_master import Mix, RestrictedMaster

DEFAULT_GAP = 1e-4
"""Distance between the bounds, as a share of the upper one, at which prices are good enough."""
MOST_ROUNDS = 200
"""Five to thirty are usual (benchmarks/size.py)."""
CORRECTIONS = 3
"""How often a pilot that only samples the pools is corrected by what they all answer."""
NO_MONEY = 1e-6
"""Where the optimum is nothing, a gap is a share of this."""

FIRST_WIDTH, LEAST_WIDTH = 0.1, 0.01
"""How far a price may move in a round, as a share of itself: at first, and at least."""
OF_HIGHEST = 5e-4
"""A price counts as at least this share of the highest: nothing may become something."""
WELL_FORESEEN = 0.25
"""Where the bound gains this share of what the master foresaw, prices may move twice as far."""
WIDER, NARROWER, OPEN = 2.0, 0.7, 4.0

Answerer = Callable[[FloatArray], Sequence[Answer]]
"""Prices (L,) in, the answer of each pool out: here, or spread over processes."""


@dataclass(frozen=True)
class Relaxation:
    """What is known of the linear relaxation when the rounds end."""

    bound: float
    """Highest lower bound: no point of the program costs less."""
    objective: float
    """Lowest upper bound of the relaxation; infinite where no mix of the answers fits together."""
    prices: FloatArray
    """Those of the bound, shape (L,)."""
    points: tuple[FloatArray, ...]
    """What each pool does in the last mix that breaks no row, or in the last where all do: a point
    of its relaxation, shape (n,) each."""
    bounds: tuple[float, ...]
    """Lower bound of each round."""
    ceilings: tuple[float, ...]
    """Upper bound after each round."""

    @property
    def rounds(self) -> int:
        """Rounds made."""
        return len(self.bounds)


def answer_here(pools: Sequence[Part]) -> Answerer:
    """Return an answerer that solves the pools one after the other in this process."""
    solvers = [PartSolver(part) for part in pools]
    return lambda prices: [solver.answer(prices) for solver in solvers]


def relax(
    parts: Parts,
    *,
    gap: float = DEFAULT_GAP,
    until: float | None = None,
    rounds_left: float = 0.0,
    most_rounds: int = MOST_ROUNDS,
    prices: FloatArray | None = None,
    sampled: int = MOST_SAMPLED,
    ask: Answerer | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> Relaxation:
    """Solve the linear relaxation of a program in parts.

    Args:
        parts: the program in parts.
        gap: relative distance between the bounds at which to stop.
        until: ``time.monotonic()`` after which no further round begins; one is made in any case.
        rounds_left: as long as so many of the slowest rounds are to be left until then.
        most_rounds: after which it ends in any case.
        prices: of the coupling rows to begin with, shape (L,); a pilot's if absent.
        sampled: pools that the pilot samples at most.
        ask: who answers; ``answer_here`` if absent.
        watch: called after each round with their number and the gap, infinite where no mix fits
            yet; what it raises ends the search.

    Raises:
        NoPlanError: a part has no feasible point, or HiGHS finds none.
    """
    ask = answer_here(parts.pools) if ask is None else ask
    search, pilot = _Search(parts), None
    if prices is None:
        pilot = Pilot(parts, sampled)
        prices = pilot.prices()
        if prices is not None and pilot.exact:
            search.master.add(pilot.points())
    asked = parts.admissible(np.zeros(len(parts.lower)) if prices is None else prices)
    longest_s = 0.0
    while True:
        began = monotonic()
        answers = ask(asked)
        search.learn(asked, answers)
        mix = search.step(gap)
        longest_s = max(longest_s, monotonic() - began)
        if watch is not None:
            watch(len(search.bounds), search.gap)
        late = until is not None and monotonic() + rounds_left * longest_s >= until
        if search.gap <= gap or late or len(search.bounds) >= most_rounds:
            break
        asked = parts.admissible(mix.prices)
        if pilot is not None and not pilot.exact and len(search.bounds) <= CORRECTIONS:
            pilot.correct(answers)
            corrected = pilot.prices()
            if corrected is not None:
                asked, search.foreseen = corrected, None
    # the last mix may break rows where the bound alone closed the gap
    kept = mix if search.whole is None or not mix.broken else search.whole
    return Relaxation(
        bound=search.bound,
        objective=search.ceiling,
        prices=search.centre,
        points=tuple(search.master.mixed(p, kept) for p in range(len(parts.pools))),
        bounds=tuple(search.bounds),
        ceilings=tuple(search.ceilings),
    )


@dataclass
class _Search:
    """Best bounds so far, and how far prices may move from the best."""

    parts: Parts
    bound: float = -np.inf
    ceiling: float = np.inf
    bounds: list[float] = field(default_factory=list)
    ceilings: list[float] = field(default_factory=list)
    centre: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Prices of the best bound."""
    width: float = FIRST_WIDTH
    """How far a price may move from the best, as a share of itself."""
    foreseen: float | None = None
    """What the master thought the bound could become at the prices asked; None at a pilot's."""
    whole: Mix | None = None
    """The last mix that breaks no row."""

    def __post_init__(self) -> None:
        self.master = RestrictedMaster(self.parts)
        self._site = PartSolver(self.parts.site)

    @property
    def gap(self) -> float:
        """Relative distance between the bounds."""
        if not np.isfinite(self.ceiling):
            return np.inf
        return (self.ceiling - self.bound) / max(abs(self.ceiling), NO_MONEY)

    def learn(self, prices: FloatArray, answers: Sequence[Answer]) -> None:
        """Take the answers to prices as columns, and their bound."""
        bound = self.parts.constant + self.parts.least_paid(prices)
        bound += self._site.answer(prices).value + sum(answer.value for answer in answers)
        self.master.add(list(enumerate(answers)))
        if self.foreseen is not None:
            if bound - self.bound > WELL_FORESEEN * (self.foreseen - self.bound):
                self.width *= WIDER
            elif bound <= self.bound:
                self.width = max(NARROWER * self.width, LEAST_WIDTH)
        if bound > self.bound:
            self.bound, self.centre = bound, prices
        self.bounds.append(bound)

    def step(self, gap: float) -> Mix:
        """Return the next mix; the box opens where it alone keeps the bounds apart."""
        size = np.abs(self.centre)
        costs = float(np.abs(self.parts.site.cost).max(initial=0.0))
        highest = max(float(size.max(initial=0.0)), 1e-3 * costs, NO_MONEY)
        size = np.maximum(size, OF_HIGHEST * highest)
        mix = self.master.mix(self.centre, self.width * size)
        while mix.broken and mix.objective - self.bound <= 0.5 * gap * max(
            abs(mix.objective), NO_MONEY
        ):
            self.width *= OPEN
            mix = self.master.mix(self.centre, self.width * size)
        if not mix.broken:
            self.ceiling, self.whole = min(self.ceiling, mix.objective), mix
        self.foreseen = mix.objective
        self.ceilings.append(self.ceiling)
        return mix
