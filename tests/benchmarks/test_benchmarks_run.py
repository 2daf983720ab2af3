"""Each benchmark subject builds and each phase runs; no time is asserted."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.comparison import at_depth, compare, page
from benchmarks.options import SETTINGS, measure_settings
from benchmarks.phases import PHASES, measure
from benchmarks.reference import run_highs
from benchmarks.registry import SUBJECTS, Subject
from benchmarks.scaling import scaled
from benchmarks.subjects import example
from benchmarks.tables import options_table, size_table, time_table
from benchmarks.traps import TRAPS
from ebplan.optimality import OPTIMAL_GAP
from ebplan.pose import pose
from ebplan.solvers.formulation import formulate

pytestmark = pytest.mark.slow

SMALLEST = SUBJECTS["under_frequency"]


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_every_subject_builds(subject: Subject) -> None:
    case = subject.build()
    problem = pose(case.event, case.site, case.state)
    program = formulate(problem).program
    assert program.n_rows == program.rows[-1].start + program.rows[-1].size
    assert sum(pool.instances for pool in problem.pools) == sum(
        pool.total for pool in case.state.pools.values()
    )


@pytest.mark.parametrize(("instances", "pools"), [(4, 1), (64, 1), (100, 10)])
def test_scaling_scales_what_has_a_size(instances: int, pools: int) -> None:
    small = example("under_frequency")
    large = scaled(small, instances=instances, pools=pools)
    factor = instances * pools / 4
    before = pose(small.event, small.site, small.state)
    after = pose(large.event, large.site, large.state)
    assert np.sum([p.load for p in after.pools]) == pytest.approx(factor * before.pools[0].load)
    assert min(after.target_kw) == pytest.approx(factor * min(before.target_kw))
    assert before.battery is not None
    assert after.battery is not None
    assert after.battery.energy_kwh == pytest.approx(factor * before.battery.energy_kwh)
    # Unequal loads on a concave curve draw a little less than equal ones.
    assert after.baseline_kw[0] <= factor * before.baseline_kw[0] * (1.0 + 1e-12)
    assert after.baseline_kw[0] == pytest.approx(factor * before.baseline_kw[0], rel=2e-3)


def test_scaling_by_one_changes_nothing() -> None:
    case = example("curtailment_3h")
    assert scaled(case, instances=4) == case


def test_every_phase_runs_on_the_smallest() -> None:
    measured = measure(SMALLEST, 1)
    (replan,) = measured.replans
    assert set(replan.seconds) == set(PHASES)
    assert replan.verdict.ok
    assert replan.references[-1].proven
    assert replan.references[-1].objective == pytest.approx(
        replan.solution.objective, rel=2.0 * OPTIMAL_GAP
    )
    assert 0.0 < measured.root_gap < 1.0
    assert SMALLEST.name in time_table([measured])[-1]
    assert f"{replan.program.n_rows:,}" in size_table([measured])[-1]


def test_every_option_setting_finds_the_same_optimum() -> None:
    measured = measure_settings([SMALLEST], seeds=1)
    assert [m.setting for m in measured] == list(SETTINGS)
    objectives = [m.runs[0].objective for m in measured]
    assert max(objectives) == pytest.approx(min(objectives), rel=2.0 * OPTIMAL_GAP)
    assert len(options_table(measured)) == 2 + len(SETTINGS)


def test_an_unknown_option_is_refused() -> None:
    case = SMALLEST.build()
    program = formulate(pose(case.event, case.site, case.state)).program
    with pytest.raises(ValueError, match="no_such_option"):
        run_highs(program, {"no_such_option": 1})


def test_each_rule_of_the_formulation_is_worth_something() -> None:
    for measured in (measure_trap() for measure_trap in TRAPS):
        assert measured.without_rule > 5.0 * measured.with_rule, measured.rule


def test_the_rule_is_never_cheaper_than_the_mix() -> None:
    case = example("under_frequency")
    pairs = [compare(f"{d:.0%}", at_depth(case, d)) for d in (0.1, 0.3)]
    for pair in pairs:
        optimal, rule = pair.plans["highs"], pair.plans["merit_order"]
        assert optimal.bound is not None
        assert rule.objective >= optimal.bound
    written = page(pairs, None)
    assert "never cheaper" in written
    assert not re.search(r"\bnan\b|\binf\b", written)


def test_the_command_prints_the_tables() -> None:
    result = CliRunner().invoke(main, ["--repeat", "1", "--subject", "under_frequency"])
    assert result.exit_code == 0, result.output
    assert "## Time of a re-plan" in result.output
