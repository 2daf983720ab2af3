"""How the source has to be read: what was found in its tables and text, each with its numbers."""

from __future__ import annotations

import numpy as np

from ebplan.models.card import Finding
from ebplan.models.fit.build import fleet_limit, limit_finding, outlier_finding
from ebplan.models.fit.fleet_runs import W_PER_KW
from ebplan.models.fit.source import SNAPSHOT_RUN, Source, measurement_note

ADMISSION_UTILISATION, ADMISSION_REJECTED = 0.55, 0.15
"""Where the claim about admission is tested: the load, and the share of it that is rejected."""


def fleet_findings(source: Source) -> tuple[Finding, ...]:
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
        finding_snapshot(source),
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
        "W, so both are driver readings of all eight GPUs. " + measurement_note(source),
    )


def finding_snapshot(source: Source) -> Finding:
    """Return what one snapshot of caps can say, and what it cannot."""
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
