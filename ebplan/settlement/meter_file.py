"""The door of meter series: CSV or Parquet, with a map that says what stands where.

What is wrong with the whole file (no zone, rows out of order, readings at no interval, two readings
of one interval) is an error of one line. A row without a number or with one a thousand times off is
left out by line, with the reason, and is a gap from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite, nan
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from ebplan.document import FieldFault, Part, Positive, Timestamp, read_toml
from ebplan.errors import InputError
from ebplan.models.card import Excluded
from ebplan.models.fit.columnar import read_columns
from ebplan.models.fit.measurements import MOST_EXCLUDED, THOUSAND_BAND
from ebplan.models.fit.quantities import POWER, TIME
from ebplan.models.fit.table import Table
from ebplan.settlement.series import BATTERY, GRID, POOL, FloatArray, MeterSeries
from ebplan.site import MeasurementPoint

OFF_CLOCK = 0.05
"""A time stamp may lie off its interval by this share of it: loggers are a little late."""
GULF = 0.1
"""A reading near zero is taken for a slip of the unit only where none lies between it and this
share of the median: a draw that does go low passes through."""
ZONED = "ISO 8601 with an offset, e.g. 2026-06-01T12:00:00+09:00"


class MeterColumn(Part):
    """Where a column stands in the file."""

    column: str
    """Name in the header."""
    unit: str | None = None
    """W, kW or MW, for powers; none for others."""
    reversed: bool = False
    """Whether the file counts the other way round than ebplan: feeding in, or charging, is > 0."""


class MeterMap(Part):
    """How a meter file is to be read."""

    time: str
    """Column of the time stamps: ISO 8601 with offset, or numbers."""
    stamp: Literal["beginning", "end"]
    """Which end of its interval a stamp names."""
    time_unit: Literal["ms", "s", "min", "h"] = "s"
    """Unit of times that are numbers."""
    start: Timestamp | None = None
    """Time 0, where times are numbers."""
    interval_s: Positive | None = None
    """Length of an interval; the most frequent step of the stamps where absent."""
    measurement_point: MeasurementPoint = "connection_point"
    """Where powers are seen."""
    columns: dict[str, MeterColumn]
    """``grid_kw``; ``battery_kw``, ``pool.NAME`` and others where they were measured."""

    @model_validator(mode="after")
    def _with_a_meter(self) -> MeterMap:
        if GRID not in self.columns:
            raise FieldFault(
                field=f"columns.{GRID}",
                value=None,
                allowed="the meter at the grid",
                remedy=f'add  {GRID} = {{ column = "...", unit = "kW" }}',
            )
        for name, column in self.columns.items():
            units = tuple(POWER) if is_power(name) else ()
            if column.unit is not None and column.unit not in units:
                raise FieldFault(
                    field=f"columns.{name}.unit",
                    value=column.unit,
                    allowed=", ".join(units) or f"none: only {GRID}, {BATTERY} and {POOL}* have it",
                    remedy="correct the unit, or the name of the column",
                )
        return self


def is_power(name: str) -> bool:
    """Whether a column of a series is a power in kW."""
    return name in (GRID, BATTERY) or name.startswith(POOL)


def read_map(path: Path) -> MeterMap:
    """Read a map from a TOML file.

    Raises:
        InputError: the file cannot be read, or says what no map says.
    """
    return MeterMap.parse(read_toml(path), file=str(path))


def read_meter(
    path: Path,
    columns: MeterMap | None = None,
    *,
    start: datetime | None = None,
    simulated: bool = False,
) -> MeterSeries:
    """Read a meter series.

    Without a map the file has ebplan's own header: ``begins_at`` or ``ends_at`` (ISO 8601 with
    offset), or ``begins_s`` or ``ends_s`` (seconds since ``start``); ``grid_kw``; further columns
    that are read under their own names.

    Args:
        path: CSV or Parquet file.
        columns: what stands where.
        start: time 0, where times are seconds and no map says it; of no use to time stamps.
        simulated: whether a plant of the bench was measured.

    Raises:
        InputError: the file cannot be read, does not fit its map, or holds no usable series.
    """
    mapped = columns or _own_header(path, start)
    table = read_columns(path, [mapped.time, *(c.column for c in mapped.columns.values())])
    at, first = _stamps(table, mapped)
    lines = np.array([row.line for row in table.rows])
    values = {name: _numbers(table, name, c) for name, c in mapped.columns.items()}
    _check_order(table, at, lines)
    interval_s = mapped.interval_s or _usual_step(table, at)
    keep, excluded = _usable(table, at, values, lines)
    slots = _slots(table, at[keep], interval_s, lines[keep])
    begins_s = at[keep][0] - (interval_s if mapped.stamp == "end" else 0.0)
    return MeterSeries(
        start=first + timedelta(seconds=float(begins_s)),
        interval_s=interval_s,
        time_s=(slots - slots[0]) * interval_s,
        values={name: value[keep] for name, value in values.items()},
        measurement_point=mapped.measurement_point,
        file=path.name,
        sha256=table.sha256,
        simulated=simulated,
        excluded=excluded,
    )


def _own_header(path: Path, start: datetime | None) -> MeterMap:
    """Return the map of a file with ebplan's own header."""
    header = tuple(read_columns(path, []).rows[0].cells)
    times = [name for name in ("begins_at", "ends_at", "begins_s", "ends_s") if name in header]
    if len(times) != 1 or GRID not in header:
        raise InputError(
            field="line 1",
            value=",".join(header),
            allowed=f"{GRID} and one of begins_at, ends_at, begins_s, ends_s",
            remedy="say in a map what stands where: --map MAP.toml",
            file=path.name,
        )
    if times[0].endswith("_s") and start is None:
        raise InputError(
            field=times[0],
            value="seconds",
            allowed="seconds since a time that is given",
            remedy="give it: --start, or start in the map",
            file=path.name,
        )
    return MeterMap(
        time=times[0],
        stamp="beginning" if times[0].startswith("begins") else "end",
        start=start if times[0].endswith("_s") else None,
        columns={name: MeterColumn(column=name) for name in header if name != times[0]},
    )


def _stamps(table: Table, mapped: MeterMap) -> tuple[FloatArray, datetime]:
    """Return the stamps in seconds since a time, shape (rows,), and that time."""
    cells = [row.cells[mapped.time] for row in table.rows]
    if mapped.start is not None:
        numbers = np.array([_number(cell) for cell in cells]) * TIME[mapped.time_unit]
        if not np.isfinite(numbers).all():
            bad = table.rows[int((~np.isfinite(numbers)).argmax())]
            cell = bad.cells[mapped.time]
            raise bad.fault(mapped.time, cell, "a number, for there is a start", "correct the cell")
        return numbers, mapped.start
    moments = []
    for row, cell in zip(table.rows, cells, strict=True):
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError:
            raise row.fault(mapped.time, cell, ZONED, "correct it, or give start") from None
        if moment.utcoffset() is None:
            remedy = "add the offset: a wall clock alone has an hour twice when it is put back"
            raise row.fault(mapped.time, cell, ZONED, remedy)
        moments.append(moment)
    return np.array([(moment - moments[0]).total_seconds() for moment in moments]), moments[0]


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return nan
    return value if isfinite(value) else nan


def _numbers(table: Table, name: str, column: MeterColumn) -> FloatArray:
    """Return a column, shape (rows,); NaN where a cell is empty or no number."""
    factor = POWER[column.unit or "kW"] if is_power(name) else 1.0
    raw = np.array([_number(row.cells[column.column]) for row in table.rows])
    return np.asarray(raw * (-factor if column.reversed else factor))


def _usual_step(table: Table, at: FloatArray) -> float:
    """Return the most frequent step of the stamps in s."""
    steps = np.round(np.diff(at), 6)
    steps = steps[steps > 0.0]
    if not len(steps):
        raise InputError(
            field="interval_s",
            value=f"{len(at)} row(s)",
            allowed="two times or more that tell the interval",
            remedy="give interval_s in the map",
            file=table.name,
        )
    found, count = np.unique(steps, return_counts=True)
    return float(found[count.argmax()])


def _check_order(table: Table, at: FloatArray, lines: NDArray[np.intp]) -> None:
    back = np.diff(at) < 0.0
    if back.any():
        i = int(back.argmax())
        raise InputError(
            field=f"line {lines[i + 1]}.time",
            value=f"{at[i] - at[i + 1]:g} s before the line above",
            allowed="times that rise",
            remedy="sort the rows; where a clock was put back, correct the offsets",
            file=table.name,
        )


def _usable(
    table: Table, at: FloatArray, values: Mapping[str, FloatArray], lines: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], tuple[Excluded, ...]]:
    """Return which rows are used, shape (rows,), and the others with their reasons."""
    keep = np.ones(len(at), dtype=bool)
    excluded: list[Excluded] = []

    def leave_out(bad: NDArray[np.bool_], reason: str) -> None:
        out = (f"line {line}" for line in lines[bad & keep])
        excluded.extend(Excluded(run=line, weight=0.0, reason=reason) for line in out)
        keep[bad] = False

    for name, value in values.items():
        leave_out(np.isnan(value), f"{name} is no number")
    for name, value in values.items():
        if is_power(name) and keep.sum() > 2:
            slipped, median = _slips(value, keep)
            leave_out(slipped, f"{name} is 1,000 times off its median, {median:.4g} kW: a unit?")
    leave_out(_repeats(table, at, values, keep, lines), "repeats the line above")
    if len(excluded) > MOST_EXCLUDED * len(at):
        raise InputError(
            field="(rows)",
            value=f"{len(excluded)} of {len(at)} left out, the last because {excluded[-1].reason}",
            allowed=f"at most {MOST_EXCLUDED:.0%}",
            remedy="correct the file: with so much left out nothing is settled",
            file=table.name,
        )
    return keep, tuple(excluded)


def _slips(value: FloatArray, keep: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
    """Return which readings are a thousand times off, shape (rows,), and their median."""
    size = np.abs(np.where(keep, value, 0.0))
    median = float(np.median(size[keep]))
    if median == 0.0:
        return np.zeros(len(size), dtype=bool), median
    ratio, (low, high) = size / median, THOUSAND_BAND
    between = keep & (ratio > 1.0 / low) & (ratio < GULF)
    small = (ratio < 1.0 / low) & (ratio > 1.0 / high) & (not between.any())
    return np.asarray(keep & (((ratio > low) & (ratio < high)) | small)), median


def _repeats(
    table: Table,
    at: FloatArray,
    values: Mapping[str, FloatArray],
    keep: NDArray[np.bool_],
    lines: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Return which rows repeat time and readings of the one before, shape (rows,)."""
    used = np.flatnonzero(keep)
    repeats = np.zeros(len(at), dtype=bool)
    for before, i in pairwise(used.tolist()):
        if at[i] != at[before]:
            continue
        for name, value in values.items():
            if value[i] != value[before]:
                raise InputError(
                    field=f"line {lines[i]}.{name}",
                    value=f"{value[i]:g} at the time at which line {lines[before]} "
                    f"has {value[before]:g}",
                    allowed="one reading at a time",
                    remedy="remove the wrong one; where a clock was put back, correct the offsets",
                    file=table.name,
                )
        repeats[i] = True
    return repeats


def _slots(
    table: Table, at: FloatArray, interval_s: float, lines: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the number of each row's interval, shape (rows,)."""
    exact = (at - at[0]) / interval_s
    slots = np.round(exact)
    off = np.abs(exact - slots) > OFF_CLOCK
    same = np.r_[False, np.diff(slots) < 1.0]
    if off.any() or same.any():
        i = int((off | same).argmax())
        raise InputError(
            field=f"line {lines[i]}.time",
            value=f"{at[i] - at[i - 1]:g} s after the line above",
            allowed=f"whole intervals of {interval_s:g} s",
            remedy="give interval_s in the map, or means over one interval",
            file=table.name,
        )
    return np.asarray(slots)
