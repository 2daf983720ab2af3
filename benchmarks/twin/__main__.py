"""The request-level plant against the whitepaper: ``python -m benchmarks.twin --help``."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import click

from benchmarks.sections import write_section
from benchmarks.twin.caps import snapshot, sweep
from benchmarks.twin.consolidation import consolidations
from benchmarks.twin.fleet_map import cells
from benchmarks.twin.page import section
from benchmarks.twin.plans import plans
from ebplan.models.fit.source import read_source


@click.command(help=__doc__)
@click.option("--seed", default=0, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(seed: int, write: Path | None) -> None:
    """Simulate and report."""
    begin_s = perf_counter()
    source = read_source()
    text = section(
        cells(source, seed),
        snapshot(source, seed),
        sweep(source, seed),
        consolidations(seed),
        plans(seed),
    )
    click.echo(text)
    click.echo(f"took {perf_counter() - begin_s:.1f} s", err=True)
    if write is not None:
        write_section(write, "twin", text)


if __name__ == "__main__":
    main()
