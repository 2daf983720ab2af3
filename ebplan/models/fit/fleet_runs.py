"""Steady runs of a fleet: what a table says of them, and what has to be said besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ebplan.errors import InputError
from ebplan.models.fit.table import Row, Table, parse_table, read_table

COLUMNS = ("shape", "concurrent_users", "fleet_power_w", "req_per_s")
W_PER_KW = 1000.0


class Run(NamedTuple):
    """One steady run of the whole fleet."""

    shape: str
    """Request shape as labelled in the source."""
    users: float
    """Requests offered at once to the fleet."""
    power_kw: float
    """Mean power of the fleet in kW."""
    req_per_s: float
    """Mean throughput of the fleet in req/s."""

    @property
    def name(self) -> str:
        """Shape and concurrency."""
        return f"{self.shape}/{self.users:g}"


@dataclass(frozen=True)
class FleetSpec:
    """What the table does not say about the fleet."""

    workloads: Mapping[str, tuple[str, ...]]
    """Shapes by workload; shapes of one workload share all parameters."""
    smooth: frozenset[str]
    """Workloads with a smooth roof."""
    instances: int
    """Instances in the fleet."""
    gpus_per_instance: int
    """GPUs of an instance."""
    idle_w_per_gpu: float
    """Assumed power of an awake GPU without load in W."""

    @property
    def idle_kw(self) -> float:
        """Idle power of an instance in kW."""
        return self.idle_w_per_gpu * self.gpus_per_instance / W_PER_KW

    def workload_of(self, shape: str) -> str:
        """Return the workload that a shape belongs to."""
        for name, shapes in self.workloads.items():
            if shape in shapes:
                return name
        raise InputError(
            field="shape",
            value=shape,
            allowed=", ".join(s for shapes in self.workloads.values() for s in shapes),
            remedy="assign the shape to a workload",
        )


def read_runs(path: Path) -> tuple[tuple[Run, ...], Table]:
    """Read a table of runs; power enters in W and leaves in kW.

    Raises:
        InputError: a cell is missing, not a finite positive number, or a run occurs twice.
    """
    table = read_table(path, COLUMNS)
    return _runs_of(table), table


def parse_runs(text: str, *, file: str) -> tuple[tuple[Run, ...], Table]:
    """Read a table of runs from text; see ``read_runs``."""
    table = parse_table(text, COLUMNS, file=file)
    return _runs_of(table), table


def _runs_of(table: Table) -> tuple[Run, ...]:
    """Turn lines into runs, W into kW."""
    seen: dict[tuple[str, float], Row] = {}
    runs = []
    for row in table.rows:
        users = row.positive("concurrent_users")
        run = Run(
            shape=row.text("shape"),
            users=users,
            power_kw=row.positive("fleet_power_w") / W_PER_KW,
            req_per_s=row.positive("req_per_s"),
        )
        first = seen.setdefault((run.shape, users), row)
        if first is not row:
            raise row.fault(
                "concurrent_users", run.name, "each run once", f"it is on line {first.line} already"
            )
        runs.append(run)
    return tuple(runs)
