"""What an event cost on the twin: what happened, priced like a plan, against nothing asked.

Causes of the fleet are those beyond the same minutes without an event: full instances have their
price of slow answers in them as well, which no response is to be charged with. Energy is left out
here, for it is counted at the connection point over the whole recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ebplan.document import Part
from ebplan.event import Event
from ebplan.plan import PRIORITY_CAUSES
from ebplan.pose.repair import pose_measured
from ebplan.realised import COMPUTE_CAUSES, RecordedPlant, Slice, merged, realised
from ebplan.site import Site
from ebplan.solvers.leave_out import leave_out
from ebplan.state import State
from ebplan.twin import FluidPlant
from ebplan.twin.disturbances import LoadStep
from ebplan.twin.plant import Measurements

STEP_S = 1.0
ELSEWHERE = ("energy", "shortfall", "firmness", "handoff", *PRIORITY_CAUSES)
"""Counted at the meter, or no money that anybody pays."""


class EventCost(Part):
    """What an event cost on the twin."""

    event: str
    """The event."""
    by_cause: dict[str, float] | None
    """Money by cause, in the site's currency; energy and settlement are not in it. None where a
    pool's clock may be locked: what that costs is not priced from a recording."""
    offered_requests: float
    """Requests that came from its start to the end of its recovery."""
    served_requests: float
    """Requests served in that time."""
    rejected_requests: float
    """Turned away."""
    waiting_requests: float
    """Put off, queued or waiting at the end more than at the start."""
    untouched_served: float
    """Requests that the twin would have served in that time had nothing been asked."""


def cost_of(
    plant: RecordedPlant,
    event: Event,
    site: Site,
    steps: Sequence[LoadStep],
    *,
    without: Sequence[str] = (),
) -> EventCost:
    """Price the event that was recorded since ``plant.begin()``.

    Args:
        plant: the plant, recorded from the event's start to the end of its recovery.
        event: the event, its baseline fixed.
        site: the site.
        steps: the loads of the stretch, in seconds of the plant.
        without: mechanisms that were left out.
    """
    before = plant.before
    assert before is not None, "an event begins after a reading"
    state, started_s = before.state(), before.at_s
    asked = event.model_copy(update={"start": state.at})
    problem = leave_out(pose_measured(asked, site, state)[0], tuple(without))
    # another plant begins at its own second 0 there
    later = [_from(step, started_s) for step in steps if step.at_s >= started_s - 1e-6]
    idle = RecordedPlant(FluidPlant(site, at_rest(state), disturbances=later))
    while idle.now_s < problem.grid.horizon_s - 1e-9:
        idle.step((), min(STEP_S, problem.grid.horizon_s - idle.now_s))
    by_cause: dict[str, float] | None = None
    if not any(pool.clock_lock for pool in problem.pools):
        real = realised(problem, merged(plant.slices, started_s, STEP_S), before, started_s).cost
        untouched = realised(problem, merged(idle.slices, 0.0, STEP_S), None, 0.0).cost
        by_cause = {
            cause: amount - (untouched[cause] if cause in COMPUTE_CAUSES else 0.0)
            for cause, amount in real.items()
            if cause not in ELSEWHERE
        }
        by_cause = {cause: amount for cause, amount in by_cause.items() if abs(amount) > 1e-9}
    return EventCost(
        event=event.id,
        by_cause=by_cause,
        untouched_served=_served(idle.slices[-1].measured, None),
        **_requests(plant.slices, before),
    )


def at_rest(state: State) -> State:
    """Return a state that a plant can begin from: what its meters read does not belong to it."""
    return state.model_copy(update={"grid": None, "battery_kw": 0.0, "cells_kw": None})


def _from(step: LoadStep, started_s: float) -> LoadStep:
    return step.model_copy(update={"at_s": max(step.at_s - started_s, 0.0)})


def _served(now: Measurements, before: Measurements | None) -> float:
    return _counted(now, "served_requests") - _counted(before, "served_requests")


def _counted(measured: Measurements | None, name: str) -> float:
    if measured is None:
        return 0.0
    return float(sum(sum(getattr(pool, name).values()) for pool in measured.pools.values()))


def _requests(slices: Sequence[Slice], before: Measurements) -> dict[str, Any]:
    last = slices[-1].measured
    waiting = sum(
        _counted(last, name) - _counted(before, name)
        for name in ("backlog_requests", "queued_requests", "waiting_requests")
    )
    offered = sum(
        sum(sum(pool.load_req_per_s.values()) for pool in s.measured.pools.values())
        * s.measured.dt_s
        for s in slices
    )
    return {
        "offered_requests": offered,
        "served_requests": _served(last, before),
        "rejected_requests": _counted(last, "rejected_requests")
        - _counted(before, "rejected_requests"),
        "waiting_requests": waiting,
    }
