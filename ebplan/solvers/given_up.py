"""What a plan gives up, and whether it had to: lexicographic, by family of requirements.

Each grid-side requirement has a priced slack (docs/formulation.md, section 5). The families are
minimised in the order in which they are given up last, each while the ones before stay at their
least: contract, target, battery reserve, margins, hand-off, protected requests. That is done on the
linear relaxation, so the least is a bound: whatever is done with whole instances, no plan has less.
With the plan's own instances a second pass says what they could have kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.blocks.margin import margin_steps
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.highs import LinearOptimum, least_in_turn
from ebplan.solvers.program import FloatArray, Program

SAME_SHARE, NOTHING = 0.01, 1e-4
"""Amounts within a hundredth of one another are the same; a tenth of a watt-hour is nothing."""


@dataclass(frozen=True)
class Family:
    """Requirements of one kind, and how much of them is violated."""

    name: str
    """What is violated, in words."""
    unit: str
    weights: Callable[[Problem, Formulation], FloatArray]
    """Weights of the columns whose sum is the violation, shape (n,)."""


@dataclass(frozen=True)
class GivenUp:
    """A family that a plan violates."""

    family: Family
    amount: float
    """How much of it."""
    least: float
    """The least that is possible while more important families stay at their least."""
    least_with_these: float
    """The same with the instances as the plan has them."""
    forced_by: tuple[str, ...]
    """The limits behind the least, the most telling first."""

    @property
    def forced(self) -> bool:
        """Whether no plan gives up less."""
        return _same(self.amount, self.least)


def given_up(problem: Problem, formulation: Formulation, x: FloatArray) -> tuple[GivenUp, ...]:
    """Return the families that a plan violates, the most important first; none costs nothing.

    Args:
        problem: the problem.
        formulation: its program.
        x: the plan's point, shape (n,).
    """
    program = formulation.program
    weights = [family.weights(problem, formulation) for family in FAMILIES]
    amounts = [float(weight @ x) for weight in weights]
    if max(amounts) <= NOTHING:
        return ()
    last = max(i for i, amount in enumerate(amounts) if amount > NOTHING)
    least = least_in_turn(program, weights[: last + 1])
    with_these = least_in_turn(program, weights[: last + 1], at=x)
    return tuple(
        GivenUp(
            family=FAMILIES[i],
            amount=amounts[i],
            least=max(least[i].objective, 0.0),
            least_with_these=max(with_these[i].objective, 0.0),
            forced_by=tuple(_behind(problem, program, least[i])),
        )
        for i in range(last + 1)
        if amounts[i] > NOTHING
    )


def given_up_sentences(found: tuple[GivenUp, ...]) -> Iterator[str]:
    """Say of each family how much is given up, and whether it had to be."""
    for one in found:
        name, has = one.family.name, f"{one.amount:.3g} {one.family.unit}"
        least, these = (
            f"{amount:.3g} {one.family.unit}" for amount in (one.least, one.least_with_these)
        )
        if one.forced:
            verb = "allows" if len(one.forced_by) == 1 else "allow"
            behind = f": {_and(one.forced_by)} {verb} no less" if one.forced_by else ""
            yield f"{name} of {has} is forced{behind}."
        elif one.amount < one.least:
            yield (
                f"{name} of {has} is below its least beside what is more important, {least}: that "
                "is given up for it."
            )
        elif _same(one.amount, one.least_with_these):
            yield (
                f"{name} of {has} is the least with these instances; {least} is proven to be "
                "unavoidable with any."
            )
        else:
            yield f"{name} of {has} is chosen: {these} could be had, at a higher cost in all."


def _and(words: tuple[str, ...]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_SHARE * max(abs(one), abs(other)) + NOTHING


# --- the families -----------------------------------------------------------------------------


def amount_of(group: str, problem: Problem, formulation: Formulation) -> FloatArray:
    """Return the weights of the columns that sum a slack up in kWh, shape (n,).

    A group of powers is weighed by the hours of the steps that it stands for.
    """
    grid = problem.grid
    steps = np.ones(grid.n_steps, dtype=bool) if group == "overrun" else problem.in_event
    if group == "handoff_excess":
        from_s = np.inf if problem.handoff_from_s is None else problem.handoff_from_s
        steps = steps & (grid.starts_s >= from_s - 1e-9)
    if group == "margin_missing":
        steps = np.isin(np.arange(grid.n_steps), margin_steps(problem))
    weights = np.zeros(formulation.program.n_columns)
    if any(one.name == group for one in formulation.program.columns):
        hours = grid.durations_s[steps] / 3600.0
        weights[formulation.program.column_range(group)] = 1.0 if group in ENERGIES else hours
    return weights


ENERGIES = ("reserve_dip", "margin_energy_missing")
"""Slacks that are energies, not powers."""


def _energy(group: str) -> Callable[[Problem, Formulation], FloatArray]:
    return functools.partial(amount_of, group)


def _protected_requests(problem: Problem, formulation: Formulation) -> FloatArray:
    """Weigh rejected load of protected classes by what requests it is."""
    weights = np.zeros(formulation.program.n_columns)
    for pool, service in zip(problem.pools, formulation.services, strict=True):
        for requests in pool.classes:
            if requests.max_rejected < requests.load:
                rate = requests.requests_per_s_per_instance
                columns = service.rejected[requests.name]
                weights[columns] = rate * problem.grid.epoch_durations_s
    return weights


FAMILIES = (
    Family("Draw above the contract", "kWh", _energy("overrun")),
    Family("A shortfall", "kWh", _energy("shortfall")),
    Family("A dip into the battery's reserve", "kWh", _energy("reserve_dip")),
    Family("Power not held against errors", "kWh", _energy("margin_missing")),
    Family("Energy not held against errors", "kWh", _energy("margin_energy_missing")),
    Family("Battery energy beyond the hand-off share", "kWh", _energy("handoff_excess")),
    Family("Turning away protected requests", "requests", _protected_requests),
)
"""In the order in which they are given up last."""


# --- what is behind a least -------------------------------------------------------------------

MOST_REASONS = 3
_CONVERTER, NO_BATTERY = "the converter's power", "the missing battery"
_BEHIND = {
    "energy": "the energy in the battery",
    "discharge": _CONVERTER,
    "charge": _CONVERTER,
    "converter_limit": _CONVERTER,
    "load_served": "the requests to be served",
    "cap_floor": "the lowest cap",
    "cap_frontier": "the highest utilisation planned for",
    "min_utilisation": "the lowest utilisation that the models cover",
    "import_limit": "the import or rebound limit",
    "grid": "the feed-in limit",
}
"""Limits by the row or column whose dual says that they bind."""


def _behind(problem: Problem, program: Program, least: LinearOptimum) -> list[str]:
    """Name the limits that a least would move with, the steepest first."""
    weight: dict[str, float] = {}
    for groups, duals in ((program.rows, least.row_dual), (program.columns, least.column_dual)):
        for group in groups:
            words = next((_BEHIND[part] for part in group.name.split(".") if part in _BEHIND), None)
            here = float(np.abs(duals[group.start : group.start + group.size]).sum())
            if words is not None and here > 1e-6:
                weight[words] = weight.get(words, 0.0) + here
    steepest = sorted(weight, key=lambda words: -weight[words])[:MOST_REASONS]
    if problem.battery is None:  # what the converter would have to cover, nobody does
        steepest = [NO_BATTERY if words == _CONVERTER else words for words in steepest]
    return steepest
