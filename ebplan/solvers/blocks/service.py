"""Requests: what is served and what is turned away.

| symbol | name     | meaning                                      | shape |
|--------|----------|----------------------------------------------|-------|
| z_jk   | rejected | rejected load of class j, instance-equivalents | (K,) |

load_served   U_k + sum_j z_jk = sum_j load_j      0 <= z_jk <= max_rejected_j
"""

from __future__ import annotations

from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.program import IndexArray, ProgramBuilder
from ebplan.timegrid import TimeGrid


def add_service(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, lens: Lens
) -> dict[str, IndexArray]:
    """Add one pool's rejected load by class and its cost."""
    rejected = {}
    for requests in pool.classes:
        columns = builder.variables(
            f"{pool.name}.rejected.{requests.name}", grid.n_epochs, upper=requests.max_rejected
        )
        builder.cost("rejected", columns, requests.value_per_instance_s * grid.epoch_durations_s)
        rejected[requests.name] = columns
    builder.rows(
        f"{pool.name}.load_served",
        grid.n_epochs,
        [(1.0, lens.load), *((1.0, columns) for columns in rejected.values())],
        lower=pool.load,
        upper=pool.load,
    )
    return rejected
