"""Rows that cannot be: left out by line and with the reason, or the whole table refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ebplan.errors import InputError
from ebplan.models.fit.measurements import THOUSAND_BAND, Measurements
from ebplan.models.fit.quantities import QUANTITIES

STUCK_S = 30.0
"""A power in a time series that keeps every digit for longer than this is a stuck sensor."""


def checked(data: Measurements) -> Measurements:
    """Return the rows that can be: a time series where they have a time, else steady runs.

    Raises:
        InputError: a column that cannot be, time that runs backwards, or more than a quarter of
            the rows left out.
    """
    data = _without_impossible(data)
    if "time" not in data.values:
        data = _without_thousands(data)
        _check_moves(data)
        return data
    _check_times(data)
    return _without_stuck(_without_thousands(_without_repeats(data)))


def _check_moves(data: Measurements) -> None:
    """Refuse steady runs of which nothing moves with the load."""
    for name in ("power", "throughput"):
        value = data.values.get(name)
        load = data.values.get("concurrency", data.values.get("cap"))
        if value is None or load is None or len(data) < 4 or np.ptp(load) == 0.0:
            continue
        if np.ptp(value) == 0.0:
            raise InputError(
                field=f"columns.{name}",
                value=f"{value[0]:g} {QUANTITIES[name].unit} in every row",
                allowed="a reading that moves with the load",
                remedy="the sensor is stuck, or the column is a setting: map the measured one",
                file=data.file,
            )


def _without_impossible(data: Measurements) -> Measurements:
    """Leave out rows with no number or one that cannot be; refuse a column that is all so."""
    for name in list(data.values):
        quantity, value = QUANTITIES[name], data.values[name]
        bad = np.array([not quantity.possible(v) for v in value.tolist()], dtype=bool)
        if bad.all() and len(data):
            raise InputError(
                field=f"columns.{name}",
                value="no number in any row" if np.isnan(value).all() else f"{value[0]:g}",
                allowed=quantity.allowed(),
                remedy="correct the column, its unit "
                f"({', '.join(quantity.factors)}) or the mapping"
                + ("; numbers have a decimal point" if np.isnan(value).all() else ""),
                file=data.file,
            )
        none = np.isnan(value)
        if none.any():
            data = data.without(none, f"{name} is no number")
        cannot = bad[~none]
        if cannot.any():
            data = data.without(cannot, f"{name} cannot be: allowed is {quantity.allowed()}")
    return data


def _check_times(data: Measurements) -> None:
    """Refuse time that runs backwards."""
    steps = np.diff(data.values["time"])
    if (steps < 0.0).any():
        at = int((steps < 0.0).argmax())
        raise InputError(
            field=f"line {data.lines[at + 1]}.time",
            value=f"{-steps[at]:g} s before the line above",
            allowed="time that does not run backwards",
            remedy="sort the rows by time; where the clock was set back, give the parts apart",
            file=data.file,
        )


def _without_repeats(data: Measurements) -> Measurements:
    """Leave out rows that repeat a time with the same readings; refuse other readings."""
    time = data.values["time"]
    repeats = np.concatenate([[False], np.diff(time) == 0.0])
    for label in data.labels.values():  # two meters may be read at one time
        repeats[1:] &= label[1:] == label[:-1]
    for i in np.flatnonzero(repeats):
        for name, value in data.values.items():
            if value[i] != value[i - 1]:
                raise InputError(
                    field=f"line {data.lines[i]}.{name}",
                    value=f"{value[i]:g} at the time at which the line above has {value[i - 1]:g}",
                    allowed="one reading at a time",
                    remedy="remove the wrong one; give several series as files of their own",
                    file=data.file,
                )
    return data.without(repeats, "repeats the time and the readings of the line above")


def _without_thousands(data: Measurements) -> Measurements:
    """Leave out powers and times that are a thousand times the others, or a thousandth."""
    for name in ("power", "inner_power", "outer_power", "throughput", "itl", "ttft"):
        if name not in data.values or len(data) < 3:
            continue
        ratio = data.values[name] / np.median(data.values[name])
        low, high = THOUSAND_BAND
        off = ((ratio > low) & (ratio < high)) | ((1.0 / ratio > low) & (1.0 / ratio < high))
        if off.any():
            data = data.without(
                off,
                f"{name} is about 1,000 times off the median of its column, "
                f"{np.median(data.values[name]):.4g} {QUANTITIES[name].unit}: another unit?",
            )
    return data


def _without_stuck(data: Measurements) -> Measurements:
    """Leave out readings of a power that keeps every digit for too long, but for the first."""
    if "power" not in data.values or len(data) < 3:
        return data
    time, power = data.values["time"], data.values["power"]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(power)) + 1, [len(power)]])
    stuck = np.zeros(len(power), dtype=bool)
    for begin, end in pairwise(starts.tolist()):
        if end - begin > 2 and time[end - 1] - time[begin] > STUCK_S:
            stuck[begin + 1 : end] = True
    if stuck.any():
        data = data.without(stuck, f"the same power for more than {STUCK_S:g} s: stuck sensor")
    return data
