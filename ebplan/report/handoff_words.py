"""What a plan does about the hand-off, in words."""

from __future__ import annotations

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.phases import peak_kw
from ebplan.words import power_words, time_words

COMPLETE_SHARE = 0.1
"""Share of the target that a complete hand-off may leave to the battery."""


def handoff_words(plan: Plan, problem: Problem) -> str:
    """Say when compute has taken over, and whether that is in time."""
    if problem.battery is None:
        return "Hand-off: none, there is no battery."
    if problem.tracks:
        return "Hand-off: none, the battery follows the target to the end."
    if problem.asks == "nothing":
        return "Hand-off: none, nothing is to be carried."
    asked_s, complete_s = plan.handoff.asked_s, plan.handoff.complete_s
    asked = "not asked for"
    if asked_s is not None:
        asked = f"asked for by {time_words(asked_s - problem.event_start_s)}"
    if complete_s is None:
        if (kept := _kept_as_asked(plan, problem)) is not None:
            return f"Hand-off: as asked, {kept}."
        why = _what_compute_takes_up(plan, problem) if problem.direction > 0 else ""
        return f"Hand-off: never complete, the battery is needed to the end ({asked}){why}."
    took_s = complete_s - problem.event_start_s
    if took_s <= 0.0:
        return f"Hand-off: none needed, the battery is free from the start ({asked})."
    when = f"{time_words(took_s)} after the start"
    if any(one.to_s > complete_s for one in plan.shortfall):
        return f"Hand-off: the battery stops {when}, but compute does not cover it ({asked})."
    late = "" if asked_s is None or complete_s <= asked_s else ", late"
    return f"Hand-off: battery free again {when} ({asked}{late})."


def _kept_as_asked(plan: Plan, problem: Problem) -> str | None:
    """Say what the battery goes on carrying, where more than a complete hand-off leaves is allowed.

    None where the battery carries more than that, or where the target is not met.
    """
    from_s, allowed_kw = plan.handoff.asked_s, problem.handoff_kw
    if from_s is None or allowed_kw <= (COMPLETE_SHARE + 1e-6) * peak_kw(plan):
        return None
    late = [s for s in plan.steps if s.target_kw != 0.0 and s.t_s >= from_s - 1e-9]
    kept_kw = max((abs(step.battery_kw) for step in late), default=0.0)
    if kept_kw > allowed_kw + 1e-3 or any(one.to_s > from_s for one in plan.shortfall):
        return None
    since = time_words(from_s - problem.event_start_s)
    return (
        f"the battery carries at most {power_words(kept_kw)} from {since} on "
        f"({power_words(allowed_kw)} left to it)"
    )


def _what_compute_takes_up(plan: Plan, problem: Problem) -> str:
    """Say how much of an absorption compute takes up in the end, and what holds it back."""
    asked = [step for step in plan.steps if step.target_kw != 0.0]
    last = asked[-1]
    takes_kw = max(last.target_kw - last.shortfall_kw + min(last.battery_kw, 0.0), 0.0)
    stand = sum(pool.instances - pool.serving_at_start for pool in problem.pools)
    waits = any(
        (c.deferral is not None and c.deferral.backlog_at_start > 0.0)
        or (c.pull_forward is not None and c.pull_forward.available > 0.0)
        for pool in problem.pools
        for c in pool.classes
    )
    why = "" if stand or waits else ": every instance is at work and nothing waits"
    return f"; compute takes up {power_words(takes_kw)} of {power_words(last.target_kw)}{why}"
