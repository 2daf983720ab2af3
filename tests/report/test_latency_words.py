"""Latency on the terminal: the longest of the plan, beside its limit."""

from __future__ import annotations

import pytest
from sample_plan import under_frequency
from test_terminal import printed, row

from ebplan.models.latency import ClassLatency, Queue
from ebplan.plan import Plan
from ebplan.problem import Problem

HARD = ClassLatency(prefill_s=0.4, itl_s=0.03, ttft_p95_limit_s=2.0, itl_limit_s=0.04)
PRICED = ClassLatency(prefill_s=0.4, ttft_p95_limit_s=5.0, late_per_instance_s=0.1)


def with_latency(
    known: dict[str, ClassLatency], told: dict[str, list[float | None]]
) -> tuple[Problem, Plan]:
    """Return a sample whose classes have these limits and first-token times, epoch by epoch."""
    problem, plan = under_frequency()
    pool = problem.pools[0]
    classes = tuple(c.model_copy(update={"latency": known.get(c.name)}) for c in pool.classes)
    queue = Queue(slots=32.0, service_s=8.0)
    pool = pool.model_copy(update={"classes": classes, "queue": queue})
    epochs = []
    for k, epoch in enumerate(plan.pools[pool.name]):
        timed = dict(epoch.classes)
        for name, times_s in told.items():
            first_s = times_s[min(k, len(times_s) - 1)]
            update = {"ttft_p95_s": first_s, "itl_s": 0.0312 if name in known else None}
            timed[name] = timed[name].model_copy(update=update)
        epochs.append(epoch.model_copy(update={"classes": timed}))
    service = dict(plan.service[pool.name])
    last = list(service)[-1]
    service[last] = service[last].model_copy(update={"late_requests": 1234.4})
    return problem.model_copy(update={"pools": (pool,)}), plan.model_copy(
        update={"pools": {pool.name: tuple(epochs)}, "service": {pool.name: service}}
    )


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_longest_times_stand_beside_their_limits(width: int, encoding: str) -> None:
    names = [c.name for c in under_frequency()[0].pools[0].classes]
    known = dict(zip(names, (HARD, PRICED), strict=True))
    problem, plan = with_latency(known, {names[0]: [0.5, 1.24, 0.9], names[1]: [1.0, None, 2.0]})
    text = printed(problem, plan, width=width, encoding=encoding)
    assert max(len(line) for line in text.splitlines()) <= width
    page = text[text.index("Longest latency") :]
    assert row(page, names[0]) == f"{names[0]} 1.24 s of 2 s 31.2 ms of 40 ms -".split()
    assert row(page, names[1]) == f"{names[1]} no end of 5 s 31.2 ms 1,234".split()


def test_nothing_is_shown_where_nothing_is_limited() -> None:
    names = [c.name for c in under_frequency()[0].pools[0].classes]
    known = {names[0]: ClassLatency(prefill_s=0.4, itl_s=0.03)}
    problem, plan = with_latency(known, {names[0]: [0.5]})
    assert "Longest latency" not in printed(problem, plan)
