"""Who of a portfolio carries what of its awards, at the least cost: by prices and profiles alone.

The portfolio's program is a study's window over all its groups (``ebplan/study/window.py``): a
rack, a site or a region is a group, whatever its size. Only the rows that add up draw and awards
couple them, and the limits of connections that several share (``ebplan/portfolio/regions.py``).
So it falls into one part for each group, and the decomposition of Dantzig and Wolfe
(``ebplan/solvers/relaxation.py``) finds the optimum: prices of each award, of each shared limit and
of energy in each step go out, each part answers with its cost and its profile (kW of each award and
of draw, step by step), and nothing else of a site is known to anybody. The lower bound holds at any
prices, so how far the answer can be from the optimum is proven, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.portfolio.excess import CannotHold, check_alone, refuse
from ebplan.portfolio.one_way import one_way
from ebplan.portfolio.regions import Region, RegionalWindow, export_row, import_row
from ebplan.solvers.part_solver import load, optimum
from ebplan.solvers.parts import Part, Parts, cut, join, owners
from ebplan.solvers.pilot import MOST_SAMPLED
from ebplan.solvers.program import FloatArray, IndexArray, Program
from ebplan.solvers.relaxation import DEFAULT_GAP, NO_MONEY, Answerer, Relaxation, relax
from ebplan.study.answered import ROUNDS, close_one_way
from ebplan.study.decisions import empty_track
from ebplan.study.foresight import moment_of
from ebplan.study.moment import WindowPlan, read_plan, vectors_of
from ebplan.study.numbers import StudyNumbers
from ebplan.study.window import Shape

SAMPLED_OF_REGION, MOST_OF_REGIONS = 6, 36
"""Groups of each region that the pilot samples, and of all: with three of each the price of a limit
that binds hard was found late, in a hundred rounds and more."""
PATIENCE = 40
"""Rounds without any mix that fits, after which one program over all says whether there is one:
5 to 20 are usual. Where the pilot is exact the first says so."""
BURNING = (
    "no sharing was found in which batteries never charge and discharge at once, as burning energy "
    "pays here; widen an export limit, or ask for less"
)


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
    import_price_per_kw: FloatArray
    """What one more kW of each region's import limit would save, shape (R, T)."""
    export_price_per_kw: FloatArray
    """What one more kW of each region's export limit would save, shape (R, T)."""
    missing_kw: FloatArray
    """Power missing to release what was given, by group, shape (G, T): priced in the objective."""
    missing_kwh: FloatArray
    """Energy missing in the cells to release what was given, by group, shape (G, T)."""
    unabsorbed_kw: FloatArray
    """Power missing to absorb what was given, by group, shape (G, T)."""
    unstored_kwh: FloatArray
    """Room missing in the cells to absorb what was given, by group, shape (G, T)."""
    paid: FloatArray
    """What each group pays, its energy at the day-ahead price, shape (G,)."""
    earned: FloatArray
    """What each award earns, shape (S,): the objective is what is paid less that."""

    @property
    def gap(self) -> float:
        """Proven distance to the optimum, as a share of the objective."""
        return (self.objective - self.bound) / max(abs(self.objective), NO_MONEY)


@dataclass(frozen=True)
class Portfolio:
    """The program of a portfolio, whole and in parts."""

    window: RegionalWindow
    program: Program
    parts: Parts

    def price(self, rows: str, prices: FloatArray) -> FloatArray:
        """Return the prices of named rows from those of the coupling ones, shape (T,)."""
        every = np.zeros(self.program.n_rows)
        every[self.parts.coupling] = prices
        return every[self.window.row_ranges[rows]]


def portfolio(
    numbers: StudyNumbers,
    award_kw: FloatArray | None = None,
    *,
    regions: Sequence[Region] = (),
) -> Portfolio:
    """Return the program of the whole period of a study.

    Args:
        numbers: groups, products and prices; a day or a few.
        award_kw: awards that have been given, kW of the portfolio, shape (S, T); NaN where what is
            held is still to be chosen, everywhere if absent. A contract of the study stands.
        regions: limits that several groups share.

    Raises:
        InputError: a region names a group that is not there.
    """
    steps = slice(0, numbers.steps)
    shape = Shape(
        hours=(numbers.hours,) * numbers.steps,
        activation=tuple(tuple(s.activation[steps].tolist()) for s in numbers.services),
        absorption=tuple(tuple(s.absorption[steps].tolist()) for s in numbers.services),
        highest=tuple(tuple(s.absorption[steps].tolist()) for s in numbers.services),
    )
    window = RegionalWindow(shape, numbers.groups, numbers.services, regions)
    taken = np.ones((len(numbers.services), numbers.steps))
    moment = moment_of(numbers, empty_track(numbers), taken, 0, numbers.steps)
    if award_kw is not None:
        given = np.where(np.isnan(award_kw), moment.award_kw, award_kw)
        moment = replace(moment, award_kw=given)
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
    return Portfolio(window, program, cut(program, _owners(window), len(numbers.groups)))


def _owners(window: RegionalWindow) -> IndexArray:
    """Return the group of each column, -1 for what belongs to none, shape (n,)."""
    found = owners(window.program.columns, [group.name for group in window.groups])
    columns = window.columns
    shared = (columns.position, columns.bought, columns.sold, *columns.award)
    # whatever a product or a region is called: its columns are nobody's
    for index in (*shared, *(side for sides in window.beyond for side in sides)):
        found[index] = -1
    return found


def share(
    of: Portfolio,
    *,
    gap: float = DEFAULT_GAP,
    ask: Callable[[Sequence[Part]], Answerer] | None = None,
    told: Callable[[int, float], None] | None = None,
) -> Shared:
    """Return the sharing of least cost, to a proven gap.

    Args:
        of: the portfolio.
        gap: at which to stop.
        ask: who answers for the groups: here one after the other if absent.
        told: called after each round with their number and the gap, infinite at first.

    Raises:
        CannotHold: awards or shared limits cannot be held; it says which, when and by how much.
        NoPlanError: a group cannot keep its own limits, or HiGHS finds nothing, or no sharing
            was found in which no battery charges and discharges at once.
    """
    found = first = _relaxed(of, gap, ask, told)
    x, at, closed = _whole(of, first), of, of.program.upper.copy()
    for _ in range(ROUNDS):
        if not one_way(at.window, at.program, x):
            break
        # burning pays more than it costs, and a converter cannot: the lesser direction is closed
        close_one_way(of.window, x, closed)
        at = _with_upper(of, closed)
        try:
            again = _relaxed(at, gap, ask, told)
        except NoPlanError as error:
            raise NoPlanError(BURNING) from error
        # closed directions are a choice: only what was found without them bounds every sharing
        found = replace(again, bound=first.bound, bounds=(*found.bounds, *again.bounds))
        x = _whole(at, found)
    else:
        if one_way(at.window, at.program, x):
            raise NoPlanError(BURNING)
    x[of.window.columns.position] = sum(x[g.grid] for g in of.window.columns.groups)
    return _read(of, found, x)


def _with_upper(of: Portfolio, upper: FloatArray) -> Portfolio:
    program = replace(of.program, upper=upper.copy())
    return replace(of, program=program, parts=cut(program, _owners(of.window), len(of.parts.pools)))


def _whole(of: Portfolio, found: Relaxation) -> FloatArray:
    """Return the mix that was found as a point of the program, shape (n,)."""
    return of.parts.whole([*found.points, _centre(of, found.points)])


def _relaxed(
    of: Portfolio,
    gap: float,
    ask: Callable[[Sequence[Part]], Answerer] | None,
    told: Callable[[int, float], None] | None,
) -> Relaxation:
    """Return the mix of least cost of the groups' answers; see ``share``."""

    def watch(rounds: int, now: float) -> None:
        if told is not None:
            told(rounds, now)
        if rounds == patience and not np.isfinite(now):
            refuse(of.window, of.program)

    parts = of.parts
    sampled = sampled_of(len(of.window.regions))
    patience = 1 if len(parts.pools) <= sampled else PATIENCE
    try:
        answerer = None if ask is None else ask(parts.pools)
        found = relax(parts, gap=gap, sampled=sampled, ask=answerer, watch=watch)
    except CannotHold:
        raise
    except NoPlanError:
        # prices of what cannot be held grow until HiGHS gives up
        check_alone(parts.pools, [group.name for group in of.window.groups])
        refuse(of.window, of.program)
        raise
    if not np.isfinite(found.objective):
        raise NoPlanError("no sharing was found that keeps awards and limits")
    return found


def sampled_of(regions: int) -> int:
    """Return how many groups the pilot samples: enough of each region that its limit shows."""
    return max(MOST_SAMPLED, min(SAMPLED_OF_REGION * regions, MOST_OF_REGIONS))


def _read(of: Portfolio, found: Relaxation, x: FloatArray) -> Shared:
    """Return a point of the program, shape (n,), with prices, as a sharing."""
    window, groups, cost = of.window, of.window.columns.groups, of.program.cost
    plan = read_plan(window, x, float(cost @ x))
    awards = [
        sum(
            (
                of.price(f"{s.id}.{way}", found.prices)
                for way, sold in (("award", s.releases), ("absorb", s.absorbs))
                if sold
            ),
            start=np.zeros(window.steps),
        )
        for s in window.services
    ]
    imports = [0.0 - of.price(import_row(r), found.prices) for r in window.regions]
    exports = [of.price(export_row(r), found.prices) for r in window.regions]
    none = np.zeros(window.steps)

    def slack(columns: Sequence[IndexArray | None]) -> FloatArray:
        return np.array([none if index is None else x[index] for index in columns])

    return Shared(
        plan=plan,
        objective=plan.objective,
        bound=found.bound,
        rounds=found.rounds,
        price_per_kw=_stacked(awards, window.steps),
        import_price_per_kw=_stacked(imports, window.steps),
        export_price_per_kw=_stacked(exports, window.steps),
        missing_kw=slack([g.uncovered_kw for g in groups]),
        missing_kwh=slack([g.uncovered_kwh for g in groups]),
        unabsorbed_kw=slack([g.unabsorbed_kw for g in groups]),
        unstored_kwh=slack([g.unstored_kwh for g in groups]),
        paid=np.array([part.cost @ x[part.columns] for part in of.parts.pools]),
        earned=-np.array([cost[award] @ x[award] for award in window.columns.award]),
    )


def _stacked(rows: Sequence[FloatArray], steps: int) -> FloatArray:
    return np.array(rows).reshape(-1, steps)


def _centre(of: Portfolio, points: Sequence[FloatArray]) -> FloatArray:
    """Return what belongs to no group (trades, awards) where the groups do this, shape (n,).

    Raises:
        NoPlanError: what the groups do does not add up.
    """
    parts, window = of.parts, of.window
    held = np.sum([p.profile(x) for p, x in zip(parts.pools, points, strict=True)], axis=0)
    lower, upper = parts.lower - held, parts.upper - held
    # nothing that is nobody's could help a shared limit, which is kept but for a solver's rounding
    for region in window.regions:
        for name in (import_row(region), export_row(region)):
            rows = window.row_ranges[name]
            limits = (parts.coupling >= rows.start) & (parts.coupling < rows.stop)
            lower[limits], upper[limits] = -np.inf, np.inf
    x, _, _ = optimum(load(join([(parts.site, 1.0)], lower, upper)), "what the groups share")
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
