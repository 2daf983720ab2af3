"""One call of a promise, carried out on the fluid plant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.reliability.promises import Subject
from ebplan.offers.firm import Kept
from ebplan.offers.kept import Sure
from ebplan.offers.question import Question
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.state import MeteredPower
from ebplan.twin.disturbances import OtherLoadStep
from ebplan.twin.fluid import FluidPlant
from ebplan.twin.plant import Measurements
from ebplan.twin.run import carry_out
from ebplan.twin.settings import Bias

SAME_KW = 2e-3
"""A draw this close to the promise keeps it: what a meter of class 0.2 tells apart on 1 kW."""
SAME_SOC = 1e-5


def is_kept(subject: Subject, sure: Sure, load: float, less: float, power: float = 1.0) -> bool:
    """Carry a day's calls out on fresh plants and tell whether the promise was kept in each.

    The meter reads the plan's baseline at the start, whatever the plant's own models. What compute
    moves too little, and what the load strays, is drawn by the load that is not planned.

    Args:
        subject: the promise.
        sure: its plan.
        load: what is drawn too much (to absorb: too little), as a share of the pools' draw.
        less: what compute moves too little, as a share of what it is planned to move.
        power: the plant's power law, as a multiple of the planner's.
    """
    kept, question = sure.kept, subject.question
    soc = question.state.soc
    for call in range(kept.calls):
        upsets = _upsets(kept, load, less, power)
        held, soc_after = _carried_out(kept, question, upsets, power, soc)
        if not held:
            return False
        if call + 1 < kept.calls and soc is not None and soc_after is not None:
            soc = _restored(kept, soc, soc_after)
    return True


def _upsets(kept: Kept, load: float, less: float, power: float) -> list[OtherLoadStep]:
    """Return the load that is not planned, step by step."""
    problem, sign = kept.problem, -kept.problem.direction
    pools_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    rest_kw = problem.baseline_kw[0] - power * pools_kw
    upsets = []
    for step in kept.plan.steps:
        moved_kw = max(sign * (pools_kw - step.compute_kw), 0.0)
        beyond_kw = load * pools_kw + less * moved_kw
        upsets.append(OtherLoadStep(at_s=step.t_s, kw=max(rest_kw + sign * beyond_kw, 0.0)))
    return upsets


def _carried_out(
    kept: Kept,
    question: Question,
    upsets: Sequence[OtherLoadStep],
    power: float,
    soc: float | None,
) -> tuple[bool, float | None]:
    """Carry one call out: was it kept, and the state of charge at its end."""
    problem, plan = kept.problem, _as_promised(kept.plan)
    meter = MeteredPower(kw=problem.baseline_kw[0], measurement_point="connection_point")
    plant = FluidPlant(
        question.site,
        question.state.model_copy(update={"grid": meter, "soc": soc}),
        bias=Bias(load_power=power),
        disturbances=upsets,
    )
    ends_s = [step.t_s + step.duration_s for step in plan.steps]
    measured = carry_out(plan, plant, ends_s[-1], measure_at_s=ends_s)
    during = [m.soc for m in measured if m.at_s <= problem.event_end_s + 1e-6]
    return _held(problem, measured), during[-1]


def _as_promised(plan: Plan) -> Plan:
    """Return the plan with the promised draw as the converter's set-point while it is called."""
    steps = tuple(
        step.model_copy(update={"grid_kw": step.baseline_kw + step.target_kw})
        if step.target_kw
        else step
        for step in plan.steps
    )
    return plan.model_copy(update={"steps": steps})


def _restored(kept: Kept, soc: float, soc_after: float) -> float:
    """Return the state of charge at the next call: what the rest can restore is restored."""
    battery = kept.problem.battery
    assert battery is not None
    back = kept.restorable_kwh / battery.energy_kwh
    start = battery.start_kwh / battery.energy_kwh
    if kept.problem.direction < 0:
        return min(start, soc_after + back)
    return max(start, soc_after - back)


def _held(problem: Problem, measured: Sequence[Measurements]) -> bool:
    """Tell whether the draw stays within the promise in each step, and the reserve in the cells."""
    at_s = np.array([0.0, *(m.at_s for m in measured)])
    drawn_kwh = np.array([0.0, *(m.registers.grid_kwh for m in measured)])
    edges_s = np.array(problem.grid.edges_s)
    # registers rise in straight lines between measurements, and every edge is one
    mean_kw = np.diff(np.interp(edges_s, at_s, drawn_kwh)) * 3600.0 / problem.grid.durations_s
    promised_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    beyond_kw = -problem.direction * (mean_kw - promised_kw)
    if float(beyond_kw[problem.in_event].max()) > SAME_KW:
        return False
    battery = problem.battery
    if battery is None:
        return True
    during = [m.soc for m in measured if m.at_s <= problem.event_end_s + 1e-6]
    lowest = min(soc for soc in during if soc is not None)
    return lowest >= battery.kept_kwh / battery.energy_kwh - SAME_SOC
