"""A tier model from a pair: one model on the same GPUs in two precisions, at several loads.

The ratios of throughput and of power above idle are compared at the same load (requests in
flight), where an instance is busy; where the loads of the two differ, the other precision's
readings are interpolated between its neighbours (in logarithms), never beyond them.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive
from ebplan.errors import InputError
from ebplan.models.card import Assumption, Finding, ModelCard, Provenance, Statistic, ValidRange
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import GPU_KW, check_gpu_power
from ebplan.models.intervals import student_quantile
from ebplan.models.points import Points
from ebplan.models.tier import LOADS, REPEATABILITY, TierModel
from ebplan.site import Name

WEIGHT_OF_REPEATABILITY = 4
"""Pairs that the stated repeatability counts as: few pairs do not know their own spread."""
BUSY_SHARE = 0.5
"""Where no load is named from which an instance is busy: this share of the highest common one."""
QUALITY = Finding(
    title="Quality is not in these runs",
    text="Nothing here says that the answers are as good. A site states by class which quality was "
    "verified, and for which share of its requests.",
)


class PrecisionOptions(Part):
    """What a table of two precisions cannot say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    hardware: str
    """GPUs, in words."""
    model: str
    """Model, in words."""
    base: str
    """The base precision as the table's label ``precision`` names it."""
    lower: Name
    """The lower precision as the table's label names it."""
    idle_kw_per_gpu: NonNegative
    """Idle power that is taken off before powers are compared, at the table's measurement point."""
    idle_provenance: Provenance = "assumed"
    """Where the idle power comes from."""
    busy_from: Positive | None = None
    """Requests in flight from which an instance is busy; half of the highest common load where
    absent."""
    gpus_per_row: int = Field(default=1, ge=1)
    """GPUs of a row; a column ``gpus`` goes before."""
    repeatability: float = Field(default=0.02, gt=0.0, le=0.2)
    """How well a ratio repeats, as a share; counts as 4 pairs of the spread."""

    @model_validator(mode="after")
    def _can_be(self) -> PrecisionOptions:
        if self.lower == self.base:
            raise FieldFault(
                field="lower",
                value=self.lower,
                allowed=f"another precision than base = {self.base!r}",
                remedy="name the precision that is compared with it",
            )
        low, high = GPU_KW
        if self.idle_kw_per_gpu and not low <= self.idle_kw_per_gpu <= high:
            raise FieldFault(
                field="idle_kw_per_gpu",
                value=self.idle_kw_per_gpu,
                allowed=f"0, or {low:g} to {high:g} kW per GPU",
                remedy="check its unit (W or kW?)",
            )
        return self


def throughput_ratio(base: FloatArray | float, lower: FloatArray | float) -> FloatArray:
    """Return the throughput of the lower precision relative to the base."""
    return np.asarray(np.asarray(lower) / np.asarray(base))


def busy_power_ratio(
    base_kw: FloatArray | float, lower_kw: FloatArray | float, idle_kw: float
) -> FloatArray:
    """Return the power above idle of the lower precision relative to the base; same boards."""
    return np.asarray((np.asarray(lower_kw) - idle_kw) / (np.asarray(base_kw) - idle_kw))


@names_the_table
def fit_precision(data: Measurements, options: PrecisionOptions) -> TierModel:
    """Fit a tier model to a pair.

    Args:
        data: ``concurrency``, ``throughput``, ``power`` and the label ``precision``; where given
            ``gpus``.
        options: what the table cannot say.

    Raises:
        InputError: a column is missing, a precision is not in the table, the two ran on different
            numbers of GPUs, their loads do not overlap, a power lies below idle, or the lower
            precision serves less.
    """
    idle_kw = _idle_kw(data, options)
    load, gains, draws, independent = _pairs(data, options, idle_kw)
    gain = _interval(gains, options.repeatability, independent)
    draw = _interval(draws, options.repeatability, independent)
    if gain[2] < 1.0:
        raise InputError(
            field="columns.throughput",
            value=f"{options.lower} serves {gain[0]:.2f} to {gain[2]:.2f} times as much",
            allowed="a lower precision that serves at least as much",
            remedy="exchange base and lower, or do not use it",
        )
    return TierModel(
        name=options.name,
        precision=options.lower,
        hardware=options.hardware,
        model=options.model,
        capacity_factor_low=max(gain[0], 1.0),
        capacity_factor_high=gain[2],
        power_ratio_low=draw[0],
        power_ratio_high=draw[2],
        concurrency=(float(load[0]), float(load[-1])),
        measurement_point=data.measurement_point,
        points=(
            Points.of(
                f"{options.lower} against {options.base}",
                {"in_flight": load, "throughput_ratio": gains, "busy_power_ratio": draws},
            ),
        ),
        card=_card(data, options, (load, gains, draws), gain, draw, independent),
    )


def _idle_kw(data: Measurements, options: PrecisionOptions) -> float:
    """Return the idle power of the GPUs of a row, the same in both precisions."""
    labels = data.label("precision")
    for field, precision in (("base", options.base), ("lower", options.lower)):
        if not (labels == precision).any():
            raise InputError(
                field=f"options.{field}",
                value=precision,
                allowed=", ".join(sorted(set(labels.tolist()))),
                remedy="name a precision of the table",
            )
    chosen = np.isin(labels, (options.base, options.lower))
    gpus = data.values.get("gpus", np.full(len(data), float(options.gpus_per_row)))[chosen]
    if np.ptp(gpus) > 0.0:
        raise InputError(
            field="columns.gpus",
            value=", ".join(f"{n:g}" for n in np.unique(gpus)),
            allowed="both precisions on the same number of GPUs",
            remedy="leave the other rows out",
        )
    power_kw = data.quantity("power")[chosen]
    check_gpu_power(power_kw / gpus, data.file)
    idle_kw = options.idle_kw_per_gpu * float(gpus[0])
    if power_kw.min() <= idle_kw:
        raise InputError(
            field="options.idle_kw_per_gpu",
            value=options.idle_kw_per_gpu,
            allowed="below every power of the table, per GPU, in kW",
            remedy="correct it (W or kW?), or options.gpus_per_row",
        )
    return idle_kw


def _pairs(
    data: Measurements, options: PrecisionOptions, idle_kw: float
) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """Return loads, ratios of throughput and ratios of busy power where both are known.

    With them how many pairs that makes: between the same two readings of one precision all ratios
    are of the same readings, so there are no more pairs than loads at which either was measured.
    """
    labels = data.label("precision")
    readings = []
    for precision in (options.base, options.lower):
        here = labels == precision
        load, first, counts = np.unique(
            data.quantity("concurrency")[here], return_inverse=True, return_counts=True
        )
        readings.append(
            (
                np.log(load),
                np.bincount(first, np.log(data.quantity("throughput")[here])) / counts,
                np.bincount(first, np.log(data.quantity("power")[here])) / counts,
            )
        )
    base, lower = readings
    from_, to = max(base[0][0], lower[0][0]), min(base[0][-1], lower[0][-1])
    busy = options.busy_from or BUSY_SHARE * float(np.exp(to))
    at = np.unique(np.concatenate([base[0], lower[0]]))
    at = at[(at >= from_) & (at <= to) & (at >= np.log(busy) - 1e-9)]
    if not len(at):
        raise InputError(
            field="columns.concurrency",
            value=f"{np.exp(from_):g} to {np.exp(to):g} in common, busy from {busy:g}",
            allowed="a load from there on that both precisions cover",
            remedy="measure both at the same loads, or lower busy_from",
        )
    base_rate, base_kw = (np.exp(np.interp(at, base[0], base[k])) for k in (1, 2))
    lower_rate, lower_kw = (np.exp(np.interp(at, lower[0], lower[k])) for k in (1, 2))
    return (
        np.exp(at),
        throughput_ratio(base_rate, lower_rate),
        busy_power_ratio(base_kw, lower_kw, idle_kw),
        max(1, min(int(np.isin(at, measured[0]).sum()) for measured in readings)),
    )


def _interval(
    ratios: FloatArray, repeatability: float, independent: int
) -> tuple[float, float, float]:
    """Return lower end, mean and upper end of the ratio that another load would show.

    Args:
        ratios: by load, shape (N,).
        repeatability: how well a ratio repeats, as a share.
        independent: pairs that the ratios are worth, at most N.
    """
    logs = np.log(ratios)
    known = WEIGHT_OF_REPEATABILITY
    degrees = independent + known - 1
    off = independent * float(logs.var())
    spread = np.sqrt((off + known * repeatability**2) / degrees)
    half = student_quantile(CONFIDENCE, degrees) * spread * np.sqrt(1.0 + 1.0 / independent)
    middle = float(logs.mean())
    return float(np.exp(middle - half)), float(np.exp(middle)), float(np.exp(middle + half))


def _card(
    data: Measurements,
    options: PrecisionOptions,
    pairs: tuple[FloatArray, FloatArray, FloatArray],
    gain: tuple[float, float, float],
    draw: tuple[float, float, float],
    independent: int,
) -> ModelCard:
    """Return the card of a tier model."""
    load, gains, draws = pairs
    return ModelCard(
        title=options.title,
        summary=f"Throughput and power of a busy instance in {options.lower} relative to "
        f"{options.base} on the same GPUs, as intervals; the planner is given the cautious end of "
        "each.",
        data=(data.dataset(),),
        method="Ratios of throughput and of power above idle at the same requests in flight, "
        f"from {load[0]:.0f} on, interpolated in logarithms between measured loads; geometric "
        "mean, and the interval that the ratio at another such load lies in (Student's t; the "
        f"stated repeatability counts as {WEIGHT_OF_REPEATABILITY} pairs).",
        residuals=(
            *_ratios("throughput, ratio", load, gains),
            *_ratios("busy power, ratio", load, draws),
        ),
        excluded=data.excluded,
        validity=(
            ValidRange(
                name=LOADS,
                low=float(load[0]),
                high=float(load[-1]),
                unit="requests",
            ),
        ),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        assumptions=_assumptions(options),
        findings=(
            Finding(
                title="What it gives",
                text=f"{gain[1]:.2f} times as much ({gain[0]:.2f} to {gain[2]:.2f}) at "
                f"{draw[1]:.2f} times the busy power ({draw[0]:.2f} to {draw[2]:.2f}), from "
                f"{len(load)} loads ({independent} independent).",
            ),
            QUALITY,
        ),
        not_for=(
            "the quality of answers",
            f"fewer than {load[0]:.0f} requests in flight",
            "other models, other GPUs, without their own runs",
        ),
    )


def _ratios(what: str, load: FloatArray, ratios: FloatArray) -> tuple[Statistic, ...]:
    return tuple(
        Statistic(name=f"{what} at {at:.0f} in flight", value=value, unit="1")
        for at, value in zip(load.tolist(), ratios.tolist(), strict=True)
    )


def _assumptions(options: PrecisionOptions) -> tuple[Assumption, ...]:
    return (
        Assumption(
            name="idle power",
            value=options.idle_kw_per_gpu * 1000.0,
            unit="W per GPU",
            provenance=options.idle_provenance,
            note="taken off before the powers are compared",
        ),
        Assumption(
            name=REPEATABILITY,
            value=options.repeatability,
            unit="share",
            provenance="assumed",
            note=f"counts as {WEIGHT_OF_REPEATABILITY} pairs",
        ),
    )
