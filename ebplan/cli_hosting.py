"""``ebplan hosting``: how much compute fits under a connection that may be curtailed."""

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
@click.option("-o", "--output", type=FILE, help="Write all cases as a table (.parquet).")
@click.option("--plot", type=FILE, help="Draw what fits (.png, .svg or .pdf).")
@click.option(
    "--keep",
    type=FILE,
    metavar="FOLDER",
    help="Keep there what the planner answers: an interrupted call goes on, another is quick.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all cases as JSON.")
@one_line_errors
def hosting(
    file: Path, output: Path | None, plot: Path | None, keep: Path | None, as_json: bool
) -> None:
    """Count the units of compute that fit under the connection and contract of FILE."""
    from ebplan.document import check_writable
    from ebplan.errors import InputError
    from ebplan.hosting.run import columns, load_hosting, run_hosting

    for path in (output, plot):
        if path is not None:
            check_writable(path)
    if output is not None and output.suffix != ".parquet":
        raise InputError(
            field="--output",
            value=str(output),
            allowed="a file that ends in .parquet",
            remedy="rename it, or print all cases with --json",
        )
    if plot is not None:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)
    spec = load_hosting(file)
    words = "nothing is kept without --keep" if keep is None else f"answers are kept in {keep}"
    with named(file), interruptible(words), bars() as shown:
        study = run_hosting(spec, file.parent, kept=keep, told=shown.told)
    table = columns(study)
    if output is not None:
        from ebplan.study.tables import write_parquet

        write_parquet(output, table)
    if plot is not None:
        from ebplan.report.hosting_figure import plot_hosting

        plot_hosting(study, plot)
    if as_json:
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        click.echo(json.dumps(rows, indent=1))
        return
    from ebplan.report.hosting_table import print_hosting

    print_hosting(study)
