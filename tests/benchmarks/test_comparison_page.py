"""docs/comparison.md says what the plans cost today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebplan import load_case, solve_problem
from ebplan.planner import Method
from ebplan.pose import pose

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\w+) \| \d+% \| ([\w ]+) \| [\d,.-]+ \| ([\d,.-]+) \| ([\d.]+) \|", re.M)
METHODS: dict[str, Method] = {"cheapest mix": "highs", "least impact first": "merit_order"}


def test_the_page_agrees_with_the_plans_of_today() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = ROW.findall(page.split("## Outcome")[1].split("## Cost by cause")[0])
    assert {name for name, *_ in rows} == {"under_frequency", "curtailment_3h", "infeasible_target"}
    for name, plan_name, money, short_kwh in rows:
        case = load_case(ROOT / "examples" / f"{name}.json")
        plan = solve_problem(pose(case.event, case.site, case.state), method=METHODS[plan_name])
        missing = sum(interval.energy_kwh for interval in plan.shortfall)
        assert plan.money == pytest.approx(float(money.replace(",", "")), rel=5e-3)
        assert missing == pytest.approx(float(short_kwh), abs=5e-3)
