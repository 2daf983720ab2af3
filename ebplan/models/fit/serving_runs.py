"""The fleet model of a second GPU type: published runs of one model on eight H100 boards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.curves import FloatArray
from ebplan.models.fit.build import dataset, rounded
from ebplan.models.fit.spreads import workload_spreads
from ebplan.models.fit.table import Row, Table, read_table
from ebplan.models.fleet import FleetModel, SmoothRoof, WorkloadModel, smooth_minimum
from ebplan.models.points import Points

FLEET_NAME = "h100-qwen3-235b-bf16-ep8"
SERVING_TABLE = "mlenergy_v3_llm_h100_b200.csv"
SOURCE = "ML.ENERGY benchmark v3 (github ml-energy/leaderboard, Apache-2.0)"
MODEL = "Qwen/Qwen3-235B-A22B-Instruct-2507"
GPU, GPUS = "H100", 8
IDLE_W_PER_GPU = 120.0
"""Assumed as for the H200 fleet: awake, weights loaded, no load; no run constrains it."""
BUSY_FROM = 60.0
"""Requests in flight from which runs are fitted: with fewer, memory sets the pace, power falls off
and one power law no longer covers both ends (leave-one-out error of power 8 % instead of 1 %)."""
W_PER_KW = 1000.0


@dataclass(frozen=True)
class Run:
    """One steady run of an instance."""

    concurrency: float
    """Requests in flight."""
    tok_per_s: float
    power_kw: float
    """Of all GPUs of the instance."""
    tokens: float
    """Mean output tokens of a request."""
    asked: float
    """Highest concurrency that the server allows."""


def read_runs(path: Path, *, model: str, gpus: int) -> tuple[tuple[Run, ...], Table]:
    """Return the runs of a model on so many H100 boards, least concurrency first, and the table."""
    asked = ("model", "gpu", "num_gpus", "max_num_seqs", "avg_batch_size")
    measured = ("avg_output_len", "avg_power_w", "out_tok_per_s")
    table = read_table(path, (*asked, *measured))

    def wanted(row: Row) -> bool:
        return (
            row.text("model") == model
            and row.text("gpu") == GPU
            and round(row.positive("num_gpus")) == gpus
        )

    runs = [
        Run(
            concurrency=row.positive("avg_batch_size"),
            tok_per_s=row.positive("out_tok_per_s"),
            power_kw=row.positive("avg_power_w") / W_PER_KW,
            tokens=row.positive("avg_output_len"),
            asked=row.positive("max_num_seqs"),
        )
        for row in table.rows
        if wanted(row)
    ]
    return tuple(sorted(runs, key=lambda run: run.concurrency)), table


def build_fleet(path: Path) -> FleetModel:
    """Return the fleet model with its card; ``path`` is the table of serving runs."""
    all_runs, table = read_runs(path, model=MODEL, gpus=GPUS)
    runs = tuple(run for run in all_runs if run.concurrency >= BUSY_FROM)
    fit = _fit(runs)
    roof, tokens, idle_kw = fit.roof, fit.tokens, fit.idle_kw
    lowest = float(roof.req_per_s(np.array(runs[0].concurrency))) / fit.capacity_req_per_s
    left_out = [_errors(_fit(runs[:i] + runs[i + 1 :]), run) for i, run in enumerate(runs)]
    (throughput_spread, degrees), (power_spread, _) = (
        workload_spreads(np.array(left_out)[:, i], ["chat"] * len(runs), 2)["chat"] for i in (0, 1)
    )
    return FleetModel(
        name=FLEET_NAME,
        hardware=f"{GPUS} NVIDIA {GPU}",
        model="Qwen3-235B-A22B, BF16",
        gpus_per_instance=GPUS,
        instances_measured=1,
        concurrency_limit_per_instance=rounded(fit.limit),
        idle_kw=rounded(idle_kw),
        measurement_point="gpu",
        workloads={
            "chat": WorkloadModel(
                labels=("lm-arena-chat",),
                tokens_out_per_request=rounded(tokens),
                tokens_provenance="published",
                roof=roof,
                capacity_req_per_s=rounded(fit.capacity_req_per_s),
                saturated_kw=rounded(fit.saturated_kw),
                exponent=rounded(fit.exponent),
                covered_from_utilisation=rounded(lowest),
                power_spread=rounded(power_spread),
                throughput_spread=rounded(throughput_spread),
                spread_degrees=degrees,
            )
        },
        points=(_points(all_runs, tokens),),
        card=_card(all_runs, runs, table, fit, np.array(left_out), lowest),
    )


def _points(runs: tuple[Run, ...], tokens: float) -> Points:
    """Return the runs, those with too few requests in flight for the fit with weight zero."""
    return Points.of(
        "chat",
        {
            "in_flight": np.array([run.concurrency for run in runs]),
            "power_kw": np.array([run.power_kw for run in runs]),
            "throughput_req_per_s": np.array([run.tok_per_s / tokens for run in runs]),
        },
        np.array([run.concurrency < BUSY_FROM for run in runs]),
    )


@dataclass(frozen=True)
class Fit:
    """Throughput and power of an instance."""

    roof: SmoothRoof
    limit: float
    capacity_req_per_s: float
    saturated_kw: float
    exponent: float
    idle_kw: float
    tokens: float

    def predict(self, concurrency: float) -> tuple[float, float]:
        """Return throughput in tok/s and power in kW."""
        rate = float(self.roof.req_per_s(np.array(concurrency)))
        u = rate / self.capacity_req_per_s
        busy_kw = (self.saturated_kw - self.idle_kw) * u**self.exponent
        return rate * self.tokens, self.idle_kw + busy_kw


def _fit(runs: tuple[Run, ...]) -> Fit:
    """Fit the smooth roof and the power law; relative errors, least squares."""
    from scipy.optimize import least_squares

    c = np.array([run.concurrency for run in runs])
    tokens = float(np.mean([run.tokens for run in runs]))
    rate = np.array([run.tok_per_s for run in runs]) / tokens
    power = np.array([run.power_kw for run in runs])
    idle_kw = IDLE_W_PER_GPU * GPUS / W_PER_KW

    def off(logs: FloatArray) -> FloatArray:
        tau, roof, q = np.exp(logs)
        return np.asarray(np.log(smooth_minimum(c / tau, roof, q) / rate))

    tau, top, q = _solve(least_squares, off, [np.log(c[0] / rate[0]), np.log(rate[-1] * 1.5), 0.0])
    roof = SmoothRoof(
        service_time_s=rounded(tau), roof_req_per_s=rounded(top), sharpness=rounded(q)
    )
    limit = float(c[-1])
    capacity = float(roof.req_per_s(np.array(limit)))
    u = np.asarray(roof.req_per_s(c)) / capacity
    # ln(P - idle) = ln(P_1 - idle) + gamma ln u
    exponent, intercept = np.polyfit(np.log(u), np.log(power - idle_kw), 1)
    return Fit(
        roof=roof,
        limit=limit,
        capacity_req_per_s=capacity,
        saturated_kw=idle_kw + float(np.exp(intercept)),
        exponent=float(exponent),
        idle_kw=idle_kw,
        tokens=tokens,
    )


def _solve(
    least_squares: Callable[..., Any], off: Callable[[FloatArray], FloatArray], start: list[float]
) -> tuple[float, float, float]:
    found = least_squares(off, np.array(start), xtol=1e-12, ftol=1e-12)
    tau, roof, q = np.exp(found.x)
    return float(tau), float(roof), float(q)


def _errors(fit: Fit, run: Run) -> tuple[float, float]:
    tok_per_s, power_kw = fit.predict(run.concurrency)
    return tok_per_s / run.tok_per_s - 1.0, power_kw / run.power_kw - 1.0


def _card(
    all_runs: tuple[Run, ...],
    runs: tuple[Run, ...],
    table: Table,
    fit: Fit,
    left_out: FloatArray,
    lowest: float,
) -> ModelCard:
    inside = np.array([_errors(fit, run) for run in runs])
    return ModelCard(
        title=f"Qwen3-235B-A22B BF16 on {GPUS} H100, one expert-parallel instance",
        summary=(
            "Power and throughput of one serving instance against load, for one chat workload, "
            f"from {len(runs)} published runs with {BUSY_FROM:.0f} requests in flight and more."
        ),
        data=(dataset(table, SOURCE),),
        method=(
            "Least squares on logarithms. Throughput with c requests in flight: the smooth roof "
            "`((c / tau)^-q + x_inf^-q)^(-1/q)` in requests of the mean output length; utilisation "
            "u is its share of that at the highest concurrency run. Power: "
            "`p_idle + (p_1 - p_idle) u^gamma`, with p_idle given."
        ),
        residuals=_statistics(inside),
        leave_one_out=_statistics(left_out),
        validity=(
            ValidRange(name="utilisation, chat", low=lowest, high=1.0, unit="share"),
            ValidRange(
                name="requests in flight",
                low=runs[0].concurrency,
                high=runs[-1].concurrency,
                unit="requests",
            ),
        ),
        measurement_point="gpu",
        measurement_note="Board power of all GPUs; no CPU, fans or power supply.",
        assumptions=(
            Assumption(
                name="idle power",
                value=IDLE_W_PER_GPU,
                unit="W per GPU",
                provenance="assumed",
                note="awake without load; taken as for the H200 fleet, no run constrains it",
            ),
        ),
        findings=(
            Finding(
                title="Load moves this fleet's power more",
                text=f"From {all_runs[0].concurrency:.0f} to {all_runs[-1].concurrency:.0f} "
                f"requests in flight power rises from {_w_per_gpu(all_runs[0]):.0f} to "
                f"{_w_per_gpu(all_runs[-1]):.0f} W per GPU, from {runs[0].concurrency:.0f} on "
                f"from {_w_per_gpu(runs[0]):.0f} W. "
                "The lighter runs are not fitted: with them the largest leave-one-out error of "
                f"power is {_largest_power_error(all_runs):.1%}, without them "
                f"{float(np.max(np.abs(left_out[:, 1]))):.1%}.",
            ),
            Finding(
                title="The highest concurrency asked for was not reached",
                text=f"The server allowed {runs[-1].asked:.0f} requests and held "
                f"{runs[-1].concurrency:.1f} on average, which is taken as saturation.",
            ),
        ),
        not_for=(
            "power below the lowest load of the runs, idle or asleep: no run constrains it",
            "other request lengths: one chat workload was run",
            "latency: see the tokens per second, not the wait",
            "other GPUs, models or precisions",
        ),
    )


def _largest_power_error(runs: tuple[Run, ...]) -> float:
    """Return the largest leave-one-out error of power when all these runs are fitted."""
    errors = [_errors(_fit(runs[:i] + runs[i + 1 :]), run)[1] for i, run in enumerate(runs)]
    return max(abs(error) for error in errors)


def _w_per_gpu(run: Run) -> float:
    return run.power_kw * W_PER_KW / GPUS


def _statistics(errors: FloatArray) -> tuple[Statistic, ...]:
    return tuple(
        Statistic(name=f"{what}, {how}", value=float(pick(np.abs(errors[:, i]))), unit="share")
        for i, what in enumerate(("throughput", "power"))
        for how, pick in (("mean absolute error", np.mean), ("largest error", np.max))
    )
