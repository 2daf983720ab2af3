"""A day of the controller: ``python -m benchmarks.day24 --write docs/endurance.md``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from benchmarks.day24.page import draw, section
from benchmarks.day24.run import Day, PlantKind
from benchmarks.sections import write_section
from benchmarks.subjects import example

HEAD = """\
# A day without a break

What stands between marks is written by `python -m benchmarks.day24 --write docs/endurance.md`; do
not edit it. Each section gives the command that measured it. A run that was ended is shown for what
it lived (`--as-kept`).

The controller of `ebplan run` (`ebplan.controller`), with its dispatcher, leases and degradations,
runs the built-in site in virtual time: devices in memory have a plant behind them, and time passes
only while nothing is left to do. Calls of six kinds, both ways, up to 1.6 times what the site draws
and beyond what it can do, some with notice, changed, taken back or overlapping; ten kinds of faults
in turn. Traffic has a synthetic daily shape (least at 4 h, most at 16 h), a forecast error of 3 %
on the fluid plant, and comes at random on the request-level one; meters have noise.

A second is judged by the plant's own energy register: what was asked, less the shortfall that the
plan named, may be missed by 2 % of the site's draw (assumed). What is feasible is what the plan
says, and each plan has passed the checker. Nothing is armed in advance: virtual time has no spare
time. Planning takes no time of the plant.

Between calls the controller may move the draw by the last call's rebound limit or by a tenth of
the draw at that time, whichever is more ([a run file](controller.md) may say otherwise); the count
below is against a tenth of the draw at the reference load. A battery that holds the connection
point while the load falls takes more for a moment, and the draw stays.

![The day at a glance](figures/endurance.png)"""


def lived(kept: Path | None, *, as_kept: bool = False, **day: Any) -> dict[str, Any]:
    """Return the record of a day, from the file where it is kept, otherwise lived now.

    Args:
        kept: the file, of the same day; a day that was ended is lived anew,
        as_kept: unless what it lived is to be shown.
        day: what the day is.
    """
    if kept is not None and kept.exists():
        record: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        planned = {name: day[name] for name in ("hours", "events", "faults")}
        same = all(record[name] == day[name] for name in ("plant", "seed"))
        whole = abs(record["hours"] - day["hours"]) < 1e-6
        if same and record["planned"] == planned and (whole or as_kept):
            return record
    case = example("under_frequency")
    return Day(case, keep=kept, tell=lambda line: click.echo(line, err=True), **day).live()


@click.command()
@click.option("--plant", type=click.Choice(["fluid", "requests"]), default="fluid")
@click.option("--hours", type=click.FloatRange(min=0.5), default=24.0, show_default=True)
@click.option("--events", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--faults", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the record here, after each hour."
)
@click.option("--as-kept", is_flag=True, help="Show a kept day that was ended, too.")
@click.option("--write", type=click.Path(path_type=Path), help="Write its section into this page.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the day here.")
def main(
    plant: PlantKind,
    hours: float,
    events: int,
    faults: int,
    seed: int,
    keep: Path | None,
    as_kept: bool,
    write: Path | None,
    plot: Path | None,
) -> None:
    """Live a day and print what became of it; a day that is kept whole is not lived again."""
    logging.disable(logging.WARNING)
    day = {"plant": plant, "hours": hours, "events": events, "faults": faults, "seed": seed}
    record = lived(keep, as_kept=as_kept, **day)
    text = section(record)
    if write is None:
        click.echo(text)
    else:
        write_section(write, "what was done", HEAD)
        write_section(write, f"day on {plant}", text)
    if plot is not None:
        draw(record, plot)


if __name__ == "__main__":
    main()
