"""One chunk of a sweep: one scenario over one period, ready to be worked out anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ebplan import __version__
from ebplan.errors import InputError
from ebplan.study.build import Built
from ebplan.study.kept import track_key
from ebplan.study.run import run_built
from ebplan.study.spec import PolicyKind
from ebplan.study.tables import Columns


@dataclass(frozen=True)
class Cell:
    """A chunk: everything that a worker needs; it reads no file."""

    id: str
    """Digest of everything that decides its result."""
    scenario: str
    labels: tuple[tuple[str, float | str], ...]
    """Value by axis."""
    built: Built
    version: str
    """ebplan's, where the cell was made."""


def cell_of(scenario: str, labels: dict[str, float | str], built: Built) -> Cell:
    """Return the chunk of a scenario over the period of a study."""
    digest = hashlib.sha256(f"{__version__} {scenario} {sorted(labels.items())}".encode())
    digest.update(built.spec.digest().encode())
    for policy in policies(built):
        digest.update(track_key(built, policy).encode())
    return Cell(digest.hexdigest()[:24], scenario, tuple(labels.items()), built, __version__)


def policies(built: Built) -> list[PolicyKind]:
    """Return the policies of a study, its own first."""
    return list(dict.fromkeys((built.spec.policy.kind, *built.spec.policy.beside)))


def work(cell: Cell) -> Columns:
    """Return a chunk's table: one row for each policy and number; the work of one worker.

    Raises:
        InputError: this worker has another ebplan than who asks.
        NoPlanError: a window has no feasible plan.
    """
    if cell.version != __version__:
        raise InputError(
            field="(worker)",
            value=f"ebplan {__version__}",
            allowed=f"ebplan {cell.version} on every worker",
            remedy="install the same version there",
        )
    runs = [run_built(cell.built, policy) for policy in policies(cell.built)]
    rows = [(run.policy, kpi) for run in runs for kpi in run.kpis]
    period, size = cell.built.spec.period, len(rows)
    return {
        "scenario": [cell.scenario] * size,
        **{name: [value] * size for name, value in cell.labels},
        "period_start": [period.start.isoformat()] * size,
        "days": [period.days] * size,
        "policy": [policy for policy, _ in rows],
        "kpi": [kpi.name for _, kpi in rows],
        "value": [kpi.value for _, kpi in rows],
        "unit": [kpi.unit for _, kpi in rows],
    }
