"""Any case that can be posed gets a checked plan, whatever its numbers."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebplan import Case, InputError, load_case, solve_problem
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan
from ebplan.pose import pose
from ebplan.problem import Problem

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[1] / "examples" / "under_frequency.json"
WORKLOADS = ("short_input", "medium_input", "long_input")
CASES, CHUNK = 120, 20


def random_case(seed: int) -> dict[str, Any]:
    """Return a case that differs from the example in whatever a site may differ in."""
    draw = np.random.default_rng(seed)
    data = load_case(EXAMPLE).model_dump(mode="json")
    event, site, state = data["event"], data["site"], data["state"]
    site["assumptions"] = []
    site["connection_point"]["import_limit_kw"] = float(draw.choice([60.0, 200.0]))
    pool, running = site["pools"]["llama70b"], state["pools"]["llama70b"]
    _fleet(draw, pool, running)
    _battery(draw, site, state)
    site["energy_price_per_kwh"] = float(draw.choice([20.0, 20.0, 5.0, 0.0, -10.0]))
    duration = float(draw.choice([10.0, 60.0, 300.0, 1800.0, 7200.0]))
    begin = float(draw.choice([0.0, 0.1, 5.0])) if duration > 10.0 else 0.0
    full = begin + float(draw.choice([0.0, 30.0])) if duration > 60.0 else begin
    absorb = bool(draw.random() < 0.3)
    depth = float(draw.choice([0.02, 0.1, 0.25, 0.5, 0.8]))
    event |= {
        "type": "demand_response",
        "duration_s": duration,
        "target": {"fraction_of_baseline": depth if absorb else -depth},
        "handoff": {"by_s": min(30.0, duration)} if draw.random() < 0.6 else None,
        "penalty_per_kwh": float(draw.choice([0.0, 100.0])),
    }
    event["response"] |= {"initial_delay_s": begin, "full_activation_s": full}
    notice_min = int(draw.choice([0, 0, 4, 90]))
    hours, minutes = divmod(notice_min, 60)
    event["start"] = f"2026-06-01T{12 + hours:02d}:{minutes:02d}:00+09:00"
    return data


def _fleet(draw: np.random.Generator, pool: dict[str, Any], running: dict[str, Any]) -> None:
    instances = int(draw.choice([1, 2, 4, 12, 40]))
    drained, asleep = (int(draw.integers(0, 1 + instances // 3)) for _ in range(2))
    active = instances - drained - asleep
    pool |= {"instances": instances, "allow_extrapolation": bool(draw.random() < 0.3)}
    pool["asleep_kw_per_gpu"] = float(draw.choice([0.12, 0.05]))
    running |= {"active": active, "drained": drained, "asleep": asleep}
    workload = str(draw.choice(WORKLOADS))
    capacity = {"short_input": 15.9, "medium_input": 31.3, "long_input": 6.6}[workload]
    load = float(draw.uniform(0.35, 1.1)) * active * capacity
    share = float(draw.choice([0.0, 0.3, 1.0]))
    running["load_req_per_s"] = {"interactive": load * share, "batch": load * (1.0 - share)}
    for requests in pool["classes"].values():
        requests["workload"] = workload
    if draw.random() < 0.5:
        pool["classes"]["batch"]["deferral"] = {"deadline_s": 1800.0, "price_per_request_h": 0.01}
        running["backlog_requests"] = {"batch": float(draw.choice([0.0, 5000.0]))}


def _battery(draw: np.random.Generator, site: dict[str, Any], state: dict[str, Any]) -> None:
    if draw.random() < 0.2:
        site["battery"] = None
        return
    battery = site["battery"]
    limit = float(draw.choice([0.3, 2.0, 8.0]))
    battery |= {"discharge_limit_kw": limit, "charge_limit_kw": limit, "droop_reserve_kw": 0.0}
    battery |= {"energy_kwh": float(draw.choice([0.5, 10.0, 60.0]))}
    battery |= {"cell_efficiency": float(draw.choice([0.975, 0.7]))}
    state["soc"] = float(draw.choice([0.1, 0.3, 0.6, 0.95]))


def posed(seed: int) -> Problem | None:
    case = Case.parse(random_case(seed))
    try:
        return pose(case.event, case.site, case.state)
    except InputError:
        return None


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_whatever_can_be_posed_gets_a_checked_plan(first: int) -> None:
    statuses: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        problem = posed(seed)
        if problem is None:
            statuses["refused"] += 1
            continue
        plan = solve_problem(problem)
        statuses[plan.status] += 1
        assert plan.check.ok, seed
        assert not any("was not used" in sentence for sentence in plan.explanation), seed
        _is_consistent(plan, problem)
    assert statuses["refused"] <= CHUNK // 2
    assert statuses["optimal"] >= 0.75 * (CHUNK - statuses["refused"])


def _is_consistent(plan: Plan, problem: Problem) -> None:
    """Hold what a reader takes for granted; the checker holds the rest."""
    missing = math.fsum(s.shortfall_kw * s.duration_s for s in plan.steps) / 3600.0
    assert math.fsum(gap.energy_kwh for gap in plan.shortfall) == pytest.approx(missing, abs=1e-6)
    assert plan.shortfall or missing < 1e-6
    assert (plan.status == "optimal") == (plan.gap is not None and plan.gap <= OPTIMAL_GAP)
    assert Plan.model_validate_json(plan.to_json()) == plan
    assert all(s.soc is not None for s in plan.steps) == (problem.battery is not None)


def test_no_finer_search_finds_a_plan_that_costs_much_less() -> None:
    """What is called optimal is within 0.1 % of the money, also where surcharges dwarf it."""
    from ebplan.solvers import highs
    from ebplan.solvers.complete import complete
    from ebplan.solvers.decision import decide
    from ebplan.solvers.formulation import formulate

    found = 0
    for seed in range(CASES):
        problem = posed(seed)
        if problem is None or problem.battery is None or len(problem.grid.epoch_steps) > 26:
            continue
        plan = solve_problem(problem)
        if plan.status != "optimal" or plan.objective == plan.money:
            continue
        formulation = formulate(problem)
        program, battery = formulation.program, formulation.battery
        x = highs.solve(program, gap=1e-9).x
        assert battery is not None
        battery_kw = x[battery.discharge] - x[battery.charge]
        x = complete(problem, formulation, decide(problem, formulation, x), battery_kw)
        finest = float(program.cost @ x) + program.constant
        tolerance = 1e-6 * abs(plan.objective) + 1e-4
        assert plan.objective - finest <= OPTIMAL_GAP * abs(plan.money) + tolerance, seed
        found += 1
    assert found >= 5
