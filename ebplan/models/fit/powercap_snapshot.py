"""Read the elasticity of throughput to power out of one snapshot under per-GPU caps.

Two readings, both stated because one snapshot cannot decide between them:

    across instances    slope of ln(tokens/s) on ln(power) over the instances of the snapshot
    against uncapped    ln(req/s capped / uncapped) / ln(power capped / uncapped), fleet totals,
                        the uncapped run being the fleet map's at the same load
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import linregress

from ebplan.models.cap import capped_power_kw
from ebplan.models.fit.fleet_runs import W_PER_KW, Run
from ebplan.models.fit.table import Row, Table, read_table

COLUMNS = (
    "instance",
    "gpu",
    "power_w",
    "cap_w",
    "instance_power_w",
    "running_requests",
    "tok_per_s",
    "req_per_s",
)


class Gpu(NamedTuple):
    """One capped GPU."""

    power_kw: float
    """Power drawn in kW."""
    cap_kw: float
    """Cap in kW."""


class Instance(NamedTuple):
    """One instance of the snapshot."""

    power_kw: float
    """Power of its GPUs in kW, as displayed for the instance."""
    running: float
    """Requests in service."""
    tok_per_s: float
    """Output tokens per second."""
    req_per_s: float
    """Requests per second."""


@dataclass(frozen=True)
class Snapshot:
    """One moment of a fleet under per-GPU caps."""

    gpus: tuple[Gpu, ...]
    """Every GPU."""
    instances: tuple[Instance, ...]
    """Every instance."""

    @property
    def power_kw(self) -> float:
        """Sum over the GPUs in kW."""
        return sum(gpu.power_kw for gpu in self.gpus)

    @property
    def req_per_s(self) -> float:
        """Fleet throughput in req/s."""
        return sum(instance.req_per_s for instance in self.instances)

    @property
    def tok_per_s(self) -> float:
        """Fleet output in tokens/s."""
        return sum(instance.tok_per_s for instance in self.instances)

    @property
    def running(self) -> float:
        """Requests in service."""
        return sum(instance.running for instance in self.instances)

    def predicted_power_kw(self, natural_kw_per_gpu: float) -> float:
        """Return the fleet power that ``min(cap, natural draw)`` gives for these caps in kW."""
        caps = np.array([gpu.cap_kw for gpu in self.gpus])
        return float(capped_power_kw(caps, natural_kw_per_gpu).sum())


class Elasticity(NamedTuple):
    """The readings of one snapshot."""

    tokens_across: float
    """tokens/s to power, across the instances."""
    tokens_across_error: float
    """Standard error of that slope."""
    requests_across: float
    """req/s to power, across the instances."""
    requests_across_error: float
    """Standard error of that slope."""
    against_uncapped: float
    """req/s to power, fleet totals against an uncapped run."""


def read_snapshot(path: Path) -> tuple[Snapshot, Table]:
    """Read a snapshot: one line per GPU, the instance's columns repeated on each of its lines.

    Raises:
        InputError: a cell is missing or not positive, a GPU occurs twice, or the lines of an
            instance disagree.
    """
    table = read_table(path, COLUMNS)
    gpus: dict[str, Gpu] = {}
    instances: dict[str, Instance] = {}
    for row in table.rows:
        gpu, name = row.text("gpu"), row.text("instance")
        if gpu in gpus:
            raise row.fault("gpu", gpu, "each GPU once", "remove the repeated line")
        gpus[gpu] = Gpu(row.positive("power_w") / W_PER_KW, row.positive("cap_w") / W_PER_KW)
        instance = _instance(row)
        if instances.setdefault(name, instance) != instance:
            raise row.fault(
                "instance", name, "the same instance values on all its lines", "correct the line"
            )
    return Snapshot(tuple(gpus.values()), tuple(instances.values())), table


def elasticities(snapshot: Snapshot, uncapped: Run) -> Elasticity:
    """Return the readings of a snapshot.

    Args:
        snapshot: the capped fleet.
        uncapped: the measured run of the same fleet and load without caps.
    """
    power = np.log([instance.power_kw for instance in snapshot.instances])
    tokens = linregress(power, np.log([i.tok_per_s for i in snapshot.instances]))
    requests = linregress(power, np.log([i.req_per_s for i in snapshot.instances]))
    against = np.log(snapshot.req_per_s / uncapped.req_per_s) / np.log(
        snapshot.power_kw / uncapped.power_kw
    )
    return Elasticity(
        float(tokens.slope),
        float(tokens.stderr),
        float(requests.slope),
        float(requests.stderr),
        float(against),
    )


def _instance(row: Row) -> Instance:
    """Return the instance a line belongs to; W into kW."""
    return Instance(
        power_kw=row.positive("instance_power_w") / W_PER_KW,
        running=row.positive("running_requests"),
        tok_per_s=row.positive("tok_per_s"),
        req_per_s=row.positive("req_per_s"),
    )
