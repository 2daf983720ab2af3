"""The snapshot under caps (M-PC), and a sweep of one cap for all."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.twin.bench import LoadedPool, Steady, steady
from ebplan.adapters.commands import CapPower
from ebplan.models import library
from ebplan.models.fit.source import Source
from ebplan.twin.requests import ClosedLoop

CAP = "h200nvl-llama31-70b-bf16-tp2-cap"
USERS = 128
SWEEP_W = (600.0, 500.0, 475.0, 450.0, 425.0, 400.0, 350.0, 300.0)


class Capped(NamedTuple):
    """The snapshot, measured and simulated."""

    measured_kw: float
    measured_req_per_s: float
    simulated_kw: float
    simulated_req_per_s: float
    low_req_per_s: float
    """By the cap model's steeper elasticity, less its residual."""
    high_req_per_s: float
    """By its flatter elasticity, with the residual."""


def snapshot(source: Source, seed: int) -> Capped:
    """Simulate the snapshot: each instance a pool with the mean cap of its GPUs, users shared."""
    workload = source.spec.workload_of("medium_in_short_out")
    caps_w = {
        f"inst{i}": 500.0 * (pair[0].cap_kw + pair[1].cap_kw)
        for i, pair in enumerate(
            zip(source.snapshot.gpus[::2], source.snapshot.gpus[1::2], strict=True)
        )
    }
    each = USERS // len(caps_w)
    pools = {name: LoadedPool(workload, ClosedLoop(users=each), instances=1) for name in caps_w}
    commands = [CapPower(at_s=0.0, pool=name, w_per_gpu=w) for name, w in caps_w.items()]
    minutes = steady(pools, commands, seed=seed)
    model = library.load_cap(CAP)
    natural_w = 1000.0 * source.natural_kw_per_gpu
    full = library.load_fleet(model.fleet).capacity_req_per_s(workload)
    bounds = []
    for elasticity in (model.elasticity_high, model.elasticity_low):
        left = [_left(min(w / natural_w, 1.0), elasticity) for w in caps_w.values()]
        bounds.append(full * sum(left))
    off = model.throughput_residual
    return Capped(
        measured_kw=source.snapshot.power_kw,
        measured_req_per_s=source.snapshot.req_per_s,
        simulated_kw=sum(m.gpu_kw for m in minutes.values()),
        simulated_req_per_s=sum(m.req_per_s for m in minutes.values()),
        low_req_per_s=bounds[0] * (1.0 - off),
        high_req_per_s=bounds[1] * (1.0 + off),
    )


def sweep(source: Source, seed: int) -> list[tuple[float, Steady]]:
    """Simulate one cap on every GPU at the snapshot's load."""
    workload = source.spec.workload_of("medium_in_short_out")
    pool = {"sweep": LoadedPool(workload, ClosedLoop(users=USERS))}
    return [
        (w, steady(pool, [CapPower(at_s=0.0, pool="sweep", w_per_gpu=w)], seed=seed)["sweep"])
        for w in SWEEP_W
    ]


def _left(share: float, elasticity: float) -> float:
    return float(min(share**elasticity, 1.0 + elasticity * (share - 1.0), 1.0))
