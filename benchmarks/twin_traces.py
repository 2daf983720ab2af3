"""Recorded traffic on the built-in site: ``python -m benchmarks.twin_traces --help``.

Reads the traces from the data folder (``EBPLAN_DATA``); what is not there is left out by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import click
import numpy as np

from benchmarks.sections import write_section
from benchmarks.subjects import example
from ebplan.twin.requests import Answer, Poisson, RequestPlant, Traffic, read_rates, read_trace

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EBPLAN_DATA", ROOT.parent / "shared" / "data"))
NOBODY = Poisson(rates=((0.0, 0.0),))
HEAD = """\
## Recorded traffic

Written by `python -m benchmarks.twin_traces --write docs/twin.md`: traces of other services and
other models, on the built-in site of four 70B instances. Simulated; it says what the plant makes of
them, not what their services did."""


class Replay(NamedTuple):
    """A file, and how it comes."""

    file: str
    what: str
    read: Callable[[Path], Traffic]
    seconds: float


REPLAYS = (
    Replay(
        "llm_traces/azure_2023_conv.csv.gz",
        "Azure 2023, conversations, as recorded",
        read_trace,
        3_600.0,
    ),
    Replay(
        "llm_traces/azure_2023_conv.csv.gz",
        "the same, 1.5 times as fast",
        lambda path: read_trace(path, pace=1.5),
        2_400.0,
    ),
    Replay(
        "llm_traces/mooncake_fast25_conversation.csv.gz",
        "Mooncake, conversations, five times slower",
        lambda path: read_trace(path, pace=0.2, until_s=720.0),
        3_600.0,
    ),
    Replay(
        "llm_traces/servegen_m-mid_rate_10min.csv.gz",
        "ServeGen m-mid, a fiftieth of its rate from noon, tokens of short input",
        lambda path: read_rates(path, share=0.02, from_s=43_200.0),
        3_600.0,
    ),
)


def replayed(replay: Replay, path: Path) -> tuple[str, ...]:
    """Replay a file; return its row."""
    case = example("under_frequency")
    (pool,) = case.site.pools
    answers: list[Answer] = []
    traffic: dict[str, Traffic] = {"interactive": replay.read(path), "batch": NOBODY}
    plant = RequestPlant(
        case.site, case.state, traffic={pool: traffic}, listener=answers.append, seed=1
    )
    begin_s = perf_counter()
    m = plant.step((), replay.seconds)
    took_s = perf_counter() - begin_s
    reading = m.pools[pool]
    waits = sum(reading.waiting_requests.values()) + sum(reading.in_flight_requests.values())
    took = np.array([a.answered_s - a.came_s for a in answers] or [np.nan])
    return (
        replay.what,
        f"{reading.arrived_requests['interactive']:,.0f}",
        f"{reading.served_requests['interactive']:,.0f}",
        f"{waits:,.0f}",
        f"{np.median(took):.1f}",
        f"{np.quantile(took, 0.95):.1f}",
        f"{m.pool_kw[pool]:.2f}",
        f"{replay.seconds / took_s:,.0f}",
    )


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="The data folder.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(data: Path, write: Path | None) -> None:
    """Replay and report."""
    head = (
        *("traffic", "came", "answered", "not yet", "median s", "95 % within s"),
        *("mean kW of the pool", "times real time"),
    )
    rows = []
    for replay in REPLAYS:
        path = data / replay.file
        if path.exists():
            rows.append(replayed(replay, path))
        else:
            click.echo(f"left out: no {replay.file} in the data folder; set EBPLAN_DATA to one")
    if not rows:
        return
    table = [f"| {' | '.join(row)} |" for row in (head, (":--",) + ("--:",) * 7, *rows)]
    text = "\n".join((HEAD, "", *table))
    click.echo(text)
    if write is not None:
        write_section(write, "traces", text)


if __name__ == "__main__":
    main()
