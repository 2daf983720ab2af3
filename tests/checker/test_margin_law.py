"""A plan may not claim to hold back what it does not."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from handmade_margin import make_margin_case
from planting import Case, broken_laws, unproven

from ebplan.plan import MarginResult


@functools.cache
def case() -> Case:
    return make_margin_case()


def stated() -> MarginResult:
    margin = case()[1].margin
    assert margin is not None
    return margin


def altered(**changes: Any) -> Case:
    problem, plan = case()
    return problem, plan.model_copy(update={"margin": stated().model_copy(update=changes)})


def test_a_margin_by_hand_is_held_in_part_and_passes() -> None:
    problem, plan = case()
    margin = stated()
    assert 0.0 < margin.missing_kwh < margin.energy_kwh
    assert 0.05 < margin.missing_kw <= margin.power_kw
    assert any(kw > 0.0 for kw in margin.held_kw)
    assert plan.cost["margin"] > 1.0
    assert broken_laws(problem, plan) == set()


def step_held(margin: MarginResult, *, in_full: bool) -> int:
    """Return a step whose margin is held in full, or in part only."""
    some = [t for t, kw in enumerate(margin.held_kw) if kw > 0.0]
    least = min(some, key=lambda t: margin.held_kw[t])
    return max(some, key=lambda t: margin.held_kw[t]) if in_full else least


def claimed(t: int, kw: float) -> Case:
    held = stated().held_kw
    return altered(held_kw=(*held[:t], held[t] + kw, *held[t + 1 :]))


@pytest.mark.parametrize("in_full", [True, False])
def test_a_claim_beyond_what_is_there_is_found(in_full: bool) -> None:
    assert "margin" in broken_laws(*claimed(step_held(stated(), in_full=in_full), 1e-3))


def test_a_claim_where_nothing_is_asked_is_found() -> None:
    assert broken_laws(*claimed(0, 0.01)) == {"margin"}


@pytest.mark.parametrize("field", ["confidence", "power_kw", "energy_kwh", "missing_kw"])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_each_number_is_found(field: str, factor: float) -> None:
    assert broken_laws(*altered(**{field: getattr(stated(), field) * factor})) == {"margin"}


def test_energy_that_is_not_there_is_found() -> None:
    assert broken_laws(*altered(missing_kwh=0.0)) == {"margin"}


def test_a_list_of_another_length_is_found() -> None:
    assert "margin" in broken_laws(*altered(held_kw=stated().held_kw[:-1]))


def test_margins_left_out_are_found() -> None:
    problem, plan = case()
    assert broken_laws(problem, plan.model_copy(update={"margin": None})) == {"margin", "cost"}


def test_margins_that_nobody_asked_for_are_found() -> None:
    problem, plan = case()
    bare = problem.model_copy(update={"margins": None})
    plan = plan.model_copy(update={"problem_hash": bare.digest()})
    assert broken_laws(bare, plan) == {"margin", "cost"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_their_cost_is_found(factor: float) -> None:
    problem, plan = case()
    cost = plan.cost | {"margin": factor * plan.cost["margin"]}
    changes = {"cost": cost, "objective": sum(cost.values()), **unproven()}
    assert broken_laws(problem, plan.model_copy(update=changes)) == {"cost"}
