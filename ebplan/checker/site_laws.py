"""Laws of the connection point and of the battery behind it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ebplan.checker.evidence import INSTANT_S, Evidence, Finding, FloatArray, worst
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    ALTERNATION_SHARE,
    FIRST_JUDGED_S,
    POWER_KW,
    SHORTFALL_KWH,
    TIME_S,
)
from ebplan.plan import Shortfall
from ebplan.problem import BatteryProblem

HANDED_OVER = 0.1
"""The battery is free when it carries at most this share of the target."""


def balance(evidence: Evidence, _: Replay) -> list[Finding]:
    """The draw is other load plus compute minus battery."""
    off = evidence.grid_kw - (evidence.other_kw + evidence.compute_kw - evidence.battery_kw)
    return worst(
        np.abs(off), POWER_KW, evidence.starts_s, "grid_kw is not other + compute - battery"
    )


def mechanisms(evidence: Evidence, _: Replay) -> list[Finding]:
    """The contributions of the mechanisms sum to the change of the draw."""
    total = np.array([sum(step.mechanisms.values()) for step in evidence.steps])
    off = np.abs(total - (evidence.grid_kw - evidence.baseline_kw))
    message = "mechanisms do not sum to grid_kw - baseline_kw"
    return worst(off, POWER_KW, evidence.starts_s, message)


def target(evidence: Evidence, replay: Replay) -> list[Finding]:
    """The replayed draw meets baseline + target but for the shortfall, at every instant."""
    battery = evidence.problem.battery
    delay_s = 0.0 if battery is None else battery.delay_s
    from_s = evidence.problem.event_start_s + max(FIRST_JUDGED_S, delay_s)
    # a draw that misses the target is positive, whichever way the event asks
    step = replay.step
    missed_kw = [evidence.misses_kw(kw, step) for kw in _ends(replay)]
    judged = evidence.asked[step] & (replay.times_s[:-1] >= from_s - INSTANT_S)
    worst_kw = np.maximum(*missed_kw)
    above = np.where(judged, worst_kw - evidence.shortfall_kw[step], -np.inf)
    allowed = POWER_KW + replay.compute_allowed_kw[step]
    if not judged.any():
        return []
    return worst(
        above,
        allowed,
        replay.times_s[:-1],
        "draw misses baseline + target by more than the shortfall",
    )


def shortfall(evidence: Evidence, replay: Replay) -> list[Finding]:
    """Each step owns up to what it misses: its mean at least, its worst instant at most.

    Outside the event, and where the target is met throughout, that is nothing.
    """
    starts = evidence.starts_s
    missed = np.where(evidence.asked, evidence.misses_kw(evidence.grid_kw), 0.0)
    missed = np.maximum(missed, 0.0)
    first = np.searchsorted(replay.step, np.arange(len(starts)))
    ends_kw = [evidence.misses_kw(kw, replay.step) for kw in _ends(replay)]
    worst_kw = np.maximum.reduceat(np.maximum(*ends_kw), first)
    most = np.where(evidence.asked, np.maximum(worst_kw, missed), 0.0)
    found = worst(
        missed - evidence.shortfall_kw,
        POWER_KW,
        starts,
        "shortfall_kw is less than what the step's mean misses of baseline + target",
    )
    # between two fine times the draw may peak by as much as it moves from one to the next
    moves_kw = np.maximum.reduceat(np.abs(replay.end_kw - replay.begin_kw), first)
    return found + worst(
        evidence.shortfall_kw - most,
        POWER_KW + replay.compute_allowed_kw + moves_kw,
        starts,
        "shortfall_kw is more than what is missed at the worst instant of the step",
    )


def _ends(replay: Replay) -> tuple[FloatArray, FloatArray]:
    return replay.begin_kw, replay.end_kw


def shortfall_intervals(evidence: Evidence, _: Replay) -> list[Finding]:
    """The intervals hold the steps with a shortfall, once each, with their energy and maximum."""
    starts, short = evidence.starts_s, evidence.shortfall_kw
    covered = np.zeros(len(short))
    found = []
    for interval in evidence.plan.shortfall:
        inside = (starts >= interval.from_s - TIME_S) & (starts < interval.to_s - TIME_S)
        covered += inside
        found += _interval_holds(evidence, interval, inside)
    return found + worst(
        np.where(short > POWER_KW, np.abs(covered - 1.0), np.maximum(covered - 1.0, 0.0)),
        0.0,
        starts,
        "a step with a shortfall must lie in one shortfall interval",
    )


def _interval_holds(
    evidence: Evidence, interval: Shortfall, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> list[Finding]:
    at_s, short = interval.from_s, evidence.shortfall_kw
    if not inside.any():
        return [Finding(at_s, interval.to_s - at_s, 0.0, "a shortfall interval holds no step")]
    first, last = np.flatnonzero(inside)[[0, -1]]
    ends_s = np.array([evidence.edges_s[first], evidence.edges_s[last + 1]])
    off_s = np.abs(ends_s - [interval.from_s, interval.to_s]).max()
    energy_kwh = float((short * evidence.hours)[inside].sum())
    highest_kw = float(short[inside].max())
    found = worst(off_s, TIME_S, at_s, "a shortfall interval does not end at steps")
    found += worst(
        abs(interval.energy_kwh - energy_kwh),
        min(SHORTFALL_KWH, POWER_KW * float(evidence.hours[inside].sum())),
        at_s,
        f"energy of a shortfall interval is {energy_kwh:g} kWh",
    )
    message = f"max_kw of a shortfall interval is {highest_kw:g} kW"
    return found + worst(abs(interval.max_kw - highest_kw), POWER_KW, at_s, message)


def export_limit(evidence: Evidence, _: Replay) -> list[Finding]:
    """The site feeds in no more than it may."""
    below = -evidence.problem.export_limit_kw - evidence.grid_kw
    return worst(below, POWER_KW, evidence.starts_s, "feeds in above export_limit_kw")


def handoff(evidence: Evidence, _: Replay) -> list[Finding]:
    """``complete_s`` is the earliest step from which on compute meets the target by itself.

    By itself: the battery carries at most a tenth of the target, and nothing falls short.
    """
    stated = evidence.plan.handoff.complete_s
    if evidence.problem.asks != "one_way":
        given = float(stated is not None)
        return worst(given, 0.0, stated, "a hand-off where nothing is asked in one direction")
    carried, tenth = np.abs(evidence.battery_kw), HANDED_OVER * np.abs(evidence.target_kw)
    # a plan may rest the battery exactly on the tenth: either reading of it is right
    readings = []
    for allowed in (-POWER_KW, 0.0, POWER_KW):
        leaning = (carried > tenth + allowed) | (evidence.shortfall_kw > max(allowed, 0.0))
        busy = np.flatnonzero(evidence.asked & leaning)
        asked = np.flatnonzero(evidence.asked)
        free = asked[asked > busy[-1]] if busy.size else asked
        readings.append(float(evidence.starts_s[free[0]]) if free.size else None)
    if any(_same_time(stated, reading) for reading in readings):
        return []
    whole_s = float(evidence.edges_s[-1])
    off_s = whole_s if stated is None or readings[1] is None else abs(stated - readings[1])
    return [Finding(stated, off_s, TIME_S, f"hand-off is complete at {readings[1]} s")]


def _same_time(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= TIME_S


# --- battery ----------------------------------------------------------------------------------


def battery_power(evidence: Evidence, _: Replay) -> list[Finding]:
    """Battery power stays within the converter's limits; without a battery it is nothing."""
    battery = evidence.problem.battery
    discharge_kw = 0.0 if battery is None else battery.discharge_limit_kw
    charge_kw = 0.0 if battery is None else battery.charge_limit_kw
    beyond = np.maximum(evidence.battery_kw - discharge_kw, -charge_kw - evidence.battery_kw)
    message = f"battery_kw outside {-charge_kw:g} to {discharge_kw:g} kW"
    return worst(beyond, POWER_KW, evidence.starts_s, message)


def battery_direction(evidence: Evidence, _: Replay) -> list[Finding]:
    """The battery answers only in the event, from the converter's delay on, and one way.

    To release it discharges there and charges only outside; to absorb, the other way round. A
    target followed both ways is answered both ways, and where nothing is asked it is free.
    """
    if evidence.problem.asks == "nothing":
        return []
    battery = evidence.problem.battery
    delay_s = 0.0 if battery is None else battery.delay_s
    awake_s = evidence.problem.event_start_s + delay_s
    may_answer = evidence.in_window & (evidence.edges_s[1:] > awake_s + INSTANT_S)
    if evidence.both_ways:
        early = np.where(evidence.in_window & ~may_answer, np.abs(evidence.battery_kw), 0.0)
        return worst(early, POWER_KW, evidence.starts_s, "answers before the converter's delay")
    power = evidence.sign * evidence.battery_kw
    answers = np.where(may_answer, 0.0, power)
    opposes = np.where(evidence.in_window, -power, 0.0)
    found = worst(answers, POWER_KW, evidence.starts_s, "answers outside the event or too early")
    return found + worst(opposes, POWER_KW, evidence.starts_s, "works against the event")


def battery_energy(evidence: Evidence, replay: Replay) -> list[Finding]:
    """The state of charge is what the replayed battery leaves, and stands where a battery is."""
    ends_s = evidence.edges_s[1:]
    if replay.stored_kwh is None or replay.stored_allowed_kwh is None:
        given = np.array([step.soc is not None for step in evidence.steps], dtype=float)
        return worst(given, 0.0, ends_s, "a state of charge without a battery")
    stated = evidence.stored_kwh
    assert stated is not None  # the replay has energy only where the problem has a battery
    off = np.abs(stated - replay.stored_kwh)
    message = "soc is not what the replayed battery leaves, in kWh"
    return worst(off, replay.stored_allowed_kwh, evidence.edges_s, message)


def energy_limits(evidence: Evidence, replay: Replay) -> list[Finding]:
    """The replayed energy stays within the battery's physical limits."""
    battery = evidence.problem.battery
    if battery is None or replay.stored_kwh is None or replay.stored_allowed_kwh is None:
        return []
    stored = replay.stored_kwh
    beyond = np.maximum(battery.min_kwh - stored, stored - battery.max_kwh)
    message = f"energy outside {battery.min_kwh:g} to {battery.max_kwh:g} kWh"
    return worst(beyond, replay.stored_allowed_kwh, evidence.edges_s, message)


def restoring(evidence: Evidence, _: Replay) -> list[Finding]:
    """While it is restored the battery adds no more to the draw than it may.

    After the event, and throughout where nothing is asked. So the draw stays within that much of
    what the site draws without its battery.
    """
    limit_kw, problem = evidence.problem.restore_limit_kw, evidence.problem
    if limit_kw is None:
        return []
    after = evidence.starts_s >= problem.event_end_s - INSTANT_S
    adds_kw = evidence.grid_kw - (evidence.other_kw + evidence.compute_kw)
    above_kw = np.where(after | (problem.asks == "nothing"), adds_kw - limit_kw, -np.inf)
    message = f"the battery adds more than {limit_kw:g} kW to the draw while it is restored, in kW"
    return worst(above_kw, POWER_KW, evidence.starts_s, message)


def alternation(evidence: Evidence, _: Replay) -> list[Finding]:
    """The battery does not turn round only to burn energy.

    Take two steps, one charging and one discharging, with rest at most between them. Less of both
    leaves the same energy in the cells and draws less by what the round trip loses. That is
    what a plan must have done unless something asked for it: the target (the draw would leave
    what is asked), a limit (import, export, energy), or prices (energy is dearer where it is
    given than where it is taken).
    """
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return []
    power = evidence.battery_kw
    active = np.flatnonzero(np.abs(power) > POWER_KW).tolist()
    turns = [(a, b) for a, b in pairwise(active) if power[a] * power[b] < 0.0]
    burnt = np.array([_burnt_kwh(evidence, battery, stored, a, b) for a, b in turns])
    if not turns:
        return []
    at_s = evidence.starts_s[[b for _, b in turns]]
    message = "the battery turns round only to burn energy, in kWh"
    return worst(burnt, ALTERNATION_SHARE * battery.energy_kwh, at_s, message)


def _burnt_kwh(
    evidence: Evidence, battery: BatteryProblem, stored: FloatArray, first: int, second: int
) -> float:
    """Return what the site draws too much because the battery turns round for nothing."""
    power, hours, eta = evidence.battery_kw, evidence.hours, battery.cell_efficiency
    takes, gives = (first, second) if power[first] < 0.0 else (second, first)
    if evidence.energy_price[gives] > evidence.energy_price[takes]:
        return 0.0
    loss_kw = battery.loss_linear * np.abs(power)
    loss_kw += battery.loss_quadratic * power**2 / battery.rated_kw
    into_kwh = eta * (-power[takes] - loss_kw[takes]) * hours[takes]
    out_kwh = (power[gives] + loss_kw[gives]) / eta * hours[gives]
    if min(into_kwh, out_kwh) <= 0.0:
        return 0.0
    drawn_per_kwh = -power[takes] * hours[takes] / into_kwh
    given_per_kwh = power[gives] * hours[gives] / out_kwh
    between = stored[first + 1 : second + 1]
    # less charged first leaves less in the cells between the two, less discharged first more
    spare_kwh = (
        between.min() - battery.min_kwh if takes == first else battery.max_kwh - between.max()
    )
    lower_kw, higher_kw = _may_draw_kw(evidence)
    spare_kwh = min(
        spare_kwh,
        (evidence.grid_kw[takes] - lower_kw[takes]) * hours[takes] / drawn_per_kwh,
        (higher_kw[gives] - evidence.grid_kw[gives]) * hours[gives] / given_per_kwh,
    )
    undone_kwh = max(min(into_kwh, out_kwh, spare_kwh), 0.0)
    return float(undone_kwh * (drawn_per_kwh - given_per_kwh))


def _may_draw_kw(evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest draw that misses nothing more, each (T,)."""
    problem, aim_kw = evidence.problem, evidence.aim_kw
    lower = np.full(len(aim_kw), -problem.export_limit_kw)
    higher = np.array(problem.import_limit_kw)
    if evidence.both_ways or not evidence.releases:
        lower = np.where(evidence.asked, np.maximum(lower, aim_kw - problem.tolerance_kw), lower)
    if evidence.both_ways or evidence.releases:
        higher = np.where(evidence.asked, np.minimum(higher, aim_kw + problem.tolerance_kw), higher)
    return lower, higher
