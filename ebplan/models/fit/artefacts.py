"""Build the artefacts of the library, with their cards, from the packaged tables.

What the tables do not say (how shapes group into workloads, the assumed idle power) is stated
here, once; every other number is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ebplan.models.cap import CapModel
from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.fit.build import (
    Description,
    dataset,
    fleet_limit,
    fleet_model,
    largest_throughput_error,
    limit_finding,
    outlier_finding,
    rounded,
)
from ebplan.models.fit.fleet_map import W_PER_KW, FittedMap, FleetSpec, Run, fit_map, read_runs
from ebplan.models.fit.powercap_snapshot import Elasticity, Snapshot, elasticities, read_snapshot
from ebplan.models.fit.table import Table, read_table
from ebplan.models.fit.wear import build_wear
from ebplan.models.fleet import FleetModel
from ebplan.models.library import Artefact

DATA = Path(__file__).parent / "data"
FLEET_NAME = "h200nvl-llama31-70b-bf16-tp2"
CAP_NAME = "h200nvl-llama31-70b-bf16-tp2-cap"
CONSOLIDATION_NAME = "h200nvl-llama3-8b-m13"

SOURCE = "PowerX Energy Blade whitepaper v1.0, section 4"
SNAPSHOT_RUN = "medium_in_short_out/128"
"""The uncapped run at the load of the snapshot."""

ADMISSION_UTILISATION, ADMISSION_REJECTED = 0.55, 0.15
"""Where the claim about admission is tested: the load, and the share of it that is rejected."""

SPEC = FleetSpec(
    workloads={
        "short_input": ("short_in_short_out", "short_in_long_out", "short_in_very_long_out"),
        "medium_input": ("medium_in_short_out",),
        "long_input": ("long_in_short_out",),
    },
    smooth=frozenset({"long_input"}),
    instances=4,
    gpus_per_instance=2,
    idle_w_per_gpu=120.0,
)
"""The whitepaper's fleet. Shapes with the same input length share parameters, because the labels
of output length have no effect in the table."""

_GPU_NOTE = (
    "The source calls the fleet map AC power, but its scale is that of the sum over GPUs: "
    "{per_gpu_w:.0f} W per GPU in {run}, where the GPU with the highest cap of the snapshot draws "
    "{top_w:.0f} W by the driver's own reading. Taken as GPU power; convert before comparing with "
    "a meter."
)


@dataclass(frozen=True)
class Source:
    """Everything that is read, and the fit made of it."""

    spec: FleetSpec
    """What the tables do not say."""
    all_runs: tuple[Run, ...]
    """Every run of the fleet map."""
    fitted: FittedMap
    """The fit, its runs and its outliers."""
    snapshot: Snapshot
    """The fleet under caps."""
    said: dict[str, float]
    """Statements in the text of the source, by quantity."""
    tables: tuple[Table, Table, Table]
    """Fleet map, snapshot, statements."""

    def run(self, name: str) -> Run:
        """Return a run of the fleet map by name."""
        return next(run for run in self.all_runs if run.name == name)

    @property
    def natural_kw_per_gpu(self) -> float:
        """Uncapped power per GPU at the load of the snapshot in kW, from the fitted fleet map."""
        run = self.run(SNAPSHOT_RUN)
        power_kw, _ = self.fitted.fit.predict(run.shape, run.users)
        return power_kw / (self.spec.instances * self.spec.gpus_per_instance)

    @property
    def elasticity(self) -> Elasticity:
        """Readings of the snapshot."""
        return elasticities(self.snapshot, self.run(SNAPSHOT_RUN))


def read_source(*, idle_w_per_gpu: float | None = None) -> Source:
    """Read the packaged tables and fit the fleet map.

    Args:
        idle_w_per_gpu: assumed idle power in W per GPU; the library's where absent.
    """
    spec = SPEC if idle_w_per_gpu is None else replace(SPEC, idle_w_per_gpu=idle_w_per_gpu)
    runs, map_table = read_runs(DATA / "whitepaper_h200nvl_llama70b_fleet_map.csv")
    snapshot, snapshot_table = read_snapshot(
        DATA / "whitepaper_h200nvl_llama70b_powercap_snapshot.csv"
    )
    said = read_table(DATA / "whitepaper_statements.csv", ("quantity", "value", "unit"))
    return Source(
        spec=spec,
        all_runs=runs,
        fitted=fit_map(runs, spec),
        snapshot=snapshot,
        said={row.text("quantity"): row.positive("value") for row in said.rows},
        tables=(map_table, snapshot_table, said),
    )


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
        measurement_note=_measurement_note(source),
        tokens_out_per_request={medium: tokens},
    )
    return fleet_model(
        about,
        source.fitted,
        source.tables,
        assumptions=_token_assumptions(source),
        findings=_fleet_findings(source),
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


def _fleet_findings(source: Source) -> tuple[Finding, ...]:
    """Return how the fleet map and its companions have to be read, each with its numbers."""
    return (
        limit_finding(
            source.fitted,
            f" and the snapshot shows {source.snapshot.running:.0f} running with "
            f"{source.run(SNAPSHOT_RUN).users:.0f} offered",
        ),
        _finding_labels(source),
        *(outlier_finding(source.fitted, outlier) for outlier in source.fitted.outliers),
        _finding_noise(source),
        _finding_text_range(source),
        _finding_measurement(source),
        _finding_snapshot(source),
        _finding_consolidation(source),
        _finding_admission(source),
    )


def _finding_labels(source: Source) -> Finding:
    shapes = source.spec.workloads["short_input"]
    users = {run.users for run in source.all_runs}
    gap = max(
        max(rates) / min(rates) - 1.0
        for rates in (
            [run.req_per_s for run in source.all_runs if run.shape in shapes and run.users == c]
            for c in users
        )
    )
    tokens = source.snapshot.tok_per_s / source.snapshot.req_per_s
    return Finding(
        title="Labels of output length have no effect",
        text=f"The {len(shapes)} shapes with short input differ by at most {gap:.1%} in req/s at "
        "the same concurrency: the labels did not take effect, or outputs stop early. The "
        f"snapshot has {tokens:.1f} output tokens per request for medium input. Workloads are "
        "keyed by input here and should be keyed by measured tokens.",
    )


def _finding_noise(source: Source) -> Finding:
    limit, spreads = fleet_limit(source.fitted), {}
    for name, shapes in source.spec.workloads.items():
        saturated = [
            np.array([r.req_per_s for r in source.all_runs if r.shape == shape and r.users > limit])
            for shape in shapes
        ]
        spreads[name] = max(float(np.ptp(rate) / 2.0 / rate.mean()) for rate in saturated)
    listed = ", ".join(f"{name} ±{spread:.1%}" for name, spread in spreads.items())
    return Finding(
        title="Runs at saturation differ in noise",
        text=f"Half the range of req/s between the saturated runs of one shape: {listed}. A single "
        "uncertainty for all workloads would be wrong.",
    )


def _finding_text_range(source: Source) -> Finding:
    watts = [run.power_kw * W_PER_KW for run in source.all_runs]
    top = max(source.all_runs, key=lambda run: run.power_kw)
    low, high = source.said["fleet_power_low"], source.said["fleet_power_high"]
    return Finding(
        title="Text and table disagree on the highest power",
        text=f"The text gives {low:,.0f} to {high:,.0f} W (ratio {high / low:.4f}); the table has "
        f"{min(watts):,.0f} to {max(watts):,.0f} W (ratio {max(watts) / min(watts):.4f}), the "
        f"highest in {top.name}. The table is used.",
    )


def _finding_measurement(source: Source) -> Finding:
    gpus = source.snapshot.power_kw * W_PER_KW
    instances = sum(i.power_kw for i in source.snapshot.instances) * W_PER_KW
    return Finding(
        title="The measurement point is ambiguous",
        text="The text speaks both of eight inference servers and of eight GPUs, and the header of "
        "the snapshot numbers four GPUs over two rows. "
        f"The snapshot's GPUs add up to {gpus:,.0f} W and its instances to {instances:,.0f} "
        "W, so both are driver readings of all eight GPUs. " + _measurement_note(source),
    )


def _finding_snapshot(source: Source) -> Finding:
    run, readings = source.run(SNAPSHOT_RUN), source.elasticity
    power = source.snapshot.power_kw / run.power_kw - 1.0
    rate = source.snapshot.req_per_s / run.req_per_s - 1.0
    return Finding(
        title="One snapshot of caps is not a curve",
        text=f"Against {run.name}: {power:+.1%} power, {rate:+.1%} req/s, elasticity "
        f"{readings.against_uncapped:.2f}. Across its instances tokens/s give "
        f"{readings.tokens_across:.2f} and req/s {readings.requests_across:+.2f}, which is noise. "
        "An interval is kept, not a fit.",
    )


def _finding_consolidation(source: Source) -> Finding:
    said = source.said
    return Finding(
        title="The published consolidation is another model",
        text=f"{said['m13_released_low']:.0f} to {said['m13_released_high']:.0f} W per freed GPU "
        f"were measured with an 8B model on {said['m13_gpus']:.0f} GPUs. They are a reference of "
        "their own and are not scaled to this fleet.",
    )


def _finding_admission(source: Source) -> Finding:
    """Hold the claim about admission to the table, and to the fitted power at a middling load."""
    saved, lost = [], []
    for shape in sorted({run.shape for run in source.all_runs}):
        mine = sorted((r for r in source.all_runs if r.shape == shape), key=lambda r: r.users)
        saved.append(1.0 - mine[0].power_kw / mine[-1].power_kw)
        lost.append(1.0 - mine[0].req_per_s / mine[-1].req_per_s)
    users = sorted({run.users for run in source.all_runs})
    left = 1.0 - ADMISSION_REJECTED
    alone = []
    for law in source.fitted.fit.power.values():
        before, after = law.power_kw(np.array([1.0, left]) * ADMISSION_UTILISATION)
        alone.append(float(1.0 - after / before))
    said = source.said
    return Finding(
        title="Admission control alone is shallow",
        text=f"The text gives {said['admission_saving_low']:.0%} to "
        f"{said['admission_saving_high']:.0%}. From {users[-1]:.0f} down to {users[0]:.0f} users "
        f"the table shows {min(saved):.1%} to {max(saved):.1%} less power, by shape, for "
        f"{min(lost):.0%} to {max(lost):.0%} less throughput. Rejecting {ADMISSION_REJECTED:.0%} "
        f"of the load at utilisation {ADMISSION_UTILISATION:.2f} without draining, f(u) - "
        f"f({left:.2f} u), saves {min(alone):.1%} to {max(alone):.1%} by workload. The claim is "
        "not reproduced; depth needs consolidation with it.",
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
        measurement_note=_measurement_note(source),
        assumptions=(
            Assumption(
                name="residual interval of throughput",
                value=residual,
                unit="share",
                provenance="measured",
                note=f"largest leave-one-out error of {workload} in the fleet map",
            ),
        ),
        findings=(_finding_snapshot(source),),
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


def _measurement_note(source: Source) -> str:
    """Say how sure the measurement point is."""
    run = source.run(SNAPSHOT_RUN)
    top = max(source.snapshot.gpus, key=lambda gpu: gpu.cap_kw)
    return _GPU_NOTE.format(
        per_gpu_w=run.power_kw * W_PER_KW / len(source.snapshot.gpus),
        run=run.name,
        top_w=top.power_kw * W_PER_KW,
    )
