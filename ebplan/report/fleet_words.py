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
    before: PoolEpoch | None = None
    for epoch in epochs:
        ways = (*_clock_words(pool, before, epoch), *_precision_words(pool, before, epoch))
        warm = ("warm the KV cache",) if epoch.prewarm else ()
        counts = (*warm, *_count_words(pool, active, epoch), *ways)
        service = (*_admission_words(rejected, epoch), *_queue_words(before, epoch))
        cap = _cap_words(pool, cap_w, epoch)
        if counts or service or cap:
            told_w = epoch.cap_w_per_gpu
            caps_w = () if counts or service or told_w is None else (told_w,)
            words = counts + cap + service
            yield Action(pool.name, epoch.t_s, epoch.t_s, words, caps_w, epoch.active)
        if cap:
            cap_w = epoch.cap_w_per_gpu
        active, before = epoch.active + (epoch.clock_lock.active if epoch.clock_lock else 0), epoch
        rejected = {name: one.rejected_req_per_s for name, one in epoch.classes.items()}


def _count_words(pool: PoolProblem, active: int, epoch: PoolEpoch) -> Iterator[str]:
    """Say how many instances change their mode; under a locked clock they are active too."""
    now = epoch.active + (epoch.clock_lock.active if epoch.clock_lock else 0)
    if now < active:
        yield f"drain {active - now} of {pool.instances} instances"
    if epoch.woken:
        yield f"wake {epoch.woken} of {pool.instances} instances"
    if now > active:
        yield f"load {now - active} more ({now} of {pool.instances} active)"
    if epoch.put_to_sleep:
        yield f"put {epoch.put_to_sleep} of {pool.instances} instances to sleep"


SMALLEST_CLOCK_MOVE_MHZ = 10.0
"""A smaller move of a locked clock is not told."""


def _clock_words(pool: PoolProblem, before: PoolEpoch | None, epoch: PoolEpoch) -> Iterator[str]:
    """Say how the clocks are locked."""
    lock, was = epoch.clock_lock, before.clock_lock if before else None
    if lock is None:
        return
    now_mhz = lock.clock_mhz if lock.active else None
    was_mhz = was.clock_mhz if was and was.active else None
    if now_mhz is None:
        if was_mhz is not None:
            yield "unlock the clocks"
        return
    moved = was_mhz is None or abs(now_mhz - was_mhz) >= SMALLEST_CLOCK_MOVE_MHZ
    if moved or (was is not None and was.active != lock.active):
        gpus = lock.active * pool.gpus_per_instance
        yield f"lock {gpus} GPUs ({lock.active} instances) at {now_mhz:.0f} MHz"


def _precision_words(
    pool: PoolProblem, before: PoolEpoch | None, epoch: PoolEpoch
) -> Iterator[str]:
    """Say which weights are loaded and how much goes to the lower precision."""
    tier = epoch.tier
    if tier is None or pool.tier is None:
        return
    name = pool.tier.name
    if tier.to_tier:
        yield f"load {name} weights on {tier.to_tier}"
    if tier.to_own:
        yield f"load the pool's own weights on {tier.to_own}"
    was = before.tier.active if before and before.tier else pool.tier.active_at_start
    if tier.active != was:
        rate = sum(one.lowered_req_per_s for one in epoch.classes.values())
        yield f"serve {rate:.1f} req/s in {name} on {tier.active}"


def _queue_words(before: PoolEpoch | None, epoch: PoolEpoch) -> Iterator[str]:
    """Say which requests are put off, worked off or served ahead."""
    for name, one in epoch.classes.items():
        was = before.classes[name] if before else None
        floor = 1e-2 * max(one.offered_req_per_s, 1e-9)
        put_off, put_off_before = one.deferred_req_per_s, was.deferred_req_per_s if was else 0.0
        if (put_off > floor) != (put_off_before > floor) or (put_off < -floor) != (
            put_off_before < -floor
        ):
            if put_off > floor:
                yield f"put {put_off:.1f} req/s {name} off"
            elif put_off < -floor:
                yield f"work {-put_off:.1f} req/s {name} off"
            else:
                yield f"no more {name} {'put' if put_off_before > 0.0 else 'worked'} off"
        ahead, ahead_before = one.pulled_req_per_s, was.pulled_req_per_s if was else 0.0
        if (ahead > floor) != (ahead_before > floor):
            yield (
                f"serve {ahead:.1f} req/s {name} ahead"
                if ahead > floor
                else f"no more {name} ahead"
            )


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
