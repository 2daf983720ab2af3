"""What terminal and figure share: the axis, the phases, the words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sample_plan import POOL, Command, build, curtailment, infeasible, under_frequency

from ebplan.report.axis import EventAxis
from ebplan.report.fleet_words import fleet_actions
from ebplan.report.phases import message, phases
from ebplan.words import power_words, time_words

SAMPLES = [under_frequency, curtailment, infeasible]


@pytest.mark.parametrize("sample", SAMPLES)
def test_axis_is_rising_and_inverts(sample):
    problem, _ = sample()
    axis = EventAxis.of(problem)
    t_s = np.array(problem.grid.edges_s)
    position = axis.position(t_s)
    assert (np.diff(position) > 0.0).all()
    np.testing.assert_allclose(axis.time_s(position), t_s, atol=1e-6)


def test_axis_gives_each_decade_of_the_event_its_width():
    axis = EventAxis(0.0, 10_800.0, 11_000.0)
    decades = np.diff(axis.position(np.array([1.0, 10.0, 100.0, 1000.0, 10_000.0])))
    np.testing.assert_allclose(decades, np.log(10.0), rtol=2e-3)
    assert axis.share(0.1) > 0.04, "the first 100 ms can be seen beside three hours"


@pytest.mark.parametrize("sample", SAMPLES)
def test_ticks_lie_where_they_say(sample):
    problem, _ = sample()
    ticks = EventAxis.of(problem).ticks()
    start_s, end_s = problem.event_start_s, problem.event_end_s
    assert (start_s, "0") in ticks
    assert (end_s, time_words(end_s - start_s)) in ticks
    for t_s, label in ticks:
        zero_s = end_s if label.startswith("+") else start_s
        assert label.lstrip("+") in (time_words(t_s - zero_s), "0")


@pytest.mark.parametrize("sample", SAMPLES)
def test_phases_cover_the_plan_and_keep_its_energy(sample):
    problem, plan = sample()
    found = phases(plan, problem)
    assert found[0].from_s == 0.0
    assert found[-1].to_s == pytest.approx(problem.grid.horizon_s)
    for one, following in pairwise(found):
        assert one.to_s == pytest.approx(following.from_s)
    edges = {round(phase.from_s, 3) for phase in found}
    assert {round(problem.event_start_s, 3), round(problem.event_end_s, 3)} <= edges
    for field in ("target_kw", "grid_kw", "shortfall_kw"):
        by_phase = sum(getattr(p, field) * (p.to_s - p.from_s) for p in found)
        by_step = sum(getattr(s, field) * s.duration_s for s in plan.steps)
        assert by_phase == pytest.approx(by_step)
    by_phase = sum(p.mechanisms["battery"] * (p.to_s - p.from_s) for p in found)
    assert by_phase == pytest.approx(
        sum(s.mechanisms["battery"] * s.duration_s for s in plan.steps)
    )
    assert found[-1].soc == plan.steps[-1].soc


def test_phases_name_who_carries_the_response():
    problem, plan = under_frequency()
    who = [phase.who for phase in phases(plan, problem)]
    assert who[0] == "battery alone"
    assert who.index("battery + compute") < who.index("compute carries") < who.index("recovery")


def test_fewer_phases_are_coarser_not_shorter():
    problem, plan = under_frequency()
    few = phases(plan, problem, at_most=4)
    assert len(few) <= 4 < len(phases(plan, problem))
    assert (few[0].from_s, few[-1].to_s) == (0.0, pytest.approx(problem.grid.horizon_s))


def test_message_is_computed_from_the_plan():
    problem, plan = under_frequency()
    handed_s = plan.handoff.complete_s
    assert handed_s is not None
    steps = tuple(
        s.model_copy(update={"battery_kw": s.battery_kw + 0.08 * (s.target_kw < 0.0)})
        for s in plan.steps
    )
    plan = plan.model_copy(update={"steps": steps})
    late = [s for s in plan.steps if handed_s <= s.t_s < problem.event_end_s]
    compute_kws = -sum((s.grid_kw - s.baseline_kw + s.battery_kw) * s.duration_s for s in late)
    share = 100.0 * compute_kws / sum(s.duration_s for s in late)
    assert 85.0 < share < 95.0
    text = message(plan, problem)
    assert f"compute carries {share:.0f} % of 1.00 kW after {time_words(handed_s)}" in text
    assert text.endswith(f"cost {plan.money:.2f} JPY")
    dearer = plan.model_copy(update={"objective": plan.objective + 7.0})
    assert message(dearer, problem).endswith(f"cost {plan.money + 7.0:.2f} JPY")


def test_message_says_what_falls_short():
    problem, plan = infeasible()
    worst_kw = max(step.shortfall_kw for step in plan.steps)
    assert worst_kw > 1.0
    assert f"up to {power_words(worst_kw)} fall short" in message(plan, problem)


def test_fleet_actions_say_what_changes_and_nothing_else():
    problem, plan = curtailment()
    told = {
        action.from_s - problem.event_start_s: action.words
        for action in fleet_actions(plan, problem)
    }
    assert told[-60.0] == ("drain 1 of 4 instances",)
    assert told[0.0] == ("cap 6 GPUs (3 instances) at 430 W per GPU",)
    assert told[60.0] == (
        "put 1 of 4 instances to sleep",
        "cap 6 GPUs (3 instances) at 405 W per GPU",
        "reject 1.3 of 8.0 req/s batch",
    )
    assert told[10800.0] == ("wake 1 of 4 instances", "lift the cap")
    assert len(told) == 6


def test_a_run_of_cap_moves_is_one_action():
    caps = (Command(0.0, 3), *(Command(t, 3, cap_w_per_gpu=440.0 - t) for t in (1.0, 3.0, 10.0)))
    problem, plan = build("caps", 1.0, 300.0, caps)
    actions = fleet_actions(plan, problem)
    assert [len(plan.pools[POOL]) > 4, len(actions)] == [True, 2]
    assert (actions[1].from_s, actions[1].to_s) == (1.0, 10.0)
    assert actions[1].words == ("cap 6 GPUs (3 instances) at 439 → 430 W per GPU in 3 moves",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (0.1, "0.1 s"),
        (9.36, "9.4 s"),
        (31.358, "31 s"),
        (59.7, "1 min"),
        (90.0, "1 min 30 s"),
        (3600.0, "1 h"),
        (5399.0, "1 h 30 min"),
        (-1800.0, "-30 min"),
    ],
)
def test_time_words(seconds, words):
    assert time_words(seconds) == words
