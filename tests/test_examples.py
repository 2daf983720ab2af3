"""The examples do what their names say, through the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from rich.console import Console

from ebplan.case import built_in_sites, load_case
from ebplan.cli import main
from ebplan.document import read_json
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan, Step
from ebplan.planner import solve_problem
from ebplan.problem import Problem
from ebplan.report.direction import direction_of
from ebplan.report.phase_table import phase_table
from ebplan.report.phases import mechanism_names, phases
from ebplan.solvers.leave_out import available

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.json"))
NAMES = [file.stem for file in EXAMPLES]


@dataclass(frozen=True)
class Solved:
    """What ``ebplan solve -o`` and ``ebplan check`` make of an example."""

    plan: Plan
    problem: Problem
    check_exit_code: int

    def in_event(self) -> list[Step]:
        """Return the steps of the event."""
        inside = zip(self.plan.steps, self.problem.in_event, strict=True)
        return [step for step, asked in inside if asked]

    def energy_kwh(self, mechanism: str) -> float:
        """Return what a mechanism keeps from the grid during the event."""
        return sum(
            -step.mechanisms.get(mechanism, 0.0) * step.duration_s / 3600.0
            for step in self.in_event()
        )


@cache
def solved(name: str) -> Solved:
    file = next(file for file in EXAMPLES if file.stem == name)
    with TemporaryDirectory() as folder:
        plan_file = Path(folder) / "plan.json"
        result = CliRunner().invoke(main, ["solve", str(file), "-o", str(plan_file)])
        assert result.exit_code == 0, result.output
        check = CliRunner().invoke(main, ["check", str(plan_file)])
        return Solved(
            plan=Plan.parse(read_json(plan_file)),
            problem=Problem.parse(read_json(plan_file.with_name("plan.problem.json"))),
            check_exit_code=check.exit_code,
        )


def test_there_are_examples() -> None:
    assert {
        "curtailment_3h",
        "demand_response",
        "fcr_tracking",
        "infeasible_target",
        "mixed_pools",
        "price_window",
        "surplus_absorb",
        "surplus_queue",
        "under_frequency",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_solved_to_proven_optimality(name: str) -> None:
    one = solved(name)
    assert one.check_exit_code == 0
    assert one.plan.check.ok
    assert one.plan.status == "optimal"
    assert one.plan.gap is not None
    assert 0.0 <= one.plan.gap <= OPTIMAL_GAP
    assert one.plan.explanation
    assert sum(one.plan.cost.values()) == pytest.approx(one.plan.objective)


def test_under_frequency_is_covered_from_the_first_tenth_of_a_second() -> None:
    one = solved("under_frequency")
    battery = one.problem.battery
    assert battery is not None
    first = one.in_event()[0]
    assert first.t_s <= max(0.1, battery.delay_s)
    assert one.plan.shortfall == ()
    for step in one.in_event():
        assert step.shortfall_kw == 0.0
        assert step.grid_kw <= step.baseline_kw + step.target_kw + 1e-6
    assert -first.mechanisms["battery"] >= 0.9 * -first.target_kw, "the battery comes first"


def test_under_frequency_is_handed_over_within_a_minute() -> None:
    one = solved("under_frequency")
    complete_s = one.plan.handoff.complete_s
    assert complete_s is not None
    assert complete_s <= 60.0
    for step in one.in_event():
        if step.t_s >= complete_s:
            assert abs(step.battery_kw) <= 0.1 * abs(step.target_kw) + 1e-6


def test_an_infeasible_target_falls_short_for_a_reason() -> None:
    one = solved("infeasible_target")
    assert one.plan.shortfall
    for short in one.plan.shortfall:
        assert short.energy_kwh > 0.0
        assert short.to_s > short.from_s
        assert len(short.reason.split()) >= 3
    missing_kwh = sum(step.shortfall_kw * step.duration_s for step in one.in_event()) / 3600.0
    assert sum(s.energy_kwh for s in one.plan.shortfall) == pytest.approx(missing_kwh, rel=1e-3)
    assert one.plan.cost["shortfall"] > 0.0
    for short in one.plan.shortfall:
        assert any(short.reason in sentence for sentence in one.plan.explanation)


def test_curtailment_is_carried_by_compute() -> None:
    one = solved("curtailment_3h")
    asked_kwh = sum(-step.target_kw * step.duration_s for step in one.in_event()) / 3600.0
    battery_kwh = one.energy_kwh("battery")
    names = {name for step in one.in_event() for name in step.mechanisms} - {"battery"}
    compute_kwh = sum(one.energy_kwh(name) for name in names)
    assert one.plan.shortfall == ()
    assert compute_kwh >= 0.8 * asked_kwh
    assert battery_kwh <= 0.2 * asked_kwh
    assert compute_kwh + battery_kwh >= asked_kwh * (1.0 - 1e-6)


def test_a_surplus_is_absorbed_by_an_instance_put_to_work_and_by_the_battery() -> None:
    one = solved("surplus_absorb")
    (pool,) = one.problem.pools
    (epochs,) = one.plan.pools.values()
    assert max(epoch.active for epoch in epochs) > pool.active_at_start
    assert one.energy_kwh("consolidation") < 0.0
    assert one.energy_kwh("battery") < 0.0
    assert one.plan.shortfall == ()
    for step in one.in_event():
        assert step.grid_kw >= step.baseline_kw + step.target_kw - 1e-6


def test_a_surplus_fills_the_battery() -> None:
    one = solved("surplus_absorb")
    before, after = one.in_event()[0], one.in_event()[-1]
    assert all(step.battery_kw <= 0.0 for step in one.in_event()), "no discharge inside the event"
    assert before.soc is not None
    assert after.soc is not None
    assert after.soc > before.soc


def test_a_frequency_is_followed_both_ways_and_the_charge_restored() -> None:
    one = solved("fcr_tracking")
    tolerance = one.problem.tolerance_kw
    assert min(step.target_kw for step in one.plan.steps) < -1.0
    assert max(step.target_kw for step in one.plan.steps) > 0.5
    assert one.plan.shortfall == ()
    for step in one.in_event():
        assert abs(step.grid_kw - step.baseline_kw - step.target_kw) <= tolerance + 1e-6
    powers = [step.battery_kw for step in one.in_event()]
    assert min(powers) < 0.0 < max(powers)
    assert one.plan.steps[-1].soc == pytest.approx(0.6, abs=1e-6)
    assert any(step.battery_kw < 0.0 for step in one.plan.steps if step.t_s >= 300.0)


def test_prices_decide_when_the_battery_takes_and_gives() -> None:
    one = solved("price_window")
    by_price: dict[float, float] = {}
    for step, price in zip(one.plan.steps, one.problem.energy_prices_per_kwh, strict=True):
        kwh = step.battery_kw * step.duration_s / 3600.0
        by_price[float(price)] = by_price.get(float(price), 0.0) + kwh
    assert by_price[-100.0] < -1.0
    assert by_price[-5.0] < 0.0
    assert by_price[45.0] > 1.0
    assert one.plan.money < 0.0


def test_a_prewarm_and_a_lower_precision_pay_where_there_is_notice() -> None:
    one = solved("demand_response")
    (epochs,) = one.plan.pools.values()
    began_s = one.problem.event_start_s
    warmed = [epoch.t_s for epoch in epochs if epoch.prewarm]
    assert warmed
    assert warmed[0] < began_s, "the cache is warm before the event"
    assert any(epoch.tier is not None and epoch.tier.active for epoch in epochs)
    assert one.plan.cost["prewarming"] > 0.0
    assert one.plan.shortfall == ()


def test_each_pool_is_held_below_its_draw_in_its_own_way() -> None:
    one = solved("mixed_pools")
    bench, second = one.plan.pools["llama70b"], one.plan.pools["qwen235b"]
    clocks = [e.clock_lock.clock_mhz for e in second if e.clock_lock and e.clock_lock.active]
    assert any(clock is not None and clock < 1380.0 for clock in clocks)
    assert any(epoch.cap_w_per_gpu is not None for epoch in bench)
    assert all(epoch.cap_w_per_gpu is None for epoch in second)
    assert one.energy_kwh("clock_lock") > 0.5 * one.energy_kwh("battery")
    assert "lower precision (" in next(s for s in one.plan.explanation if "Not used" in s)


def test_a_surplus_becomes_queued_work_on_an_instance_woken_for_it() -> None:
    one = solved("surplus_queue")
    (epochs,) = one.plan.pools.values()
    assert any(epoch.woken for epoch in epochs)
    assert max(epoch.active for epoch in epochs) == 4
    assert one.plan.service["llama70b"]["batch"].pulled > 1000.0
    assert one.energy_kwh("pull_forward") < 0.0
    assert one.plan.shortfall == ()


@pytest.mark.parametrize(
    ("mechanism", "chosen", "refused"),
    [
        ("prewarm", "demand_response", None),
        ("precision", "demand_response", "mixed_pools"),
        ("clock_lock", "mixed_pools", None),
        ("pull_forward", "surplus_queue", None),
    ],
)
def test_a_mechanism_is_worth_something_in_one_example_and_nothing_in_another(
    mechanism: str, chosen: str, refused: str | None
) -> None:
    problem = solved(chosen).problem
    assert mechanism in available(problem)
    without = solve_problem(problem, without=(mechanism,))
    assert without.objective > solved(chosen).plan.objective + 1.0
    if refused is not None:
        other = solved(refused).problem
        alike = solve_problem(other, without=(mechanism,))
        assert alike.objective == pytest.approx(solved(refused).plan.objective, rel=2e-3)


@pytest.mark.parametrize(
    ("words", "chosen", "refused"),
    [
        ("consolidation", "under_frequency", "mixed_pools"),
        ("lower precision", "demand_response", "mixed_pools"),
        ("deferral", "demand_response", "mixed_pools"),
        ("admission", "demand_response", "mixed_pools"),
    ],
)
def test_a_refused_mechanism_has_its_reason(words: str, chosen: str, refused: str) -> None:
    def not_used(name: str) -> str:
        found = [s for s in solved(name).plan.explanation if s.startswith("Not used")]
        return found[0] if found else ""

    assert words not in not_used(chosen)
    reasons = not_used(refused).partition(words)[2]
    told = reasons[reasons.index("(") + 1 : reasons.index(")")]
    assert any(character.isdigit() for character in told) or "no instance" in told, told


def test_the_lowest_clock_is_said_to_be_reached_only_while_clocks_are_locked() -> None:
    plan = solved("mixed_pools").plan
    (told,) = (s for s in plan.explanation if "the lowest clock is reached" in s)
    times = re.findall(r"([\d.]+) (s|min|h)\b", told)
    first, last = (float(number) * {"s": 1.0, "min": 60.0, "h": 3600.0}[u] for number, u in times)
    began_s = solved("mixed_pools").problem.event_start_s
    at_work = [s for s in plan.steps if s.mechanisms.get("clock_lock", 0.0) < -1.0]
    assert at_work[0].t_s <= began_s + first + 1e-6
    assert at_work[-1].t_s + at_work[-1].duration_s >= began_s + last - 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_no_word_or_number_is_broken_in_a_table_of_80_columns(name: str) -> None:
    plan, problem = solved(name).plan, solved(name).problem
    console = Console(width=80, file=StringIO(), record=True)
    console.print(phase_table(plan, problem, 80))
    shown = console.export_text().split()
    heads = [direction_of(problem).header(n) for n in mechanism_names(plan)]
    assert {word for head in heads for word in head.split()} <= set(shown)
    last = phases(plan, problem)[-1]
    assert last.soc is None or f"{100.0 * last.soc:.1f}" in shown


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_case_of_a_built_in_site(name: str) -> None:
    file = next(file for file in EXAMPLES if file.stem == name)
    assert read_json(file)["site"] in built_in_sites()
    case = load_case(file)
    assert case.event.id == solved(name).plan.event_id
    assert case.state.at == solved(name).plan.start
