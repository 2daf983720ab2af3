"""A standby model from readings in each mode: means whose intervals know that sensors repeat.

A power sensor that is read faster than it renews shows the same number again, and an idle board
drifts with its temperature. The readings of a mode are worth ``N / tau`` independent ones, ``tau``
being the integrated autocorrelation time of the readings in the order of the table, taken within
each stretch of one mode.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ebplan.document import Part
from ebplan.errors import InputError
from ebplan.models.card import Finding, ModelCard, Statistic
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import check_gpu_power
from ebplan.models.fit.series import correlation_time
from ebplan.models.intervals import student_quantile
from ebplan.models.points import Points
from ebplan.models.standby import W_PER_KW, StandbyModel, StandbyPower

MODES = ("idle", "loaded_idle", "asleep")
"""Values of the label ``mode``."""
FEWEST_READINGS = 5
"""Readings that a mode needs."""
FEWEST_INDEPENDENT = 2.0
"""Independent readings that an interval needs."""


class StandbyOptions(Part):
    """What a table of standby powers cannot say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    hardware: str
    """GPU, in words."""
    gpus_per_row: int = Field(default=1, ge=1)
    """GPUs whose power a row sums up; a column ``gpus`` goes before."""


@names_the_table
def fit_standby(data: Measurements, options: StandbyOptions) -> StandbyModel:
    """Fit a standby model.

    Args:
        data: ``power`` and the label ``mode`` (``idle``, ``loaded_idle``, ``asleep``), rows in the
            order in which they were read; where given ``gpus``.
        options: what the table cannot say.

    Raises:
        InputError: a column is missing, a mode is unknown, or a mode has too few readings.
    """
    modes = data.label("mode")
    unknown = sorted(set(modes.tolist()) - set(MODES))
    if unknown:
        raise InputError(
            field="columns.mode",
            value=unknown[0],
            allowed=", ".join(MODES),
            remedy="rename the mode, or leave its rows out",
            file=data.file,
        )
    power = data.quantity("power") / data.values.get("gpus", float(options.gpus_per_row))
    found = {
        mode: _mean(power, modes == mode, f"mode {mode}", data.file)
        for mode in MODES
        if (modes == mode).any()
    }
    for mode in found:  # a mode of its own unit would hide in the median of all
        check_gpu_power(power[modes == mode], data.file)
    _check_order(found, data.file)
    return StandbyModel(
        name=options.name,
        hardware=options.hardware,
        idle=found.get("idle"),
        loaded_idle=found.get("loaded_idle"),
        asleep=found.get("asleep"),
        measurement_point=data.measurement_point,
        points=tuple(Points.of(mode, {"power_kw_per_gpu": power[modes == mode]}) for mode in found),
        card=_card(data, options, found),
    )


def _mean(power: FloatArray, here: FloatArray, field: str, file: str) -> StandbyPower:
    """Return the mean over the stretches of a mode, with its interval."""
    rows = np.flatnonzero(here)
    if len(rows) < FEWEST_READINGS:
        raise InputError(
            field=field,
            value=f"{len(rows)} readings",
            allowed=f"at least {FEWEST_READINGS}",
            remedy="read it for longer",
            file=file,
        )
    values = power[rows]
    stretches = np.split(values, np.flatnonzero(np.diff(rows) > 1) + 1)
    # Stretches are apart in time: none is worth less than one reading, their levels are compared.
    worth = sum(len(part) / correlation_time(part) for part in stretches)
    if worth < FEWEST_INDEPENDENT:
        raise InputError(
            field=field,
            value=f"{len(rows)} readings worth {worth:.1f} independent",
            allowed=f"worth at least {FEWEST_INDEPENDENT:g}",
            remedy="the readings repeat or drift: read it for longer, after it has settled",
            file=file,
        )
    mean = float(values.mean())
    half = (
        student_quantile(CONFIDENCE, max(int(worth) - 1, 1))
        * float(values.std(ddof=1))
        / np.sqrt(worth)
    )
    if half >= mean:
        raise InputError(
            field=field,
            value=f"{mean * W_PER_KW:.3g} W, known to {half * W_PER_KW:.3g} W",
            allowed="an interval above zero",
            remedy="the power is not steady in this mode: read it for longer, or check the labels",
            file=file,
        )
    return StandbyPower(
        mean_kw_per_gpu=mean,
        low_kw_per_gpu=mean - half,
        high_kw_per_gpu=mean + half,
        readings=len(values),
        independent_readings=worth,
    )


def _check_order(found: dict[str, StandbyPower], file: str) -> None:
    """Refuse modes that draw in the wrong order by more than their intervals.

    A model in memory keeps a context and clocks up: it draws no less than a board without one, and
    no less than one whose memory was freed. Asleep and idle have no such order.
    """
    loaded = found.get("loaded_idle")
    for mode in ("idle", "asleep"):
        other = found.get(mode)
        if loaded and other and other.low_kw_per_gpu > loaded.high_kw_per_gpu:
            raise InputError(
                field="columns.mode",
                value=f"{mode} {other.mean_kw_per_gpu * W_PER_KW:.1f} W, "
                f"loaded_idle {loaded.mean_kw_per_gpu * W_PER_KW:.1f} W",
                allowed=f"{mode} at or below loaded_idle",
                remedy=f"exchange the labels {mode} and loaded_idle, or read both again",
                file=file,
            )


def _card(data: Measurements, options: StandbyOptions, found: dict[str, StandbyPower]) -> ModelCard:
    """Return the card of a standby model."""
    statistics = [
        Statistic(name=f"{mode}{what}", value=value, unit=unit)
        for mode, power in found.items()
        for what, value, unit in (
            ("", power.mean_kw_per_gpu * W_PER_KW, "W per GPU"),
            (", from", power.low_kw_per_gpu * W_PER_KW, "W per GPU"),
            (", to", power.high_kw_per_gpu * W_PER_KW, "W per GPU"),
            (", independent readings", power.independent_readings, "1"),
        )
    ]
    return ModelCard(
        title=options.title,
        summary="Power of a GPU that serves nothing, by mode. It replaces the assumed idle power "
        "of a fleet's fit (`idle_w_per_gpu`) and a pool's `asleep_kw_per_gpu`, with "
        "`asleep_measured = true`.",
        data=(data.dataset(),),
        method="Mean of the readings of each mode; its interval by Student's t with the number of "
        "independent readings, N over the integrated autocorrelation time.",
        residuals=tuple(statistics),
        excluded=data.excluded,
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        findings=_sleep(found),
        not_for=(f"other boards than {options.hardware}, other states of the driver",),
    )


def _sleep(found: dict[str, StandbyPower]) -> tuple[Finding, ...]:
    """Say whether sleep draws less than idle, where both were measured."""
    asleep, awake = found.get("asleep"), found.get("loaded_idle") or found.get("idle")
    if asleep is None or awake is None:
        return ()
    saved = (awake.mean_kw_per_gpu - asleep.mean_kw_per_gpu) * W_PER_KW
    certain = asleep.high_kw_per_gpu < awake.low_kw_per_gpu
    return (
        Finding(
            title="What sleep saves" if certain else "Sleep saves nothing that was measured",
            text=f"Asleep, a GPU draws {saved:.1f} W less than awake without load; the intervals "
            + ("lie apart." if certain else "overlap."),
        ),
    )
