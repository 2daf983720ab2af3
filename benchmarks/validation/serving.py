"""Serving of language models: points, models, GPU kinds and precisions that were left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.validation.line import Line, Section
from ebplan.models.fit.fleet_prior import (
    family,
    mean_over_median,
    name_of,
    read_configurations,
)
from ebplan.models.fit.held_out import (
    HeldOut,
    at_random,
    leave_groups_out,
    leave_points_out,
    without_groups,
)
from ebplan.models.fit.pooling import Readings
from ebplan.models.fit.serving_law import WORDS
from ebplan.models.laws import LawName

MLENERGY = "gpu_power/mlenergy_v3_llm_h100_b200.csv"
COVERS = (0.85, 0.95)
GOALS: dict[LawName, dict[int, float]] = {
    "power": {2: 0.05, 5: 0.02},
    "throughput": {2: 0.12, 5: 0.03},
}
"""Median errors to reach with so many points of a model that was left out."""
POINT_GOALS: dict[LawName, float] = {"power": 0.025}
DRAWS, SEED = 10, 1
TRANSFERS: tuple[tuple[str, Callable[[Readings], str]], ...] = (
    ("kind of GPU", lambda r: r.configuration.gpu),
    ("precision", lambda r: r.configuration.precision),
    (
        "number of GPUs of a model",
        lambda r: f"{family(r)} {r.configuration.gpus} {r.configuration.gpu}",
    ),
)


def run_models(folder: Path) -> Iterator[Line | str]:
    """Points and whole models left out."""
    configurations = read_configurations(folder / MLENERGY)[0]
    for law, readings in configurations.items():
        held = leave_points_out(without_groups(law, readings, name_of), readings)
        yield from _lines(f"{WORDS[law]}, one point left out", held, POINT_GOALS.get(law))
        priors = without_groups(law, readings, family)
        for k, found in leave_groups_out(priors, readings, family).items():
            what = f"{WORDS[law]}, a model left out, {k} points given"
            if k == 0:
                yield _coverage(what + ": only an interval", found)
                continue
            yield from _lines(what, found, GOALS.get(law, {}).get(k))
        chance = leave_groups_out(
            priors, readings, family, given=(2, 5), choose=at_random(SEED), draws=DRAWS
        )
        for k, found in chance.items():
            yield from _lines(
                f"{WORDS[law]}, the same, {k} points by chance ({DRAWS} draws)", found, None
            )
    stretch = mean_over_median(configurations)
    yield Line(
        "mean time between tokens by Little's law over the measured median: median, 5 and 95 % "
        f"quantile ({len(stretch)} points)",
        f"{np.median(stretch):.2f}, {np.quantile(stretch, 0.05):.2f}, "
        f"{np.quantile(stretch, 0.95):.2f}",
    )
    points = sum(len(r.concurrency) for r in readings)
    yield (
        f"{points} runs of {len(readings)} configurations of {len({family(r) for r in readings})} "
        "families of models (a model in BF16 and in FP8 is one family). With a model, all its "
        "configurations are left out, with a point the other points of its configuration stay "
        "given. Spreads and prior are learnt each time from nothing but the other models, or the "
        "other configurations. Given points are spread evenly over the logarithm of the load, "
        "both ends in, and only configurations with more points than that count. Coverage is that "
        "of intervals calibrated on the other models, or configurations. The mean time between "
        "tokens has the interval of throughput, from which it follows; it is no percentile."
    )


def run_transfer(folder: Path) -> Iterator[Line | str]:
    """What is left of the prior where a whole kind is new."""
    configurations = read_configurations(folder / MLENERGY)[0]
    for what, group_of in TRANSFERS:
        for law, readings in configurations.items():
            priors = without_groups(law, readings, group_of)
            found = leave_groups_out(priors, readings, group_of)
            yield _coverage(
                f"{WORDS[law]}, a {what} left out, 0 points: only an interval", found[0]
            )
            for k in (2, 5):
                yield from _lines(
                    f"{WORDS[law]}, a {what} left out, {k} points given", found[k], None
                )


def _lines(what: str, held: HeldOut, goal: float | None) -> Iterator[Line]:
    error = float(np.median(held.share))
    yield Line(
        f"{what}: median error ({len(held.off)} points)",
        f"{error:.1%}",
        "" if goal is None else f"<= {goal:.1%}",
        None if goal is None else error <= goal,
    )
    yield _coverage(what, held)


def _coverage(what: str, held: HeldOut) -> Line:
    low, high = COVERS
    share = held.coverage()
    return Line(f"{what}: in the 90 % interval", f"{share:.0%}", "85 to 95 %", low <= share <= high)


SECTIONS: tuple[Section, ...] = (
    Section("Serving: models that were left out", (MLENERGY,), run_models),
    Section("Serving: a kind of GPU, a precision, a size that is new", (MLENERGY,), run_transfer),
)
