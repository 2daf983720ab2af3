"""What a plan tells the fleet, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ebplan.plan import Plan, PoolEpoch
from ebplan.problem import PoolProblem, Problem

FloatArray = NDArray[np.float64]

SMALLEST_CAP_MOVE_W = 1.0
"""A smaller move of the cap is not told."""


@dataclass(frozen=True)
class Action:
    """What a pool is told at an epoch, or over a run of epochs that only move the cap."""

    pool: str
    from_s: float
    to_s: float
    words: tuple[str, ...]
    caps_w: tuple[float, ...] = ()
    """Caps in W per GPU, where nothing else is told."""
    active: int = 0


def fleet_actions(plan: Plan, problem: Problem) -> list[Action]:
    """Return what the fleet is told wherever something changes, in order of time."""
    found: list[Action] = []
    for pool in problem.pools:
        found.extend(_merge_cap_moves(_actions(pool, plan.pools[pool.name]), pool))
    return sorted(found, key=lambda action: action.from_s)


def _actions(pool: PoolProblem, epochs: Iterable[PoolEpoch]) -> Iterator[Action]:
    """Yield what changes, epoch by epoch."""
    active, cap_w = pool.active_at_start, None
    rejected: dict[str, float] = {}
    for epoch in epochs:
        counts = tuple(_count_words(pool, active, epoch))
        service = tuple(_admission_words(rejected, epoch))
        cap = _cap_words(pool, cap_w, epoch)
        if counts or service or cap:
            told_w = epoch.cap_w_per_gpu
            caps_w = () if counts or service or told_w is None else (told_w,)
            words = counts + cap + service
            yield Action(pool.name, epoch.t_s, epoch.t_s, words, caps_w, epoch.active)
        if cap:
            cap_w = epoch.cap_w_per_gpu
        active = epoch.active
        rejected = {name: one.rejected_req_per_s for name, one in epoch.classes.items()}


def _count_words(pool: PoolProblem, active: int, epoch: PoolEpoch) -> Iterator[str]:
    """Say how many instances change their mode."""
    if epoch.active < active:
        yield f"drain {active - epoch.active} of {pool.instances} instances"
    if epoch.woken:
        yield f"wake {epoch.woken} of {pool.instances} instances"
    if epoch.active > active:
        yield f"load {epoch.active - active} more ({epoch.active} of {pool.instances} active)"
    if epoch.put_to_sleep:
        yield f"put {epoch.put_to_sleep} of {pool.instances} instances to sleep"


def _capped(pool: PoolProblem, active: int) -> str:
    """Say what is capped."""
    return f"cap {active * pool.gpus_per_instance} GPUs ({active} instances)"


def _cap_words(pool: PoolProblem, cap_w: float | None, epoch: PoolEpoch) -> tuple[str, ...]:
    """Say how the power limit of each GPU moves."""
    now_w = epoch.cap_w_per_gpu
    if now_w is None:
        return ("lift the cap",) if cap_w is not None else ()
    if cap_w is not None and abs(now_w - cap_w) < SMALLEST_CAP_MOVE_W:
        return ()
    return (f"{_capped(pool, epoch.active)} at {now_w:.0f} W per GPU",)


def _admission_words(before: dict[str, float], epoch: PoolEpoch) -> Iterator[str]:
    """Say which requests are turned away."""
    for name, one in epoch.classes.items():
        floor = 1e-3 * one.offered_req_per_s
        if abs(one.rejected_req_per_s - before.get(name, 0.0)) <= floor:
            continue
        if one.rejected_req_per_s <= floor:
            yield f"admit all {name} again"
        else:
            rates = f"{one.rejected_req_per_s:.1f} of {one.offered_req_per_s:.1f} req/s"
            yield f"reject {rates} {name}"


def _merge_cap_moves(actions: Iterable[Action], pool: PoolProblem) -> Iterator[Action]:
    """Turn each run of epochs that only move the cap into one line."""
    run: Action | None = None
    for action in actions:
        if run is not None and run.caps_w and action.caps_w:
            caps_w = run.caps_w + action.caps_w
            moved = f"{caps_w[0]:.0f} → {caps_w[-1]:.0f} W per GPU in {len(caps_w)} moves"
            words = (f"{_capped(pool, run.active)} at {moved}",)
            run = replace(run, to_s=action.to_s, words=words, caps_w=caps_w)
        else:
            if run is not None:
                yield run
            run = action
    if run is not None:
        yield run
