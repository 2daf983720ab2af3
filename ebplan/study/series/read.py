"""A column of a file becomes numbers on the study's steps, and a report of what was found.

Values are means over the file's steps. Onto longer steps they are averaged over time, onto shorter
ones held: energy is conserved either way.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ebplan.errors import InputError
from ebplan.models.fit.columnar import read_columns
from ebplan.models.fit.table import Table, parse_table
from ebplan.solvers.program import FloatArray
from ebplan.study.series.declared import TimedFile
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.stamps import iso, utc_seconds
from ebplan.study.series.wanted import Grid, Wanted, caps, check_size, factor

NO_NUMBER = ("", "-", "na", "n/a", "nan", "null", "none")
"""What stands in a cell that has no number; any other text is an error."""


@dataclass(frozen=True)
class OnTheClock:
    """The file's own steps that touch the period."""

    values: FloatArray
    """NaN where there is none, shape (n,)."""
    first_s: float
    """Beginning of the first one, seconds since 1970."""
    repeated: int
    """Rows left out."""


def read_series(
    declared: TimedFile, folder: Path, grid: Grid, wanted: Wanted
) -> tuple[FloatArray, SeriesReport]:
    """Return the values of each step of the study, shape (T,), and the report.

    Args:
        declared: where the series stands and how it is written.
        folder: where the study lies.
        grid: the steps of the study.
        wanted: what the values shall be.

    Raises:
        InputError: the file cannot be read, does not cover the period, or cannot be what is wanted;
            one line says which row and what to do.
    """
    path = folder / declared.file
    name = str(path)
    table, digest = load_table(path, _columns(declared), declared.encoding)
    to_study = factor(declared.unit, wanted, grid.step_s, name)
    at, ambiguous = utc_seconds(table, declared)
    raw, not_numbers = _numbers(table, declared)
    found = _on_the_clock(table, declared, at, raw, grid, name)
    values, filled = _filled(found, declared, wanted, name)
    values = values * to_study
    check_size(values, declared.unit, wanted, name)
    values, clipped = _capped(values, found.first_s, declared, wanted, grid, name)
    if declared.negative == "refuse" and (values < 0.0).any():
        i = int((values < 0.0).argmax())
        raise InputError(
            field=wanted.field,
            value=f"{values[i]:g} at {iso(found.first_s + i * declared.step_s)}",
            allowed=">= 0, as declared",
            remedy='correct the row, or declare  negative = "allow"',
            file=name,
        )
    short, long = _odd_days(grid, declared.time_zone)
    on_grid = resampled(values, found.first_s, declared.step_s, grid)
    return on_grid, SeriesReport(
        field=wanted.field,
        file=declared.file,
        column=declared.column,
        sha256=digest,
        unit=declared.unit,
        factor=to_study,
        rows=len(table.rows),
        used=len(values),
        first=iso(float(at[0])),
        last=iso(float(at[-1])),
        filled=filled,
        gap_rule=declared.gaps,
        not_numbers=not_numbers,
        repeated=found.repeated,
        ambiguous=ambiguous,
        short_days=short,
        long_days=long,
        negative=int((on_grid < 0.0).sum()),
        clipped=clipped,
        lowest=float(on_grid.min()),
        mean=float(on_grid.mean()),
        highest=float(on_grid.max()),
    )


def load_table(path: Path, columns: list[str], encoding: str = "utf-8") -> tuple[Table, str]:
    """Return a table of a CSV, CSV.gz or Parquet file, and the digest of the file.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if path.suffix.lower() in (".parquet", ".pq"):
            return read_columns(path, columns), digest
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            field="(file)",
            value=getattr(error, "strerror", None) or str(error),
            allowed=f"a readable CSV ({encoding}), CSV.gz or Parquet file",
            remedy="check the path, and the encoding (Japanese files often are cp932)",
            file=str(path),
        ) from None
    return parse_table(text, columns, file=str(path)), digest


def resampled(values: FloatArray, first_s: float, step_s: float, grid: Grid) -> FloatArray:
    """Return time means over the study's steps, shape (T,).

    Args:
        values: means over the file's steps, shape (n,); they cover the period.
        first_s: beginning of the first one, seconds since 1970.
        step_s: length of the file's steps.
        grid: steps of the study.
    """
    edges = first_s + step_s * np.arange(len(values) + 1.0)
    summed = np.r_[0.0, np.cumsum(values * step_s)]
    # from the beginning of the file on: near 1970 seconds keep their last digits
    wanted = grid.start.timestamp() + grid.step_s * np.arange(grid.steps + 1.0)
    return np.asarray(np.diff(np.interp(wanted - first_s, edges - first_s, summed)) / grid.step_s)


def _columns(declared: TimedFile) -> list[str]:
    slot = [] if declared.slot is None else [declared.slot]
    return sorted({declared.time, declared.column, *slot})


def _numbers(table: Table, declared: TimedFile) -> tuple[FloatArray, int]:
    """Return the values, NaN where a cell has none, and how many have none."""
    values = np.empty(len(table.rows))
    for i, row in enumerate(table.rows):
        cell = row.cells[declared.column]
        if cell.lower() in NO_NUMBER:
            values[i] = np.nan
            continue
        try:
            values[i] = float(cell)
        except ValueError:
            values[i] = np.inf
        if not np.isfinite(values[i]):
            remedy = "correct the cell; leave it empty where there is no value"
            raise row.fault(declared.column, cell, "a finite number", remedy)
    return values, int(np.isnan(values).sum())


def _on_the_clock(
    table: Table, declared: TimedFile, at: FloatArray, raw: FloatArray, grid: Grid, file: str
) -> OnTheClock:
    """Put the rows onto the file's own steps within the period."""
    step, keep = declared.step_s, np.ones(len(at), dtype=bool)
    for i in np.flatnonzero(np.diff(at) <= 0.0) + 1:
        row, same = table.rows[i], at[i] == at[i - 1]
        if same and (raw[i] == raw[i - 1] or np.isnan([raw[i], raw[i - 1]]).all()):
            keep[i] = False
            continue
        allowed = "one value a step" if same else "times that rise"
        remedy = "sort the file by time; is the zone right?"
        if same:
            remedy = "remove the wrong one; an hour put back needs offsets, or rows in order"
        raise row.fault(declared.time, row.cells[declared.time], allowed, remedy)
    begins, ends = grid.start.timestamp(), grid.start.timestamp() + grid.steps * grid.step_s
    phase = (at - at[0]) % step
    if (phase != 0.0).any():
        row = table.rows[int((phase != 0.0).argmax())]
        allowed = f"whole steps of {step} s after the first row"
        raise row.fault(declared.time, row.cells[declared.time], allowed, "correct step_s")
    if at[-1] + step <= begins or at[0] >= ends:
        raise InputError(
            field="(time)",
            value=f"{iso(float(at[0]))} to {iso(float(at[-1] + step))}",
            allowed=f"the period {iso(begins)} to {iso(ends)}",
            remedy="bring the file of these years, or change the period",
            file=file,
        )
    first = at[0] + step * np.floor((begins - at[0]) / step)
    values = np.full(int(np.ceil((ends - first) / step)), np.nan)
    slots = np.round((at - first) / step).astype(int)
    inside = keep & (slots >= 0) & (slots < len(values))
    values[slots[inside]] = raw[inside]
    return OnTheClock(values, float(first), int((~keep).sum()))


def _filled(
    found: OnTheClock, declared: TimedFile, wanted: Wanted, file: str
) -> tuple[FloatArray, int]:
    """Return values without gaps, and how many were filled."""
    values = found.values
    missing = np.isnan(values)
    count = int(missing.sum())
    if not count:
        return values, 0
    first = found.first_s + declared.step_s * int(missing.argmax())
    days = {iso(found.first_s + declared.step_s * int(i))[5:10] for i in np.flatnonzero(missing)}
    if declared.gaps == "refuse" or count > declared.most_gaps * len(values):
        remedy = 'bring them, or declare  gaps = "hold"  or  gaps = "linear"'
        if declared.gaps != "refuse":
            remedy = f"bring them, or raise most_gaps: {declared.most_gaps:.2%} may be filled"
        if "02-29" in days and days <= {"02-28", "02-29"}:
            remedy += " (29 February is missing: is the file of another year?)"
        raise InputError(
            field=wanted.field,
            value=f"{count} of {len(values)} steps missing, the first at {iso(first)}",
            allowed="a number for each step of the period",
            remedy=remedy,
            file=file,
        )
    known = np.flatnonzero(~missing)
    where = np.arange(len(values))
    if declared.gaps == "linear":
        return np.asarray(np.interp(where, known, values[known])), count
    last = np.maximum.accumulate(np.where(missing, known[0], where))
    return np.asarray(values[last]), count


def _capped(
    values: FloatArray,
    first_s: float,
    declared: TimedFile,
    wanted: Wanted,
    grid: Grid,
    file: str,
) -> tuple[FloatArray, int]:
    """Return values no higher than the cap of their day, and how many were set to it."""
    zone = grid.start.tzinfo
    first = grid.start + timedelta(seconds=first_s - grid.start.timestamp())
    starts = [
        (first + timedelta(seconds=i * declared.step_s)).astimezone(zone)
        for i in range(len(values) if wanted.cap else 0)
    ]
    if not starts:
        return values, 0
    most = caps(wanted, starts, grid.step_s, file)
    above = values > most * (1.0 + 1e-9)
    if above.any() and declared.above_cap == "refuse":
        i = int(above.argmax())
        halved = (
            ""
            if (values[above] / 2.0 > most[above]).any()
            else ("; half of it would be allowed: is the file per hour, not per 30 min?")
        )
        raise InputError(
            field=wanted.field,
            value=f"{int(above.sum())} prices above the cap, the first {values[i]:g} at "
            f"{starts[i].isoformat()}",
            allowed=f"<= {most[i]:g} {wanted.currency} for a kW and step on that day",
            remedy=f'correct the unit, or declare  above_cap = "clip"{halved}',
            file=file,
        )
    return np.minimum(values, most), int(above.sum())


def _odd_days(grid: Grid, time_zone: str) -> tuple[int, int]:
    """Return how many days of the period have an hour less, and how many one more."""
    zone = ZoneInfo(time_zone)
    first = grid.start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = int(np.ceil(grid.steps * grid.step_s / 86_400))
    midnights = [(first + timedelta(days=i)).timestamp() for i in range(days + 1)]
    hours = np.diff(midnights) / 3600.0
    return int((hours < 24.0).sum()), int((hours > 24.0).sum())
