"""``ebplan fit``: a small TOML file says what to fit and where the quantities stand in a table.

kind = "fit"
fit = "serving"                     # what is fitted: a name of FITS
data = "runs.csv"                   # CSV or Parquet, beside this file
source = "our own cluster, June 2026"
measurement_point = "gpu"           # gpu, node, ac or connection_point

[columns]                           # quantity = column, with its unit where it is not ours
power = { column = "avg_power_w", unit = "W" }
concurrency = "batch"

[options]                           # what the table cannot say
name = "my-fleet"
title = "Our fleet"

A fit of ``COMPOSED`` reads no table, but artefacts that were fitted before: its file has options
only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from ebplan.document import Document, Part, read_data
from ebplan.errors import InputError
from ebplan.models.fit.battery_cycles import fit_battery_cycles
from ebplan.models.fit.battery_efficiency import BatteryOptions
from ebplan.models.fit.battery_series import fit_battery_series
from ebplan.models.fit.battery_wear import ARTEFACTS, WearOptions, compose_wear
from ebplan.models.fit.calendar_ageing import CalendarOptions, fit_calendar_ageing
from ebplan.models.fit.cap_sweep import CapSweepOptions, fit_cap_sweep
from ebplan.models.fit.clock_table import ClockTableOptions, fit_clock_table
from ebplan.models.fit.cycle_ageing import CycleOptions, fit_cycle_ageing
from ebplan.models.fit.losses import LossOptions, fit_losses
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.named import beside
from ebplan.models.fit.planned_fleet import FleetOptions, fit_fleet
from ebplan.models.fit.precision import PrecisionOptions, fit_precision
from ebplan.models.fit.quantities import LABELS, QUANTITIES
from ebplan.models.fit.ramp import RampOptions
from ebplan.models.fit.ramp_table import fit_ramp
from ebplan.models.fit.reading import Cell, Column, read_measurements
from ebplan.models.fit.serving import ServingOptions, fit_serving
from ebplan.models.fit.standby import StandbyOptions, fit_standby
from ebplan.models.library import Artefact
from ebplan.nearest import meant
from ebplan.site import MEASUREMENT_POINTS, MeasurementPoint


class Fit(NamedTuple):
    """One thing that can be fitted."""

    options: type[Part]
    """What its table cannot say."""
    run: Callable[[Measurements, Any], Artefact]
    """Makes the artefact."""
    what: str
    """What comes out, in words."""
    columns: tuple[str, ...]
    """Quantities and labels that it reads."""
    points: tuple[MeasurementPoint, ...] = MEASUREMENT_POINTS
    """Where its powers may be metered."""
    artefacts: tuple[str, ...] = ()
    """Options that name an artefact, by name or file."""


class Composition(NamedTuple):
    """One thing that is put together from artefacts, without a table."""

    options: type[Part]
    """The artefacts, and what they do not say."""
    run: Callable[[Any], Artefact]
    """Makes the artefact."""
    what: str
    """What comes out, in words."""
    artefacts: tuple[str, ...]
    """Options that name an artefact, by name or file."""


BATTERY_POINTS: tuple[MeasurementPoint, ...] = ("ac", "connection_point")
"""A battery stands behind its converter: no GPU and no node meters it."""


SERVING = (
    "concurrency", "power", "throughput", "itl", "ttft", "tokens_out", "tokens_in", "configuration",
)  # fmt: skip
SWEEP = ("cap", "clock", "power", "throughput", "gpus", "workload")
FITS = {
    "serving": Fit(
        ServingOptions, fit_serving, "power, throughput and latency against load", SERVING
    ),
    "fleet": Fit(
        FleetOptions, fit_fleet, "the same of one configuration, as the planner uses it", SERVING
    ),
    "caps": Fit(CapSweepOptions, fit_cap_sweep, "throughput and power under power caps", SWEEP),
    "clocks": Fit(
        ClockTableOptions, fit_clock_table, "throughput and power under locked clocks", SWEEP
    ),
    "precision": Fit(
        PrecisionOptions,
        fit_precision,
        "a lower precision against the base one",
        ("concurrency", "power", "throughput", "gpus", "precision"),
    ),
    "ramp": Fit(
        RampOptions,
        fit_ramp,
        "delay and time constants, down and up apart",
        ("time", "power", "command"),
    ),
    "standby": Fit(
        StandbyOptions,
        fit_standby,
        "power idle, loaded idle and asleep",
        ("power", "gpus", "mode"),
    ),
    "losses": Fit(
        LossOptions,
        fit_losses,
        "losses between two measurement points",
        ("time", "inner_power", "outer_power", "power", "meter"),
    ),
    "battery_series": Fit(
        BatteryOptions,
        fit_battery_series,
        "battery energy and losses, series",
        ("time", "battery_power", "soc"),
        BATTERY_POINTS,
    ),
    "battery_cycles": Fit(
        BatteryOptions,
        fit_battery_cycles,
        "battery energy and losses, cycles",
        ("energy_in", "energy_out", "depth", "power"),
        BATTERY_POINTS,
    ),
    "calendar_ageing": Fit(
        CalendarOptions,
        fit_calendar_ageing,
        "capacity lost at rest",
        ("temperature", "soc", "elapsed", "capacity", "condition"),
        BATTERY_POINTS,
    ),
    "cycle_ageing": Fit(
        CycleOptions,
        fit_cycle_ageing,
        "capacity lost by cycling",
        (
            "c_rate",
            "depth",
            "full_cycles",
            "capacity",
            "temperature",
            "soc",
            "elapsed",
            "condition",
        ),
        BATTERY_POINTS,
        ("calendar",),
    ),
}
"""What ``ebplan fit`` fits to a table, by name."""
COMPOSED = {
    "wear": Composition(
        WearOptions, compose_wear, "wear of a battery from both kinds of ageing", ARTEFACTS
    ),
}
"""What ``ebplan fit`` puts together from artefacts, by name."""


class ColumnSpec(Part):
    """Where a quantity stands."""

    column: str
    """Name in the header."""
    unit: str | None = None
    """Its unit; ebplan's own where absent."""


class FitSpec(Document):
    """What to fit."""

    kind: Literal["fit"] = "fit"
    """Document kind."""
    fit: str
    """What is fitted."""
    data: str
    """CSV or Parquet file, relative to this one."""
    source: str = Field(min_length=1)
    """Who measured."""
    measurement_point: MeasurementPoint
    """Where powers are metered."""
    measurement_note: str = ""
    """How sure that is."""
    columns: dict[str, ColumnSpec | str] = Field(min_length=1)
    """Where each quantity stands: a column, or a column and its unit."""
    delimiter: Literal[",", ";", "\t"] = ","
    """What stands between the cells of a CSV file."""
    where: dict[str, Cell | tuple[Cell, ...]] = Field(default_factory=dict)
    """Rows to read: a cell (text, a number, true or false), or several, by column; every row where
    absent."""
    options: dict[str, Any]
    """What the table cannot say; what is allowed depends on ``fit``."""


class ComposeSpec(Document):
    """What to put together from artefacts."""

    kind: Literal["fit"] = "fit"
    """Document kind."""
    fit: str
    """What is put together."""
    options: dict[str, Any]
    """The artefacts, and what they do not say; what is allowed depends on ``fit``."""


def run_spec(path: Path, *, data: Path | None = None) -> Artefact:
    """Fit what a file says.

    Args:
        path: the file (TOML or JSON).
        data: another table than the file names.

    Raises:
        InputError: file, table or options are wrong, or the table does not determine the model.
    """
    said = read_data(path)
    try:
        _check_name(said)
        composed = said.get("fit") in COMPOSED
        return _compose(said, path, data) if composed else _fit(said, path, data)
    except InputError as error:
        raise error.in_file(str(path)) from None


def _check_name(said: dict[str, Any]) -> None:
    """Refuse an unknown fit first: which fields a spec has depends on it."""
    names = (*FITS, *COMPOSED)
    if "fit" in said and said["fit"] not in names:
        raise InputError(
            field="fit",
            value=said["fit"],
            allowed=", ".join(names),
            remedy=meant(said["fit"], names) or "choose one of these",
        )


def _compose(said: dict[str, Any], path: Path, data: Path | None) -> Artefact:
    spec = ComposeSpec.parse(said, file=str(path))
    if data is not None:
        raise InputError(
            field="--data",
            value=str(data),
            allowed=f"none: fit = {spec.fit!r} reads artefacts and no table",
            remedy="leave it out",
        )
    made = COMPOSED[spec.fit]
    options = beside(spec.options, made.artefacts, path.parent)
    return made.run(made.options.parse(options, file=str(path), at="options"))


def _fit(said: dict[str, Any], path: Path, data: Path | None) -> Artefact:
    spec = FitSpec.parse(said, file=str(path))
    fit = FITS[spec.fit]
    options = fit.options.parse(
        beside(spec.options, fit.artefacts, path.parent), file=str(path), at="options"
    )
    _check_point(spec, fit, str(path))
    _check_columns(spec, fit, str(path))
    columns = {
        name: Column(c) if isinstance(c, str) else Column(c.column, c.unit)
        for name, c in spec.columns.items()
    }
    _check_sources(columns, str(path))
    measured = read_measurements(
        data or path.parent / spec.data,
        columns,
        source=spec.source,
        measurement_point=spec.measurement_point,
        measurement_note=spec.measurement_note,
        only={c: w if isinstance(w, tuple) else (w,) for c, w in spec.where.items()},
        delimiter=spec.delimiter,
    )
    try:
        return fit.run(measured, options)
    except InputError as error:
        # what is said of an option stands in the spec, whatever file the error names
        if error.field.startswith("options") or error.field == "measurement_point":
            error.file = str(path)
        raise error.in_file(measured.file) from None


def _check_columns(spec: FitSpec, fit: Fit, file: str) -> None:
    """Refuse what the fit does not read: it would be ignored, and nobody would know."""
    for name in spec.columns:
        if name not in fit.columns:
            raise InputError(
                field=f"columns.{name}",
                value=name,
                allowed=f"what fit = {spec.fit!r} reads: {', '.join(fit.columns)}",
                remedy=_about_column(name, fit),
                file=file,
            )


def _about_column(name: str, fit: Fit) -> str:
    """Say what to do about a name that a fit does not read."""
    if name in (*QUANTITIES, *LABELS):
        readers = [other for other, one in FITS.items() if name in one.columns]
        others = f"; read by fit = {', '.join(map(repr, readers))}" if readers else ""
        return f"remove the line: nothing is fitted to it here{others}"
    return meant(name, fit.columns, most=1) or "choose one of these, or remove the line"


def _check_sources(columns: Mapping[str, Column], file: str) -> None:
    """Refuse one column for two quantities: one of them is then not what was measured."""
    first: dict[str, str] = {}
    for name, column in columns.items():
        if name in QUANTITIES and first.setdefault(column.column, name) != name:
            raise InputError(
                field=f"columns.{name}",
                value=column.column,
                allowed=f"a column of its own: {first[column.column]} is read from this one",
                remedy="correct one of the two",
                file=file,
            )


def _check_point(spec: FitSpec, fit: Fit, file: str) -> None:
    """Refuse a measurement point at which nothing of what is fitted can be metered."""
    if spec.measurement_point not in fit.points:
        raise InputError(
            field="measurement_point",
            value=spec.measurement_point,
            allowed=f"{', '.join(fit.points)} where fit = {spec.fit!r}",
            remedy="say where the meter is that the table was read from",
            file=file,
        )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, and that of the options by what is fitted."""
    options = {name: made.options.model_json_schema() for name, made in (FITS | COMPOSED).items()}
    specs = TypeAdapter(FitSpec | ComposeSpec).json_schema()
    return {**specs, "x-options-by-fit": options}
