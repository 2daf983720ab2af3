"""Build the artefacts of the library, with their cards, from the packaged tables.

Every number is computed from the tables, or stated in ``source`` where they do not say it.
"""

from __future__ import annotations

from ebplan.models.cap import CapModel
from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.fit.build import (
    Description,
    dataset,
    fleet_model,
    largest_throughput_error,
    rounded,
)
from ebplan.models.fit.findings import finding_snapshot, fleet_findings
from ebplan.models.fit.fleet_runs import W_PER_KW
from ebplan.models.fit.source import DATA, SNAPSHOT_RUN, Source, measurement_note
from ebplan.models.fit.wear import build_wear
from ebplan.models.fleet import FleetModel
from ebplan.models.library import Artefact

FLEET_NAME = "h200nvl-llama31-70b-bf16-tp2"
CAP_NAME = "h200nvl-llama31-70b-bf16-tp2-cap"
CONSOLIDATION_NAME = "h200nvl-llama3-8b-m13"
SOURCE = "PowerX Energy Blade whitepaper v1.0, section 4"


def build_all(source: Source) -> tuple[Artefact, ...]:
    """Return every artefact of the library."""
    wear = build_wear(DATA / "published_lfp_ageing.csv")
    return build_fleet(source), build_cap(source), build_consolidation(source), wear


def build_fleet(source: Source) -> FleetModel:
    """Return the fleet model with its card."""
    medium = source.spec.workload_of(source.run(SNAPSHOT_RUN).shape)
    tokens = source.snapshot.tok_per_s / source.snapshot.req_per_s
    about = Description(
        name=FLEET_NAME,
        title="Llama-3.1-70B BF16 on H200 NVL, 4 instances of 2 GPUs",
        hardware="8 NVIDIA H200 NVL, 4 tensor-parallel pairs",
        model="Llama-3.1-70B, BF16",
        source=SOURCE,
        measurement_point="gpu",
        measurement_note=measurement_note(source),
        tokens_out_per_request={medium: tokens},
    )
    return fleet_model(
        about,
        source.fitted,
        source.tables,
        assumptions=_token_assumptions(source),
        findings=fleet_findings(source),
    )


def build_cap(source: Source) -> CapModel:
    """Return the cap model with its card."""
    caps = [gpu.cap_kw for gpu in source.snapshot.gpus]
    readings = source.elasticity
    low, high = sorted((readings.tokens_across, readings.against_uncapped))
    workload = source.spec.workload_of(source.run(SNAPSHOT_RUN).shape)
    return CapModel(
        name=CAP_NAME,
        fleet=FLEET_NAME,
        workload=workload,
        gpus_per_instance=source.spec.gpus_per_instance,
        elasticity_low=rounded(low),
        elasticity_high=rounded(high),
        throughput_residual=rounded(largest_throughput_error(source.fitted, workload)),
        valid_from_kw_per_gpu=min(caps),
        valid_to_kw_per_gpu=max(caps),
        measurement_point="gpu",
        card=_cap_card(source, workload),
    )


def build_consolidation(source: Source) -> ConsolidationReference:
    """Return the published consolidation experiment with its card."""
    said = source.said
    return ConsolidationReference(
        name=CONSOLIDATION_NAME,
        hardware="2 NVIDIA H200 NVL",
        model="Llama-3-8B-Instruct, BF16",
        serving="vLLM 0.20.1, BF16, prefix-cached",
        gpus_before=int(said["m13_gpus"]),
        gpus_after=int(said["m13_gpus"]) - 1,
        released_low_kw_per_freed_gpu=said["m13_released_low"] / W_PER_KW,
        released_high_kw_per_freed_gpu=said["m13_released_high"] / W_PER_KW,
        load_range_ratio=said["m13_load_range"],
        experiments=int(said["m13_experiments"]),
        measurement_point="gpu",
        card=_consolidation_card(source),
    )


def _token_assumptions(source: Source) -> tuple[Assumption, ...]:
    """Return the output tokens per request that the snapshot shows or implies."""
    throughput = source.fitted.fit.throughput
    medium, short = (
        float(throughput.req_per_s(name, throughput.limit))
        for name in ("medium_input", "short_input")
    )
    tokens = source.snapshot.tok_per_s / source.snapshot.req_per_s
    return (
        Assumption(
            name="output tokens, medium_input",
            value=tokens,
            unit="tokens per request",
            provenance="measured",
            note="from the power-cap snapshot, so under caps",
        ),
        Assumption(
            name="output tokens, short_input",
            value=tokens * medium / short,
            unit="tokens per request",
            provenance="assumed",
            note="what the token rate of medium_input would imply, and why medium input looks "
            "faster than short; not stored in the model",
        ),
    )


def _cap_card(source: Source, workload: str) -> ModelCard:
    """Return the card of the cap model."""
    snapshot, readings = source.snapshot, source.elasticity
    predicted = snapshot.predicted_power_kw(source.natural_kw_per_gpu)
    caps = [gpu.cap_kw * W_PER_KW for gpu in snapshot.gpus]
    residual = largest_throughput_error(source.fitted, workload)
    return ModelCard(
        title="Per-GPU power caps for Llama-3.1-70B BF16 on H200 NVL",
        summary=(
            "Capacity that remains under a power cap, as an interval between two readings of one "
            "snapshot; the planner is given the end that loses more."
        ),
        data=(dataset(source.tables[1], SOURCE), dataset(source.tables[0], SOURCE)),
        method=_CAP_METHOD,
        residuals=(
            Statistic(name="snapshot power, measured", value=snapshot.power_kw, unit="kW"),
            Statistic(name="snapshot power, min(cap, natural draw)", value=predicted, unit="kW"),
            Statistic(name="its error", value=predicted / snapshot.power_kw - 1.0, unit="share"),
            Statistic(
                name="elasticity of tokens/s across instances",
                value=readings.tokens_across,
                unit="1",
            ),
            Statistic(name="its standard error", value=readings.tokens_across_error, unit="1"),
            Statistic(
                name="elasticity of req/s against the uncapped run",
                value=readings.against_uncapped,
                unit="1",
            ),
        ),
        validity=(ValidRange(name="cap", low=min(caps), high=max(caps), unit="W per GPU"),),
        measurement_point="gpu",
        measurement_note=measurement_note(source),
        assumptions=(
            Assumption(
                name="residual interval of throughput",
                value=residual,
                unit="share",
                provenance="measured",
                note=f"largest leave-one-out error of {workload} in the fleet map",
            ),
        ),
        findings=(finding_snapshot(source),),
        not_for=(
            "caps outside the snapshot, in particular deep ones",
            "other workloads: decode-heavy load may draw less than any of these caps",
            "an independent test of the snapshot's own throughput: its elasticity was read there",
        ),
    )


_CAP_METHOD = (
    "Power under a cap is `min(cap, natural draw)`, the natural draw taken from the fitted fleet "
    "map at the same load, not from the snapshot. Remaining capacity is "
    "`min(r^e, 1 + e (r - 1))` with r the capped over the uncapped power. The elasticity e is "
    "read twice: slope of ln(tokens/s) on ln(power) across the instances of the snapshot, and "
    "ln(req/s ratio) / ln(power ratio) of the whole snapshot against the uncapped run."
)


def _consolidation_card(source: Source) -> ModelCard:
    """Return the card of the consolidation reference."""
    said = source.said
    return ModelCard(
        title="Fleet consolidation M-13: Llama-3-8B BF16 on 2 H200 NVL",
        summary=(
            f"{said['m13_released_low']:.0f} to {said['m13_released_high']:.0f} W released per "
            f"freed GPU over a {said['m13_load_range']:.0f}-fold range of load, when the load of "
            f"{said['m13_gpus']:.0f} GPUs is served by one. A reference, not a fitted model."
        ),
        data=(dataset(source.tables[2], SOURCE),),
        method="Published figures, taken over as they are; vLLM 0.20.1, BF16, prefix-cached.",
        validity=(
            ValidRange(
                name="load, highest over lowest", low=1.0, high=said["m13_load_range"], unit="ratio"
            ),
        ),
        measurement_point="gpu",
        measurement_note="The source does not say; watts per GPU suggest the driver's reading.",
        findings=(
            Finding(
                title="Few experiments",
                text=f"{said['m13_experiments']:.0f} experiments; only their range is published.",
            ),
        ),
        not_for=(
            "another model, in particular a 70B one: the figure is not scaled",
            "checking or tuning the assumed idle power of another fleet",
            "watts of sleep below idle: the saving is a busy GPU against a free one",
        ),
    )
