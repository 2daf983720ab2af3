"""Every kind of series of a study as an array over its steps."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import numpy as np

from ebplan.document import read_text
from ebplan.errors import InputError
from ebplan.solvers.program import FloatArray
from ebplan.study.series.declared import SyntheticSeries, TimedFile
from ebplan.study.series.made import read_synthetic
from ebplan.study.series.read import read_series
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.wanted import Grid, Wanted, check_size
from ebplan.study.spec import FileSeries, FrequencyTrace, Profile, Series
from ebplan.study.stated import Assumed


def resolve(
    series: Series, grid: Grid, folder: Path, wanted: Wanted, reports: list[SeriesReport]
) -> FloatArray:
    """Return a series of shape (T,).

    Args:
        series: as stated.
        grid: the steps of the study.
        folder: where the study lies.
        wanted: what the values shall be.
        reports: gets what was found in a file with times, or in a made-up year.

    Raises:
        InputError: the file is missing, lacks the column, or has not one finite number a step.
    """
    if isinstance(series, TimedFile | SyntheticSeries):
        if isinstance(series, TimedFile):
            values, report = read_series(series, folder, grid, wanted)
        else:
            values, report = read_synthetic(series, grid, wanted)
        reports.append(report)
        return values
    values = _bare(series, grid, folder, wanted)
    check_size(values, "none declared", wanted, None)
    return values


def _bare(series: Series, grid: Grid, folder: Path, wanted: Wanted) -> FloatArray:
    """Return a series that has no unit: it is in those of the study."""
    steps, steps_per_day = grid.steps, 86_400 // grid.step_s
    if isinstance(series, FrequencyTrace):
        raise InputError(
            field=wanted.field,
            value=series.frequency,
            allowed="any series but a frequency, which calls a share of an award",
            remedy="give the frequency to activation_share of a product",
        )
    if isinstance(series, Assumed):
        return np.full(steps, series.value)
    if isinstance(series, float | int):
        return np.full(steps, float(series))
    if isinstance(series, Profile):
        day = np.repeat(series.by_hour, steps_per_day // 24)
        return np.asarray(np.tile(day, steps // steps_per_day))
    assert isinstance(series, FileSeries)
    return _column(series, steps, folder, wanted.field)


def _column(series: FileSeries, steps: int, folder: Path, field: str) -> FloatArray:
    path = folder / series.file
    rows = list(csv.DictReader(StringIO(read_text(path))))
    if not rows or series.column not in rows[0]:
        raise InputError(
            field=field,
            value=series.column,
            allowed=", ".join(rows[0]) if rows else "a header and rows",
            remedy="name a column of the file",
            file=str(path),
        )
    if len(rows) < steps:
        raise InputError(
            field=field,
            value=f"{len(rows)} rows",
            allowed=f"{steps}, one for each step of the period",
            remedy="shorten the period, or bring more data",
            file=str(path),
        )
    values = np.empty(steps)
    for i, row in enumerate(rows[:steps]):
        try:
            values[i] = float(row[series.column])
        except (TypeError, ValueError):
            values[i] = np.nan
        if not np.isfinite(values[i]):
            raise InputError(
                field=f"line {i + 2}, {series.column}",
                value=row[series.column],
                allowed="a finite number",
                remedy="correct the row",
                file=str(path),
            )
    return values
