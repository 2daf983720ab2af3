"""The program builder: what the blocks write is what the solver gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ebplan.solvers import highs
from ebplan.solvers.program import Program, ProgramBuilder, entries


def knapsack() -> Program:
    """Return: three things of weight 2, 3, 4 and worth 3, 4, 6; carry at most 6 in whole pieces."""
    builder = ProgramBuilder()
    taken = builder.variables("taken", 3, upper=1.0, integer=True)
    builder.rows("weight", 1, [(np.array([[2.0, 3.0, 4.0]]), taken)], upper=6.0)
    builder.cost("worth", taken, [-3.0, -4.0, -6.0])
    builder.constant("worth", 9.0)
    return builder.build()


def test_a_knapsack() -> None:
    program = knapsack()
    solution = highs.solve(program, gap=1e-6)
    assert solution.x == pytest.approx([1.0, 0.0, 1.0])
    assert solution.objective == pytest.approx(0.0)
    assert program.cost_by_cause(solution.x) == pytest.approx({"worth": 0.0})
    assert program.activity(solution.x) == pytest.approx([6.0])
    assert program.row_names() == ["weight[0]"]
    assert program.column_names() == ["taken[0]", "taken[1]", "taken[2]"]


def test_entries_of_one_row_and_column_are_added_up() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 2, upper=10.0)
    builder.rows("sum", 2, [(1.0, x), (2.0, x), (np.array([[0.5, 0.0], [0.0, -3.0]]), x)])
    program = builder.build()
    # The second row's 1 + 2 - 3 vanishes and is not written.
    assert program.entry_value.tolist() == [3.5]
    assert program.entry_column.tolist() == [0]
    assert program.row_start.tolist() == [0, 1, 1]
    assert program.activity(np.array([2.0, 7.0])) == pytest.approx([7.0, 0.0])


def test_a_cost_charged_twice_is_charged_twice() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 2, lower=1.0, upper=10.0)
    builder.rows("none", 2, [(1.0, x)])
    builder.cost("wear", x, 2.0)
    builder.cost("wear", np.array([x[0], x[0]]), [1.0, 3.0])
    builder.cost("energy", x, [0.0, 0.5])
    program = builder.build()
    assert program.cost_of["wear"].tolist() == [6.0, 2.0]
    assert program.cost.tolist() == [6.0, 2.5]
    assert highs.solve(program).objective == pytest.approx(8.5)


def test_entries_say_the_same_as_their_matrix() -> None:
    matrix = np.array([[0.5, 0.0, 1e-12], [0.0, -3.0, 2.0]])
    builder = ProgramBuilder()
    x = builder.variables("x", 3, upper=10.0)
    builder.rows("matrix", 2, [(matrix, x)])
    builder.rows("entries", 2, [(entries(matrix), x)])
    builder.rows("turned", 2, [(-entries(matrix) * 2.0, x)])
    program = builder.build()
    assert program.entry_value.tolist() == [0.5, -3.0, 2.0] * 2 + [-1.0, 6.0, -4.0]
    assert program.entry_column.tolist() == [0, 1, 2] * 3
    assert program.row_start.tolist() == [0, 1, 3, 4, 6, 7, 9]


def test_neither_one_number_nor_one_for_each_is_refused() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 3, upper=10.0)
    with pytest.raises(ValueError, match=r"\(2,\) numbers for 3 members"):
        builder.rows("short", 3, [(np.ones(2), x)])
    with pytest.raises(ValueError, match=r"\(2,\) numbers for 3 members"):
        builder.variables("short", 3, upper=[1.0, 2.0])


@pytest.mark.parametrize("bounds", [{"upper": np.inf}, {"lower": -np.inf, "upper": 1.0}])
def test_an_infinite_bound_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="free: every bound is finite"):
        ProgramBuilder().variables("free", 2, **bounds)


def test_rows_may_be_bounded_on_both_sides() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 1, upper=10.0)
    builder.rows("band", 1, [(2.0, x)], lower=4.0, upper=6.0)
    builder.cost("price", x, 1.0)
    assert highs.solve(builder.build()).x == pytest.approx([2.0])
    builder.cost("gain", x, -3.0)
    assert highs.solve(builder.build()).x == pytest.approx([3.0])


def test_a_label_without_rows_is_not_written() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 1, upper=1.0)
    builder.rows("nothing", 0, [(1.0, x[:0])])
    builder.rows("something", 1, [(1.0, x)], upper=1.0)
    program = builder.build()
    assert [group.name for group in program.rows] == ["something"]
    assert program.row_range("something") == slice(0, 1)
    assert program.column_range("x") == slice(0, 1)


def test_duals_are_what_one_more_unit_costs() -> None:
    builder = ProgramBuilder()
    x = builder.variables("x", 2, upper=[3.0, 10.0])
    builder.rows("demand", 1, [(np.array([[1.0, 1.0]]), x)], lower=5.0)
    builder.cost("fuel", x, [2.0, 7.0])
    program = builder.build()
    solution = highs.solve(program)
    assert solution.objective == pytest.approx(20.0)
    assert highs.row_duals(program, solution.x) == pytest.approx([7.0])
