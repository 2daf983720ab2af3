"""The prior of the library: published serving runs of twenty models on two kinds of GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.configuration import Architecture, Configuration
from ebplan.models.curves import FloatArray
from ebplan.models.fit.build import dataset, rounded
from ebplan.models.fit.held_out import (
    HeldOut,
    leave_groups_out,
    leave_points_out,
    without_groups,
)
from ebplan.models.fit.pooling import Readings, law_prior, learn
from ebplan.models.fit.serving_runs import SOURCE
from ebplan.models.fit.table import Row, Table, read_table
from ebplan.models.fleet_prior import FleetPrior, LawPrior
from ebplan.models.laws import PARAMETERS, LawName

PRIOR_NAME = "llm-serving"
LIMIT_W = {"H100": 700.0, "B200": 1000.0}
BANDWIDTH_TB_PER_S = {"H100": 3.35, "B200": 8.0}
"""Data sheets of the SXM boards (NVIDIA)."""
ARCHITECTURES: dict[str, Architecture] = {
    "Dense Transformer": "dense",
    "MoE": "moe",
    "Mamba-Transformer Hybrid": "hybrid",
}
PRECISIONS = {"bfloat16": "bf16", "fp8": "fp8", "mxfp4": "mxfp4"}
KEY = ("task", "model", "gpu", "num_gpus", "tp", "dp", "ep", "weight_precision")
COLUMNS = (
    *KEY,
    "params_b",
    "act_params_b",
    "arch",
    "avg_batch_size",
    "avg_output_len",
    "avg_power_w",
    "out_tok_per_s",
    "itl_p50_ms",
)
W_PER_KW = 1000.0
MS_PER_S = 1000.0


def read_configurations(
    path: Path,
) -> tuple[dict[LawName, list[Readings]], Table]:
    """Return the points of each configuration by law, least concurrency first, and the table."""
    table = read_table(path, COLUMNS)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row.text(c) for c in KEY), []).append(row)
    found: dict[LawName, list[Readings]] = {"power": [], "throughput": [], "pace": []}
    for _, rows in sorted(groups.items()):
        rows.sort(key=lambda row: row.positive("avg_batch_size"))
        configuration = _configuration(rows)
        concurrency = np.array([row.positive("avg_batch_size") for row in rows])
        power_w, tokens_per_s, itl_ms = (
            np.array([row.positive(column) for row in rows])
            for column in ("avg_power_w", "out_tok_per_s", "itl_p50_ms")
        )
        measured: dict[LawName, FloatArray] = {
            "power": power_w / W_PER_KW,
            "throughput": tokens_per_s,
            "pace": concurrency / itl_ms * MS_PER_S,
        }
        for law, of_law in measured.items():
            found[law].append(Readings(configuration, concurrency, of_law))
    return found, table


def build_fleet_prior(path: Path) -> FleetPrior:
    """Return the prior with its card; ``path`` is the table of serving runs."""
    found, table = read_configurations(path)
    laws: dict[LawName, LawPrior] = {}
    points: dict[LawName, HeldOut] = {}
    models: dict[LawName, dict[int, HeldOut]] = {}
    for law, readings in found.items():
        points[law] = leave_points_out(without_groups(law, readings, name_of), readings)
        models[law] = leave_groups_out(without_groups(law, readings, family), readings, family)
        calibration = [(k, rounded(held.factor())) for k, held in models[law].items()]
        laws[law] = _rounded(law_prior(law, readings, learn(law, readings), calibration))
    return FleetPrior(
        name=PRIOR_NAME,
        measurement_point="gpu",
        power=laws["power"],
        throughput=laws["throughput"],
        pace=laws["pace"],
        card=_card(found, table, laws, points, models),
    )


def family(readings: Readings) -> str:
    """Return the model that a configuration serves, in whatever precision."""
    return readings.configuration.family()


def name_of(readings: Readings) -> str:
    """Return the name of a configuration."""
    return readings.configuration.name


def _configuration(rows: Sequence[Row]) -> Configuration:
    first = rows[0]
    gpu, gpus = first.text("gpu"), round(first.positive("num_gpus"))
    tokens = float(np.mean([row.positive("avg_output_len") for row in rows]))
    model = first.text("model").rpartition("/")[2]
    architecture = ARCHITECTURES[first.text("arch")]
    total, active = first.positive("params_b"), first.positive("act_params_b")
    return Configuration.parse(
        {
            "name": f"{first.text('task')} {model} {gpus} {gpu}",
            "model": model,
            "gpu": gpu,
            "gpus": gpus,
            "gpu_limit_w": LIMIT_W[gpu],
            "memory_bandwidth_tb_per_s": BANDWIDTH_TB_PER_S[gpu],
            "precision": PRECISIONS[first.text("weight_precision")],
            "architecture": architecture,
            "parameters": total,
            "active_parameters": active,
            "tokens_out": rounded(tokens),
            "tensor_parallel": round(first.positive("tp")) > 1,
            "multimodal": first.text("task") in ("image-chat", "video-chat"),
        }
    )


def _rounded(prior: LawPrior) -> LawPrior:
    """Return the prior with the digits that platforms agree on."""

    def walk(value: object) -> object:
        if isinstance(value, float):
            return rounded(value)
        if isinstance(value, dict):
            return {key: walk(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [walk(entry) for entry in value]
        return value

    return LawPrior.model_validate(walk(prior.model_dump()))


def mean_over_median(found: dict[LawName, list[Readings]]) -> FloatArray:
    """Return the mean time between tokens by Little's law over the measured median, (N,)."""
    return np.concatenate(
        [
            pace.measured / throughput.measured
            for pace, throughput in zip(found["pace"], found["throughput"], strict=True)
        ]
    )


def _card(
    found: dict[LawName, list[Readings]],
    table: Table,
    laws: dict[LawName, LawPrior],
    points: dict[LawName, HeldOut],
    models: dict[LawName, dict[int, HeldOut]],
) -> ModelCard:
    readings = found["power"]
    concurrency = np.concatenate([r.concurrency for r in readings])
    families = {family(r) for r in readings}
    return ModelCard(
        title="Serving of language models: what is known before measuring",
        summary=(
            "Prior of power, throughput and median time between tokens against requests in flight, "
            f"from {len(concurrency)} published runs of {len(readings)} configurations of "
            f"{len(families)} models."
        ),
        data=(dataset(table, SOURCE),),
        method=_METHOD,
        residuals=tuple(s for law, prior in laws.items() for s in _spreads(law, prior)),
        leave_one_out=tuple(s for law in laws for s in _left_out(law, points[law], models[law])),
        validity=(
            ValidRange(
                name="requests in flight",
                low=float(concurrency.min()),
                high=float(concurrency.max()),
                unit="requests",
            ),
        ),
        measurement_point="gpu",
        measurement_note="Board power of all GPUs; no CPU, fans or power supply.",
        assumptions=(
            Assumption(
                name="blending of terms",
                value=1.0,
                unit="share",
                provenance="assumed",
                note="what configurations share adds up in the logarithms of the parameters",
            ),
        ),
        findings=(_about_points(models), _about_latency(mean_over_median(found))),
        not_for=(
            "power without load or asleep: no run constrains it",
            "power under caps or locked clocks",
            "GPUs of other makers; a serving engine other than the one that was run (vLLM)",
        ),
    )


def _spreads(law: LawName, prior: LawPrior) -> Iterator[Statistic]:
    """Yield how far readings, law and models lie apart."""
    pooling = prior.pooling
    yield Statistic(name=f"{law}: noise of a reading", value=pooling.spreads.noise, unit="share")
    yield Statistic(name=f"{law}: misfit of the law", value=pooling.spreads.misfit, unit="share")
    for name, value in zip(PARAMETERS[law], pooling.model_spread, strict=True):
        yield Statistic(name=f"{law}: spread over models of {name}", value=value, unit="1")


def _left_out(law: LawName, points: HeldOut, models: dict[int, HeldOut]) -> Iterator[Statistic]:
    """Yield errors and coverage of points, and of models, that were left out."""
    yield from _statistics(f"{law}, one point left out", points)
    for given, held in models.items():
        yield from _statistics(f"{law}, one model left out, {given} points given", held)


def _statistics(what: str, held: HeldOut) -> tuple[Statistic, ...]:
    return (
        Statistic(
            name=f"{what}: median absolute error", value=float(np.median(held.share)), unit="share"
        ),
        Statistic(name=f"{what}: in the 90 % interval", value=held.coverage(), unit="share"),
    )


def _about_points(models: dict[LawName, dict[int, HeldOut]]) -> Finding:
    power, throughput = (
        {given: f"{float(np.median(held.share)):.1%}" for given, held in models[law].items()}
        for law in ("power", "throughput")
    )
    return Finding(
        title="Without a point there is only an interval",
        text=f"The median error of power with no point of one's own is {power[0]}, with two "
        f"{power[2]}; of throughput {throughput[0]} and {throughput[2]}. Two runs, one at either "
        "end of the load, are worth more than everything known of other models.",
    )


def _about_latency(stretch: FloatArray) -> Finding:
    return Finding(
        title="Mean and median time between tokens are two things",
        text="By Little's law the mean over a request is requests in flight over tokens "
        f"per second: {np.median(stretch):.2f} times the measured median in the middle of "
        f"the runs, and {np.quantile(stretch, 0.05):.2f} to "
        f"{np.quantile(stretch, 0.95):.2f} times in nine of ten, because prompts are "
        "worked on between the steps. The median is fitted to measured medians (pace); "
        "the mean follows from throughput.",
    )


_METHOD = (
    "Power `p_few (1 + (rise - 1) c / (c + c_half))` and throughput "
    "`((c / t_w)^-q + x_roof^-q)^(-1/q)` of an instance with c requests in flight, three "
    "parameters each, in logarithms; pace, c over the median time between two tokens, has the law "
    "of throughput with parameters of its own. They are pooled partially: what physics says (the "
    "boards' power limit, the weights over the memory's bandwidth) plus slopes on nine descriptors "
    "plus a term of the GPU, of the model, and of the configuration, each normal with its own "
    "spread; the spreads make the readings most likely (empirical Bayes). The law's misfit is a "
    "smooth Gaussian process. Where a point, or a model, is left out, spreads and prior are learnt "
    "anew, from nothing, without its configuration, or without the model. Standard deviations are "
    "multiplied by a factor found on models that were held out; the coverage stated is that of "
    "intervals calibrated on the other configurations, or models, only."
)
