"""The folder that ``ebplan study -o`` wrote, read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebplan.document import read_data
from ebplan.errors import InputError

Table = dict[str, NDArray[Any]]
"""Columns by name."""
CENTRAL = "central"


@dataclass(frozen=True)
class StudyResults:
    """Tables and manifest of a study."""

    folder: Path
    manifest: dict[str, Any]
    tables: dict[str, Table]

    @property
    def currency(self) -> str:
        """Currency of all money."""
        return str(self.manifest["currency"])

    @property
    def policies(self) -> list[str]:
        """Policies, as they were run."""
        return list(dict.fromkeys(self.tables["kpi"]["policy"].tolist()))

    def of(self, table: str, policy: str, corner: str = CENTRAL) -> Table:
        """Return the rows of a policy at a corner of the assumptions."""
        columns = self.tables[table]
        rows = (columns["policy"] == policy) & (columns["corner"] == corner)
        return {name: values[rows] for name, values in columns.items()}

    def kpis(self, policy: str, corner: str = CENTRAL) -> dict[str, tuple[float, str]]:
        """Return value and unit of each number of a policy."""
        of = self.of("kpi", policy, corner)
        triples = zip(of["kpi"], of["value"], of["unit"], strict=True)
        return {str(name): (float(value), str(unit)) for name, value, unit in triples}

    def corners(self, policy: str) -> list[str]:
        """Return the corners at which a policy was run, the central one first."""
        columns = self.tables["kpi"]
        found = columns["corner"][columns["policy"] == policy].tolist()
        return sorted(set(found), key=lambda corner: (corner != CENTRAL, found.index(corner)))


def read_results(folder: Path) -> StudyResults:
    """Read the results of a study.

    Raises:
        InputError: the folder holds none, or a table is missing or damaged.
    """
    import pyarrow.lib
    import pyarrow.parquet as pq

    path = folder / "manifest.json"
    manifest = read_data(path)
    if manifest.get("kind") != "study_result":
        raise InputError(
            field="kind",
            value=manifest.get("kind"),
            allowed="study_result",
            remedy="name a folder that `ebplan study -o` wrote",
            file=str(path),
        )
    tables: dict[str, Table] = {}
    for name in ("steps", "groups", "ledger", "kpi", "sizes"):
        file = folder / f"{name}.parquet"
        if name == "sizes" and not file.exists():
            continue
        try:
            read = pq.read_table(file)
        except (OSError, pyarrow.lib.ArrowInvalid) as error:
            raise InputError(
                field="(file)",
                value=str(error).splitlines()[0],
                allowed="a table that `ebplan study -o` wrote",
                remedy="run the study again",
                file=str(file),
            ) from None
        tables[name] = {c: np.asarray(read[c].to_pylist()) for c in read.column_names}
    return StudyResults(folder, manifest, tables)
