"""Limits on latency in random problems, drawn so that they bind and leave a way to serve."""

from __future__ import annotations

import numpy as np

from ebplan.models.latency import ClassLatency, Queue
from ebplan.models.latency_bounds import finest_speed, latency_bounds
from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.lens import cap_lines, load_lines


def with_latency(rng: np.random.Generator, pool: PoolProblem) -> PoolProblem:
    """Return the pool with a queue, and with limits on the latency of its classes.

    Limits are drawn around what utilisations and caps of the pool give, so that they bind. Where
    hard ones left no way to serve the protected class with the instances awake, all get a price.
    """
    queue = Queue(slots=float(rng.choice([1.0, 4.0, 32.0])), service_s=float(rng.uniform(2, 30)))
    queued = pool.model_copy(update={"queue": queue})
    known = [_latency(rng, queued) for _ in pool.classes]
    limited = _with_limits(queued, known)
    kept = sum(c.load - c.max_rejected for c in pool.classes)
    awake = range(1, pool.active_at_start + pool.drained_at_start + 1)
    if kept <= 0.0 or any(_keeps(limited, kept / n) for n in awake):
        return limited
    priced = [
        one.model_copy(update={"late_per_instance_s": 0.01}) if one and one.is_hard else one
        for one in known
    ]
    return _with_limits(queued, priced)


def _with_limits(pool: PoolProblem, known: list[ClassLatency | None]) -> PoolProblem:
    classes = tuple(
        requests.model_copy(update={"latency": latency})
        for requests, latency in zip(pool.classes, known, strict=True)
    )
    return pool.model_copy(update={"classes": classes})


def _latency(rng: np.random.Generator, pool: PoolProblem) -> ClassLatency | None:
    """Return a latency with a hard limit or two, with priced ones, with none, or nothing known."""
    assert pool.queue is not None
    what = str(rng.choice(["nothing", "none", "hard", "priced"], p=[0.1, 0.1, 0.4, 0.4]))
    prefill_s = float(rng.uniform(0.02, 0.2)) * pool.queue.service_s
    itl_s = float(rng.uniform(0.005, 0.1))
    uncapped = finest_speed(pool)
    fast = float(rng.uniform(0.85, 0.9999)) * uncapped
    full = float(rng.uniform(0.4, 1.0)) * pool.max_utilisation
    slow = float(rng.uniform(0.9, 1.0)) * uncapped
    either = int(rng.integers(0, 3))
    price = float(rng.choice([0.0, 0.001, 0.01, 0.1]))
    if what == "nothing":
        return None
    if what == "none" or uncapped < 0.3:  # the tangent tells no limit apart from none there
        return ClassLatency(prefill_s=prefill_s, itl_s=itl_s)
    first_s = (prefill_s + pool.queue.wait_p95_s(full)) / slow
    return ClassLatency(
        prefill_s=prefill_s,
        itl_s=itl_s,
        ttft_p95_limit_s=None if either == 0 or not np.isfinite(first_s) else first_s,
        itl_limit_s=itl_s / fast if either != 1 or not np.isfinite(first_s) else None,
        late_per_instance_s=price if what == "priced" else None,
    )


def _keeps(pool: PoolProblem, utilisation: float) -> bool:
    """Return whether one instance can serve this load within the lines and the limits."""
    bounds = latency_bounds(pool)
    drawn_kw = min(slope * utilisation + rest for slope, rest in load_lines(pool))
    capacity = min(slope * drawn_kw + rest for slope, rest in cap_lines(pool))
    most_used = bounds.max_utilisation or pool.max_utilisation
    slope, rest = bounds.natural_line
    least_kw = (bounds.power_share or 0.0) * (slope * utilisation + rest)
    lowest, highest = pool.min_utilisation, most_used * capacity - 1e-6
    enough_kw = max(pool.cap_curve.floor_kw, least_kw + (1e-6 if least_kw else 0.0))
    return lowest <= utilisation <= highest and drawn_kw >= enough_kw
