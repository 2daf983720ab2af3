"""Random decisions: counts by a random walk, loads and powers anywhere inside the lenses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from count_walks import random_walk

from ebplan.models.latency_bounds import LatencyBounds
from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.lens import cap_lines, load_lines
from ebplan.solvers.decision import PoolDecision, Running, Swaps
from ebplan.solvers.operations import Operation, bounds_of, operations

Draw = np.random.Generator

TRIES = 200


@dataclass
class _Epoch:
    """What a pool does with its requests in one epoch, in instance-equivalents of its own."""

    loads: list[float]
    """Of the instances of each way, in instance-equivalents of the way."""
    powers_kw: list[float]
    requests: dict[str, dict[str, float]] = field(default_factory=dict)
    """``rejected``, ``pulled`` and ``lowered`` by class."""


def random_decision(rng: Draw, problem: Problem, pool: PoolProblem) -> PoolDecision | None:
    """Return a random way to run the pool, or None where the drawn counts cannot carry the load."""
    for _ in range(TRIES):
        counts = random_walk(rng, pool, problem.grid.epoch_starts_s)
        if not _prewarms_are_used(pool, counts, problem.grid.epoch_starts_s):
            continue
        serving = ("active", "clock_lock.active", "tier.active")
        each = zip(*(counts[name] for name in serving), strict=True)
        epochs = [_epoch(rng, pool, dict(zip(serving, n, strict=True)), problem) for n in each]
        done = [epoch for epoch in epochs if epoch is not None]
        if len(done) == len(epochs):
            return _decision(pool, counts, done)
    return None


def _prewarms_are_used(
    pool: PoolProblem, counts: dict[str, list[int]], epoch_s: np.ndarray
) -> bool:
    """Return whether each pre-warm keeps the pool warm for a drain or a wake."""
    if pool.prewarm is None:
        return True
    in_tier = pool.tier.active_at_start if pool.tier else 0
    own = np.add(counts["active"], counts["clock_lock.active"])
    lower = np.array(counts["tier.active"])
    fewer = np.maximum(np.r_[pool.active_at_start, own[:-1]] - own, 0)
    fewer = fewer + np.maximum(np.r_[in_tier, lower[:-1]] - lower, 0)
    used = fewer + np.array(counts["to_wake_warm"])
    for told_s, told in zip(epoch_s, counts["prewarm"], strict=True):
        ready_s = told_s + pool.prewarm.lead_s - 1e-9
        warm = (epoch_s >= ready_s) & (epoch_s < ready_s + pool.prewarm.expires_s)
        if told and not used[warm].any():
            return False
    return True


def _decision(
    pool: PoolProblem, counts: dict[str, list[int]], epochs: list[_Epoch]
) -> PoolDecision:
    whole = {name: np.array(values, dtype=float) for name, values in counts.items()}

    def by_class(what: str) -> dict[str, np.ndarray]:
        names = epochs[0].requests[what]
        return {name: np.array([e.requests[what][name] for e in epochs]) for name in names}

    return PoolDecision(
        pool=pool,
        ways=tuple(
            Running(
                operation=way,
                active=whole[_column(way)],
                load=np.array([epoch.loads[i] for epoch in epochs]),
                power_kw=np.array([epoch.powers_kw[i] for epoch in epochs]),
            )
            for i, way in enumerate(operations(pool))
        ),
        drained=whole["drained"],
        asleep=whole["asleep"],
        to_sleep=whole["to_sleep"],
        to_wake=whole["to_wake"] + whole["to_wake_warm"],
        rejected=by_class("rejected"),
        pulled=by_class("pulled"),
        lowered=by_class("lowered"),
        swaps=Swaps(drained=whole["tier.drained"], to_tier=whole["to_tier"], to_own=whole["to_own"])
        if pool.tier
        else None,
        prewarm=whole["prewarm"] if pool.prewarm else None,
        woken_warm=whole["to_wake_warm"] if pool.prewarm else None,
    )


def _column(way: Operation) -> str:
    return {None: "active", "clock_lock": "clock_lock.active"}.get(way.key, "tier.active")


def _epoch(rng: Draw, pool: PoolProblem, counts: dict[str, int], problem: Problem) -> _Epoch | None:
    """Return random loads and powers of so many instances, with what becomes of the requests."""
    ways = operations(pool)
    numbers = [counts[_column(way)] for way in ways]
    horizon_s = problem.grid.horizon_s
    least = sum(requests.load - requests.max_rejected for requests in pool.classes)
    ahead = [c.pull_forward.available / horizon_s for c in pool.classes if c.pull_forward]
    for _ in range(20):
        served = float(rng.uniform(least, pool.load + sum(ahead)))
        parts = np.array(numbers) * rng.uniform(0.7, 1.3, size=len(ways))
        parts = parts / max(parts.sum(), 1e-12) * served
        if not any(numbers):
            served = 0.0
        points = [
            _operate(rng, way, bounds_of(pool, way), n, part / way.capacity_factor)
            for way, n, part in zip(ways, numbers, parts, strict=True)
        ]
        requests = _requests(pool, served, horizon_s)
        inside = [point for point in points if point is not None]
        if requests is None or len(inside) < len(points):
            continue
        lower = float(parts[-1]) if pool.tier else 0.0
        if _lower(pool, requests, lower):
            return _Epoch([u for u, _ in inside], [kw for _, kw in inside], requests)
    return None


def _operate(
    rng: Draw, way: Operation, bounds: LatencyBounds, active: int, load: float
) -> tuple[float, float] | None:
    """Return the load and a random power of so many instances, or None outside lens and limits."""
    if active == 0:
        return 0.0, 0.0
    if bounds.max_utilisation == 0.0:
        return None
    each = load / active
    natural = min(a * each + b for a, b in load_lines(way))
    share = each / (bounds.max_utilisation or way.max_utilisation)
    needed = max((share - b) / a for a, b in cap_lines(way) if a > 0.0)
    slope, intercept = bounds.natural_line
    in_time_kw = (bounds.power_share or 0.0) * (slope * each + intercept)
    needed = max(needed, way.cap_curve.floor_kw, in_time_kw)
    if each < way.min_utilisation or share > 1.0 or needed > natural:
        return None
    return load, active * float(rng.uniform(needed, natural))


def _requests(
    pool: PoolProblem, served: float, horizon_s: float
) -> dict[str, dict[str, float]] | None:
    """Turn away, or do ahead, what makes up the load that is served; None where it cannot be."""
    away, ahead = max(pool.load - served, 0.0), max(served - pool.load, 0.0)
    rejected, pulled = {}, {}
    for requests in pool.classes:
        rejected[requests.name] = min(away, requests.max_rejected)
        away -= rejected[requests.name]
        if requests.pull_forward is not None:
            pulled[requests.name] = min(ahead, requests.pull_forward.available / horizon_s)
            ahead -= pulled[requests.name]
    if max(away, ahead) > 1e-12:
        return None
    return {"rejected": rejected, "pulled": pulled, "lowered": {}}


def _lower(pool: PoolProblem, requests: dict[str, dict[str, float]], lower: float) -> bool:
    """Say whose requests the lower precision serves; return whether so many are eligible."""
    for part in pool.classes:
        if part.lowered is None:
            continue
        served = part.load - requests["rejected"][part.name]
        served += requests["pulled"].get(part.name, 0.0)
        requests["lowered"][part.name] = min(lower, part.lowered.eligible_share * served)
        lower -= requests["lowered"][part.name]
    return lower <= 1e-12
