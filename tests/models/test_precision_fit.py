"""Precision pairs: ratios come back, loads are matched and not extrapolated, faults are named."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from measured import measured

from ebplan.errors import InputError
from ebplan.models.fit.precision import PrecisionOptions, fit_precision
from ebplan.models.library import load_tier
from ebplan.models.tier import TierModel

OUTSIDE = Path(__file__).parents[3] / "shared" / "data" / "gpu_power"
OPTIONS = PrecisionOptions(
    name="pair",
    title="Pair",
    hardware="8 GPUs",
    model="a model",
    base="bf16",
    lower="fp8",
    idle_kw_per_gpu=0.1,
)
GAIN, DRAW = 1.4, 0.95
LOADS = (16.0, 32.0, 64.0, 96.0, 128.0)


def pair(
    rng: np.random.Generator,
    base_loads: Sequence[float] = LOADS,
    lower_loads: Sequence[float] = LOADS,
) -> dict[str, list[object]]:
    """Throughput that saturates with load, power that grows with it; 1 % noise."""
    rows: dict[str, list[object]] = {
        name: [] for name in ("precision", "concurrency", "throughput", "power")
    }
    for name, loads, gain, draw in (
        ("bf16", base_loads, 1.0, 1.0),
        ("fp8", lower_loads, GAIN, DRAW),
    ):
        for load in loads:
            noise = np.exp(0.01 * rng.standard_normal(2))
            rows["precision"].append(name)
            rows["concurrency"].append(load)
            rows["throughput"].append(gain * 1000.0 * load**0.7 * noise[0])
            rows["power"].append(0.1 + draw * 0.1 * load**0.3 * noise[1])
    return rows


def test_ratios_come_back_within_their_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    held = np.zeros(2)
    for _ in range(50):
        model = fit_precision(measured(tmp_path, pair(rng)), OPTIONS)
        held[0] += model.capacity_factor_low <= GAIN <= model.capacity_factor_high
        held[1] += model.power_ratio_low <= DRAW <= model.power_ratio_high
    assert (held >= 45).all()
    assert model.capacity_factor_high / model.capacity_factor_low < 1.2
    assert TierModel.parse(model.to_json().encode()) == model


def test_loads_that_differ_are_interpolated_between_and_never_beyond(tmp_path: Path) -> None:
    rows = pair(np.random.default_rng(2), LOADS, (40.0, 80.0, 200.0))
    model = fit_precision(measured(tmp_path, rows), OPTIONS)
    at = [s.name for s in model.card.residuals if s.name.startswith("throughput")]
    assert [name.split(" at ")[1] for name in at] == [
        "64 in flight", "80 in flight", "96 in flight", "128 in flight",
    ]  # fmt: skip
    assert model.capacity_factor_low <= GAIN <= model.capacity_factor_high


def test_interpolated_loads_are_no_readings_of_their_own(tmp_path: Path) -> None:
    """Two loads of one precision beside eight of the other are two pairs, not ten."""
    many = (64.0, 72.0, 80.0, 88.0, 96.0, 104.0, 112.0, 128.0)
    rows = pair(np.random.default_rng(2), many, (64.0, 128.0))
    few = fit_precision(measured(tmp_path, rows), OPTIONS)
    assert "from 8 loads (2 independent)" in few.card.findings[0].text
    all_of_them = fit_precision(
        measured(tmp_path, pair(np.random.default_rng(2), many, many)), OPTIONS
    )
    assert "from 8 loads (8 independent)" in all_of_them.card.findings[0].text
    widths = [np.log(m.capacity_factor_high / m.capacity_factor_low) for m in (few, all_of_them)]
    assert widths[0] > 1.15 * widths[1]


def test_one_pair_gives_a_wide_interval_not_a_point(tmp_path: Path) -> None:
    rows = pair(np.random.default_rng(3), (128.0,), (128.0,))
    model = fit_precision(measured(tmp_path, rows), OPTIONS)
    assert model.capacity_factor_high / model.capacity_factor_low > 1.1


@pytest.mark.parametrize(
    ("change", "loads", "told"),
    [
        ({"lower": "int4"}, LOADS, "allowed: bf16, fp8"),
        ({"idle_kw_per_gpu": 0.5}, LOADS, "below every power"),
        ({"base": "fp8", "lower": "bf16"}, LOADS, "exchange base and lower"),
        ({}, (1.0, 2.0, 4.0), "both precisions cover"),
        ({"busy_from": 500.0}, LOADS, "lower busy_from"),
    ],
)
def test_tables_that_do_not_say_it_are_refused(
    tmp_path: Path, change: dict[str, object], loads: Sequence[float], told: str
) -> None:
    data = measured(tmp_path, pair(np.random.default_rng(4), LOADS, loads))
    with pytest.raises(InputError, match=told):
        fit_precision(data, OPTIONS.model_copy(update=change))


def test_precisions_on_different_numbers_of_gpus_are_not_compared(tmp_path: Path) -> None:
    rows = pair(np.random.default_rng(5))
    rows["gpus"] = [8 if name == "bf16" else 4 for name in rows["precision"]]
    rows["power"] = [8.0 * float(str(power)) for power in rows["power"]]
    with pytest.raises(InputError, match="same number of GPUs"):
        fit_precision(measured(tmp_path, rows), OPTIONS)


def test_the_published_pair_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    """The library spans its pairs; the interval here holds them, and is not much wider."""
    if not OUTSIDE.is_dir():
        pytest.skip(f"made from published tables that are not here: {OUTSIDE.name}")
    with (OUTSIDE / "mlenergy_v3_llm_h100_b200.csv").open(encoding="utf-8") as stream:
        runs = [
            row
            for row in csv.DictReader(stream)
            if row["model"].startswith("Qwen/Qwen3-235B-A22B-Instruct-2507")
            and (row["gpu"], row["num_gpus"]) == ("H100", "8")
            and row["task"] == "lm-arena-chat"
        ]
    columns = {
        "precision": [row["weight_precision"] for row in runs],
        "concurrency": [row["avg_batch_size"] for row in runs],
        "throughput": [row["out_tok_per_s"] for row in runs],
        "power": [float(row["avg_power_w"]) / 1000.0 for row in runs],
        "gpus": [row["num_gpus"] for row in runs],
    }
    options = OPTIONS.model_copy(
        update={"base": "bfloat16", "idle_kw_per_gpu": 0.09, "busy_from": 90.0}
    )
    found, shipped = (
        fit_precision(measured(tmp_path, columns), options),
        load_tier("h100-qwen3-235b-fp8"),
    )
    assert found.capacity_factor_low < shipped.capacity_factor_high
    assert shipped.capacity_factor_low < found.capacity_factor_high
    assert found.power_ratio_low < shipped.power_ratio_high
    assert shipped.power_ratio_low < found.power_ratio_high
