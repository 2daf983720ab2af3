"""Law of margins: what a plan claims to hold back is there, in power and in energy.

In a step the margin asked for is z (load + r moved), with moved what compute is planned to move in
the direction asked. It is held where the converter, and what the draw has left to the target, cover
it on top of the residual at every instant; and the energy for it must be in the battery (to absorb:
have room) when the event ends, above what is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.checker.evidence import INSTANT_S, Evidence, Finding, FloatArray, worst
from ebplan.checker.money import Amount
from ebplan.checker.replay import Replay, changes_kw
from ebplan.checker.tolerances import ENERGY_SHARE, POWER_KW, RATIO, UNDONE_KW


def margin(evidence: Evidence, replay: Replay) -> list[Finding]:
    """What the plan says of its margins is true of its own steps, and of the replay."""
    stated, asked = evidence.plan.margin, evidence.problem.margins
    if stated is None or asked is None:
        if stated is None and (asked is None or not _in_force(evidence).any()):
            return []
        return [Finding(None, 1.0, 0.0, "margins are stated where they are asked for, only there")]
    if len(stated.held_kw) != len(evidence.steps):
        off = abs(len(stated.held_kw) - len(evidence.steps))
        return [Finding(None, off, 0.0, "margin.held_kw has not one value for each step")]
    held, needed, starts = np.array(stated.held_kw), needed_kw(evidence), evidence.starts_s
    found = worst(
        abs(stated.confidence - asked.confidence),
        RATIO,
        None,
        f"margin.confidence is not the problem's, {asked.confidence:g}",
    )
    found += worst(held - needed, POWER_KW, starts, "margin.held_kw is more than is asked for")
    found += _is_covered(evidence, replay, held)
    energy_kwh, missing_kwh = _energy_kwh(evidence, held)
    of_energy = _energy_allowed(evidence)
    for field, value, allowed in (
        ("power_kw", float(needed.max()), POWER_KW),
        ("missing_kw", float(np.max(needed - held).clip(0.0)), POWER_KW),
        ("energy_kwh", energy_kwh, of_energy),
        ("missing_kwh", missing_kwh, of_energy),
    ):
        off_by = abs(getattr(stated, field) - value)
        found += worst(off_by, allowed, None, f"margin.{field} is {value:g}")
    return found


def margin_cost(evidence: Evidence) -> Amount:
    """Surcharges for what is asked for and not held, power by its hours, and energy."""
    stated, asked = evidence.plan.margin, evidence.problem.margins
    if stated is None or asked is None or len(stated.held_kw) != len(evidence.steps):
        return Amount(0.0, 0.0)
    needed, held = needed_kw(evidence), np.array(stated.held_kw)
    per_kw = asked.power_per_kwh * evidence.hours
    lacking = per_kw * np.maximum(needed - held, 0.0)
    missing_kwh = _energy_kwh(evidence, held)[1]
    rounded = float(per_kw[_in_force(evidence)].sum()) * UNDONE_KW
    rounded += asked.energy_per_kwh * _energy_allowed(evidence)
    return Amount(
        money=float(lacking.sum()) + asked.energy_per_kwh * missing_kwh,
        size=float(per_kw @ needed) + asked.energy_per_kwh * missing_kwh,
        may_be_less=rounded,
        may_be_more=rounded,
    )


def needed_kw(evidence: Evidence) -> FloatArray:
    """Return the margin asked for in each step, 0 where there is none, shape (T,)."""
    asked = evidence.problem.margins
    if asked is None:
        return np.zeros(len(evidence.steps))
    before_kw = sum(changes_kw(evidence, pool)[0] for pool in evidence.pools)
    moved_kw = np.maximum(evidence.sign * (before_kw - evidence.compute_kw), 0.0)
    needed = asked.z * asked.load_kw + asked.z * asked.response_share * moved_kw
    return np.where(_in_force(evidence), needed, 0.0)


def _in_force(evidence: Evidence) -> NDArray[np.bool_]:
    """Return the steps in which a margin is asked for: from the converter's answer on."""
    battery = evidence.problem.battery
    from_s = evidence.problem.event_start_s + (0.0 if battery is None else battery.delay_s)
    in_force = evidence.asked & (evidence.starts_s >= from_s - INSTANT_S)
    return np.asarray(in_force if battery is None else in_force & evidence.in_window)


def _is_covered(evidence: Evidence, replay: Replay, held: FloatArray) -> list[Finding]:
    """Hold what is claimed against what the converter has left at the worst instant of a step."""
    battery, in_force = evidence.problem.battery, _in_force(evidence)
    limit_kw = 0.0
    if battery is not None:
        limit_kw = battery.discharge_limit_kw if evidence.releases else battery.charge_limit_kw
    step = replay.step
    ends = (replay.site_begin_kw, replay.site_end_kw)
    asked_of_it = np.maximum(*(evidence.misses_kw(kw, step) for kw in ends))
    left_kw = limit_kw + evidence.shortfall_kw[step] - asked_of_it
    claimed = np.where(in_force, held, 0.0)[step]
    found = worst(
        np.where(claimed > 0.0, claimed - left_kw, -np.inf),
        POWER_KW + replay.compute_allowed_kw[step],
        replay.times_s[:-1],
        "margin.held_kw is more than the converter has left",
    )
    elsewhere = np.where(in_force, 0.0, held)
    message = "margin.held_kw where no margin is asked for"
    return found + worst(elsewhere, POWER_KW, evidence.starts_s, message)


def _energy_kwh(evidence: Evidence, held: FloatArray) -> tuple[float, float]:
    """Return the energy that the power held may take, and the part of it that is not there."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return 0.0, 0.0
    # what the draw has left to the target anyway, no battery has to give
    spare_kw = -evidence.misses_kw(evidence.grid_kw) + evidence.shortfall_kw
    of_battery_kw = np.where(_in_force(evidence), np.maximum(held - spare_kw, 0.0), 0.0)
    last = int(np.flatnonzero(evidence.asked)[-1])
    if evidence.releases:
        at_full = battery.loss_quadratic * battery.discharge_limit_kw / battery.rated_kw
        per_kwh = (1.0 + battery.loss_linear + 2.0 * at_full) / battery.cell_efficiency
        there = stored[last + 1] - min(battery.reserve_kwh, battery.start_kwh)
    else:
        per_kwh = battery.cell_efficiency * (1.0 - battery.loss_linear)
        there = battery.max_kwh - stored[last + 1]
    energy_kwh = per_kwh * float(of_battery_kw @ evidence.hours)
    return energy_kwh, max(0.0, energy_kwh - max(0.0, float(there)))


def _energy_allowed(evidence: Evidence) -> float:
    """Return how far rounding may move an energy: a battery's share, and powers for their hours."""
    battery = evidence.problem.battery
    size_kwh = 0.0 if battery is None else battery.energy_kwh
    hours = float(evidence.hours[_in_force(evidence)].sum())
    return ENERGY_SHARE * size_kwh + 2.0 * POWER_KW * hours
