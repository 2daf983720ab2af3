"""The formulation: the blocks in the order in which power flows through the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.blocks.battery import BatteryColumns, add_battery
from ebplan.solvers.blocks.channels import PoolColumns
from ebplan.solvers.blocks.connection import Connection, add_connection
from ebplan.solvers.blocks.counts import Counts, add_counts
from ebplan.solvers.blocks.latency import add_latency
from ebplan.solvers.blocks.lens import Lens, add_lens
from ebplan.solvers.blocks.margin import MarginColumns, add_margin, add_margin_energy
from ebplan.solvers.blocks.prewarm import Prewarm, add_prewarm
from ebplan.solvers.blocks.response import ComputePower, add_compute_power
from ebplan.solvers.blocks.service import Service, add_service
from ebplan.solvers.blocks.wear import add_wear
from ebplan.solvers.operations import operations
from ebplan.solvers.program import FloatArray, Program, ProgramBuilder


@dataclass(frozen=True)
class Formulation:
    """The program of a problem and where each quantity stands in it."""

    program: Program
    counts: tuple[Counts, ...]
    """By pool."""
    lenses: tuple[tuple[Lens, ...], ...]
    """By pool, one for each way to run an instance."""
    prewarms: tuple[Prewarm | None, ...]
    """By pool."""
    services: tuple[Service, ...]
    """By pool."""
    compute: ComputePower
    battery: BatteryColumns | None
    connection: Connection
    instants_s: tuple[float, ...]
    """Instants watched inside steps."""
    exact_loss: tuple[int, ...] = ()
    """Steps in which the converter's loss is held exactly."""
    margin: MarginColumns | None = None


def formulate(
    problem: Problem,
    *,
    instants_s: Sequence[float] = (),
    ways: FloatArray | None = None,
    exact_loss: Sequence[int] = (),
) -> Formulation:
    """State the problem as a mixed-integer linear program.

    Args:
        problem: what to state.
        instants_s: times inside steps at which the converter's limit is watched besides the step
            edges (``solvers/transients.py`` finds those that matter).
        ways: fixes what the battery does where it may work both ways, shape (T,): > 0 gives,
            < 0 takes, 0 leaves it open. Columns and rows are the same with and without.
        exact_loss: steps in which the converter's loss is held exactly, with binaries.
    """
    watched = np.array(sorted(instants_s))
    builder = ProgramBuilder()
    grid = problem.grid
    counts, lenses, prewarms, services = [], [], [], []
    # A target that is followed from below as well pays for draw that is not there.
    drawing_pays = problem.tracks or bool((problem.energy_prices_per_kwh <= 0.0).any())
    for pool in problem.pools:
        counts.append(add_counts(builder, pool, grid, drawing_pays=drawing_pays))
        running = zip(operations(pool), counts[-1].serving, strict=True)
        lenses.append(tuple(add_lens(builder, pool, way, grid, active) for way, active in running))
        for lens, active in zip(lenses[-1], counts[-1].serving, strict=True):
            add_latency(builder, pool, grid, active, lens)
        prewarms.append(add_prewarm(builder, pool, grid, counts[-1]))
        services.append(add_service(builder, pool, grid, lenses[-1]))
    pools = [
        PoolColumns(*parts) for parts in zip(problem.pools, counts, lenses, prewarms, strict=True)
    ]
    compute = add_compute_power(builder, pools, grid, watched, problem.direction)
    battery = None
    if problem.battery is not None:
        battery = add_battery(builder, problem, problem.battery, ways, exact_loss)
        add_wear(builder, problem.battery, battery.energy, grid.durations_s / 3600.0)
    margin = add_margin(builder, problem, compute)
    connection = add_connection(builder, problem, compute, battery, watched, margin)
    add_margin_energy(builder, problem, margin, battery, connection.grid, connection.shortfall)
    return Formulation(
        program=builder.build(),
        counts=tuple(counts),
        lenses=tuple(lenses),
        prewarms=tuple(prewarms),
        services=tuple(services),
        compute=compute,
        battery=battery,
        connection=connection,
        instants_s=tuple(float(t) for t in watched),
        exact_loss=tuple(exact_loss),
        margin=margin,
    )
