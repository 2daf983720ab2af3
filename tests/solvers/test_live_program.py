"""A program that stays in HiGHS answers as a new one does, whatever it was asked before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ebplan.errors import NoPlanError
from ebplan.solvers.live import LiveProgram
from ebplan.solvers.program import Program, ProgramBuilder

STEPS = 12


def store() -> Program:
    """Return a store that charges and discharges over some steps."""
    builder = ProgramBuilder()
    charge = builder.variables("charge", STEPS, upper=5.0)
    discharge = builder.variables("discharge", STEPS, upper=5.0)
    energy = builder.variables("energy", STEPS + 1, upper=10.0)
    builder.cost("money", charge, 1.0)
    builder.cost("money", discharge, -1.0)
    balance = [(1.0, energy[1:]), (-1.0, energy[:-1]), (-0.9, charge), (1.0, discharge)]
    builder.rows("balance", STEPS, balance, lower=0.0, upper=0.0)
    builder.rows("meter", STEPS, [(1.0, charge), (-1.0, discharge)], lower=-4.0, upper=4.0)
    return builder.build()


@pytest.mark.parametrize("seed", range(5))
def test_what_was_asked_before_changes_no_answer(seed: int) -> None:
    draw, program = np.random.default_rng(seed), store()
    live = LiveProgram(program)
    known = {name: getattr(program, name).copy() for name in ("lower", "upper", "row_upper")}
    known["cost"] = program.cost.copy()
    for _ in range(10):
        told = {}
        if draw.random() < 0.8:
            told["cost"] = known["cost"] + draw.normal(0.0, 1.0, program.n_columns)
        if draw.random() < 0.5:
            told["upper"] = np.maximum(program.upper * draw.uniform(0.5, 1.0), known["lower"])
        if draw.random() < 0.5:
            told["lower"] = known["lower"].copy()
            told["lower"][2 * STEPS] = draw.uniform(0.0, 4.0)
        if draw.random() < 0.5:
            told["row_upper"] = program.row_upper + draw.uniform(0.0, 1.0)
        found = live.optimum(**told)
        known |= {name: vector.copy() for name, vector in told.items()}
        fresh = LiveProgram(
            replace(
                program,
                cost_of={"money": known["cost"]},
                lower=known["lower"],
                upper=known["upper"],
                row_upper=known["row_upper"],
            )
        ).optimum()
        assert found.objective == pytest.approx(fresh.objective, abs=1e-7)
        assert known["cost"] @ found.x == pytest.approx(found.objective, abs=1e-7)
        for name in told:
            told[name][:] = np.nan  # the caller's own: nothing of it is kept


def test_after_what_cannot_be_it_goes_on() -> None:
    program = store()
    live, before = LiveProgram(program), LiveProgram(program).optimum().objective
    full = program.lower.copy()
    full[2 * STEPS :] = 10.0
    empty = program.upper.copy()
    empty[2 * STEPS] = 1.0
    with pytest.raises(NoPlanError, match="no optimum"):
        live.optimum(lower=full, upper=empty)
    found = live.optimum(lower=program.lower, upper=program.upper)
    assert found.objective == pytest.approx(before)
