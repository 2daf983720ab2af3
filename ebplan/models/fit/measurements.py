"""The door of a fit: tidy CSV or Parquet, a column mapping, and what is wrong with the rows.

A fault of the whole table (a column that is missing, time that runs backwards, a unit that cannot
be) is an error. A fault of a row (no number, a negative power, a value a thousand times its
neighbours') takes the row out, by line and with the reason, and goes onto the model's card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from itertools import pairwise
from math import isfinite, nan
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Dataset, Excluded
from ebplan.models.curves import FloatArray
from ebplan.models.fit.columnar import read_columns
from ebplan.models.fit.quantities import QUANTITIES
from ebplan.models.fit.table import Table
from ebplan.site import MeasurementPoint

THOUSAND_BAND = (300.0, 3000.0)
"""A value this many times the median of its column, or this many times below it, is taken for a
slip of the unit by 1,000."""
MOST_EXCLUDED = 0.25
"""With a larger share of the rows left out, the table is refused."""
MOST_TOLD = 8
"""Cells of a column that an error lists."""
STUCK_S = 30.0
"""A power in a time series that keeps every digit for longer than this is a stuck sensor."""

Cell: TypeAlias = str | int | float | bool
"""What a cell may be compared with."""


@dataclass(frozen=True)
class Column:
    """Where a quantity stands in a table."""

    column: str
    """Name in the header."""
    unit: str | None = None
    """Its unit there; ebplan's own where absent."""


@dataclass(frozen=True)
class Measurements:
    """The rows of a table that passed the door, in ebplan's units."""

    file: str
    """File name, for errors and cards."""
    sha256: str
    """Digest of the file's content."""
    source: str
    """Who measured."""
    measurement_point: MeasurementPoint
    """Where powers are metered."""
    measurement_note: str
    """How sure that is."""
    values: Mapping[str, FloatArray]
    """Quantity by name (``quantities.QUANTITIES``), each of shape (rows,)."""
    labels: Mapping[str, NDArray[np.str_]]
    """Text columns by name, each of shape (rows,)."""
    lines: NDArray[np.intp]
    """Line of each row in the file, shape (rows,)."""
    excluded: tuple[Excluded, ...] = ()
    """Rows that were left out, named."""
    rows_read: int = 0
    """Rows of the file."""
    copies: int = 0
    """Rows left out as copies of others: nothing is wrong with a table because of them."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)

    def quantity(self, name: str) -> FloatArray:
        """Return a quantity, shape (rows,).

        Raises:
            InputError: the mapping does not say where it stands.
        """
        if name not in self.values:
            raise InputError(
                field=f"columns.{name}",
                value=None,
                allowed=f"the column that holds it; mapped are {', '.join(self.values)}",
                remedy=f'add  {name} = {{ column = "...", unit = "{QUANTITIES[name].unit}" }}',
                file=self.file,
            )
        return self.values[name]

    def label(self, name: str) -> NDArray[np.str_]:
        """Return a text column, shape (rows,).

        Raises:
            InputError: the mapping does not say where it stands.
        """
        if name not in self.labels:
            raise InputError(
                field=f"columns.{name}",
                value=None,
                allowed="the column that holds it",
                remedy=f'add  {name} = "..."',
                file=self.file,
            )
        return self.labels[name]

    def where(self, keep: NDArray[np.bool_]) -> Measurements:
        """Return the rows that ``keep`` (shape (rows,)) marks."""
        return replace(
            self,
            values={name: value[keep] for name, value in self.values.items()},
            labels={name: value[keep] for name, value in self.labels.items()},
            lines=self.lines[keep],
        )

    def without(self, out: NDArray[np.bool_], reason: str) -> Measurements:
        """Return the rows that ``out`` (shape (rows,)) does not mark, and name those it does."""
        named = tuple(
            Excluded(run=f"line {line}", weight=0.0, reason=reason) for line in self.lines[out]
        )
        kept = replace(self.where(~out), excluded=(*self.excluded, *named))
        bad, rows = len(kept.excluded) - self.copies, self.rows_read - self.copies
        if bad > MOST_EXCLUDED * rows:
            raise InputError(
                field="(rows)",
                value=f"{bad} of {rows} left out, the last because: {reason}",
                allowed=f"at most {MOST_EXCLUDED:.0%}",
                remedy="correct the table: with so much left out nothing is fitted",
                file=self.file,
            )
        return kept

    def dataset(self) -> Dataset:
        """Return the table's entry on a card."""
        return Dataset(
            name=Path(self.file).name,
            rows=self.rows_read,
            sha256=self.sha256,
            source=self.source,
        )


P = ParamSpec("P")
Made = TypeVar("Made")


def names_the_table(
    fit: Callable[Concatenate[Measurements, P], Made],
) -> Callable[Concatenate[Measurements, P], Made]:
    """Let a fit's errors name the file of its measurements, where they name none.

    What is wrong with an option does not stand in that file: the caller knows where it does.
    """

    @wraps(fit)
    def with_file(data: Measurements, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        try:
            return fit(data, *args, **kwargs)
        except InputError as error:
            if error.field.startswith("options."):
                raise
            raise error.in_file(data.file) from None

    return with_file


def read_measurements(
    path: Path,
    columns: Mapping[str, Column],
    *,
    source: str,
    measurement_point: MeasurementPoint,
    measurement_note: str = "",
    only: Mapping[str, Sequence[Cell]] | None = None,
    delimiter: str = ",",
) -> Measurements:
    """Read a table of measurements.

    Args:
        path: CSV or Parquet file.
        columns: where each quantity (a name of ``QUANTITIES``) or label (any other) stands.
        source: who measured.
        measurement_point: where powers are metered.
        measurement_note: how sure that is.
        only: cells by column that a row must have to be read; every row where absent.
        delimiter: what stands between the cells of a CSV file.

    Raises:
        InputError: the file cannot be read, a column or unit is unknown, time runs backwards or
            stands still, or more than a quarter of the rows had to be left out.
    """
    only = only or {}
    wanted = [*(column.column for column in columns.values()), *only]
    read = _only(read_columns(path, wanted, delimiter), only)
    # readings of a sensor repeat, and so do cycles of a battery; runs at a load do not
    table, copies = _without_copies(read) if "throughput" in columns else (read, ())
    values: dict[str, FloatArray] = {}
    labels: dict[str, NDArray[np.str_]] = {}
    for name, column in columns.items():
        if name == "time":
            values[name] = _times(table, column)
        elif name in QUANTITIES:
            values[name] = _numbers(table, name, column)
        else:
            labels[name] = np.array([row.cells[column.column] for row in table.rows], dtype=str)
    data = Measurements(
        file=path.name,
        sha256=table.sha256,
        source=source,
        measurement_point=measurement_point,
        measurement_note=measurement_note,
        values=values,
        labels=labels,
        lines=np.array([row.line for row in table.rows], dtype=np.intp),
        excluded=copies,
        rows_read=len(read.rows),
        copies=len(copies),
    )
    data = _without_impossible(data)
    if "time" in values:
        _check_times(data)
        data = _without_repeats(data)
    return _without_stuck(_without_thousands(data)) if "time" in values else _whole(data)


def _whole(data: Measurements) -> Measurements:
    """Check a table of steady runs."""
    data = _without_thousands(data)
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
    return data


def _only(table: Table, only: Mapping[str, Sequence[Cell]]) -> Table:
    """Return the rows that have one of the wanted cells in each column."""
    rows = table.rows
    for column, wanted in only.items():
        found = list(dict.fromkeys(row.cells[column] for row in rows))
        rows = tuple(row for row in rows if any(_is_cell(row.cells[column], w) for w in wanted))
        if not rows:
            raise InputError(
                field=f"where.{column}",
                value=", ".join(str(cell) for cell in wanted),
                allowed="a cell of the column: " + ", ".join(found[:MOST_TOLD]),
                remedy="correct the condition",
                file=table.name,
            )
    return replace(table, rows=rows)


def _is_cell(cell: str, wanted: Cell) -> bool:
    """Whether a cell is what is wanted: numbers by value, true and false however capitalised."""
    if isinstance(wanted, bool):
        return cell.lower() == str(wanted).lower()
    return cell == wanted if isinstance(wanted, str) else _number(cell) == wanted


def _without_copies(table: Table) -> tuple[Table, tuple[Excluded, ...]]:
    """Leave out rows that are the same as an earlier one in every column, mapped or not.

    Two runs do not agree in every digit of every column: the row was written twice. Taken for a
    second run it would count as evidence that nobody has, and narrow every interval.
    """
    first: dict[tuple[str | float, ...], int] = {}
    rows, copies = [], []
    for row in table.rows:
        key = tuple(_value(cell) for cell in row.cells.values())
        line = first.setdefault(key, row.line)
        if line == row.line:
            rows.append(row)
        else:
            reason = f"the same as line {line} in every column: no evidence of its own"
            copies.append(Excluded(run=f"line {row.line}", weight=0.0, reason=reason))
    return replace(table, rows=tuple(rows)), tuple(copies)


def _value(cell: str) -> str | float:
    """Return what a cell says, so that 400 and 400.0 are the same."""
    number = _number(cell)
    return cell if np.isnan(number) else number


def _numbers(table: Table, name: str, column: Column) -> FloatArray:
    """Return a column in ebplan's unit; NaN where a cell is empty or no number."""
    quantity = QUANTITIES[name]
    unit = column.unit or quantity.unit
    if unit not in quantity.factors:
        raise InputError(
            field=f"columns.{name}.unit",
            value=unit,
            allowed=", ".join(quantity.factors),
            remedy="give the unit of the column",
            file=table.name,
        )
    raw = np.array([_number(row.cells[column.column]) for row in table.rows])
    return np.asarray(raw * quantity.factors[unit] + quantity.offsets.get(unit, 0.0))


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return nan
    return value if isfinite(value) else nan


def _times(table: Table, column: Column) -> FloatArray:
    """Return times in s: of numbers in their unit, or of ISO time stamps from the first on."""
    first = table.rows[0].cells[column.column]
    if _number(first) == _number(first):
        return _numbers(table, "time", column)
    stamps = []
    for row in table.rows:
        cell = row.cells[column.column]
        try:
            stamps.append(datetime.fromisoformat(cell))
        except ValueError:
            raise row.fault(
                column.column, cell, "a number, or an ISO 8601 time stamp", "correct the cell"
            ) from None
    zoned = {stamp.tzinfo is not None for stamp in stamps}
    if len(zoned) > 1:
        raise InputError(
            field=f"columns.time ({column.column})",
            value="time stamps with and without an offset",
            allowed="one or the other throughout",
            remedy="give all of them their offset from UTC",
            file=table.name,
        )
    return np.array([(stamp - stamps[0]).total_seconds() for stamp in stamps])


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
    for name in ("power", "throughput", "itl", "ttft"):
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
