"""The same minutes without an event: the same seed, nobody commands anything.

What a response costs is what it costs more than these. Full instances have their price of slow
answers in them as well, which no mechanism is to be charged with.
"""

from __future__ import annotations

from functools import lru_cache

from ebplan.experiment.bench import Bench
from ebplan.experiment.steps import CaseRun
from ebplan.realised import RecordedPlant, Slice, realised
from ebplan.twin.plant import Measurements

STEP_S = 1.0


def untouched_cost(run: CaseRun) -> dict[str, float]:
    """Return what the minutes of a case cost by cause, had nothing been asked and nobody acted."""
    key = run.bench.site.to_json() + run.bench.state.to_json() + repr(run.bench.traffic)
    slices, before = _minutes(
        key, _Once(run.bench), run.case.seed, run.triggered_s, run.problem.grid.horizon_s
    )
    return realised(run.problem, slices, before, run.triggered_s).cost


class _Once:
    """A bench that the cache takes for any other: ``key`` tells them apart."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4)
def _minutes(
    key: str, once: _Once, seed: int, from_s: float, horizon_s: float
) -> tuple[tuple[Slice, ...], Measurements | None]:
    recorded = RecordedPlant(once.bench.plant(seed, lambda _: None))
    recorded.step((), from_s)
    recorded.begin()
    end_s = from_s + horizon_s
    while recorded.now_s < end_s - 1e-9:
        recorded.step((), min(STEP_S, end_s - recorded.now_s))
    return tuple(recorded.slices), recorded.before
