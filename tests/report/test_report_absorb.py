"""An absorb event reads as an absorb event, on the terminal and in the figure."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from sample_absorb import battery_alone, surplus, too_much
from sample_plan import Command, build, under_frequency

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.handoff_words import handoff_words
from ebplan.report.phases import message, phases
from ebplan.report.terminal import print_plan
from ebplan.words import power_words

SAMPLES = [surplus, too_much, battery_alone]
RELEASE_WORDS = ("release", "Released", "recharge", "kept from the grid", "minus lowers", "rebound")


def printed(problem: Problem, plan: Plan, width: int = 100) -> str:
    """Return what a terminal of that width shows."""
    stream = io.StringIO()
    print_plan(plan, problem, Console(file=stream, width=width))
    return stream.getvalue()


def timeline_row(text: str, label: str) -> str:
    """Return the row of the timeline with that label, without it."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return line.split(label, 1)[1]


def hour_sums_kwh(plan: Plan, field: str) -> float:
    """Return a power of the plan summed over the steps in which something is asked."""
    steps = [step for step in plan.steps if step.target_kw > 0.0]
    return sum(getattr(step, field) * step.duration_s for step in steps) / 3600.0


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("sample", SAMPLES)
def test_nothing_speaks_of_a_release(sample, width):
    problem, plan = sample()
    text = printed(problem, plan, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.splitlines()[0].startswith(f"{plan.event_id}: absorb ")
    assert [word for word in RELEASE_WORDS if word in text] == []
    assert "plus raises the draw" in text
    assert "othing is asked" not in text


def test_headline_says_what_is_asked_and_who_takes_it_up():
    problem, plan = surplus()
    first = printed(problem, plan).splitlines()[0]
    assert first.startswith("surplus-30min: absorb 1.50 kW for 30 min in 5 min  ")
    asked = hour_sums_kwh(plan, "target_kw")
    battery = -100.0 * hour_sums_kwh(plan, "battery_kw") / asked
    whole = 100.0 * (hour_sums_kwh(plan, "grid_kw") - hour_sums_kwh(plan, "baseline_kw")) / asked
    assert battery > 40.0
    shares = f"compute takes up {whole - battery:.0f} % and battery {battery:.0f} % of 1.50 kW"
    assert shares in message(plan, problem)


def test_timeline_shows_what_is_asked_and_what_answers():
    text = printed(*surplus())
    most_kw = -min(step.battery_kw for step in surplus()[1].steps)
    assert timeline_row(text, "asked").split()[-2:] == ["1.50", "kW"]
    assert timeline_row(text, "battery charge").split()[-2:] == [f"{most_kw:.2f}", "kW"]
    assert "█" in timeline_row(text, "asked")
    assert "put to work" in text


def test_a_battery_that_makes_room_before_the_event_is_shown_discharging():
    problem, plan = battery_alone()
    first = plan.steps[0]
    given = first.model_copy(
        update={"battery_kw": 0.5, "mechanisms": {**first.mechanisms, "battery": -0.5}}
    )
    text = printed(problem, plan.model_copy(update={"steps": (given, *plan.steps[1:])}))
    assert timeline_row(text, "discharge").split()[-2:] == ["0.50", "kW"]
    assert "discharge" not in printed(problem, plan)


def test_message_says_when_the_battery_joins():
    assert message(*reversed(battery_alone())).startswith("Battery answers within 0.08 s, ")
    problem, plan = surplus()
    joins = next(s for s in plan.steps if s.battery_kw < -1e-3)
    asked = next(s for s in plan.steps if s.target_kw > 1e-3)
    assert joins.t_s > asked.t_s + 1.0, "the instance put to work is enough at first"
    after_s = joins.t_s - problem.event_start_s
    assert message(plan, problem).startswith(f"Battery charges from {after_s:.0f} s on, ")


def test_phases_name_who_takes_up_the_response():
    problem, plan = surplus()
    who = [phase.who for phase in phases(plan, problem)]
    assert who.index("compute carries") < who.index("battery + compute") < who.index("recovery")
    assert "battery alone" in [phase.who for phase in phases(*reversed(battery_alone()))]


def test_a_ramp_is_one_phase_while_the_same_mechanisms_act():
    problem, plan = surplus()
    levels = {round(step.target_kw, 6) for step in plan.steps if step.target_kw > 0.0}
    assert len(levels) > 8
    assert len(phases(plan, problem)) <= 6
    assert phases(plan, problem)[-2].target_kw == pytest.approx(max(problem.target_kw))


def test_a_handoff_that_leaves_the_battery_a_share_is_met_within_it():
    problem, plan = surplus()
    assert plan.handoff.asked_s is not None
    late = [s for s in plan.steps if s.target_kw > 0.0 and s.t_s >= plan.handoff.asked_s]
    kept_kw = max(-step.battery_kw for step in late)
    assert 0.15 < kept_kw <= problem.handoff_kw
    words = handoff_words(plan, problem)
    assert words.startswith(
        f"Hand-off: as asked, the battery carries at most {power_words(kept_kw)} "
    )
    assert words.endswith("from 2 min on (0.90 kW left to it).")
    strict = problem.model_copy(update={"handoff_kw": 0.5 * kept_kw})
    assert "never complete" in handoff_words(plan, strict)
    assert handoff_words(plan, strict).endswith("; compute takes up 0.71 kW of 1.50 kW.")
    at_work = [
        pool.model_copy(update={"active_at_start": pool.instances, "drained_at_start": 0})
        for pool in problem.pools
    ]
    nobody = strict.model_copy(update={"pools": tuple(at_work)})
    assert handoff_words(plan, nobody).endswith(": every instance is at work and nothing waits.")


def test_a_release_may_leave_the_battery_a_share_too():
    problem, plan = build("share", 1.0, 300.0, (Command(0.0, 3),))
    assert plan.handoff.complete_s is None
    assert "never complete" in handoff_words(plan, problem)
    wide = problem.model_copy(update={"handoff_kw": 0.9})
    assert "as asked, the battery carries at most" in handoff_words(plan, wide)


def test_why_names_the_mechanisms_by_what_they_do():
    text = " ".join(printed(*surplus()).split())
    assert "compute takes up 47 % (instances put to work 47 %)" in text
    assert "per kWh absorbed, without the price of the energy: battery -20 (it keeps energy" in text
    assert "(consolidation" not in text


def test_an_absorb_shortfall_is_said_and_hatched_up_to_what_is_asked():
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from ebplan.report.figure import draw_plan

    problem, plan = too_much()
    missing = np.array([step.shortfall_kw for step in plan.steps])
    assert f"up to {power_words(missing.max())} fall short" in message(plan, problem)
    mechanisms = draw_plan(plan, problem).axes[1]
    short = next(patch for patch in mechanisms.patches if patch.get_label() == "shortfall")
    assert short.get_hatch()
    values, _, base = short.get_data()
    np.testing.assert_allclose(values - base, missing, atol=1e-9)
    at = missing > 1e-3
    np.testing.assert_allclose(values[at], np.array(problem.target_kw)[at], atol=1e-6)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_figure_shows_what_is_absorbed(sample):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from ebplan.report.figure import draw_plan

    problem, plan = sample()
    figure = draw_plan(plan, problem)
    power, mechanisms, soc = figure.axes
    assert mechanisms.get_ylabel() == "Absorbed in kW"
    assert mechanisms.get_title(loc="left").endswith("(below zero: lowers the draw)")
    battery = next(p for p in mechanisms.patches if p.get_label() == "battery charge").get_data()
    charge = [max(-step.battery_kw, 0.0) for step in plan.steps]
    np.testing.assert_allclose(battery.values - battery.baseline, charge, atol=1e-9)
    asked = next(p for p in mechanisms.patches if p.get_label() == "asked").get_data()
    np.testing.assert_allclose(asked.values, problem.target_kw)
    assert power.get_ylim()[1] > max(s.baseline_kw + s.target_kw for s in plan.steps)
    highest = 100.0 * max(step.soc for step in plan.steps)
    limit = 100.0 * problem.battery.max_kwh / problem.battery.energy_kwh
    said = f"{highest:.1f} % at its highest (limit {limit:.3g} %)"
    assert soc.get_title(loc="left").endswith(said)
    assert any(line.get_ydata()[0] == pytest.approx(limit) for line in soc.lines)


def test_the_title_stays_on_the_page():
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from ebplan.report.figure import draw_plan

    for problem, plan in (surplus(), too_much(), under_frequency()):
        figure = draw_plan(plan, problem)
        figure.draw_without_rendering()
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
