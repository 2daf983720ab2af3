"""A series of a made-up year, as if it had come from a file."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import numpy as np

from ebplan.errors import InputError
from ebplan.solvers.program import FloatArray
from ebplan.study.series.declared import SyntheticSeries
from ebplan.study.series.read import resampled
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.stamps import iso
from ebplan.study.series.wanted import Grid, Wanted, factor
from ebplan.study.synthetic import ABOUT, synthetic_year
from ebplan.study.synthetic.year import ZONE

BY_FIELD = {
    "market.spot_per_kwh": "spot",
    "market.imbalance_per_kwh": "imbalance",
    "market.carbon_kg_per_kwh": "carbon",
    "services.jp_fcr.price_per_kw": "fcr",
    "services.jp_composite.price_per_kw": "composite",
    "services.jp_rrfit.price_per_kw": "rrfit",
    "services.jp_capacity_dr.activation_share": "capacity_call",
}


def read_synthetic(
    declared: SyntheticSeries, grid: Grid, wanted: Wanted
) -> tuple[FloatArray, SeriesReport]:
    """Return the values of each step of the study, shape (T,), and the report.

    Raises:
        InputError: no series of the year is meant, or it cannot be what is wanted.
    """
    name = declared.series or BY_FIELD.get(wanted.field)
    if name is None and wanted.field.endswith(".load.share"):
        name = "llm_load"
    if name not in ABOUT:
        raise InputError(
            field=f"{wanted.field}.series",
            value=name,
            allowed=", ".join(ABOUT),
            remedy="name the series of the made-up year",
        )
    end = grid.start + timedelta(seconds=grid.steps * grid.step_s)
    first = grid.start.astimezone(ZONE).date()
    last = (end - timedelta(seconds=1)).astimezone(ZONE).date() + timedelta(days=1)
    year = synthetic_year(first, last, declared.seed, declared.source.removeprefix("synthetic:"))
    unit = ABOUT[name][0]
    to_study = factor(unit, wanted, grid.step_s, declared.source)
    values = year.series[name]
    on_grid = to_study * resampled(values, year.start.timestamp(), year.step_s, grid)
    return on_grid, SeriesReport(
        field=wanted.field,
        file=f"{declared.source}, seed {declared.seed}",
        column=name,
        sha256=hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest(),
        unit=unit,
        factor=to_study,
        rows=len(values),
        used=len(values),
        first=iso(year.start.timestamp()),
        last=iso(year.start.timestamp() + year.step_s * (len(values) - 1)),
        negative=int((on_grid < 0.0).sum()),
        lowest=float(on_grid.min()),
        mean=float(on_grid.mean()),
        highest=float(on_grid.max()),
    )
