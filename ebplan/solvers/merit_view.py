"""The merit order of an event: what each mechanism offers alone, at what price, and what is used.

Closed form from the pools' own curves and prices, nothing is solved. *Alone* is from the state at
the start with nothing else changed; the depth is settled. The price is per kWh in the direction
asked, over the whole event, without the price of the energy itself. A mechanism that is available
and not used gets one reason, with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.solvers.leave_out import available
from ebplan.solvers.offers import NO_DEPTH_KW, OFFERS, event_h

USED_SHARE = 0.005
"""Less than this share of what is met of the target at its peak is not used."""
STRETCHED = ("firmness", "reserve", "margin", "handoff", "overrun")
"""Costs of requirements that are given up: the price in use is then theirs, not a mechanism's."""


@dataclass(frozen=True)
class Rung:
    """A mechanism in the merit order."""

    mechanism: str
    depth_kw: float
    price_per_kwh: float | None
    """None without depth."""
    used_kw: float
    """The most that the plan uses in the event."""
    limit: str
    """What keeps the depth at nothing, in words."""
    used: bool


def merit_view(problem: Problem, plan: Plan) -> tuple[Rung, ...]:
    """Return the mechanisms of a problem, cheapest first, those without depth last."""
    met_kw = max(abs(step.target_kw) - step.shortfall_kw for step in plan.steps)
    rungs = []
    for name in least_impact_first(available(problem)):
        if name not in OFFERS:
            continue
        offers = [OFFERS[name](problem, pool) for pool in problem.pools]
        if name == "battery":
            offers = offers[:1]  # one for the site, however many pools
        depth_kw = sum(offer.depth_kw for offer in offers)
        kwh = depth_kw * event_h(problem)
        used_kw = _most_used_kw(problem, plan, name)
        deep = depth_kw > NO_DEPTH_KW
        rungs.append(
            Rung(
                mechanism=name,
                depth_kw=depth_kw,
                price_per_kwh=sum(offer.money for offer in offers) / kwh if deep else None,
                used_kw=used_kw,
                limit=next((offer.limit for offer in offers if offer.limit), ""),
                used=used_kw > USED_SHARE * met_kw or _is_told(plan, name),
            )
        )
    return tuple(
        sorted(rungs, key=lambda r: np.inf if r.price_per_kwh is None else r.price_per_kwh)
    )


def merit_sentences(problem: Problem, plan: Plan) -> Iterator[str]:
    """Say what each mechanism offers, and why those that are not used are not."""
    rungs = merit_view(problem, plan)
    absorbs = problem.direction > 0
    deep = [rung for rung in rungs if rung.price_per_kwh is not None]
    if deep:
        listed = ", ".join(
            f"{_words(rung, absorbs)} {rung.depth_kw:.2f} kW at {rung.price_per_kwh:,.0f}"
            for rung in deep
        )
        yield f"Alone and settled, in {plan.currency} per kWh: {listed}."
    reasons: dict[str, list[str]] = {}
    # After the hand-off the battery is no alternative, however cheap.
    others = rungs
    if problem.handoff_from_s is not None:
        others = tuple(rung for rung in rungs if rung.mechanism != "battery")
    for rung in rungs:
        if not rung.used:
            why = _why_not(rung, others, plan, absorbs=absorbs)
            reasons.setdefault(why, []).append(_words(rung, absorbs))
    if reasons:
        told = (f"{' and '.join(names)} ({why})" for why, names in reasons.items())
        yield f"Not used: {'; '.join(told)}."


def _words(rung: Rung, absorbs: bool) -> str:
    return mechanism_words(rung.mechanism, absorbs=absorbs)


def _why_not(rung: Rung, rungs: tuple[Rung, ...], plan: Plan, *, absorbs: bool) -> str:
    """Return the reason why a mechanism is not used, with its numbers."""
    if rung.price_per_kwh is None:
        return rung.limit or "moves nothing here"
    price = f"{rung.price_per_kwh:,.0f} {plan.currency} per kWh"
    if plan.shortfall or any(plan.cost.get(cause, 0.0) > 0.0 for cause in STRETCHED):
        return f"{price} alone; beside what is used, more than what it would spare"
    cheaper = [
        other
        for other in rungs
        if other.used
        and other.price_per_kwh is not None
        and other.price_per_kwh < rung.price_per_kwh
    ]
    for other in reversed(cheaper):  # the dearest that is used stands in for the price in use
        if other.used_kw < (1.0 - USED_SHARE) * other.depth_kw:
            name, left_kw = _words(other, absorbs), other.depth_kw - other.used_kw
            return f"{price}, and {name} at {other.price_per_kwh:,.0f} still has {left_kw:.2f} kW"
    if cheaper:
        return f"{price}, and what is cheaper is enough"
    return f"{price} alone; beside what is used, more than what it would spare"


def _is_told(plan: Plan, name: str) -> bool:
    """Tell whether a plan uses a mechanism that moves few watts or none by itself."""
    epochs = [epoch for pool in plan.pools.values() for epoch in pool]
    services = [one for pool in plan.service.values() for one in pool.values()]
    if name == "admission":
        return any(one.rejected >= 1.0 for one in services)
    if name == "pull_forward":
        return any(one.pulled >= 1.0 for one in services)
    if name == "deferral":
        return any(
            abs(one.deferred_req_per_s) > 1e-2 * max(one.offered_req_per_s, 1.0)
            for epoch in epochs
            for one in epoch.classes.values()
        )
    if name == "power_cap":
        return any(epoch.cap_w_per_gpu is not None for epoch in epochs)
    if name == "prewarm":
        return any(epoch.prewarm for epoch in epochs)
    if name == "precision":
        return any(epoch.tier is not None and epoch.tier.active for epoch in epochs)
    return False


def _most_used_kw(problem: Problem, plan: Plan, name: str) -> float:
    """Return the most that a plan uses of a mechanism while the event lasts, in kW."""
    if name == "sleep":
        return max(
            (
                epoch.put_to_sleep * (pool.drained_kw - pool.asleep_kw)
                for pool in problem.pools
                for epoch in plan.pools[pool.name]
            ),
            default=0.0,
        )
    return max(
        (
            problem.direction * step.mechanisms.get(name, 0.0)
            for step in plan.steps
            if step.target_kw
        ),
        default=0.0,
    )
