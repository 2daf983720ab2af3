"""The whitepaper's 25 cells: users of a closed loop on four instances."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.twin.bench import LoadedPool, Steady, steady
from ebplan.models import library
from ebplan.models.estimate import Estimate
from ebplan.models.fit.fleet_runs import Run
from ebplan.models.fit.source import Source
from ebplan.twin.requests import ClosedLoop

FLEET = "h200nvl-llama31-70b-bf16-tp2"


class Cell(NamedTuple):
    """A cell, measured and simulated."""

    run: Run
    excluded: bool
    """Whether the models give it weight zero."""
    simulated: Steady
    power: Estimate
    """The model's interval of a new run, in kW at the GPUs."""
    throughput: Estimate
    """The same in req/s."""

    @property
    def inside(self) -> bool:
        """Whether the simulated cell lies within both intervals of the model."""
        return _within(self.power, self.simulated.gpu_kw) and _within(
            self.throughput, self.simulated.req_per_s
        )

    @property
    def measured_inside(self) -> bool:
        """Whether the measured cell does."""
        return _within(self.power, self.run.power_kw) and _within(
            self.throughput, self.run.req_per_s
        )

    @property
    def power_error(self) -> float:
        """Simulated over measured power, less 1."""
        return self.simulated.gpu_kw / self.run.power_kw - 1.0

    @property
    def throughput_error(self) -> float:
        """Simulated over measured throughput, less 1."""
        return self.simulated.req_per_s / self.run.req_per_s - 1.0


def cells(source: Source, seed: int) -> list[Cell]:
    """Simulate every cell."""
    fleet = library.load_fleet(FLEET)
    off = {outlier.run.name for outlier in source.fitted.outliers}
    found = []
    for place, run in enumerate(source.all_runs):
        workload = source.spec.workload_of(run.shape)
        pool = LoadedPool(workload, ClosedLoop(users=int(run.users)))
        found.append(
            Cell(
                run=run,
                excluded=run.name in off,
                simulated=steady({"map": pool}, seed=seed + place)["map"],
                power=fleet.fleet_power_kw(workload, run.users),
                throughput=fleet.fleet_req_per_s(workload, run.users),
            )
        )
    return found


def _within(interval: Estimate, value: float) -> bool:
    return bool(float(interval.low) <= value <= float(interval.high))
