"""``ebplan portfolio``: who of many sites carries what of the awards they share."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_progress import bars, interruptible
from ebplan.errors import named

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Write tables and portfolio.json into this folder; it is made where it does not exist.",
)
@click.option(
    "--gap",
    type=click.FloatRange(min=1e-9, max=1.0),
    default=1e-4,
    show_default=True,
    help="Proven distance to the optimum at which to stop.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; one a core if absent.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@one_line_errors
def portfolio(file: Path, output: Path | None, gap: float, jobs: int | None, as_json: bool) -> None:
    """Share the awards of FILE among its sites, at the least cost of all of them together.

    With -o, what the planner answered is kept: after an interruption the same call goes on.
    """
    from ebplan.portfolio.results import plain, write_results
    from ebplan.portfolio.run import load_portfolio, run_portfolio

    spec = load_portfolio(file)
    kept = None if output is None else output / "frontiers"
    words = "without -o nothing is kept" if kept is None else f"answers are kept in {kept}"
    with named(file), interruptible(words), bars() as shown:
        outcome = run_portfolio(
            spec, file, gap=gap, jobs=jobs, kept=kept, told=shown.told, rounds=shown.rounds
        )
    if output is not None:
        write_results(outcome, output)
    if as_json:
        click.echo(json.dumps(plain(outcome), indent=1))
        return
    from ebplan.report.portfolio_table import print_portfolio

    print_portfolio(outcome)
    if output is not None:
        click.echo(f"tables and portfolio.json: {output}")
