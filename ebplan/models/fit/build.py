"""Turn a fitted fleet map into a fleet model with its card: for any table of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.models.card import (
    Assumption,
    Dataset,
    Excluded,
    Finding,
    ModelCard,
    Statistic,
    ValidRange,
)
from ebplan.models.curves import FloatArray
from ebplan.models.fit import fleet_map
from ebplan.models.fit.fleet_map import FittedMap, Outlier, little_in_flight
from ebplan.models.fit.fleet_runs import W_PER_KW, Run
from ebplan.models.fit.spreads import workload_spreads
from ebplan.models.fit.table import Table
from ebplan.models.fleet import FleetModel, HardRoof, Roof, SmoothRoof, WorkloadModel
from ebplan.models.points import Points
from ebplan.site import MeasurementPoint

LAW_PARAMETERS = 2
"""Parameters that a workload's power law has, its throughput with a hard roof one less."""
_DIGITS = 7
"""Significant digits kept in artefacts: beyond these, platforms differ."""


@dataclass(frozen=True)
class Description:
    """What a person says about a fleet; it goes onto the card as it is."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of the card."""
    hardware: str
    """GPUs, in words."""
    model: str
    """Served model and precision, in words."""
    source: str
    """Who measured."""
    measurement_point: MeasurementPoint
    """Where power is metered."""
    measurement_note: str
    """How sure that is."""
    tokens_out_per_request: Mapping[str, float]
    """Measured mean output tokens by workload, where known."""


def fleet_model(
    about: Description,
    fitted: FittedMap,
    tables: Sequence[Table],
    *,
    assumptions: Sequence[Assumption] = (),
    findings: Sequence[Finding] = (),
) -> FleetModel:
    """Return the fleet model of a fitted map.

    Args:
        about: what the tables do not say.
        fitted: the fit.
        tables: the tables it was made from.
        assumptions: further assumptions for the card.
        findings: further findings for the card.
    """
    spec, fit = fitted.fit.spec, fitted.fit
    return FleetModel(
        name=about.name,
        hardware=about.hardware,
        model=about.model,
        gpus_per_instance=spec.gpus_per_instance,
        instances_measured=spec.instances,
        concurrency_limit_per_instance=rounded(fit.throughput.limit),
        idle_kw=rounded(spec.idle_kw),
        measurement_point=about.measurement_point,
        workloads={
            name: _workload(fitted, name, about.tokens_out_per_request.get(name))
            for name in spec.workloads
        },
        points=tuple(_points(fitted, name) for name in spec.workloads),
        card=_card(about, fitted, tables, assumptions, findings),
    )


def _points(fitted: FittedMap, workload: str) -> Points:
    """Return the runs of a workload, those with weight zero too, for the figure."""
    off = tuple(outlier.run for outlier in fitted.outliers)
    runs = [r for r in (*fitted.runs, *off) if fitted.fit.spec.workload_of(r.shape) == workload]
    return Points.of(
        workload,
        {
            "in_flight": np.array([run.users for run in runs]),
            "power_kw": np.array([run.power_kw for run in runs]),
            "throughput_req_per_s": np.array([run.req_per_s for run in runs]),
        },
        np.array([run in off for run in runs]),
    )


def fleet_limit(fitted: FittedMap) -> float:
    """Return the concurrency limit of the whole fleet."""
    return fitted.fit.throughput.limit * fitted.fit.spec.instances


def largest_throughput_error(fitted: FittedMap, workload: str) -> float:
    """Return the largest leave-one-out error of throughput among the runs of a workload."""
    mine = [fitted.fit.spec.workload_of(run.shape) == workload for run in fitted.runs]
    return float(np.abs(fitted.deleted_errors[mine, 1]).max())


def power_order(fitted: FittedMap, run: Run) -> str:
    """Say whether a run draws as much as the next higher concurrency of its shape or more."""
    above = [r for r in fitted.runs if r.shape == run.shape and r.users > run.users]
    if not above:
        return ""
    following = min(above, key=lambda r: r.users)
    if run.power_kw < following.power_kw:
        return ""
    return (
        f"; power is no lower than at {following.users:.0f} users "
        f"({run.power_kw * W_PER_KW:,.0f} against {following.power_kw * W_PER_KW:,.0f} W)"
    )


def limit_finding(fitted: FittedMap, more: str = "") -> Finding:
    """Compare the fitted concurrency limit with Little's law in the saturated runs."""
    limit, instances = fleet_limit(fitted), fitted.fit.spec.instances
    flights = little_in_flight(fitted.runs, fitted.fit.spec, limit)
    seen = f"{flights[0]:.1f} to {flights[-1]:.1f}" if flights else "no known number of"
    return Finding(
        title="The plateau is a server limit, not a saturated GPU",
        text=f"By Little's law the saturated runs with a hard roof have {seen} requests in "
        f"flight{more}; the fit gives {limit:.1f}, which is {limit / instances:.1f} per instance. "
        "Capacity is therefore a configuration, not a constant of the hardware.",
    )


def outlier_finding(fitted: FittedMap, outlier: Outlier) -> Finding:
    """Say what is odd about a run with weight zero."""
    run = outlier.run
    _, expected = fitted.fit.predict(run.shape, run.users)
    return Finding(
        title=f"{run.name} is off its own line",
        text=f"{run.req_per_s:.1f} req/s against {expected:.1f} expected from the other runs"
        + power_order(fitted, run)
        + ". An unsettled or cold-cache run would look like this; it has weight zero.",
    )


def dataset(table: Table, source: str) -> Dataset:
    """Return a table's entry on a card."""
    return Dataset(name=table.name, rows=len(table.rows), sha256=table.sha256, source=source)


def rounded(value: float) -> float:
    """Return a number with the digits that platforms agree on."""
    return float(f"{value:.{_DIGITS}g}")


def _workload(fitted: FittedMap, name: str, tokens: float | None) -> WorkloadModel:
    """Return one workload of the fleet model."""
    fit = fitted.fit
    labels = [fit.spec.workload_of(run.shape) for run in fitted.runs]
    (power_spread, degrees), (throughput_spread, _) = (
        workload_spreads(fitted.deleted_errors[:, i], labels, LAW_PARAMETERS)[name] for i in (0, 1)
    )
    return WorkloadModel(
        labels=tuple(fit.spec.workloads[name]),
        tokens_out_per_request=None if tokens is None else rounded(tokens),
        tokens_provenance=None if tokens is None else "measured",
        roof=_rounded_roof(fit.throughput.roofs[name]),
        capacity_req_per_s=rounded(float(fit.throughput.req_per_s(name, fit.throughput.limit))),
        saturated_kw=rounded(fit.power[name].saturated_kw),
        exponent=rounded(fit.power[name].exponent),
        covered_from_utilisation=rounded(_covered_from(fitted, name)),
        power_spread=rounded(power_spread),
        throughput_spread=rounded(throughput_spread),
        spread_degrees=degrees,
    )


def _card(
    about: Description,
    fitted: FittedMap,
    tables: Sequence[Table],
    assumptions: Sequence[Assumption],
    findings: Sequence[Finding],
) -> ModelCard:
    """Return the card of a fleet model."""
    spec, total = fitted.fit.spec, len(fitted.runs) + len(fitted.outliers)
    return ModelCard(
        title=about.title,
        summary=(
            f"Power and throughput of {spec.instances} serving instances against load, for "
            f"{len(spec.workloads)} workloads, from {total} runs."
        ),
        data=tuple(dataset(table, about.source) for table in tables),
        method=_METHOD,
        residuals=_errors(fitted.fit.relative_errors(fitted.runs), fitted.runs),
        leave_one_out=_errors(fitted.deleted_errors, fitted.runs),
        excluded=tuple(_excluded(fitted, outlier) for outlier in fitted.outliers),
        validity=_validity(fitted),
        measurement_point=about.measurement_point,
        measurement_note=about.measurement_note,
        assumptions=(*_assumptions(fitted), *assumptions),
        findings=tuple(findings),
        not_for=(
            "power below the lowest load of the runs, idle or asleep: no run constrains it",
            "another concurrency limit, GPU, model, precision or parallel layout",
            "mixed workloads beyond planning accuracy: blending is assumed, no run mixes them",
            "latency: the runs have none",
            "planning by labels of output length: key workloads by measured tokens",
        ),
    )


_METHOD = (
    "Least squares on relative errors. Throughput of an instance with c requests offered: "
    "`min(c, k) / tau` (hard roof), or `((min(c, k)/tau)^-q + x_inf^-q)^(-1/q)` (smooth roof); k "
    "is shared by all workloads and found from those with a hard roof. Power against utilisation "
    "u = x / x(k): `p_idle + (p_g - p_idle) u^gamma_g`, with p_idle given. The exponents are "
    "partially pooled (gamma towards its mean over the workloads, ln q towards a typical value), "
    "because some workloads have only two distinct loads. A run is off when its error, predicted "
    f"from all other runs, exceeds {fleet_map.OUTLIER_SPREADS:g} robust standard deviations of "
    f"their residuals and {fleet_map.THROUGHPUT_FLOOR:.0%} of throughput or "
    f"{fleet_map.POWER_FLOOR:.0%} of power; the one without which the others agree best gets "
    "weight zero, and all is fitted again. "
    "Leave one out refits everything without the run."
)


def _validity(fitted: FittedMap) -> tuple[ValidRange, ...]:
    """Return the ranges of utilisation and concurrency that the used runs cover."""
    users = [run.users for run in fitted.runs]
    covered = {name: _covered_from(fitted, name) for name in fitted.fit.spec.workloads}
    return (
        ValidRange(name="utilisation", low=min(covered.values()), high=1.0, unit="share"),
        *(
            ValidRange(name=f"utilisation, {name}", low=low, high=1.0, unit="share")
            for name, low in covered.items()
        ),
        ValidRange(
            name="requests offered to the fleet", low=min(users), high=max(users), unit="requests"
        ),
    )


def _assumptions(fitted: FittedMap) -> tuple[Assumption, ...]:
    """Return what every fleet model rests on besides its runs."""
    spec, limit = fitted.fit.spec, fleet_limit(fitted)
    prior = "of a normal prior; data that determine the exponent overrule it"
    rows = [
        (
            "idle power",
            spec.idle_w_per_gpu,
            "W per GPU",
            "awake without load; no run constrains it. It sets what consolidation releases: "
            "`python -m ebplan.models.sensitivity`",
        ),
        ("spread of gamma over workloads", fleet_map.EXPONENT_SPREAD, "1", f"spread {prior}"),
        ("blending", 1.0, "share", "power of mixed workloads adds up by share of the utilisation"),
    ]
    if spec.smooth:
        rows += [
            ("typical q", fleet_map.SHARPNESS_MEDIAN, "1", f"centre {prior}"),
            ("spread of ln q", fleet_map.SHARPNESS_LOG_SPREAD, "1", f"spread {prior}"),
        ]
    return (
        Assumption(
            name="concurrency limit",
            value=limit,
            unit="requests in the fleet",
            provenance="measured",
            note=f"fitted; {limit / spec.instances:.1f} per instance, a server setting",
        ),
        *(
            Assumption(name=name, value=value, unit=unit, provenance="assumed", note=note)
            for name, value, unit, note in rows
        ),
    )


def _excluded(fitted: FittedMap, outlier: Outlier) -> Excluded:
    """Return an outlier with the numbers that decided it."""
    run = outlier.run
    reason = (
        f"predicted from all other runs, throughput is {outlier.throughput_error:+.1%} and power "
        f"{outlier.power_error:+.1%} off"
    )
    roof = fitted.fit.throughput.roofs[fitted.fit.spec.workload_of(run.shape)]
    if isinstance(roof, HardRoof):
        reason += (
            f"; by Little's law {run.req_per_s * roof.service_time_s:.1f} requests in flight "
            f"where {min(run.users, fleet_limit(fitted)):.1f} should be"
        )
    return Excluded(run=run.name, weight=0.0, reason=reason + power_order(fitted, run))


def _errors(errors: FloatArray, runs: Sequence[Run]) -> tuple[Statistic, ...]:
    """Return mean, root-mean-square and largest error of power and throughput."""
    result = []
    measured = np.array([(run.power_kw * W_PER_KW, run.req_per_s) for run in runs])
    for i, (name, unit) in enumerate((("power", "W"), ("throughput", "req/s"))):
        share, worst = np.abs(errors[:, i]), int(np.abs(errors[:, i]).argmax())
        rms = float(np.sqrt(np.mean((errors[:, i] * measured[:, i]) ** 2)))
        result += [
            Statistic(name=f"{name}, mean absolute error", value=float(share.mean()), unit="share"),
            Statistic(name=f"{name}, root mean square error", value=rms, unit=unit),
            Statistic(
                name=f"{name}, largest error ({runs[worst].name})",
                value=float(share[worst]),
                unit="share",
            ),
        ]
    return tuple(result)


def _covered_from(fitted: FittedMap, workload: str) -> float:
    """Return the lowest utilisation among the used runs of a workload."""
    spec, throughput = fitted.fit.spec, fitted.fit.throughput
    users = min(run.users for run in fitted.runs if spec.workload_of(run.shape) == workload)
    return float(throughput.utilisation(workload, users / spec.instances))


def _rounded_roof(roof: Roof) -> Roof:
    """Return a roof with rounded parameters."""
    if isinstance(roof, HardRoof):
        return HardRoof(service_time_s=rounded(roof.service_time_s))
    return SmoothRoof(
        service_time_s=rounded(roof.service_time_s),
        roof_req_per_s=rounded(roof.roof_req_per_s),
        sharpness=rounded(roof.sharpness),
    )
