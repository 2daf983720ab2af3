"""The confidence that a plan states is kept: errors drawn, and the response worked out again.

The converter covers what is missing to the target, as far as its power reaches, and the energy left
at the end is at least what is to be kept. Load and response err for the whole event.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from ebplan.case import load_case
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Uncertainty
from ebplan.site.uncertainty import covered_together

EXAMPLE = Path(__file__).parents[2] / "examples" / "curtailment_3h.json"
SAMPLES = 600
LOAD_STD, RESPONSE_STD = 0.04, 0.1


@functools.cache
def planned(confidence: float | None) -> tuple[Problem, Plan]:
    case = load_case(EXAMPLE)
    said = confidence and Uncertainty(
        confidence=confidence, load_std=LOAD_STD, response_std=RESPONSE_STD
    )
    planning = case.site.planning.model_copy(update={"uncertainty": said})
    site = case.site.model_copy(update={"planning": planning})
    problem = pose(case.event, site, case.state)
    return problem, solve_problem(problem)


def times_kept(problem: Problem, plan: Plan) -> int:
    """Return in how many of the samples power and energy suffice throughout."""
    battery, rng = problem.battery, np.random.default_rng(20260601)
    assert battery is not None
    start_kw = plan.steps[0].baseline_kw - problem.other_kw[0]
    load_kw = LOAD_STD * start_kw * rng.standard_normal((SAMPLES, 1))
    less = RESPONSE_STD * rng.standard_normal((SAMPLES, 1))
    first_s = problem.event_start_s + battery.delay_s
    steps = [s for s in plan.steps if s.target_kw < 0.0 and s.t_s >= first_s - 1e-9]
    compute_kw = np.array([step.compute_kw for step in steps])
    draw_kw = problem.other_kw[0] + compute_kw + load_kw + less * (start_kw - compute_kw)
    promised_kw = np.array([s.baseline_kw + s.target_kw + s.shortfall_kw for s in steps])
    given_kw = np.maximum(draw_kw - promised_kw, 0.0)
    loss_kw = battery.loss_linear * given_kw + battery.loss_quadratic * given_kw**2 / (
        battery.rated_kw
    )
    hours = np.array([step.duration_s for step in steps]) / 3600.0
    out_kwh = (given_kw + loss_kw) / battery.cell_efficiency @ hours
    enough_power = (given_kw <= battery.discharge_limit_kw).all(axis=1)
    before = [s.soc for s in plan.steps if s.t_s < steps[0].t_s and s.soc is not None]
    stored_kwh = before[-1] * battery.energy_kwh if before else battery.start_kwh
    enough_energy = stored_kwh - out_kwh >= min(battery.reserve_kwh, battery.start_kwh)
    return int((enough_power & enough_energy).sum())


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_stated_confidence_is_kept(confidence: float) -> None:
    problem, plan = planned(confidence)
    assert plan.check.ok
    assert plan.margin is not None
    assert plan.margin.confidence == confidence
    assert plan.margin.missing_kw == 0.0
    assert plan.margin.missing_kwh == 0.0
    assert times_kept(problem, plan) >= binom.ppf(0.01, SAMPLES, confidence)


def test_without_margins_it_is_not() -> None:
    problem, plan = planned(None)
    assert plan.margin is None
    assert times_kept(problem, plan) < binom.ppf(0.01, SAMPLES, 0.9)
    assert plan.money < planned(0.9)[1].money < planned(0.95)[1].money


@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
def test_both_errors_are_covered_at_once(ratio: float) -> None:
    z = covered_together(0.9, ratio)
    u, v = np.random.default_rng(3).standard_normal((2, 400_000))
    kept = (u <= z) & (u + ratio * v <= z * (1.0 + ratio))
    # 400,000 samples are apart from 0.9 by 5e-4 in one standard deviation
    assert kept.mean() == pytest.approx(0.9, abs=2e-3)
