"""A ramp model from a time series of power and the command in force.

For each direction, over its steps ``k`` with the levels before (``b_k``, a median) and after
(``a_k``, fitted):

    power = b_k + (a_k - b_k) H(t - t_k),   H(x) = 1 - exp(-(x - delay) / T) after the delay

by robust least squares in shares of the step; where the sensor averages over a window, ``H`` is
averaged over it. The command came into force somewhere between two readings: the middle is taken,
and half an interval on either side goes into the interval of the delay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.errors import InputError
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_gpu_power, check_of_cap, check_time_base
from ebplan.models.fit.robust import RobustFit, fit_robust
from ebplan.models.fit.series import WITHIN, correlation_time, dips
from ebplan.models.intervals import student_quantile
from ebplan.models.ramp import RampSide, reached_on_average
from ebplan.site import Response

FEWEST_READINGS = 8
"""Readings that a step needs before and after it."""
SETTLED_READINGS = 5
"""A step has been made when most of this many readings in a row are near the new level."""
HORIZON = 10.0
"""A step is fitted up to this many times the time in which it is made: further on, only the
workload speaks."""
NEVER_OFF = 0.5
"""A reading within this share of the step is never left out: a ramp that is not quite first order
shows as residuals, not as outliers."""

Direction = Literal["down", "up"]


class RampOptions(Part):
    """What a time series cannot say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    hardware: str
    """What was commanded, in words."""
    mechanism: str = "power cap"
    """What the command was, in words."""
    sensor_window_s: NonNegative = 0.0
    """Averaging window of the power sensor in s; 1 for ``nvmlDeviceGetPowerUsage`` on Ampere and
    later. Nothing faster is claimed."""
    gpus_per_row: int = Field(default=1, ge=1)
    """GPUs whose power a row sums up; a row metered behind the converter may hold anything."""
    least_step: float = Field(default=0.05, gt=0.0, lt=1.0)
    """A command that moves power by less than this share of the level is no step."""


@dataclass(frozen=True)
class Step:
    """The readings after one command, dips left out; powers in kW."""

    command_s: float
    """When the command came into force: the middle between the readings around it."""
    since_s: FloatArray
    """Times of the readings since the command, shape (N,)."""
    power_kw: FloatArray
    """The readings, shape (N,)."""
    before_kw: float
    """Level before."""
    after_kw: float
    """Level after, the median of the later half."""
    interval_s: float
    """Time between readings."""
    made_s: float
    """From the last reading under the old command until 90 % of the step is there to stay."""
    overshoot: float
    """Farthest beyond the new level, as a share of the step."""

    @property
    def direction(self) -> Direction:
        """Where the step goes."""
        return "down" if self.after_kw < self.before_kw else "up"

    @property
    def height_kw(self) -> float:
        """Level after less level before."""
        return self.after_kw - self.before_kw

    def where(self, keep: NDArray[np.bool_]) -> Step:
        """Return the step with the readings that ``keep`` (shape (N,)) marks."""
        return replace(self, since_s=self.since_s[keep], power_kw=self.power_kw[keep])


@dataclass(frozen=True)
class Series:
    """The steps of a time series, and what was left out."""

    steps: tuple[Step, ...]
    """Its steps."""
    in_dips: NDArray[np.bool_]
    """Readings left out as dips, shape (N,)."""
    no_steps: tuple[str, ...]
    """Commands that make no step, with the reason."""


def find_steps(data: Measurements, options: RampOptions) -> Series:
    """Return the steps of a time series.

    Raises:
        InputError: a column is missing or the command never changes.
    """
    time, power, command = (data.quantity(name) for name in ("time", "power", "command"))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(command)) + 1]).astype(np.intp)
    if len(starts) < 2:
        raise InputError(
            field="columns.command",
            value=f"{command[0]:g} kW in every row",
            allowed="a command that changes",
            remedy="map the command in force, and record a step of it",
            file=data.file,
        )
    check_time_base(time, data.file)
    _check_powers(data, options)
    low = dips(time, power, starts)
    interval = float(np.median(np.diff(time)))
    steps, none = [], []
    ends = [*starts[1:].tolist(), len(time)]
    for (old, at), end in zip(pairwise(starts.tolist()), ends[1:], strict=True):
        before = power[old:at][~low[old:at]]
        clean = np.arange(at, end)[~low[at:end]]
        told = f"{time[at]:.6g} s"
        if min(len(before), len(clean)) < FEWEST_READINGS:
            none.append(f"{told}: fewer than {FEWEST_READINGS} readings outside dips")
            continue
        level, new = np.median(before[len(before) // 2 :]), power[clean[len(clean) // 2 :]]
        height = float(np.median(new) - level)
        if abs(height) < options.least_step * level or height * (command[at] - command[at - 1]) < 0:
            none.append(f"{told}: power does not follow")
            continue
        share = (power[clean] - level) / height
        steps.append(
            Step(
                command_s=float(0.5 * (time[at - 1] + time[at])),
                since_s=time[clean] - 0.5 * (time[at - 1] + time[at]),
                power_kw=power[clean],
                before_kw=float(level),
                after_kw=float(np.median(new)),
                interval_s=interval,
                made_s=float(time[clean[_made(share)]] - time[at - 1]),
                overshoot=max(float(share.max()) - 1.0, 0.0),
            )
        )
    return Series(tuple(steps), low, tuple(none))


def _check_powers(data: Measurements, options: RampOptions) -> None:
    """Refuse powers that are not those of GPUs, or not those under their caps."""
    if data.measurement_point not in ("gpu", "node"):
        return  # converters and whole sites are of any size
    power, command = data.quantity("power") / options.gpus_per_row, data.quantity("command")
    check_gpu_power(power, data.file)
    # a node draws more than its boards, and a set-point of another kind holds no power
    set_ = command > 0.0
    if data.measurement_point == "gpu" and "cap" in options.mechanism and set_.any():
        check_of_cap(
            power[set_],
            command[set_],
            data.file,
            field="command",
            rows_of=options.gpus_per_row,
        )


def _made(share: FloatArray) -> int:
    """Return the first reading from which on most of a few in a row have made the step."""
    there = share >= 1.0 - WITHIN
    for i in np.flatnonzero(there):
        if np.median(there[i : i + SETTLED_READINGS]) == 1.0:
            return int(i)
    return len(share) - 1


def fit_side(steps: Sequence[Step], window_s: float) -> RampSide:
    """Fit the steps of one direction.

    Args:
        steps: at least one, all of one direction.
        window_s: averaging window of the sensor.

    Raises:
        InputError: the readings do not determine delay and time constant.
    """
    interval = max(step.interval_s for step in steps)
    resolution = max(2.0 * interval, window_s)
    made = max(step.made_s for step in steps)
    overshoot = max(step.overshoot for step in steps)
    if made <= resolution:
        return _bound(steps, resolution, overshoot)
    near = [step.where(step.since_s <= max(HORIZON * made, 20 * interval)) for step in steps]
    fit = _fit(near, window_s)
    delay, constant = float(fit.theta[0]), float(np.exp(fit.theta[1]))
    if delay + np.log(10.0) * constant <= resolution:
        return _bound(steps, resolution, overshoot)
    repeats = correlation_time(fit.residuals)
    degrees = max(int(fit.used.sum() / repeats) - len(fit.theta), 1)
    half = student_quantile(CONFIDENCE, degrees) * np.sqrt(np.diag(fit.covariance) * repeats)
    return RampSide(
        response=Response(delay_s=delay, time_constant_s=constant),
        upper_bound=False,
        delay_low_s=max(delay - half[0] - 0.5 * interval, 0.0),
        delay_high_s=delay + half[0] + 0.5 * interval,
        time_constant_low_s=constant * float(np.exp(-half[1])),
        time_constant_high_s=constant * float(np.exp(half[1])),
        resolution_s=resolution,
        spread=fit.spread,
        degrees=degrees,
        overshoot=overshoot,
        steps=len(steps),
    )


def _bound(steps: Sequence[Step], resolution_s: float, overshoot: float) -> RampSide:
    """Return the slowest ramp that the readings allow: all of the step after a dead time."""
    bound = max(resolution_s, *(step.made_s for step in steps))
    interval = max(step.interval_s for step in steps)
    later = [(s.power_kw[s.since_s > bound] - s.after_kw) / s.height_kw for s in steps]
    settled = np.concatenate(later)
    repeats = correlation_time(settled)
    return RampSide(
        response=Response(delay_s=bound, time_constant_s=interval),
        upper_bound=True,
        delay_low_s=0.0,
        delay_high_s=bound,
        time_constant_low_s=0.0,
        time_constant_high_s=interval,
        resolution_s=resolution_s,
        spread=float(np.std(settled)),
        degrees=max(int(len(settled) / repeats) - 1, 1),
        overshoot=overshoot,
        steps=len(steps),
    )


def _fit(steps: Sequence[Step], window_s: float) -> RobustFit:
    """Fit delay, ln(time constant) and the level after each step."""
    made = max(step.made_s for step in steps)

    def residuals(theta: FloatArray) -> FloatArray:
        parts = []
        for step, level in zip(steps, theta[2:], strict=True):
            made = reached_on_average(step.since_s, theta[0], float(np.exp(theta[1])), window_s)
            parts.append((step.power_kw - step.before_kw) / step.height_kw - level * made)
        return np.concatenate(parts)

    ones = np.ones(len(steps))
    starts = [
        np.array([made * part, np.log(made * rest), *ones])
        for part in (0.0, 0.1, 0.25, 0.5, 0.75)
        for rest in (0.05, 0.2, 0.4)
    ]
    return fit_robust(
        residuals,
        min(starts, key=lambda theta: float((residuals(theta) ** 2).sum())),
        ("delay", "time constant", *(f"level after step {k + 1}" for k in range(len(steps)))),
        lower=np.array([0.0, -np.inf, *(0.5 * ones)]),
        floor=NEVER_OFF,
    )
