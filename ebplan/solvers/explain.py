"""Explain a plan in sentences with numbers: who carries it, what binds, what more would cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.solvers.decision import NOTHING_KW
from ebplan.solvers.explain_either_way import explain_either_way, what_is_restored
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.given_up import amount_of, given_up, given_up_sentences
from ebplan.solvers.highs import row_duals
from ebplan.solvers.margins import what_is_held_back
from ebplan.solvers.merit_view import merit_sentences
from ebplan.solvers.operations import CLOCK_LOCK
from ebplan.solvers.program import FloatArray
from ebplan.solvers.relief import reliefs
from ebplan.words import number_words, percent_words, time_words

COSTS_OF = {
    "battery": ("wear", "calendar", "stored_energy", "handoff"),
    "consolidation": (
        "draining",
        "waking",
        "readiness",
        "congestion",
        "late",
        "prewarming",
        "swapping",
        "lowered",
    ),
    "power_cap": ("capping",),
    "clock_lock": ("clocking",),
    "admission": ("rejected",),
    "deferral": ("delay",),
    "pull_forward": ("pull_forward",),
}
"""Which costs a mechanism causes; congestion is caused by consolidation and caps together and
counted with the first, and so is what makes instances free or cheap to free."""
COSTS_OF_ABSORBING = COSTS_OF | {"consolidation": ("draining", "waking")}
"""The same to absorb: an instance put to work takes congestion away."""


def explain(
    problem: Problem, plan: Plan, formulation: Formulation, x: FloatArray
) -> tuple[str, ...]:
    """Return the sentences of a plan found by the solver; times count from the event's start."""
    began_s = problem.event_start_s
    if problem.asks != "one_way":
        told = explain_either_way(problem, plan)
        return (*told, *_what_binds(problem, formulation, x), *problem.caveats)
    sentences = [
        *_who_carries(plan, began_s),
        *_why_this_mix(plan, problem.direction),
        *merit_sentences(problem, plan),
        *_what_falls_short(plan, problem),
        *what_is_held_back(plan),
        *what_is_restored(problem, plan),
        *given_up_sentences(given_up(problem, formulation, x)),
    ]
    if not plan.shortfall:
        price = next_kw_price(problem, formulation, x)
        sentences.append(
            f"One more kW over the whole event would cost {price:,.2f} {plan.currency} with the "
            "same instances running."
        )
    sentences.extend(_what_would_help(problem, plan, formulation, x))
    sentences.extend(_what_binds(problem, formulation, x))
    return (*sentences, *problem.caveats)


MOST_RELIEFS = 2
LEAST_SAVED = 1e-3
"""A relief below this share of what is to be saved is not told, nor one that reads as zero."""


def _what_would_help(
    problem: Problem, plan: Plan, formulation: Formulation, x: FloatArray
) -> list[str]:
    """Name the one or two limits of which more would save most: missing energy first, then money.

    What is missing, of the target or of a margin, and what is taken from the reserve, is priced to
    set priorities; so it is counted in kWh and not in money.
    """
    group, saved, whole = "", plan.currency, abs(plan.money)
    if plan.shortfall:
        group, saved, whole = "shortfall", "kWh of what is missing", plan.shortfall_kwh
    elif plan.cost.get("reserve", 0.0) > 0.0:
        group, saved, whole = "reserve_dip", "kWh of the dip into the reserve", 1.0
    elif plan.margin is not None and plan.margin.missing_kwh > MISSED_KWH:
        group, saved, whole = "margin_energy_missing", "kWh of the margin that is missing", 1.0
    elif plan.margin is not None and plan.margin.missing_kw > NOTHING_KW:
        group, saved, whole = "margin_missing", "kWh of the margin that is missing", 1.0
    amount = amount_of(group, problem, formulation) if group else None
    told = [
        f"{relief.limit.words} ({relief.saves:,.2f} {saved} per {relief.limit.per})"
        for relief in reliefs(problem, formulation, x, amount=amount)[:MOST_RELIEFS]
        if relief.saves > max(LEAST_SAVED * whole, 5e-3)
    ]
    if not told:
        return []
    return [f"With the same instances most would be saved by {', then by '.join(told)}."]


def worth_sentence(whole: Plan, without: Plan, names: Sequence[str]) -> str:
    """Say what the mechanisms left out are worth: both costs, and what is missed more."""
    absorbs = any(step.target_kw > 0.0 for step in whole.steps)
    listed = " and ".join(_name(name, absorbs) for name in least_impact_first(names))
    more = without.money - whole.money
    change = f"{abs(more):,.2f} {'more' if more >= 0.0 else 'less'}"
    sentence = (
        f"Without {listed} the plan costs {without.money:,.2f} {whole.currency} instead of "
        f"{whole.money:,.2f}, {change}"
    )
    missed = without.shortfall_kwh - whole.shortfall_kwh
    if abs(missed) < MISSED_KWH:
        return f"{sentence}."
    return (
        f"{sentence}, and misses {without.shortfall_kwh:.3g} kWh instead of "
        f"{whole.shortfall_kwh:.3g} kWh."
    )


MISSED_KWH = 1e-6
"""A milliwatt-hour of shortfall is none."""


def next_kw_price(problem: Problem, formulation: Formulation, x: FloatArray) -> float:
    """Return what one more kW of target costs, integers fixed, in money for the whole event.

    The target lowers the right-hand side of ``release_target``, ``converter_limit`` and
    ``margin_carried`` by one, and widens ``handoff`` by the share that the battery may keep.
    """
    program = formulation.program
    duals = row_duals(program, x)
    price = 0.0
    for group in program.rows:
        rows = slice(group.start, group.start + group.size)
        if group.name.startswith(MOVES_WITH_TARGET):
            price -= float(duals[rows].sum())
        elif group.name == "handoff":
            share = problem.handoff_kw / max(map(abs, problem.target_kw))
            price += share * float(duals[rows].sum())
    return price


MOVES_WITH_TARGET = ("release_target", "absorb_target", "converter_limit", "margin_carried")


def energy_by_mechanism_kwh(plan: Plan) -> dict[str, float]:
    """Return the energy each mechanism moved during the event, in the direction asked for."""
    total: dict[str, float] = {}
    for step in plan.steps:
        if step.target_kw != 0.0:
            hours = np.sign(step.target_kw) * step.duration_s / 3600.0
            for name, kw in step.mechanisms.items():
                total[name] = total.get(name, 0.0) + kw * hours
    return total


def _who_carries(plan: Plan, began_s: float) -> list[str]:
    asked = [step for step in plan.steps if step.target_kw != 0.0]
    target = max(abs(step.target_kw) for step in asked)
    energy = energy_by_mechanism_kwh(plan)
    whole = sum(energy.values())
    most_kw = max(abs(step.battery_kw) for step in asked)
    peak = next(step for step in asked if abs(step.battery_kw) >= most_kw - 1e-3)
    absorbs = asked[0].target_kw > 0.0
    carries = "takes up" if absorbs else "carries"
    moved = "absorbed" if absorbs else "kept from the grid"
    sentences = [
        f"Of {target:.2f} kW asked, the battery {carries} at most {abs(peak.battery_kw):.2f} kW, "
        f"at {time_words(peak.t_s - began_s)}."
    ]
    compute = {name: kwh for name, kwh in energy.items() if name != "battery" and kwh > 5e-4}
    if compute and whole > 0.0:
        shares = ", ".join(
            f"{_name(name, absorbs)} {percent_words(kwh / whole)}"
            for name, kwh in sorted(compute.items(), key=lambda item: -item[1])
        )
        done = plan.handoff.complete_s
        free = (
            "never free within the event"
            if done is None
            else f"free from {time_words(done - began_s)} on"
        )
        sentences.append(
            f"Of {whole:.3f} kWh {moved}, compute {carries} "
            f"{percent_words(sum(compute.values()) / whole)} ({shares}); the battery is {free}."
        )
    return sentences


def _name(mechanism: str, absorbs: bool) -> str:
    return mechanism_words(mechanism, absorbs=absorbs)


def _why_this_mix(plan: Plan, direction: int) -> list[str]:
    """Order the mechanisms used by what a kWh from them costs."""
    absorbs = direction > 0
    costs_of = COSTS_OF_ABSORBING if absorbs else COSTS_OF
    prices = {}
    for name, kwh in energy_by_mechanism_kwh(plan).items():
        if kwh > 5e-4 and name in costs_of:
            prices[name] = sum(plan.cost.get(cause, 0.0) for cause in costs_of[name]) / kwh
    if len(prices) < 2:
        return []
    # a price below zero, which only the energy left in the battery explains
    stored = " (it keeps energy of value)" if absorbs and prices.get("battery", 0.0) < 0.0 else ""
    listed = ", ".join(
        f"{_name(name, absorbs)} {number_words(price, 0)}{stored if name == 'battery' else ''}"
        for name, price in sorted(prices.items(), key=lambda item: item[1])
    )
    moved = "absorbed, without the price of the energy" if absorbs else "kept from the grid"
    return [f"Average cost in {plan.currency} per kWh {moved}: {listed}."]


def _what_falls_short(plan: Plan, problem: Problem) -> list[str]:
    began_s = problem.event_start_s
    sentences = [
        f"From {time_words(gap.from_s - began_s)} to {time_words(gap.to_s - began_s)} up to "
        f"{gap.max_kw:.2f} kW "
        f"({gap.energy_kwh:.3f} kWh) are missing because {gap.reason}."
        for gap in plan.shortfall
    ]
    lowest = min((s.soc for s in plan.steps if s.soc is not None), default=1.0)
    if plan.cost.get("reserve", 0.0) > 0.0 and problem.direction > 0:
        sentences.append(
            f"The battery is below its reserve, at {percent_words(lowest)} at its lowest."
        )
    elif plan.cost.get("reserve", 0.0) > 0.0:
        sentences.append(
            f"The battery goes below its reserve, down to {percent_words(lowest)}: nothing else "
            "that acts in time is left."
        )
    return sentences


_LIMITS = {
    "cap_floor": "the lowest cap is reached",
    "clock_floor": "the lowest clock is reached",
    "cap_frontier": "active instances run at the highest utilisation planned for",
    "import_limit": "the draw is at its import or rebound limit",
    "handoff": "the battery carries the whole share left to it after the hand-off",
    "min_utilisation": "instances run at the lowest utilisation that the models cover",
    "ttft_limit": "instances run as full as the limit on time to first token lets them",
    "ttft_cap": "the limit on time to first token lets no cap go deeper",
    "itl_limit": "the limit on inter-token latency lets no cap go deeper",
}
_PRICED_LIMITS = _LIMITS | {"import_limit": "the draw is at its import limit"}
"""The same where nothing is asked."""
_ABSORBING_LIMITS = _LIMITS | {"import_limit": "the draw is at its import limit"}
"""The same to absorb: no rebound is limited afterwards."""
AT_LIMIT = 1e-3
"""A watt, or a thousandth of an instance, from a limit is at it."""
ACTIVE_ONLY = (
    *("cap_floor", "clock_floor", "cap_frontier", "min_utilisation"),
    *("ttft_limit", "ttft_cap", "itl_limit"),
)
"""Limits of active instances: their rows hold with equality where there are none."""


def _what_binds(problem: Problem, formulation: Formulation, x: FloatArray) -> list[str]:
    """Say which limits are reached, and from when to when."""
    program = formulation.program
    limits = _LIMITS if problem.direction < 0 else _ABSORBING_LIMITS
    limits = _PRICED_LIMITS if problem.asks == "nothing" else limits
    activity = program.activity(x)
    spans: dict[str, list[tuple[float, float]]] = {}
    for group in program.rows:
        limit = next((key for key in _LIMITS if key in group.name.split(".")), None)
        if limit is None:
            continue
        rows = slice(group.start, group.start + group.size)
        reached = np.minimum(
            program.row_upper[rows] - activity[rows], activity[rows] - program.row_lower[rows]
        )
        at_limit = reached < AT_LIMIT
        if limit == "handoff":  # beyond the share the row is at its limit, and so is the battery
            at_limit &= x[program.column_range("handoff_excess")] < AT_LIMIT
        if limit == "cap_floor" and f".{CLOCK_LOCK}." in group.name:
            limit = "clock_floor"
        if limit in ACTIVE_ONLY:
            at_limit &= _active(formulation, x, group.name) > 0.5
        for start, end in _spans(problem, group.name, group.size)[at_limit]:
            spans.setdefault(limit, []).append((float(start), float(end)))
    return [
        f"{_when(times, problem.event_start_s)} {limits[limit]}." for limit, times in spans.items()
    ]


MOSTLY = 0.75
"""Share of the time from which the longest span stands for all."""


def _when(spans: list[tuple[float, float]], began_s: float) -> str:
    """Say when, joining spans that touch; the longest is named and the others counted."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    start, end = max(joined, key=lambda span: span[1] - span[0])
    whole = sum(b - a for a, b in joined)
    others = len(joined) - 1
    also = "" if end - start >= MOSTLY * whole else f" (and {others} more time{'s' * (others > 1)})"
    return f"Between {time_words(start - began_s)} and {time_words(end - began_s)}{also}"


def _active(formulation: Formulation, x: FloatArray, row_name: str) -> FloatArray:
    """Return the instances that run in the way that a row group speaks of, shape (K,)."""
    ways = [
        (lens.operation.name, active)
        for counts, lenses in zip(formulation.counts, formulation.lenses, strict=True)
        for lens, active in zip(lenses, counts.serving, strict=True)
    ]
    # the name of a pool begins those of its other ways
    own = max((way for way in ways if row_name.startswith(f"{way[0]}.")), key=lambda w: len(w[0]))
    return x[own[1]]


def _spans(problem: Problem, name: str, size: int) -> FloatArray:
    """Return start and end of what each row of a group speaks of, shape (size, 2)."""
    grid = problem.grid
    if size == grid.n_epochs:
        start, duration = grid.epoch_starts_s, grid.epoch_durations_s
    elif name == "handoff":
        start = grid.starts_s[problem.in_event][-size:]
        duration = grid.durations_s[problem.in_event][-size:]
    else:
        start, duration = grid.starts_s, grid.durations_s
    return np.column_stack([start, start + duration])
