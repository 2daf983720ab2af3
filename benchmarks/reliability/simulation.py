"""Carry promises out again and again, with errors drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from benchmarks.reliability.calls import is_kept
from benchmarks.reliability.outcomes import Outcome
from benchmarks.reliability.promises import (
    CONFIDENCES,
    LOAD_FORECAST_STD,
    RESPONSE_STD,
    SCENARIOS,
    promised,
    subjects,
)
from ebplan.offers.errors import fitted_spread
from ebplan.offers.tails import LAWS


def simulate(name: str, confidence: float, scenario: str, calls: int, seed: int) -> Outcome:
    """Carry a promise out so often.

    Args:
        name: of the subject.
        confidence: that is stated.
        scenario: of the errors.
        calls: how often.
        seed: of the errors.
    """
    names = [s.name for s in subjects()]
    subject, sure = subjects()[names.index(name)], promised(name, confidence)
    how = next(s for s in SCENARIOS if s.name == scenario)
    seeds = [names.index(name), CONFIDENCES.index(confidence), SCENARIOS.index(how)]
    rng = np.random.default_rng([seed, *seeds])
    u, v, off = (law.draw(rng, calls) for law in (how.law, how.law, LAWS[0]))
    spread = fitted_spread(subject.question.site) or 0.0
    kept = 0
    for i in range(calls):
        load, power = subject.question.errors.load_std * u[i], 1.0
        if how.models_err:
            load, power = LOAD_FORECAST_STD * u[i], 1.0 + spread * off[i]
        kept += is_kept(subject, sure, float(load), RESPONSE_STD * float(v[i]), float(power))
    return Outcome(
        subject=name,
        confidence=confidence,
        scenario=scenario,
        calls=calls,
        kept=kept,
        computed=sure.probability[how.law.name],
        kw=sure.kept.kw,
        continuous=subject.continuous,
    )


def run(calls: int, *, seed: int, jobs: int) -> Iterator[Outcome]:
    """Yield what became of every promise, in each scenario.

    Args:
        calls: in all in each scenario, shared evenly by the promises.
        seed: of the errors.
        jobs: processes.
    """
    cells = [
        (subject.name, confidence, scenario.name)
        for scenario in SCENARIOS
        for subject in subjects()
        for confidence in CONFIDENCES
    ]
    each = -(-calls // (len(cells) // len(SCENARIOS)))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(simulate, *cell, each, seed) for cell in cells]
        for future in done:
            yield future.result()
