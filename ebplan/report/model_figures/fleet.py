"""A fleet model: power and throughput of the measured fleet against requests in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.fleet import FleetModel
from ebplan.report.canvas import GREY
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEYOND = 1.15
"""The curves reach this far beyond the concurrency limit, or the highest load measured."""
DEEPEST = 1e-4
"""Share of the concurrency limit down to which the lowest load covered is sought."""
SEARCHED = 2000
"""Loads among which it is sought."""


def draw(model: FleetModel) -> Figure:
    """Return the figure of a fleet model."""
    figure, axes = frame.panels(2, height_in=7.0, sharex=True)
    power, throughput = axes[:, 0]
    shown = frame.chosen(model.workloads)
    points = tuple(p for p in model.points if p.series in shown)
    for number, workload in enumerate(shown):
        _draw(power, throughput, model, workload, number)
    power.set_ylabel(f"Power of the fleet in kW ({model.measurement_point})")
    throughput.set_ylabel("Requests of the fleet per s")
    limit = model.instances_measured * model.concurrency_limit_per_instance
    for ax in (power, throughput):
        ax.axvline(limit, color=GREY, linewidth=0.8, linestyle=":")
        ax.set_ylim(bottom=0.0)
    idle_kw = model.instances_measured * model.idle_kw
    power.axhline(idle_kw, color=GREY, linewidth=0.8, linestyle="--", label="idle")
    throughput.annotate(
        "concurrency limit ", (limit, 0.0), color=GREY, fontsize="small", va="bottom", ha="right"
    )
    frame.logarithmic(throughput)
    count = model.instances_measured
    throughput.set_xlabel(
        f"Requests in flight in the fleet ({count} instance{'s' * (count > 1)}"
        f" of {model.gpus_per_instance} GPU{'s' * (model.gpus_per_instance > 1)})"
    )
    frame.key(power, points)
    frame.letter((power, throughput), ("power", "throughput"))
    return frame.finish(
        figure,
        _message(model),
        card=model.card,
        points=points,
        interval=_interval(model) + frame.partly(shown, model.workloads, "workloads"),
        unit=_unit(model),
    )


def _draw(power: Axes, throughput: Axes, model: FleetModel, workload: str, number: int) -> None:
    """Draw one workload over the loads that its runs cover."""
    colour, at = frame.colour_of(number), _loads(model, workload)
    kw, rate = _power(model, workload, at), _throughput(model, workload, at)
    for ax, estimate in ((power, kw), (throughput, rate)):
        frame.band(ax, at, estimate.low, estimate.high, colour)
        if estimate.mean is not None:
            frame.curve(ax, at, estimate.mean, colour, workload.replace("_", " "))
    for points in (p for p in model.points if p.series == workload):
        x = points.column("in_flight")
        for ax, name in ((power, "power_kw"), (throughput, "throughput_req_per_s")):
            if name in points.columns:
                y = points.column(name)
                frame.readings(ax, x, y, points.used(), colour, frame.mark_of(number))


def _loads(model: FleetModel, workload: str) -> FloatArray:
    """Return the loads from the lowest that the runs cover until beyond the highest."""
    fleet = model.instances_measured
    limit = fleet * model.concurrency_limit_per_instance
    tried = np.geomspace(DEEPEST * limit, limit, SEARCHED)
    full = fleet * model.capacity_req_per_s(workload)
    share = model.throughput_req_per_s(workload, tried) / full
    least = tried[share >= model.workload(workload).covered_from_utilisation * 0.999]
    seen = [
        x
        for p in model.points
        if p.series == workload
        for x in p.column("in_flight")[p.used()].tolist()
    ]  # fmt: skip
    low = min([float(least[0]) if len(least) else limit, *seen])
    return np.geomspace(low, BEYOND * max([limit, *seen]), frame.CURVE_POINTS)


def _power(model: FleetModel, workload: str, at: FloatArray) -> Estimate:
    """Return the power in kW; without an interval where the model has no spread."""
    if model.workload(workload).power_spread is not None:
        return model.fleet_power_kw(workload, at)
    rate = model.throughput_req_per_s(workload, at) / model.instances_measured
    law = model.load_curve({workload: 1.0})
    share = np.minimum(rate / model.capacity_req_per_s(workload), 1.0)
    return _bare(model.instances_measured * law.power_kw(share))


def _throughput(model: FleetModel, workload: str, at: FloatArray) -> Estimate:
    """Return the throughput in req/s; without an interval where the model has no spread."""
    if model.workload(workload).throughput_spread is not None:
        return model.fleet_req_per_s(workload, at)
    return _bare(model.throughput_req_per_s(workload, at))


def _bare(mean: FloatArray) -> Estimate:
    return Estimate(mean=mean, low=mean, high=mean, confidence=CONFIDENCE)


def _unit(model: FleetModel) -> str:
    """Say what a reading is: a whole run, or one of its two where they were judged apart."""
    whole = all(len(p.columns) > 2 for p in model.points)
    return "runs" if whole else "readings of power and throughput"


def _interval(model: FleetModel) -> str:
    if any(w.power_spread is None for w in model.workloads.values()):
        return "The model was fitted without spreads: no interval can be drawn."
    return f"Bands are made to hold {CONFIDENCE:.0%} of new runs."


def _message(model: FleetModel) -> str:
    full = frame.span((w.saturated_kw for w in model.workloads.values()), ".3g")
    rates = frame.span((w.capacity_req_per_s for w in model.workloads.values()), ".3g")
    return (
        f"{model.name}: an instance draws {model.idle_kw:.3g} kW idle and {full} kW when full, "
        f"and serves {rates} req/s"
    )
