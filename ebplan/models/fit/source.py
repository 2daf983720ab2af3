"""What the fleet's artefacts are made of: the packaged tables, read once, and the fit of the map.

What the tables do not say (how shapes group into workloads, the assumed idle power) is stated
here, once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ebplan.models.fit.fleet_map import FittedMap, fit_map
from ebplan.models.fit.fleet_runs import W_PER_KW, FleetSpec, Run, read_runs
from ebplan.models.fit.powercap_snapshot import Elasticity, Snapshot, elasticities, read_snapshot
from ebplan.models.fit.table import Table, read_table

DATA = Path(__file__).parent / "data"
SNAPSHOT_RUN = "medium_in_short_out/128"
"""The uncapped run at the load of the snapshot."""

SPEC = FleetSpec(
    workloads={
        "short_input": ("short_in_short_out", "short_in_long_out", "short_in_very_long_out"),
        "medium_input": ("medium_in_short_out",),
        "long_input": ("long_in_short_out",),
    },
    smooth=frozenset({"long_input"}),
    instances=4,
    gpus_per_instance=2,
    idle_w_per_gpu=120.0,
)
"""The whitepaper's fleet. Shapes with the same input length share parameters, because the labels
of output length have no effect in the table."""

_GPU_NOTE = (
    "The source calls the fleet map AC power, but its scale is that of the sum over GPUs: "
    "{per_gpu_w:.0f} W per GPU in {run}, where the GPU with the highest cap of the snapshot draws "
    "{top_w:.0f} W by the driver's own reading. Taken as GPU power; convert before comparing with "
    "a meter."
)


@dataclass(frozen=True)
class Source:
    """Everything that is read, and the fit made of it."""

    spec: FleetSpec
    """What the tables do not say."""
    all_runs: tuple[Run, ...]
    """Every run of the fleet map."""
    fitted: FittedMap
    """The fit, its runs and its outliers."""
    snapshot: Snapshot
    """The fleet under caps."""
    said: dict[str, float]
    """Statements in the text of the source, by quantity."""
    tables: tuple[Table, Table, Table]
    """Fleet map, snapshot, statements."""

    def run(self, name: str) -> Run:
        """Return a run of the fleet map by name."""
        return next(run for run in self.all_runs if run.name == name)

    @property
    def natural_kw_per_gpu(self) -> float:
        """Uncapped power per GPU at the load of the snapshot in kW, from the fitted fleet map."""
        run = self.run(SNAPSHOT_RUN)
        power_kw, _ = self.fitted.fit.predict(run.shape, run.users)
        return power_kw / (self.spec.instances * self.spec.gpus_per_instance)

    @property
    def elasticity(self) -> Elasticity:
        """Readings of the snapshot."""
        return elasticities(self.snapshot, self.run(SNAPSHOT_RUN))


def read_source(*, idle_w_per_gpu: float | None = None) -> Source:
    """Read the packaged tables and fit the fleet map.

    Args:
        idle_w_per_gpu: assumed idle power in W per GPU; the library's where absent.
    """
    spec = SPEC if idle_w_per_gpu is None else replace(SPEC, idle_w_per_gpu=idle_w_per_gpu)
    runs, map_table = read_runs(DATA / "whitepaper_h200nvl_llama70b_fleet_map.csv")
    snapshot, snapshot_table = read_snapshot(
        DATA / "whitepaper_h200nvl_llama70b_powercap_snapshot.csv"
    )
    said = read_table(DATA / "whitepaper_statements.csv", ("quantity", "value", "unit"))
    return Source(
        spec=spec,
        all_runs=runs,
        fitted=fit_map(runs, spec),
        snapshot=snapshot,
        said={row.text("quantity"): row.positive("value") for row in said.rows},
        tables=(map_table, snapshot_table, said),
    )


def measurement_note(source: Source) -> str:
    """Say how sure the measurement point is."""
    run = source.run(SNAPSHOT_RUN)
    top = max(source.snapshot.gpus, key=lambda gpu: gpu.cap_kw)
    return _GPU_NOTE.format(
        per_gpu_w=run.power_kw * W_PER_KW / len(source.snapshot.gpus),
        run=run.name,
        top_w=top.power_kw * W_PER_KW,
    )
