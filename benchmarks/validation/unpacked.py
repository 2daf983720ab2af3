"""Published tables as the fits' door wants them: unpacked, and with throughput as a column."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.reading import Column, read_measurements
from ebplan.site import MeasurementPoint

Cell = Callable[[Mapping[str, str]], object]
"""What stands in a column, made of a line of the published table."""


def published_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV table, packed or not."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))


def read_published(
    path: Path,
    cells: Mapping[str, Cell],
    units: Mapping[str, str],
    *,
    source: str,
    measurement_point: MeasurementPoint = "gpu",
) -> Measurements:
    """Read a published table through the door of the fits.

    Args:
        path: CSV file, packed or not.
        cells: quantity or label by name, from a line of the table.
        units: unit by quantity, where it is not ebplan's.
        source: who measured.
        measurement_point: where power was metered.
    """
    with tempfile.TemporaryDirectory() as folder:
        tidy = Path(folder) / path.name.removesuffix(".gz")
        with tidy.open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream)
            out.writerow(cells)
            out.writerows([cell(row) for cell in cells.values()] for row in published_rows(path))
        columns = {name: Column(name, units.get(name)) for name in cells}
        return read_measurements(tidy, columns, source=source, measurement_point=measurement_point)
