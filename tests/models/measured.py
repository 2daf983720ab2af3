"""Hand-made tables that go through the door of the fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.reading import Column, read_measurements


def measured(folder: Path, columns: Mapping[str, Sequence[object]]) -> Measurements:
    """Write a table whose columns are quantities in ebplan's units, or labels, and read it."""
    path = folder / "table.csv"
    lines = [",".join(columns)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_measurements(
        path, {name: Column(name) for name in columns}, source="made up", measurement_point="gpu"
    )
