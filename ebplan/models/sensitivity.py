"""What the assumed watts do: ``python -m ebplan.models.sensitivity`` prints it as Markdown.

No run constrains the power of an instance that is idle or asleep, and exactly that power decides
what consolidation releases. These tables refit the fleet map for several assumed values. They say
nothing about the published consolidation of another model, and do not try to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ebplan.models.cap import CapModel, capped_power_kw
from ebplan.models.curves import LoadCurve
from ebplan.models.fit.artefacts import build_cap, build_fleet
from ebplan.models.fit.fleet_runs import W_PER_KW
from ebplan.models.fit.source import SPEC, Source, read_source

IDLE_W_PER_GPU = (70.0, 90.0, 120.0, 150.0, 180.0)
ASLEEP_W_PER_GPU = (60.0, 75.0, 90.0, 120.0)
LOADS = (0.4, 0.55, 0.7)
CAP_W_PER_GPU = 400.0
WORKLOAD = "short_input"
"""The only workload whose runs cover all the loads asked for."""


@dataclass(frozen=True)
class Bench:
    """The measured fleet under one assumption of idle power."""

    idle_w_per_gpu: float
    """Assumed idle power in W per GPU."""
    source: Source
    """The fit made with it."""
    curve: LoadCurve
    """Power of an instance against utilisation."""
    cap: CapModel
    """Capacity under caps."""

    @property
    def instances(self) -> int:
        """Instances in the fleet."""
        return self.source.spec.instances

    @property
    def gpus_per_instance(self) -> int:
        """GPUs of an instance."""
        return self.source.spec.gpus_per_instance

    def power_kw(self, load: float) -> float:
        """Return the fleet power with the load shared by all instances in kW."""
        return self.instances * float(self.curve.power_kw(load))

    def consolidated_kw(self, load: float, freed_w_per_gpu: float) -> float:
        """Return what one freed instance releases in kW.

        Args:
            load: utilisation with all instances serving.
            freed_w_per_gpu: what a GPU of the freed instance still draws in W.
        """
        serving = self.instances - 1
        busy_kw = serving * float(self.curve.power_kw(load * self.instances / serving))
        freed_kw = freed_w_per_gpu * self.gpus_per_instance / W_PER_KW
        return self.power_kw(load) - busy_kw - freed_kw

    def capped_kw(self, load: float, cap_w_per_gpu: float) -> float:
        """Return what a cap on every GPU releases in kW, the load unchanged."""
        cap_kw = cap_w_per_gpu * self.gpus_per_instance / W_PER_KW
        capped_kw = float(capped_power_kw(cap_kw, float(self.curve.power_kw(load))))
        return self.power_kw(load) - self.instances * capped_kw

    def capped_capacity(self, cap_w_per_gpu: float) -> float:
        """Return the cautious capacity under a cap as a share of the uncapped."""
        cap_kw = cap_w_per_gpu * self.gpus_per_instance / W_PER_KW
        return float(self.cap.curve(self.curve.full_kw, cap_kw).capacity(cap_kw))


@cache
def bench(idle_w_per_gpu: float) -> Bench:
    """Refit the fleet map with an assumed idle power in W per GPU."""
    source = read_source(idle_w_per_gpu=idle_w_per_gpu)
    curve = build_fleet(source).load_curve({WORKLOAD: 1.0})
    return Bench(idle_w_per_gpu, source, curve, build_cap(source))


def fit_table(benches: Sequence[Bench]) -> str:
    """Return fit quality of the power by assumed idle power."""
    rows = []
    for each in benches:
        inside = np.abs(each.source.fitted.fit.relative_errors(each.source.fitted.runs)[:, 0])
        outside = np.abs(each.source.fitted.deleted_errors[:, 0])
        exponents = [law.exponent for law in each.source.fitted.fit.power.values()]
        rows.append(
            [
                f"{each.idle_w_per_gpu:.0f}",
                f"{inside.mean():.3%}",
                f"{outside.mean():.3%}",
                f"{outside.max():.2%}",
                ", ".join(f"{exponent:.3f}" for exponent in exponents),
            ]
        )
    names = ", ".join(benches[0].source.spec.workloads)
    head = ("idle W/GPU", "mean error", "left out", "largest left out", f"exponents ({names})")
    return _table(head, rows)


def release_table(benches: Sequence[Bench]) -> str:
    """Return kW released by consolidation and by caps, by assumed idle power and load."""
    n = benches[0].instances
    head = [
        "idle W/GPU",
        *(f"{n}→{n - 1} at u={u:g}" for u in LOADS),
        *(f"cap {CAP_W_PER_GPU:.0f} W at u={u:g}" for u in LOADS),
    ]
    rows = [
        [
            f"{each.idle_w_per_gpu:.0f}",
            *(f"{each.consolidated_kw(u, each.idle_w_per_gpu):.3f}" for u in LOADS),
            *(f"{each.capped_kw(u, CAP_W_PER_GPU):.3f}" for u in LOADS),
        ]
        for each in benches
    ]
    return _table(head, rows)


def asleep_table(base: Bench) -> str:
    """Return kW released by consolidation by assumed power of a sleeping GPU."""
    n = base.instances
    rows = [
        [f"{asleep:.0f}", *(f"{base.consolidated_kw(u, asleep):.3f}" for u in LOADS)]
        for asleep in ASLEEP_W_PER_GPU
    ]
    return _table(["asleep W/GPU", *(f"{n}→{n - 1} at u={u:g}" for u in LOADS)], rows)


def report() -> str:
    """Return the whole report as Markdown."""
    benches = [bench(idle) for idle in IDLE_W_PER_GPU]
    base = bench(SPEC.idle_w_per_gpu)
    capacity = base.capped_capacity(CAP_W_PER_GPU)
    parts = (
        "# What the assumed watts do",
        "The fleet map is refitted for each assumed idle power. Releases are in kW of the whole "
        f"fleet, workload `{WORKLOAD}`, at the model's measurement point.",
        "## Fit quality: the runs cannot tell",
        fit_table(benches),
        "## Released, in kW, by assumed idle power",
        "One instance is freed and stays awake; its load goes to the others. A cap on every GPU "
        f"leaves {capacity:.0%} of the capacity at the cautious end, enough for these loads if "
        f"the elasticity read at `{base.cap.workload}` holds here.",
        release_table(benches),
        f"## Released, in kW, by assumed sleeping power, idle at {base.idle_w_per_gpu:.0f} W/GPU",
        "That a sleeping GPU draws less than an idle one is unverified: the row at the idle power "
        "is the one to plan with.",
        asleep_table(base),
        "None of this predicts the published consolidation experiment (M-13): another model, on "
        "other GPUs.",
    )
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(report(), end="")
