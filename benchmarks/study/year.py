"""How long a year of half-hours takes: ``python -m benchmarks.study.year``.

The example of Tokyo by the market's clock, for one year and for ten: seconds of the processor, so
that what else the machine does changes little.
"""

from __future__ import annotations

import resource
from pathlib import Path
from time import process_time

import click

from benchmarks.sections import write_section
from benchmarks.study.claim import EXAMPLE
from benchmarks.tables import table
from ebplan.study.asked import Frontiers
from ebplan.study.build import build
from ebplan.study.clock import Planning
from ebplan.study.invariants import hold
from ebplan.study.ledger import settle
from ebplan.study.receding import Receding
from ebplan.study.run import accepted, load_study

CASES = {"1": (365, 6), "10": (3650, 6), "1, every half-hour": (365, 1)}
"""Days, and steps between two repairs."""


@click.command()
@click.option("--years", multiple=True, type=click.Choice(list(CASES)), default=list(CASES))
@click.option("--write", type=click.Path(path_type=Path), help="Write a section into this page.")
def main(years: tuple[str, ...], write: Path | None) -> None:
    """Print seconds and memory."""
    frontiers, rows = Frontiers(), []
    for name in years:
        days, every = CASES[name]
        spec = load_study(EXAMPLE)
        spec = spec.model_copy(update={"period": spec.period.model_copy(update={"days": days})})
        numbers = build(spec, EXAMPLE.parent, frontiers=frontiers).numbers
        began = process_time()
        planning = Planning(repair_every=every)
        taken = accepted(numbers, spec.seed)
        track = Receding(numbers, taken, spec.policy.clock, planning).run()
        seconds = process_time() - began
        hold(numbers, track, settle(numbers, track))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append([name, f"{numbers.steps:,}", f"{every}", f"{seconds:,.1f}", f"{peak:,.0f}"])
        click.echo(rows[-1])
    head = ("years", "steps", "repaired every", "processor s", "peak MiB")
    text = "\n".join(table(head, rows))
    click.echo(text)
    if write is not None:
        write_section(write, "how long it takes", text)


if __name__ == "__main__":
    main()
