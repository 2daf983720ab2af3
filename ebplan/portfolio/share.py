"""Who of a portfolio carries what of its awards, at the least cost: by prices and profiles alone.

The portfolio's program is a study's window over all its groups (``ebplan/study/window.py``): a
rack, a site or a region is a group, whatever its size. Only the rows that add up draw and awards
couple them. So it falls into one part for each group, and the decomposition of Dantzig and Wolfe
(``ebplan/solvers/relaxation.py``) finds the optimum: prices of each award and of energy in each
step go out, each part answers with its cost and its profile (kW of each award and of draw, step by
step), and nothing else of a site is known to anybody. The lower bound holds at any prices, so how
far the answer can be from the optimum is proven, not estimated.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.part_solver import Answer, PartSolver, load, optimum
from ebplan.solvers.parts import Part, Parts, cut, join, owners
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.relaxation import DEFAULT_GAP, NO_MONEY, Answerer, relax
from ebplan.study.decisions import empty_track
from ebplan.study.foresight import moment_of
from ebplan.study.moment import WindowPlan, read_plan, vectors_of
from ebplan.study.numbers import StudyNumbers
from ebplan.study.window import Shape, Window


@dataclass(frozen=True)
class Shared:
    """Awards shared among the groups of a portfolio."""

    plan: WindowPlan
    """What each group does, in their order."""
    objective: float
    """Money paid over the period, less what is earned."""
    bound: float
    """No sharing costs less."""
    rounds: int
    """How often prices went out."""
    price_per_kw: FloatArray
    """What one more kW of each award would cost all groups together, shape (S, T)."""

    @property
    def gap(self) -> float:
        """Proven distance to the optimum, as a share of the objective."""
        return (self.objective - self.bound) / max(abs(self.objective), NO_MONEY)


@dataclass(frozen=True)
class Portfolio:
    """The program of a portfolio, whole and in parts."""

    window: Window
    program: Program
    parts: Parts


def portfolio(numbers: StudyNumbers, award_kw: FloatArray | None = None) -> Portfolio:
    """Return the program of the whole period of a study.

    Args:
        numbers: groups, products and prices; a day or a few.
        award_kw: awards that have been given, kW of the portfolio, shape (S, T); NaN where what is
            held is still to be chosen, everywhere if absent.
    """
    steps = slice(0, numbers.steps)
    shape = Shape(
        hours=(numbers.hours,) * numbers.steps,
        activation=tuple(tuple(s.activation[steps].tolist()) for s in numbers.services),
    )
    window = Window(shape, numbers.groups, numbers.services)
    taken = np.ones((len(numbers.services), numbers.steps))
    moment = moment_of(numbers, empty_track(numbers), taken, 0, numbers.steps)
    if award_kw is not None:
        moment = replace(moment, award_kw=np.array(award_kw, dtype=float))
    vectors = vectors_of(window, moment)
    cost = vectors["cost"]
    # energy may be bought in any amount at the day-ahead price: that is its price in every answer,
    # and no row has to find it
    position = window.columns.position
    for group in window.columns.groups:
        cost[group.grid] += cost[position]
    cost[position] = 0.0
    free = window.row_ranges["position"]
    vectors["row_lower"][free], vectors["row_upper"][free] = -np.inf, np.inf
    program = replace(
        window.program,
        cost_of={"money": cost},
        lower=vectors["lower"],
        upper=vectors["upper"],
        row_lower=vectors["row_lower"],
        row_upper=vectors["row_upper"],
    )
    names = [group.name for group in numbers.groups]
    return Portfolio(window, program, cut(program, owners(program.columns, names), len(names)))


def share(
    of: Portfolio,
    *,
    gap: float = DEFAULT_GAP,
    ask: Callable[[Sequence[Part]], Answerer] | None = None,
) -> Shared:
    """Return the sharing of least cost, to a proven gap.

    Args:
        of: the portfolio.
        gap: at which to stop.
        ask: who answers for the groups: here one after the other if absent.

    Raises:
        NoPlanError: no sharing keeps the awards and the limits of all groups.
    """
    parts = of.parts
    found = relax(parts, gap=gap, ask=None if ask is None else ask(parts.pools))
    if not np.isfinite(found.objective):
        raise NoPlanError("no sharing was found that keeps awards and limits")
    x = parts.whole([*found.points, _centre(parts, found.points)])
    x[of.window.columns.position] = sum(x[g.grid] for g in of.window.columns.groups)
    plan = read_plan(of.window, x, float(of.program.cost @ x))
    return Shared(
        plan=plan,
        objective=plan.objective,
        bound=found.bound,
        rounds=found.rounds,
        price_per_kw=found.prices.reshape(-1, of.window.steps)[1:],
    )


def _centre(parts: Parts, points: Sequence[FloatArray]) -> FloatArray:
    """Return what belongs to no group (trades, awards) where the groups do this, shape (n,).

    Raises:
        NoPlanError: what the groups do does not add up.
    """
    held = np.sum([p.profile(x) for p, x in zip(parts.pools, points, strict=True)], axis=0)
    # mixing answers leaves rounding of a solver's tolerance
    alone = join([(parts.site, 1.0)], parts.lower - held, parts.upper - held)
    x, _, _ = optimum(load(alone), "what the groups share")
    return x


def joint(of: Portfolio) -> float:
    """Return the objective of the whole program solved at once; for small portfolios.

    Raises:
        NoPlanError: there is no feasible point.
    """
    program = of.program
    return of.window.live.optimum(
        cost=program.cost,
        lower=program.lower,
        upper=program.upper,
        row_lower=program.row_lower,
        row_upper=program.row_upper,
    ).objective


class Processes:
    """Groups answer in processes of this machine, each process for its own share of them.

    Args:
        jobs: how many; each keeps the programs of its groups alive.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pools: list[ProcessPoolExecutor] = []

    def __call__(self, parts: Sequence[Part]) -> Answerer:
        """Hand the groups out and return who answers for them."""
        context = multiprocessing.get_context("spawn")
        shares = np.array_split(np.arange(len(parts)), min(self._jobs, len(parts)))
        for share_of in shares:
            pool = ProcessPoolExecutor(1, mp_context=context)
            pool.submit(_keep, [parts[i] for i in share_of]).result()
            self._pools.append(pool)

        def ask(prices: FloatArray) -> Sequence[Answer]:
            asked = [pool.submit(_answer, prices) for pool in self._pools]
            return [answer for one in asked for answer in one.result()]

        return ask

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        self._pools.clear()


_kept: list[PartSolver] = []
"""In a process that answers: the programs of its groups."""


def _keep(parts: Sequence[Part]) -> None:
    _kept[:] = [PartSolver(part) for part in parts]


def _answer(prices: FloatArray) -> list[Answer]:
    return [solver.answer(prices) for solver in _kept]
