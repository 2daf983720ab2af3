"""The door of a fit: tidy CSV or Parquet, and a column mapping.

A fault of the whole table (a column that is missing, time that runs backwards, a unit that cannot
be) is an error. A fault of a row (no number, a negative power, a value a thousand times its
neighbours') takes the row out, by line and with the reason, and goes onto the model's card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite, nan
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Excluded
from ebplan.models.curves import FloatArray
from ebplan.models.fit.bad_rows import checked
from ebplan.models.fit.columnar import read_columns
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.quantities import QUANTITIES
from ebplan.models.fit.table import Table
from ebplan.site import MeasurementPoint

MOST_TOLD = 8
"""Cells of a column that an error lists."""

Cell: TypeAlias = str | int | float | bool
"""What a cell may be compared with."""


@dataclass(frozen=True)
class Column:
    """Where a quantity stands in a table."""

    column: str
    """Name in the header."""
    unit: str | None = None
    """Its unit there; ebplan's own where absent."""


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
    return checked(data)


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
