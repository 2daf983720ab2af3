"""A cap model from a sweep: workloads under power caps, with their throughput and power."""

from __future__ import annotations

from pydantic import Field

from ebplan.document import Positive
from ebplan.errors import InputError
from ebplan.models.cap import CapModel
from ebplan.models.card import Finding, ModelCard, ValidRange
from ebplan.models.fit.board import FittedBoard, Readings
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.sweep import (
    MOST_ELASTICITY,
    SweepOptions,
    elasticity_span,
    fit_workloads,
    leave_one_out,
    sweep_points,
)
from ebplan.models.fit.sweep_card import (
    W_PER_KW,
    Fits,
    free_caps_finding,
    held_statistics,
    prior_assumptions,
    residual_statistics,
)
from ebplan.models.library import load_fleet, names

LAW = (
    "power = ((k cap)^-q + natural^-q)^(-1/q); time per work = 1 - b + b (P1 - P0)/(P - P0), "
    "relative to that at the highest power P1. Both by robust least squares of logarithms "
    "(ebplan.models.board, ebplan.models.fit.board)."
)


class CapSweepOptions(SweepOptions):
    """What a table of caps cannot say."""

    fleet: str = ""
    """Name of the fleet model whose hardware and workload it belongs to; empty for none."""
    gpus_per_instance: int = Field(default=1, ge=1)
    """GPUs of one serving instance."""
    lowest_cap_kw_per_gpu: Positive | None = None
    """Lowest cap that the planner may use; the lowest measured where absent. Its one elasticity
    has to do for the whole range, so a range that ends higher is planned with a gentler one."""


@names_the_table
def fit_cap_sweep(data: Measurements, options: CapSweepOptions) -> CapModel:
    """Fit a cap model to a sweep.

    Args:
        data: ``cap`` (of one GPU), ``power``, ``throughput``; where given the label ``workload``,
            ``clock`` (locked) and ``gpus`` (whose power a row sums up).
        options: what the table cannot say.

    Raises:
        InputError: a column is missing, no cap binds in any workload, or the readings do not
            determine an elasticity.
    """
    data.quantity("cap")
    _check_fleet(options)
    data, fits = fit_workloads(data, options)
    floor, highest = _caps_used(fits, options)
    bound = _elasticities(fits, floor)
    residual = max(
        f.law.rate_law.quantile(0.9) * f.law.rate_law.spread
        for name, (_, f) in fits.items()
        if name in bound
    )
    return CapModel(
        name=options.name,
        fleet=options.fleet,
        workload=options.workload or ", ".join(bound),
        gpus_per_instance=options.gpus_per_instance,
        elasticity_low=min(low for low, _ in bound.values()),
        elasticity_high=max(high for _, high in bound.values()),
        throughput_residual=min(residual, 1.0),
        valid_from_kw_per_gpu=floor,
        valid_to_kw_per_gpu=highest,
        measurement_point=data.measurement_point,
        laws={name: fitted.law for name, (_, fitted) in fits.items()},
        points=sweep_points(fits),
        card=_card(data, options, fits, bound, floor),
    )


def _check_fleet(options: CapSweepOptions) -> None:
    """Refuse another number of GPUs than the instances of the fleet have, where it is known."""
    if options.fleet not in names():
        return
    fleet = load_fleet(options.fleet)
    if options.gpus_per_instance != fleet.gpus_per_instance:
        raise InputError(
            field="options.gpus_per_instance",
            value=options.gpus_per_instance,
            allowed=f"{fleet.gpus_per_instance}, as options.fleet = {fleet.name!r}",
            remedy="correct it, or name the fleet model whose instances were capped",
        )


def _caps_used(fits: Fits, options: CapSweepOptions) -> tuple[float, float]:
    """Return the lowest cap that the planner may use and the highest measured, in kW."""
    measured = [cap for _, f in fits.values() for cap in f.law.caps_kw_per_gpu]
    lowest, highest = min(measured), max(measured)
    if lowest == highest:
        raise InputError(
            field="columns.cap",
            value=f"{lowest * W_PER_KW:g} W in every row",
            allowed="at least two caps",
            remedy="measure under another cap",
        )
    floor = options.lowest_cap_kw_per_gpu or lowest
    if not lowest <= floor < highest:
        raise InputError(
            field="options.lowest_cap_kw_per_gpu",
            value=floor,
            allowed=f">= {lowest:g} and < {highest:g}, the caps measured",
            remedy="choose one inside, or leave it out",
        )
    return floor, highest


def _elasticities(fits: Fits, floor_kw: float) -> dict[str, tuple[float, float]]:
    """Return lowest and highest elasticity of each workload in which a cap binds."""
    bound = {
        name: elasticity_span(fitted, _lowest_kw(readings, fitted, floor_kw))
        for name, (readings, fitted) in fits.items()
        if not fitted.free[fitted.at_top].all()
    }
    if not bound:
        draw_w = max(f.law.natural_kw_per_gpu for _, f in fits.values()) * W_PER_KW
        raise InputError(
            field="columns.cap",
            value="no cap binds",
            allowed=f"caps below the natural draw, at most {draw_w:.0f} W per GPU",
            remedy="sweep lower caps: these change neither power nor throughput",
        )
    steep = max(bound, key=lambda name: bound[name][1])
    if bound[steep][1] > MOST_ELASTICITY:
        raise InputError(
            field=f"workload {steep}.elasticity",
            value=f"up to {bound[steep][1]:.1f}",
            allowed=f"<= {MOST_ELASTICITY:g} at the cautious end",
            remedy="too few caps bind to tell: measure more of them, or leave the workload out",
        )
    return bound


def _lowest_kw(readings: Readings, fitted: FittedBoard, floor_kw: float) -> float:
    """Return the lowest power that caps from ``floor_kw`` on leave, at the highest clock."""
    predicted = float(fitted.law.power(floor_kw, allow_extrapolation=True).middle[0])
    seen = readings.power[fitted.at_top & (readings.cap >= floor_kw)]
    return min(predicted, float(seen.min())) if len(seen) else predicted


def _card(
    data: Measurements,
    options: CapSweepOptions,
    fits: Fits,
    bound: dict[str, tuple[float, float]],
    floor_kw: float,
) -> ModelCard:
    """Return the card of a cap model."""
    held = [h for name, (r, _) in fits.items() for h in leave_one_out(name, r, options)]
    caps_kw = [cap for _, f in fits.values() for cap in f.law.caps_kw_per_gpu]
    spans = "; ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in bound.items())
    loose = [name for name in fits if name not in bound]
    return ModelCard(
        title=options.title,
        summary="Throughput and power under per-GPU power caps, by workload; the planner is given "
        "the power law that lies nowhere above any of the workloads' curves.",
        data=(data.dataset(),),
        method=LAW,
        residuals=residual_statistics(fits),
        leave_one_out=tuple(held_statistics(held, "cap held out")),
        excluded=data.excluded,
        validity=(
            ValidRange(
                name="cap",
                low=min(caps_kw) * W_PER_KW,
                high=max(caps_kw) * W_PER_KW,
                unit="W per GPU",
            ),
        ),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        assumptions=prior_assumptions(options),
        findings=(
            free_caps_finding(fits),
            Finding(
                title="Elasticities of the planner's curve",
                text=f"From a cap of {floor_kw * W_PER_KW:.0f} W up: {spans}."
                + (
                    f" No cap binds in {', '.join(loose)}: no elasticity is taken from there."
                    if loose
                    else ""
                ),
            ),
        ),
        not_for=(
            "caps below the lowest measured: near the static power, a few watts of it decide",
            f"other boards than {options.hardware}, other workloads, without a sweep of their own",
        ),
    )
