"""The share of an award that a frequency calls, step by step, as a series of a study."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ebplan.services import ServiceDefinition
from ebplan.solvers.program import FloatArray
from ebplan.study.activation import activation_of, read_frequency, synthetic_frequency
from ebplan.study.completed import wanted_fact
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.wanted import Grid
from ebplan.study.spec import FrequencyTrace

DAY_S = 86_400
MADE_UP = "synthetic"


def called_by(
    trace: FrequencyTrace,
    definition: ServiceDefinition,
    grid: Grid,
    folder: Path,
    reports: list[SeriesReport],
    *,
    absorb: bool = False,
) -> FloatArray:
    """Return the share that the product's own curve calls, the trace repeated, shape (T,).

    Args:
        trace: where the frequency comes from.
        definition: of the product.
        grid: steps of the study.
        folder: where the study lies.
        reports: gets what was found.
        absorb: whether what frequencies above nominal call is wanted, not what those below call.

    Raises:
        InputError: the curve is unknown, or the trace too short or of another grid.
    """
    wanted_fact(definition, "curve")
    if trace.frequency == MADE_UP:
        t_s, hz = synthetic_frequency(DAY_S, trace.seed, trace.nominal_hz)
    else:
        t_s, hz = read_frequency(folder / trace.frequency, time=trace.time, hz=trace.hz)
    step_s = float(grid.step_s)
    found = activation_of(definition, t_s, hz, trace.nominal_hz, step_s)
    share = found.absorb_share(step_s) if absorb else found.release_share(step_s)
    day = int(DAY_S // step_s)
    whole = share[: len(share) // day * day] if len(share) >= day else share
    values = np.resize(whole, grid.steps)
    seed = f", seed {trace.seed}" if trace.frequency == MADE_UP else ""
    reports.append(
        SeriesReport(
            field=f"services.{definition.id}.{'absorb_share' if absorb else 'activation_share'}",
            file=trace.frequency + seed,
            column=trace.hz,
            sha256=hashlib.sha256(np.ascontiguousarray(hz).tobytes()).hexdigest(),
            unit="Hz",
            factor=1.0,
            rows=len(hz),
            used=len(whole),
            first=f"{float(t_s[0]):g} s",
            last=f"{float(t_s[-1]):g} s",
            lowest=float(values.min()),
            mean=float(values.mean()),
            highest=float(values.max()),
        )
    )
    return values
