"""Pre-warming: when it is at work, and how long it keeps a pool warm."""

from __future__ import annotations

import numpy as np

from ebplan.checker.evidence import INSTANT_S, BoolArray, FloatArray, PoolEvidence


def is_warm(pool: PoolEvidence, at_s: FloatArray) -> BoolArray:
    """Return the epochs that begin warm, (K,): from the lead's end until it expires."""
    of = pool.problem.prewarm
    if of is None:
        return np.zeros(len(at_s), dtype=bool)
    by_command = _commands(pool, at_s, of.lead_s, of.lead_s + of.expires_s)
    return np.asarray(by_command + _from_before(pool, at_s) > 0.0)


def work_kw(pool: PoolEvidence, at_s: FloatArray) -> FloatArray:
    """Return the draw of a pre-warm at work in each epoch, (K,)."""
    of = pool.problem.prewarm
    if of is None:
        return np.zeros(len(at_s))
    return of.power_kw * _commands(pool, at_s, 0.0, of.lead_s)


def under_way(pool: PoolEvidence, at_s: FloatArray) -> FloatArray:
    """Return how many pre-warms are at work or still warm in each epoch, (K,)."""
    of = pool.problem.prewarm
    if of is None:
        return np.zeros(len(at_s))
    return _commands(pool, at_s, 0.0, of.lead_s + of.expires_s) + _from_before(pool, at_s)


def uses(pool: PoolEvidence, at_s: FloatArray, done: FloatArray) -> FloatArray:
    """Return how much of what is ``done``, (K,), falls into the warmth of each command, (K,)."""
    of = pool.problem.prewarm
    if of is None:
        return np.zeros(len(at_s))
    after_s = at_s[None, :] - at_s[:, None]
    warm = (after_s >= of.lead_s - INSTANT_S) & (after_s < of.lead_s + of.expires_s - INSTANT_S)
    return np.asarray(warm.astype(float) @ done)


def _commands(pool: PoolEvidence, at_s: FloatArray, from_s: float, before_s: float) -> FloatArray:
    """Return how many pre-warms were told between ``from_s`` and ``before_s`` ago, (K,)."""
    count = np.zeros(len(at_s))
    for told_s, told in zip(at_s, pool.prewarm, strict=True):
        ago_s = at_s - told_s
        count += told * ((ago_s >= from_s - INSTANT_S) & (ago_s < before_s - INSTANT_S))
    return count


def _from_before(pool: PoolEvidence, at_s: FloatArray) -> FloatArray:
    """Return 1 where what was warmed before the plan is still warm, (K,)."""
    of = pool.problem.prewarm
    until_s = 0.0 if of is None else of.warm_until_s
    return (at_s < until_s - INSTANT_S).astype(float)
