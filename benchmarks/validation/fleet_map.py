"""The whitepaper's map of 25 cells: each predicted from the others, with its interval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.validation.line import Line, Section
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.build import LAW_PARAMETERS
from ebplan.models.fit.source import read_source
from ebplan.models.fit.spreads import workload_spreads
from ebplan.models.intervals import student_quantile


def run(_: Path) -> Iterator[Line | str]:
    """Leave each cell out; its interval comes from the errors of the other cells only."""
    fitted = read_source().fitted
    labels = [fitted.fit.spec.workload_of(run.shape) for run in fitted.runs]
    for i, law in enumerate(("power", "throughput")):
        errors = fitted.deleted_errors[:, i]
        inside = []
        for j, label in enumerate(labels):
            others = np.arange(len(labels)) != j
            spread, degrees = workload_spreads(
                errors[others], [labels[k] for k in np.flatnonzero(others)], LAW_PARAMETERS
            )[label]
            inside.append(abs(errors[j]) <= student_quantile(CONFIDENCE, degrees) * spread)
        share = float(np.mean(inside))
        yield Line(f"{law} of a cell left out: mean error", f"{np.abs(errors).mean():.2%}")
        yield Line(f"{law} of a cell left out: largest error", f"{np.abs(errors).max():.1%}")
        yield Line(f"{law}: cells in their {CONFIDENCE:.0%} interval", f"{share:.0%}")
    off = ", ".join(o.run.name for o in fitted.outliers)
    yield (
        f"{len(fitted.runs)} cells; {off} has weight zero, for the reasons on its card, and "
        "is not counted here."
    )


SECTIONS: tuple[Section, ...] = (Section("The whitepaper's map", (), run),)
