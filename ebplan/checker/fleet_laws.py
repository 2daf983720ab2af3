"""Laws of the fleet: counts, transitions, dwell, and the power that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.checker.evidence import (
    INSTANT_S,
    Evidence,
    Finding,
    FloatArray,
    PoolEvidence,
    each_pool,
    worst,
)
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import POWER_KW, RATIO
from ebplan.checker.warmth import is_warm, under_way, uses

# --- counts -----------------------------------------------------------------------------------


def counts(evidence: Evidence, _: Replay) -> list[Finding]:
    """Every instance is somewhere once, no count is negative, sleep only where it is allowed."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        name, of = pool.problem.name, pool.problem
        modes = np.array(
            [
                *(way.active for way in pool.ways),
                *(pool.drained, pool.tier_drained, pool.asleep, pool.in_transit),
            ]
        )
        commands = np.array(
            [
                *(pool.put_to_sleep, pool.woken_warm, pool.woken - pool.woken_warm),
                *(pool.to_tier, pool.to_own, pool.prewarm),
            ]
        )
        lowest = np.vstack([modes, commands]).min(axis=0)
        found = worst(
            np.abs(modes.sum(axis=0) - of.instances),
            0.0,
            at_s,
            f"{name}: active, drained, asleep and in transit must sum to {of.instances}",
        )
        found += worst(-lowest, 0.0, at_s, f"{name}: a count is negative")
        if not of.may_sleep:
            found += worst(pool.put_to_sleep, 0.0, at_s, f"{name}: instances may not sleep")
        return found

    return each_pool(evidence, law)


def transitions(evidence: Evidence, _: Replay) -> list[Finding]:
    """Counts change only by commands, at once, and by arrivals, after their lead."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of, arrived = pool.problem, arrivals(pool, at_s)
        found = []
        for what, count, start, change in (
            (
                "active + drained",
                pool.own_active + pool.drained,
                of.active_at_start + of.drained_at_start,
                arrived.awake + arrived.own - pool.put_to_sleep - pool.to_tier,
            ),
            ("asleep", pool.asleep, of.asleep_at_start, arrived.asleep - pool.woken),
            (
                "active + drained in the lower precision",
                pool.tier_active + pool.tier_drained,
                of.in_tier_at_start,
                arrived.tier - pool.to_own,
            ),
        ):
            found += worst(
                np.abs(count - _before(start, count) - change),
                0.0,
                at_s,
                f"{of.name}: {what} changes otherwise than by commands and arrivals",
            )
        in_tier = 0 if of.tier is None else of.tier.drained_at_start
        for what, leaving, drained, start in (
            (
                "is put to sleep or given other weights",
                pool.put_to_sleep + pool.to_tier,
                pool.drained,
                of.drained_at_start,
            ),
            ("is given its own weights again", pool.to_own, pool.tier_drained, in_tier),
        ):
            undrained = leaving - _before(start, drained)
            message = f"{of.name}: an instance {what} that was not drained before"
            found += worst(undrained, 0.0, at_s, message)
        return found

    return each_pool(evidence, law)


def _before(start: float, count: FloatArray) -> FloatArray:
    """Return the count of the epoch before, (K,)."""
    return np.concatenate([[start], count[:-1]])


def dwell(evidence: Evidence, _: Replay) -> list[Finding]:
    """Who has arrived asleep stays asleep, and who has arrived awake stays awake, long enough."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of, arrived = pool.problem, arrivals(pool, at_s)
        found = []
        for what, came, minimum_s, count in (
            ("asleep", arrived.asleep, of.min_asleep_s, pool.asleep),
            ("awake", arrived.awake, of.min_awake_s, pool.own_active + pool.drained),
        ):
            ago_s = at_s[:, None] - at_s[None, :]
            recent = (ago_s >= 0.0) & (ago_s < minimum_s - INSTANT_S)
            found += worst(
                recent @ came - count,
                0.0,
                at_s,
                f"{of.name}: left before {minimum_s:g} s {what}",
            )
        return found

    return each_pool(evidence, law)


def warmth(evidence: Evidence, _: Replay) -> list[Finding]:
    """A pool is pre-warmed only when the last pre-warm is over, and for a drain or a wake.

    It is woken warm only while it is warm.
    """

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        name = pool.problem.name
        if pool.problem.prewarm is None:
            told = pool.prewarm + np.abs(pool.woken_warm)
            return worst(told, 0.0, at_s, f"{name}: cannot be pre-warmed")
        message = f"{name}: pre-warmed while the last pre-warm is at work or warm"
        found = worst(under_way(pool, at_s) - 1.0, 0.0, at_s, message)
        cold = np.where(is_warm(pool, at_s), 0.0, pool.woken_warm)
        found += worst(cold, 0.0, at_s, f"{name}: woken warm while cold")
        drained = pool.own_newly_drained + pool.tier_newly_drained
        unused = pool.prewarm * (uses(pool, at_s, drained + pool.woken_warm) == 0.0)
        return found + worst(unused, 0.0, at_s, f"{name}: a pre-warm that nothing uses")

    return each_pool(evidence, law)


@dataclass(frozen=True)
class Arrivals:
    """Who arrives at each epoch, each of shape (K,)."""

    awake: FloatArray
    """Drained, from sleep or from before the plan."""
    asleep: FloatArray
    own: FloatArray
    """Drained, with the pool's own weights again."""
    tier: FloatArray
    """Drained, with the weights of the lower precision."""


def arrivals(pool: PoolEvidence, at_s: FloatArray) -> Arrivals:
    """Return who arrives where at each epoch.

    A transition arrives at the first epoch at or after its end, and not at all after the last.
    """
    of = pool.problem
    into = {to: np.zeros(len(at_s)) for to in ("awake", "asleep", "own", "tier")}
    under_way: list[tuple[float, float, str]] = [(a.at_s, a.count, a.to) for a in of.arrivals]
    swap_s = 0.0 if of.tier is None else of.tier.swap_s
    warm_wake_s = 0.0 if of.prewarm is None else of.prewarm.wake_s
    for to, lead_s, told in (
        ("asleep", of.sleep_s, pool.put_to_sleep),
        ("awake", of.wake_s, pool.woken - pool.woken_warm),
        ("awake", warm_wake_s, pool.woken_warm),
        ("tier", swap_s, pool.to_tier),
        ("own", swap_s, pool.to_own),
    ):
        given = np.flatnonzero(told)
        under_way += [(at_s[k] + lead_s, told[k], to) for k in given]
    for ready_s, count, to in under_way:
        epoch = int(np.searchsorted(at_s, ready_s - INSTANT_S))
        if epoch < len(at_s):
            into[to][epoch] += count
    return Arrivals(**into)


# --- power ------------------------------------------------------------------------------------


def compute_power(evidence: Evidence, replay: Replay) -> list[Finding]:
    """The compute power of each step is what the set-points give through the two channels."""
    allowed = POWER_KW + RATIO * np.abs(replay.compute_kw) + replay.compute_allowed_kw
    off = np.abs(evidence.compute_kw - replay.compute_kw)
    return worst(off, allowed, evidence.starts_s, "compute_kw is not the replayed mean of the step")
