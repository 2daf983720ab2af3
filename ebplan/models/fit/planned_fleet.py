"""A fleet model for the planner from one serving configuration.

The planner wants two laws with few parameters: a roof of throughput, and a power law of
utilisation that is concave. Both are fitted to the posterior mean of the serving model over the
loads measured; how far they lie from it is added to the spread, so that nothing is lost in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ebplan.errors import InputError
from ebplan.models.card import Assumption, ModelCard, Provenance, Statistic
from ebplan.models.curve import Curve
from ebplan.models.curves import FloatArray
from ebplan.models.fit.build import rounded
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.robust import fit_robust
from ebplan.models.fit.serving import ServingOptions, fit_serving
from ebplan.models.fleet import FleetModel, SmoothRoof, WorkloadModel
from ebplan.models.laws import throughput_law
from ebplan.models.points import Points
from ebplan.models.serving import Served, ServingModel
from ebplan.models.standby import W_PER_KW

POINTS = 40
"""Loads at which the serving model is read."""
ROOF = ("service time", "roof", "sharpness")


class FleetOptions(ServingOptions):
    """What a table of serving runs does not say of a fleet; the first configuration is taken."""

    workload: str
    """Name of the workload in the fleet model."""
    hardware: str
    """GPUs, in words."""
    idle_w_per_gpu: float = Field(ge=1.0, le=2000.0)
    """Power of an awake instance without load: no loaded run reveals it (``fit = "standby"``)."""
    idle_provenance: Provenance
    """Where that comes from."""
    tokens_provenance: Provenance
    """Where the output tokens of a request come from."""
    instances: int = Field(default=1, ge=1)
    """Instances of the fleet; a row of the table is one instance."""


@names_the_table
def fit_fleet(data: Measurements, options: FleetOptions) -> FleetModel:
    """Return the fleet model of the first configuration of a table; see ``fit_serving``.

    Raises:
        InputError: as ``fit_serving``; or the configuration has no points, or draws no more than
            the idle power.
    """
    model = fit_serving(data, options)
    served = model.configurations[0]
    if served.evidence == "prior":
        raise InputError(
            field="options.configurations",
            value=f"{served.configuration.name}: no rows",
            allowed="a configuration with measured points",
            remedy="measure at least two, one at either end of the load",
        )
    at = np.geomspace(*served.concurrency, POINTS)
    power_kw = served.power.centre(at)
    req_per_s = served.throughput.centre(at) / served.configuration.tokens_out
    roof = _roof(at, req_per_s)
    capacity = float(roof.req_per_s(np.array(served.concurrency[1])))
    u = roof.req_per_s(at) / capacity
    busy = _busy_power(power_kw, u, served, options)
    power_off, rate_off = _off(busy.power_kw(u), power_kw), _off(u * capacity, req_per_s)
    return FleetModel(
        name=options.name,
        hardware=options.hardware,
        model=f"{served.configuration.model}, {served.configuration.precision.upper()}",
        gpus_per_instance=served.configuration.gpus,
        instances_measured=options.instances,
        concurrency_limit_per_instance=rounded(served.concurrency[1]),
        idle_kw=rounded(busy.idle_kw),
        measurement_point=data.measurement_point,
        workloads={
            options.workload: WorkloadModel(
                labels=(served.configuration.name,),
                tokens_out_per_request=served.configuration.tokens_out,
                tokens_provenance=options.tokens_provenance,
                roof=roof,
                capacity_req_per_s=rounded(capacity),
                saturated_kw=rounded(busy.saturated_kw),
                exponent=rounded(busy.exponent),
                covered_from_utilisation=rounded(float(u[0])),
                power_spread=rounded(float(np.hypot(_spread(served.power, at), power_off))),
                throughput_spread=rounded(
                    float(np.hypot(_spread(served.throughput, at), rate_off))
                ),
                spread_degrees=max(len(served.power.concurrency), 1),
            )
        },
        points=_points(model, options),
        card=_card(model.card, options, served, power_off, rate_off),
    )


@dataclass(frozen=True)
class _BusyPower:
    """A power law of utilisation."""

    idle_kw: float
    saturated_kw: float
    exponent: float

    def power_kw(self, utilisation: FloatArray) -> FloatArray:
        """Return the power of an instance."""
        return self.idle_kw + (self.saturated_kw - self.idle_kw) * utilisation**self.exponent


def _busy_power(
    power_kw: FloatArray, utilisation: FloatArray, served: Served, options: FleetOptions
) -> _BusyPower:
    """Return the power law nearest to a curve of power, in relative terms above idle."""
    gpus = served.configuration.gpus
    idle_kw = options.idle_w_per_gpu * gpus / W_PER_KW
    if power_kw.min() <= idle_kw:
        raise InputError(
            field="options.idle_w_per_gpu",
            value=options.idle_w_per_gpu,
            allowed=f"< {W_PER_KW * power_kw.min() / gpus:.1f} W, the lowest power under load",
            remedy="measure it awake, without load; or check the unit of the power",
        )
    if power_kw[-1] <= power_kw[0]:
        raise InputError(
            field="columns.power",
            value=f"{power_kw[0]:.3f} kW at the lowest load, {power_kw[-1]:.3f} kW at the highest",
            allowed="power that grows with load",
            remedy="check which column is which: no serving instance is known to do so",
        )
    exponent, log_busy = np.polyfit(np.log(utilisation), np.log(power_kw - idle_kw), 1)
    return _BusyPower(
        idle_kw=idle_kw,
        saturated_kw=idle_kw + float(np.exp(log_busy)),
        exponent=float(np.clip(exponent, 1e-3, 1.0)),
    )


def _off(law: FloatArray, curve: FloatArray) -> float:
    """Return how far a law lies off a curve, root mean square of logarithms."""
    return float(np.sqrt(np.mean(np.log(law / curve) ** 2)))


def _points(model: ServingModel, options: FleetOptions) -> tuple[Points, ...]:
    """Return the runs as those of the whole fleet, one series a law; those off it come last."""
    served, fleet = model.configurations[0], options.instances
    found = []
    for column, kept, scale, curve in (
        ("power_kw", "power_kw", fleet, served.power),
        (
            "throughput_req_per_s",
            "tokens_per_s",
            fleet / served.configuration.tokens_out,
            served.throughput,
        ),
    ):
        in_flight, value = np.array(curve.concurrency), np.array(curve.measured)
        off = [p for p in model.points if p.series == served.configuration.name]
        for points in (p for p in off if kept in p.columns):
            in_flight = np.concatenate([in_flight, points.column("in_flight")])
            value = np.concatenate([value, points.column(kept)])
        out = np.arange(len(in_flight)) >= len(curve.concurrency)
        columns = {"in_flight": fleet * in_flight, column: scale * value}
        found.append(Points.of(options.workload, columns, out))
    return tuple(found)


def _roof(at: FloatArray, req_per_s: FloatArray) -> SmoothRoof:
    """Return the smooth roof nearest to a curve of throughput, in relative terms."""
    start = np.array([np.log(at[0] / req_per_s[0]), np.log(1.5 * req_per_s[-1]), 0.0])
    fit = fit_robust(
        lambda theta: throughput_law(theta, np.log(at))[0] - np.log(req_per_s),
        start,
        ROOF,
        lower=np.array([-np.inf, -np.inf, -2.0]),
        upper=np.array([np.inf, np.inf, 3.0]),
        floor=np.inf,  # a curve has no outliers
        field="throughput",
    )
    tau, top, sharpness = (float(value) for value in np.exp(fit.theta))
    return SmoothRoof(
        service_time_s=rounded(tau), roof_req_per_s=rounded(top), sharpness=rounded(sharpness)
    )


def _spread(curve: Curve, at: FloatArray) -> float:
    """Return the standard deviation of a new reading, root mean square over the loads."""
    _, deviation = curve.logarithm(np.log(at))
    return float(curve.calibration * np.sqrt(np.mean(deviation**2)))


def _card(
    card: ModelCard, options: FleetOptions, served: Served, power_off: float, rate_off: float
) -> ModelCard:
    return card.model_copy(
        update={
            "summary": f"Power and throughput of an instance against load, for the planner, from "
            f"{len(served.power.concurrency)} runs of {served.configuration.name}.",
            "method": f"{card.method} For the planner the curves of {served.configuration.name} "
            "are read as a smooth roof and a power law of utilisation.",
            "residuals": (
                Statistic(name="power law off the curve, rms", value=power_off, unit="share"),
                Statistic(name="roof off the curve, rms", value=rate_off, unit="share"),
            ),
            "validity": tuple(
                v for v in card.validity if v.name.endswith(f", {served.configuration.name}")
            ),
            "assumptions": (
                Assumption(
                    name="idle power",
                    value=options.idle_w_per_gpu,
                    unit="W per GPU",
                    provenance=options.idle_provenance,
                    note="awake without load; it sets what consolidation releases",
                ),
                Assumption(
                    name="concurrency limit",
                    value=served.concurrency[1],
                    unit="requests per instance",
                    provenance="measured",
                    note="the highest load measured is taken as saturation: a server setting",
                ),
            ),
        }
    )
