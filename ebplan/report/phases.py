"""The phases of a plan, and one sentence that says what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ebplan.plan import Plan, Step
from ebplan.problem import Problem
from ebplan.report.direction import direction_of
from ebplan.report.palette import COLOURS
from ebplan.words import money_words, power_words, time_words

FloatArray = NDArray[np.float64]

NOTICEABLE = 0.101
"""Share of the peak that counts: just above what a complete hand-off may leave to the battery."""
ALONE = 0.95
"""Share of a response from which its carrier is said to act alone."""
MENTIONED = 1e-3
"""Share of the peak from which power is mentioned at all."""
AT_ONCE_S = 1.0
"""Time after the converter's delay within which the battery answers at once."""


@dataclass(frozen=True)
class Phase:
    """Adjacent steps in which the same mechanisms act; powers are means over its duration."""

    from_s: float
    to_s: float
    who: str
    """Who carries the response, in words."""
    target_kw: float
    grid_kw: float
    mechanisms: dict[str, float]
    """Change of the draw by mechanism in kW."""
    shortfall_kw: float
    soc: float | None
    """State of charge at the end of the phase."""


def peak_kw(plan: Plan) -> float:
    """Return the largest power asked for in kW, or moved where nothing is asked."""
    asked_kw = max(abs(step.target_kw) for step in plan.steps)
    return asked_kw or max(abs(step.grid_kw - step.baseline_kw) for step in plan.steps) or 1.0


def met_kw(plan: Plan) -> float:
    """Return the largest power in kW that is met of what is asked; see ``peak_kw``."""
    return max(abs(step.target_kw) - step.shortfall_kw for step in plan.steps) or peak_kw(plan)


def mechanism_names(plan: Plan) -> list[str]:
    """Return the mechanisms of a plan that move power at all, the known ones first."""
    floor_kw = 0.01 * met_kw(plan)
    present = {
        name for step in plan.steps for name, kw in step.mechanisms.items() if abs(kw) > floor_kw
    }
    return [n for n in COLOURS if n in present] + sorted(present.difference(COLOURS))


def mechanism_kw(plan: Plan, name: str) -> FloatArray:
    """Return the change of the draw by one mechanism in kW, shape (T,)."""
    return np.array([step.mechanisms.get(name, 0.0) for step in plan.steps])


def phases(plan: Plan, problem: Problem, *, at_most: int = 9) -> list[Phase]:
    """Merge adjacent steps in which the same things happen.

    Steps belong together while the same mechanisms take part in the same direction, within the
    same part of the plan (notice, event, recovery) and at the same target or while it ramps. Where
    that leaves more than ``at_most``
    phases, what counts as taking part is doubled, up to the whole target. The phases cover the
    plan without gaps.
    """
    share = NOTICEABLE
    while True:
        floor_kw = share * met_kw(plan)
        told = [
            (_what_happens(step, problem, floor_kw), target)
            for step, target in zip(plan.steps, _levels(plan, floor_kw), strict=True)
        ]
        cuts = [i for i in range(1, len(told)) if told[i] != told[i - 1]]
        if len(cuts) < at_most or share > 1.0:
            bounds = [0, *cuts, len(told)]
            break
        share *= 2.0
    return [_phase(plan, problem, a, b) for a, b in pairwise(bounds)]


def _what_happens(step: Step, problem: Problem, floor_kw: float) -> tuple[object, ...]:
    """Return what two steps of the same phase have in common."""
    mechanisms = sorted(step.mechanisms.items())
    parts = tuple(int(np.sign(kw)) if abs(kw) >= floor_kw else 0 for _, kw in mechanisms)
    return _window(step.t_s, problem), parts, step.shortfall_kw > floor_kw


def _levels(plan: Plan, floor_kw: float) -> list[object]:
    """Return the level of each step's target, one and the same while the target ramps."""
    target_kw = np.array([step.target_kw for step in plan.steps])
    moves = np.abs(np.diff(target_kw)) > 1e-9
    ramps = np.r_[False, moves] & np.r_[moves, False]
    return ["ramp" if r else round(kw / floor_kw) for r, kw in zip(ramps, target_kw, strict=True)]


def _window(t_s: float, problem: Problem) -> str:
    """Return the part of the plan that a time belongs to."""
    if t_s < problem.event_start_s - 1e-9:
        return "notice"
    return "event" if t_s < problem.event_end_s - 1e-9 else "recovery"


def _phase(plan: Plan, problem: Problem, first: int, last: int) -> Phase:
    """Return steps ``first`` to ``last`` (exclusive) as one phase."""
    steps = plan.steps[first:last]
    window = _window(steps[0].t_s, problem)
    seconds = np.array([step.duration_s for step in steps])

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=seconds))

    names = sorted({name for step in plan.steps for name in step.mechanisms})
    mechanisms = {name: mean([s.mechanisms.get(name, 0.0) for s in steps]) for name in names}
    answers_kw = {name: direction_of(problem).sign * kw for name, kw in mechanisms.items()}
    target_kw = mean([step.target_kw for step in steps])
    return Phase(
        from_s=steps[0].t_s,
        to_s=steps[-1].t_s + steps[-1].duration_s,
        who=_who_either_way(answers_kw, MENTIONED * peak_kw(plan))
        if problem.asks != "one_way"
        else _who(answers_kw, target_kw, window, peak_kw(plan)),
        target_kw=target_kw,
        grid_kw=mean([step.grid_kw for step in steps]),
        mechanisms=mechanisms,
        shortfall_kw=mean([step.shortfall_kw for step in steps]),
        soc=steps[-1].soc,
    )


def _who(answers_kw: dict[str, float], target_kw: float, window: str, peak: float) -> str:
    """Say who moves the draw; an answer > 0 goes the way asked for."""
    if all(abs(kw) < MENTIONED * peak for kw in answers_kw.values()):
        return "at rest" if abs(target_kw) < NOTICEABLE * peak else "no response"
    if window != "event":
        return "preparation" if window == "notice" else "recovery"
    battery_kw = max(answers_kw.get("battery", 0.0), 0.0)
    compute_kw = sum(max(kw, 0.0) for name, kw in answers_kw.items() if name != "battery")
    share = battery_kw / max(battery_kw + compute_kw, 1e-12)
    if share >= ALONE:
        return "battery alone"
    return "compute carries" if battery_kw < NOTICEABLE * peak else "battery + compute"


def _who_either_way(changes_kw: dict[str, float], floor_kw: float) -> str:
    """Say what the battery and compute do to the draw, each by its sign."""
    battery_kw = changes_kw.get("battery", 0.0)
    compute_kw = sum(kw for name, kw in changes_kw.items() if name != "battery")
    does = []
    if abs(battery_kw) >= floor_kw:
        does.append("battery takes" if battery_kw > 0.0 else "battery gives")
    if abs(compute_kw) >= floor_kw:
        does.append("compute more" if compute_kw > 0.0 else "compute less")
    return ", ".join(does) or "at rest"


def message(plan: Plan, problem: Problem) -> str:
    """Say in one sentence what the plan does, with numbers computed from it."""
    event = [s for s in plan.steps if _window(s.t_s, problem) == "event"]
    if problem.asks != "one_way":
        does = _follows(plan, event) if problem.tracks else _trades(plan)
        return f"{does}; cost {money_words(plan.money, plan.currency)}"
    clauses = [*_battery_answers(plan, problem, event), *_who_carries(plan, problem, event)]
    sentence = ", ".join(clauses) or "nothing is asked"
    return f"{sentence[0].upper()}{sentence[1:]}; cost {money_words(plan.money, plan.currency)}"


def _follows(plan: Plan, event: list[Step]) -> str:
    """Say how far a target is followed either way."""
    lowest, highest = min(s.target_kw for s in event), max(s.target_kw for s in event)
    ways = [f"{power_words(-lowest)} less"] * (lowest < 0.0)
    ways += [f"{power_words(highest)} more"] * (highest > 0.0)
    held = "Draw follows the frequency, " + " and ".join(ways or ["which asks for nothing"])
    if is_short(plan):
        held += f", up to {power_words(max(s.shortfall_kw for s in plan.steps))} off"
    return held


def _trades(plan: Plan) -> str:
    """Say what the battery does for the money, and how far the draw moves."""
    kwh = [s.battery_kw * s.duration_s / 3600.0 for s in plan.steps]
    taken, given = sum(max(-e, 0.0) for e in kwh), sum(max(e, 0.0) for e in kwh)
    low, high = min(s.grid_kw for s in plan.steps), max(s.grid_kw for s in plan.steps)
    does = [f"takes {taken:.2f} kWh"] * (taken > 0.005) + [f"gives {given:.2f} kWh"] * (
        given > 0.005
    )
    battery = f"Battery {' and '.join(does)}, the" if does else "The"
    if high - low < 0.005:
        return f"{battery} draw stays at {low:.2f} kW"
    return f"{battery} draw moves between {low:.2f} and {high:.2f} kW"


def _battery_answers(plan: Plan, problem: Problem, event: list[Step]) -> Iterator[str]:
    """Say when the battery answers: as soon as it is asked, or later, where compute is enough."""
    direction, battery, peak = direction_of(problem), problem.battery, peak_kw(plan)
    given_kw = [-direction.sign * step.battery_kw for step in event]
    if battery is None or max(given_kw) <= NOTICEABLE * peak:
        return
    floor_kw = MENTIONED * peak
    from_s = next(s.t_s for s, kw in zip(event, given_kw, strict=True) if kw > floor_kw)
    asked_s = next((s.t_s for s in event if abs(s.target_kw) > floor_kw), from_s)
    if from_s - asked_s <= battery.delay_s + AT_ONCE_S:
        yield f"battery answers within {time_words(battery.delay_s)}"
    else:
        yield f"battery {direction.starts} from {time_words(from_s - problem.event_start_s)} on"


def _who_carries(plan: Plan, problem: Problem, event: list[Step]) -> Iterator[str]:
    """Say which share of the energy asked for compute brings, from the hand-off on.

    Without a hand-off, or where the target is not met, say it of the whole event.
    """
    handed_s = None if is_short(plan) else plan.handoff.complete_s
    steps = [s for s in event if handed_s is None or s.t_s >= handed_s - 1e-9]
    direction = direction_of(problem)
    asked_kws = direction.sign * sum(s.target_kw * s.duration_s for s in steps)
    if asked_kws <= 0.0:
        return
    percent = 100.0 * direction.sign / asked_kws
    battery = -percent * sum(s.battery_kw * s.duration_s for s in steps)
    moved = percent * sum((s.grid_kw - s.baseline_kw) * s.duration_s for s in steps)
    asked = power_words(peak_kw(plan))
    if handed_s is None:
        shares = f"{moved - battery:.0f} % and battery {battery:.0f} %"
        yield f"compute {direction.brings} {shares} of {asked}"
    else:
        since = time_words(handed_s - problem.event_start_s)
        yield f"compute carries {moved - battery:.0f} % of {asked} after {since}"
    if is_short(plan):
        yield f"up to {power_words(max(s.shortfall_kw for s in plan.steps))} fall short"


def is_short(plan: Plan) -> bool:
    """Tell whether a part of the target worth mentioning is not met."""
    return max(step.shortfall_kw for step in plan.steps) > MENTIONED * peak_kw(plan)
