"""``ebplan study``: what a portfolio earns over a long time, and what that costs."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_progress import bars, interruptible
from ebplan.errors import named

if TYPE_CHECKING:
    from ebplan.study.run import Run

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Write tables and manifest into this folder; it is made where it does not exist.",
)
@click.option("--page/--no-page", default=True, help="With -o: write report.html too.")
@click.option(
    "--sizes",
    callback=lambda _context, _option, text: _factors(text),
    help="With -o: multiples of the batteries for which the gain is worked out too: 0,0.5,1,2.",
)
@click.option(
    "--ranges/--no-ranges",
    default=True,
    show_default=True,
    help="Run the study again at both ends of each assumed range, one at a time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@one_line_errors
def study(
    file: Path,
    output: Path | None,
    page: bool,
    sizes: tuple[float, ...],
    ranges: bool,
    as_json: bool,
) -> None:
    """Study what the portfolio in FILE earns over its period, under the rules of its markets.

    With -o, runs that are finished are kept: after an interruption the same call goes on.
    """
    from ebplan.study.run import load_study, run_study, write_results

    if sizes and output is None:
        raise click.UsageError("--sizes writes a table: say where with -o.")
    spec = load_study(file)
    kept = None if output is None else output / "runs"
    words = "without -o nothing is kept" if kept is None else f"what is finished is kept in {kept}"
    with named(file), interruptible(words), bars() as shown:
        runs = run_study(spec, file.parent, told=shown.told, ranges=ranges, kept=kept)
    if output is not None:
        write_results(runs, output)
        if sizes:
            from ebplan.study.sizes import with_sizes
            from ebplan.study.tables import write_parquet

            with interruptible(f"the tables without sizes are in {output}"), bars() as shown:
                table = with_sizes(spec, file.parent, runs, sizes, told=shown.told)
            write_parquet(output / "sizes.parquet", table)
        if page:
            from ebplan.report.study_page import write_study_page

            write_study_page(output)
        click.echo(f"tables{' and report.html' if page else ''}: {output}", err=True)
    if as_json:
        click.echo(json.dumps([_plain(run) for run in runs], indent=1))
        return
    from ebplan.report.study_text import study_text

    for line in study_text(runs):
        click.echo(line)


def _factors(text: str | None) -> tuple[float, ...]:
    """Read multiples before anything is run: a study takes a while."""
    try:
        factors = () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        factors = (-1.0,)
    if not all(0.0 <= factor < 1e6 for factor in factors):
        raise click.BadParameter(f"got {text!r}; allowed: numbers >= 0, e.g. 0,0.5,1,2")
    return factors


def _plain(run: Run) -> dict[str, object]:
    return {
        "policy": run.policy,
        "corner": run.corner,
        "kpis": {
            # JSON knows neither infinity nor what is not a number
            kpi.name: {"value": kpi.value if isfinite(kpi.value) else None, "unit": kpi.unit}
            for kpi in run.kpis
        },
    }
