"""``ebplan sweep``: a study over many scenarios, on all cores or on a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_progress import bars, interruptible
from ebplan.errors import named

FILE = click.Path(path_type=Path)
SHOWN = 8
"""Scenarios printed: those that gain most."""


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "-o",
    "--output",
    type=FILE,
    required=True,
    help="Folder of the results; what is finished there is not worked out again.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://127.0.0.1:8786.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes here; one a core if absent.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@one_line_errors
def sweep(file: Path, output: Path, scheduler: str | None, jobs: int | None, as_json: bool) -> None:
    """Study every scenario of FILE and write one table of them.

    Interrupt it at will: the same call goes on with what is missing.
    """
    from ebplan.sweep.run import load_sweep, run_sweep

    if scheduler and jobs:
        raise click.UsageError("--jobs is for this machine: a cluster has the workers it has.")
    spec = load_sweep(file)
    words = f"finished chunks are kept in {output}"
    with named(file), interruptible(words), bars() as shown:
        swept = run_sweep(
            spec, file.parent, output, scheduler=scheduler, jobs=jobs, told=shown.told
        )
    if as_json:
        plain = {
            "scenarios": swept.scenarios,
            "chunks": swept.chunks,
            "kept": swept.kept,
            "result_sha256": swept.sha256,
        }
        click.echo(json.dumps(plain, indent=1))
        return
    from ebplan.report.sweep_table import print_sweep

    print_sweep(swept, output, shown=SHOWN)
