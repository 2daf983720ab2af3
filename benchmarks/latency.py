"""How far off the latency model is: ``python -m benchmarks.latency --data TABLE``."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import click

from benchmarks.tables import table
from ebplan.document import write_atomically
from ebplan.models.latency import LATE_SHARE, Queue, speed

SLOTS = (1, 2, 4, 8, 16, 32, 64)
UTILISATIONS = (0.5, 0.7, 0.8, 0.9, 0.95)
BUDGETS = (0.05, 0.2, 1.0)
"""Waits for which the utilisation is looked up, in service times."""
CAPS = (0.95, 0.9, 0.8, 0.7, 0.6)
HALF = (0.4, 0.6)
"""Shares of the highest concurrency that count as half of it."""

PAGE = """\
# Latency

Written by `python -m benchmarks.latency --data TABLE --write docs/models/latency.md`; do not edit.
The model is `ebplan/models/latency.py`, what limits ask of a plan `ebplan/models/latency_bounds.py`
and the section on latency in [formulation.md](../formulation.md).

## What is modelled

An instance has as many service slots as its concurrency limit, and a slot is held from the first
token to the last. **Time to first token** (TTFT) is the wait for a slot plus the prefill;
**inter-token latency** (ITL) the mean time between further tokens. Both take longer under a cap.

| quantity | from |
| --- | --- |
| slots $c$ | the fleet model's `concurrency_limit_per_instance` |
| service time $\\tau$ | Little's law at saturation: slots over capacity; slowest workload |
| prefill | the site: `pools.NAME.latency.WORKLOAD.prefill_s`, with its provenance |
| ITL | the site: `itl_s`; else $(\\tau - \\text{prefill}) / (\\text{tokens} - 1)$ |
| slowing under a cap | the elasticity of the cap model, over power as a share of the natural draw |

## What is assumed

- Poisson arrivals, exponential service, first come first served, one queue for all classes of an
  instance, and a router that spreads load evenly. Bursts wait longer than this says; a router that
  knows which instance is free makes them wait less.
- ITL is that with every slot taken, at any load: cautious, see below.
- A cap slows prefill, service and tokens alike. No measurement here separates them; where prefill
  is bound by compute and decode by memory, a cap hurts the first token more than the tokens.
- What a drain moves, or a wake leaves cold, is not in these latencies (it is priced).
- The 95th percentile is that of the wait: prefill is taken as a constant.

## The queue against the exact formula

Sakasegawa (1977), *An approximation formula $L_q \\simeq \\alpha \\rho^\\beta / (1 - \\rho)$*,
Ann. Inst. Statist. Math. 29 A, 67-75, against Erlang C. Waits are in service times; a cell is
approximation / exact.
"""

ITL_PAGE = """
## Tokens against concurrency

Measured by the ML.ENERGY benchmark v3 (`{name}`, Apache-2.0): {runs} runs
of {series} configurations of model, task and GPUs, each at several concurrencies, vLLM, saturated
clients.

- **It rises with concurrency.** In {rising} of {pairs} neighbouring concurrencies of one
  configuration the median ITL is no shorter (within 2 %) at the higher one: the value with every
  slot taken is the longest. At half the concurrency it is {at_half:.2f} of that (median of
  {halves} runs; the model says 1).
- **Little's law gives its size.** Of concurrency over tokens per second the measured median is
  {middle:.2f} in the middle of the runs, and {low:.2f} to {high:.2f} in nine of ten. Little's law
  includes prefill and the pauses that a median leaves out, so it is rather too long.

Neither says how a cap changes it: these runs have no power limits.
"""


def erlang_c(slots: int, utilisation: float) -> float:
    """Return the exact share of the requests that wait in an M/M/c queue."""
    offered, blocked = slots * utilisation, 1.0
    for c in range(1, slots + 1):
        blocked = offered * blocked / (c + offered * blocked)
    return blocked / (1.0 - utilisation * (1.0 - blocked))


def exact_mean_s(queue: Queue, utilisation: float) -> float:
    """Return the exact mean wait."""
    slots = round(queue.slots)
    return erlang_c(slots, utilisation) * queue.service_s / (slots * (1.0 - utilisation))


def exact_p95_s(queue: Queue, utilisation: float) -> float:
    """Return the exact wait that one request in twenty exceeds."""
    slots = round(queue.slots)
    mean_of_those_s = queue.service_s / (slots * (1.0 - utilisation))
    return mean_of_those_s * max(math.log(erlang_c(slots, utilisation) / LATE_SHARE), 0.0)


def exact_utilisation_within(queue: Queue, wait_s: float) -> float:
    """Return the utilisation at which one request in twenty waits exactly this long."""
    low, high = 1e-6, 1.0 - 1e-9
    for _ in range(80):
        middle = 0.5 * (low + high)
        in_time = exact_p95_s(queue, middle) <= wait_s
        low, high = (middle, high) if in_time else (low, middle)
    return low


@dataclass(frozen=True)
class TokenForm:
    """How measured inter-token latencies compare to what the model takes them to be."""

    runs: int
    series: int
    pairs: int
    rising: int
    halves: int
    at_half: float
    low: float
    middle: float
    high: float


def token_form(path: Path) -> TokenForm:
    """Compare a table of the ML.ENERGY benchmark v3 to the model's inter-token latency."""
    same = ("task", "model", "gpu", "num_gpus", "tp", "dp", "ep", "weight_precision")
    by_series: dict[tuple[str, ...], list[tuple[float, float, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            concurrency, itl_s = float(row["avg_batch_size"]), float(row["itl_p50_ms"]) / 1000.0
            key = tuple(row[column] for column in same)
            by_series[key].append((concurrency, itl_s, concurrency / float(row["out_tok_per_s"])))
    shares, halves, pairs, rising = [], [], 0, 0
    for runs in by_series.values():
        runs.sort()
        shares += [itl_s / by_little_s for _, itl_s, by_little_s in runs]
        most, longest_s = runs[-1][:2]
        halves += [itl_s / longest_s for c, itl_s, _ in runs if HALF[0] < c / most < HALF[1]]
        steps = list(pairwise(runs))
        pairs += len(steps)
        rising += sum(after[1] >= 0.98 * before[1] for before, after in steps)
    twentieths = quantiles(shares, n=20)
    return TokenForm(
        runs=len(shares),
        series=len(by_series),
        pairs=pairs,
        rising=rising,
        halves=len(halves),
        at_half=median(halves),
        low=twentieths[0],
        middle=median(shares),
        high=twentieths[-1],
    )


def queue_tables() -> str:
    """Return the approximation beside the exact queue: waits, and utilisations for waits."""
    waits, room = [], []
    for slots in SLOTS:
        queue = Queue(slots=slots, service_s=1.0)
        pairs = [(queue.wait_p95_s(x), exact_p95_s(queue, x)) for x in UTILISATIONS]
        waits.append([str(slots), *(f"{near:.3f} / {exact:.3f}" for near, exact in pairs)])
        found = [(queue.utilisation_within(b), exact_utilisation_within(queue, b)) for b in BUDGETS]
        room.append([str(slots), *(f"{near:.3f} / {exact:.3f}" for near, exact in found)])
    return "\n".join(
        (
            "Wait that one request in twenty exceeds, by utilisation:\n",
            *table(["slots", *(f"{x:g}" for x in UTILISATIONS)], waits),
            "\nUtilisation at which that wait uses up a budget, by budget:\n",
            *table(["slots", *(f"{b:g} $\\tau$" for b in BUDGETS)], room),
            "\nThe approximation waits rather longer and allows less: it errs to the safe side,\n"
            "but for half a percent of the wait with many slots.",
        )
    )


def cap_table() -> str:
    """Return how much longer everything takes under a cap, by elasticity."""
    elasticities = (0.3, 0.5, 0.8, 1.2)
    rows = [
        [f"{k:g}", *(f"{1.0 / speed(k, g):.2f}" for g in elasticities)] for k in map(float, CAPS)
    ]
    return "\n".join(
        (
            "\n## Caps\n",
            "Times under a cap, by share of the natural draw and elasticity; 1 is without:\n",
            *table(["share", *(f"{g:g}" for g in elasticities)], rows),
        )
    )


def page(data: Path | None) -> str:
    """Return the page; without data it lacks the section on tokens."""
    parts = [PAGE, queue_tables(), cap_table()]
    if data is not None:
        parts.append(ITL_PAGE.format(name=data.name, **vars(token_form(data))))
    return "\n".join(parts).rstrip() + "\n"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Table of runs.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(data: Path | None, write: Path | None) -> None:
    """Print how far off the latency model is."""
    text = page(data)
    if write is None:
        click.echo(text)
    else:
        write_atomically(write, text)


if __name__ == "__main__":
    main()
