"""The section of docs/twin.md that the benchmark writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.twin.bench import Steady
from benchmarks.twin.caps import USERS, Capped
from benchmarks.twin.consolidation import Experiment
from benchmarks.twin.fleet_map import Cell
from benchmarks.twin.plans import CarriedOut
from ebplan.models.estimate import CONFIDENCE

POWER_GOAL = 0.015
HEAD = """\
## Simulated against measured

Written by `python -m benchmarks.twin --write docs/twin.md`. Every number in a column named
"simulated" comes from the request-level plant; nothing here was measured on a bench. Powers are at
the GPUs, as the source's are. A minute to settle and ten measured: the source measured one, in
which chance in the lengths of answers moves the requests per second by some 2 %."""


def section(
    cells: Sequence[Cell],
    capped: Capped,
    sweep: Sequence[tuple[float, Steady]],
    experiment: Experiment,
    carried_out: Sequence[CarriedOut],
) -> str:
    """Return the section in Markdown."""
    return "\n\n".join(
        (
            HEAD,
            _map(cells),
            _snapshot(capped),
            _sweep(sweep),
            _consolidation(experiment),
            _plans(carried_out),
        )
    )


def _map(cells: Sequence[Cell]) -> str:
    rows = [
        (
            c.run.name,
            *(f"{c.run.power_kw:.3f}", f"{c.simulated.gpu_kw:.3f}", f"{c.power_error:+.1%}"),
            *(f"{c.run.req_per_s:.1f}", f"{c.simulated.req_per_s:.1f}"),
            f"{c.throughput_error:+.1%}",
            "yes" if c.inside else "**no**",
        )
        for c in cells
    ]
    head = (
        *("cell", "kW measured", "kW simulated", "off"),
        *("req/s measured", "req/s simulated", "off", "in the interval"),
    )
    used = [c for c in cells if not c.excluded]
    power = np.array([c.power_error for c in used])
    throughput = np.array([c.throughput_error for c in used])
    outside = ", ".join(c.run.name for c in cells if not c.inside) or "none"
    unused = ", ".join(c.run.name for c in cells if c.excluded)
    return "\n".join(
        (
            "### The map: five shapes, five concurrencies",
            "",
            *_table(head, rows),
            "",
            f"In the model's {CONFIDENCE:.0%} interval of a new run, power and throughput: "
            f"{sum(c.inside for c in cells)} of {len(cells)}; outside: {outside}; "
            f"of the measured cells {sum(c.measured_inside for c in cells)}. Without "
            f"{unused}, which the models give weight zero and the plant does not reproduce "
            f"either: power {np.abs(power).mean():.2%} off on average and "
            f"{np.abs(power).max():.1%} at most, throughput {np.abs(throughput).mean():.2%} and "
            f"{np.abs(throughput).max():.1%}. The law's tokens and the power curve were read "
            "from this map: single requests give it back, which is no test on other data.",
        )
    )


def _snapshot(c: Capped) -> str:
    power = c.simulated_kw / c.measured_kw - 1.0
    good = abs(power) <= POWER_GOAL
    inside = c.low_req_per_s <= c.simulated_req_per_s <= c.high_req_per_s
    holds = c.low_req_per_s <= c.measured_req_per_s <= c.high_req_per_s
    rows = [
        (
            "power, W",
            f"{1000 * c.measured_kw:,.0f}",
            f"{1000 * c.simulated_kw:,.0f}",
            f"{power:+.2%}",
            f"within {POWER_GOAL:.1%}: {_yes(good)}",
        ),
        (
            "throughput, req/s",
            f"{c.measured_req_per_s:.1f}",
            f"{c.simulated_req_per_s:.1f}",
            f"{c.simulated_req_per_s / c.measured_req_per_s - 1.0:+.1%}",
            f"{c.low_req_per_s:.1f} to {c.high_req_per_s:.1f} holds simulated: {_yes(inside)}, "
            f"measured: {_yes(holds)}",
        ),
    ]
    return "\n".join(
        (
            f"### The snapshot under caps (M-PC): medium input, {USERS} users",
            "",
            *_table(("what", "measured", "simulated", "off", "goal"), rows),
            "",
            "Each instance has the mean cap of its two GPUs and a quarter of the users. The "
            "interval spans the cap model's two elasticities with its residual; the plant has the "
            "steeper one, which was read from this snapshot's throughput.",
        )
    )


def _sweep(sweep: Sequence[tuple[float, Steady]]) -> str:
    (_, free), *_ = sweep
    rows = [
        (
            f"{w:.0f}",
            f"{m.gpu_kw:.3f}",
            f"{m.gpu_kw / free.gpu_kw - 1.0:+.1%}",
            f"{m.req_per_s:.1f}",
            f"{m.req_per_s / free.req_per_s - 1.0:+.1%}",
        )
        for w, m in sweep
    ]
    head = ("cap, W per GPU", "kW simulated", "change", "req/s simulated", "change")
    return "\n".join(
        (
            f"### A sweep of caps: medium input, {USERS} users, simulated only",
            "",
            *_table(head, rows),
            "",
            "Caps below 400 W lie outside the snapshot that the elasticity was read from.",
        )
    )


def _consolidation(experiment: Experiment) -> str:
    found, reference, (less, more) = experiment
    low = 1000.0 * reference.released_low_kw_per_freed_gpu
    high = 1000.0 * reference.released_high_kw_per_freed_gpu
    inside = [low <= c.released_w <= high for c in found]
    rows = [
        (
            c.load,
            f"{1000.0 * c.spread_kw:.0f}",
            f"{c.released_w:.0f}",
            f"{c.released_w / (0.5 * (low + high)) - 1.0:+.0%}",
            *(f"{c.req_per_s:.1f}", f"{c.req_per_s_on_one:.1f}"),
            "yes" if ok else "**no**",
        )
        for c, ok in zip(found, inside, strict=True)
    ]
    head = (
        *("load", "W on both, simulated", "W released, simulated", "off the middle"),
        *("req/s on both", "req/s on one", f"in {low:.0f} to {high:.0f} W"),
    )
    return "\n".join(
        (
            "### Consolidation of an 8B model (M-13): the load of two GPUs on one",
            "",
            *_table(head, rows),
            "",
            f"{sum(inside)} of {len(found)} loads lie in the published range. Nothing was fitted "
            "to it: power and speed of the 8B model are the middle of the library's prior, which "
            f"has no H200 among its data; at half load its interval is {less:+.0%} to {more:+.0%}. "
            "Idle power, loads and tokens are assumed. Users who wait keep both GPUs busy at every "
            "load, and send less where answers take longer; of requests at random the same come to "
            "one GPU as to two, but at low load a GPU is empty part of the time and draws less, so "
            "less is released. The narrow published range suggests that its GPUs hardly ever were.",
        )
    )


def _plans(carried_out: Sequence[CarriedOut]) -> str:
    rows = [
        (
            c.example,
            *(f"{c.pools_kwh[0]:.3f}", f"{c.pools_kwh[1]:.3f}"),
            f"{c.pools_kwh[1] / c.pools_kwh[0] - 1.0:+.2%}",
            *(f"{c.soc[0]:.4f}", f"{c.soc[1]:.4f}"),
            *(f"{c.served[0]:,.0f}", f"{c.served[1]:,.0f}"),
            *(f"{c.in_service:.0f}", str(c.refused)),
        )
        for c in carried_out
    ]
    head = (
        *("plan", "pools, kWh, fluid", "requests", "off", "SoC, fluid", "requests"),
        *("served, fluid", "requests", "in service at the end", "refused"),
    )
    return "\n".join(
        (
            "### The examples' plans on both plants, simulated only",
            "",
            *_table(head, rows),
            "",
            "The planner knows nothing of single requests; its plans are carried out as they are.",
        )
    )


def _yes(good: bool) -> str:
    return "yes" if good else "**no**"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    first = "| :-- |" + " --: |" * (len(head) - 1)
    return [f"| {' | '.join(head)} |", first, *(f"| {' | '.join(row)} |" for row in rows)]
