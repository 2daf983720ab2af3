"""How long requests wait and tokens take, against what is asked, in words."""

from __future__ import annotations

from collections.abc import Iterator

from ebplan.plan import ClassEpoch, Plan
from ebplan.problem import Problem

NO_END = "no end"
"""What the wait for a first token is called where the queue only grows."""


def latency_rows(plan: Plan, problem: Problem) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield pool, class, first token, next token and late requests, for classes with limits.

    The times are the longest of the plan, each with its limit.
    """
    for pool in problem.pools:
        for requests in pool.classes:
            known = requests.latency
            if known is None or not known.has_limits:
                continue
            served = [
                epoch.classes[requests.name]
                for epoch in plan.pools[pool.name]
                if epoch.classes[requests.name].served_req_per_s > 0.0
            ]
            late = "-"
            if known.late_per_instance_s is not None:
                late = f"{plan.service[pool.name][requests.name].late_requests:,.0f}"
            first = _first(served) + _limit(known.ttft_p95_limit_s)
            yield pool.name, requests.name, first, _next(served) + _limit(known.itl_limit_s), late


def _first(served: list[ClassEpoch]) -> str:
    times_s = [epoch.ttft_p95_s for epoch in served]
    longest_s = max((t for t in times_s if t is not None), default=None)
    if None in times_s:
        return NO_END
    return "-" if longest_s is None else _duration(longest_s)


def _next(served: list[ClassEpoch]) -> str:
    longest_s = max((e.itl_s for e in served if e.itl_s is not None), default=None)
    return "-" if longest_s is None else _duration(longest_s)


def _limit(limit_s: float | None) -> str:
    return "" if limit_s is None else f" of {_duration(limit_s)}"


def _duration(seconds: float) -> str:
    """Return a latency with three digits: ``31.2 ms``, ``1.24 s``."""
    return f"{1000.0 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
