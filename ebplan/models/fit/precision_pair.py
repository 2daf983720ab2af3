"""The tier model of the library: one model in two precisions on the same boards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.fit.build import dataset, rounded
from ebplan.models.fit.precision import QUALITY, busy_power_ratio, throughput_ratio
from ebplan.models.fit.serving_runs import (
    GPU,
    GPUS,
    IDLE_W_PER_GPU,
    MODEL,
    SOURCE,
    W_PER_KW,
    Run,
    read_runs,
)
from ebplan.models.fit.table import Table
from ebplan.models.points import Points
from ebplan.models.tier import LOADS, TierModel

TIER_NAME = "h100-qwen3-235b-fp8"
FP8_MODEL = f"{MODEL}-FP8"
BUSY_FROM = 90.0
"""Requests in flight from which an instance is compared: with fewer, memory sets the pace."""

Pair = tuple[Run, Run]
"""A run in either precision, the lower one second."""


def pairs(
    base: tuple[Run, ...], lower: tuple[Run, ...], *, busy_from: float = BUSY_FROM
) -> list[Pair]:
    """Return runs of either precision under the same limit on requests, where they are busy."""
    return [
        (one, other)
        for one in base
        for other in lower
        if one.concurrency >= busy_from and other.asked == one.asked
    ]


def build_tier(path: Path) -> TierModel:
    """Return the tier model with its card; ``path`` is the table of serving runs."""
    base, table = read_runs(path, model=MODEL, gpus=GPUS)
    lower, _ = read_runs(path, model=FP8_MODEL, gpus=GPUS)
    fewer, _ = read_runs(path, model=FP8_MODEL, gpus=GPUS // 2)
    busy = pairs(base, lower)
    gains, draws = [_gain(pair) for pair in busy], [_draw(pair) for pair in busy]
    fewest = min(pairs(base, lower, busy_from=0.0), key=lambda pair: pair[0].concurrency)
    return TierModel(
        name=TIER_NAME,
        precision="fp8",
        hardware=f"{GPUS} NVIDIA {GPU}",
        model="Qwen3-235B-A22B",
        capacity_factor_low=rounded(max(min(gains), 1.0)),
        capacity_factor_high=rounded(max(gains)),
        power_ratio_low=rounded(min(draws)),
        power_ratio_high=rounded(max(draws)),
        concurrency=_compared(busy),
        measurement_point="gpu",
        points=(
            Points.of(
                "fp8 against bf16",
                {
                    "in_flight": np.array([one.concurrency for one, _ in busy]),
                    "throughput_ratio": np.array(gains),
                    "busy_power_ratio": np.array(draws),
                },
            ),
        ),
        card=_card(table, busy, half=pairs(base, fewer)[-1], fewest=fewest),
    )


def _gain(pair: Pair) -> float:
    """Return the throughput of the lower precision relative to the other."""
    one, other = pair
    return float(throughput_ratio(one.tok_per_s, other.tok_per_s))


def _draw(pair: Pair) -> float:
    """Return the power above idle of the lower precision relative to the other; same boards."""
    one, other = pair
    idle_kw = IDLE_W_PER_GPU * GPUS / W_PER_KW
    return float(busy_power_ratio(one.power_kw, other.power_kw, idle_kw))


def _compared(busy: list[Pair]) -> tuple[float, float]:
    """Return the fewest and the most requests in flight of the base precision."""
    return min(one.concurrency for one, _ in busy), max(one.concurrency for one, _ in busy)


def _card(table: Table, busy: list[Pair], *, half: Pair, fewest: Pair) -> ModelCard:
    """Return the card of the tier model.

    Args:
        table: the table of runs.
        busy: the pairs that the model is read off.
        half: a pair whose lower precision runs on half the boards.
        fewest: the pair with the fewest requests in flight.
    """
    gains, draws = [_gain(pair) for pair in busy], [_draw(pair) for pair in busy]
    low, high = _compared(busy)
    return ModelCard(
        title=f"FP8 against BF16: Qwen3-235B-A22B on {GPUS} H100",
        summary=(
            "Throughput and power of a busy instance in FP8 relative to BF16 on the same GPUs, "
            "as intervals; the planner is given the cautious end of each."
        ),
        data=(dataset(table, SOURCE),),
        method=(
            f"Ratios of tokens/s and of power above idle between the two precisions at the "
            f"same limit on requests in flight, from {BUSY_FROM:.0f} in flight on; the "
            "interval spans the pairs."
        ),
        residuals=tuple(
            Statistic(
                name=f"{what} at {one.concurrency:.0f} and {other.concurrency:.0f} in flight",
                value=value,
                unit="1",
            )
            for what, values in (("tokens/s, ratio", gains), ("busy power, ratio", draws))
            for (one, other), value in zip(busy, values, strict=True)
        ),
        validity=(ValidRange(name=LOADS, low=low, high=high, unit="requests"),),
        measurement_point="gpu",
        measurement_note="Board power of all GPUs; no CPU, fans or power supply.",
        assumptions=(
            Assumption(
                name="idle power",
                value=IDLE_W_PER_GPU,
                unit="W per GPU",
                provenance="assumed",
                note="taken off before the powers are compared; no run constrains it",
            ),
        ),
        findings=(_about_fewer_gpus(gains, draws, half), QUALITY),
        not_for=(
            "the quality of answers",
            f"few requests in flight: at {fewest[0].concurrency:.0f} FP8 serves "
            f"{_gain(fewest):.2f} times as much at {_draw(fewest):.2f} times the busy power",
            "other models, other GPUs, without their own runs",
        ),
    )


def _about_fewer_gpus(gains: list[float], draws: list[float], half: Pair) -> Finding:
    all_gpus, half_of_them = half
    return Finding(
        title="The watts are in the GPUs that are not needed",
        text=f"On the same GPUs FP8 serves {min(gains):.2f} to {max(gains):.2f} times "
        f"as much at {min(draws):.2f} to {max(draws):.2f} times the busy power. On "
        f"half of them it serves {_gain(half):.2f} times as "
        f"much as BF16 on all, at {half_of_them.power_kw / all_gpus.power_kw:.2f} times the "
        f"power ({all_gpus.concurrency:.0f} in flight).",
    )
