"""``ebplan twin experiment``: the whitepaper's protocol on the request-level plant."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.errors import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebplan.experiment.campaign import Campaign, Progress
    from ebplan.experiment.folder import ReportFolder
    from ebplan.experiment.protocol import Protocol

FILE = click.Path(path_type=Path)
NO_PLAN, INTERRUPTED = 4, 130


@click.command("experiment")
@click.argument("file", type=FILE, metavar="PROTOCOL")
@click.option("-o", "--output", type=FILE, help="The report's folder, in place of the protocol's.")
@click.option("--list", "only_list", is_flag=True, help="Print the cases and run none.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes; as many as there are cores.")
@click.option("--again", is_flag=True, help="Run finished cases as well.")
@click.option(
    "--key",
    type=FILE,
    help="Who signs the audit logs (ebplan audit keygen); a key of the folder's own if absent.",
)
@click.option("--no-figures", is_flag=True, help="Write tables and logs, no figures and no page.")
@click.option("--plain", is_flag=True, help="Lines, also on a terminal.")
@one_line_errors
def experiment(
    file: Path,
    output: Path | None,
    only_list: bool,
    jobs: int | None,
    again: bool,
    key: Path | None,
    no_figures: bool,
    plain: bool,
) -> None:
    """Run the cases of PROTOCOL in simulated time, and write a report.

    Finished cases are kept: after Ctrl-C or a kill the same command goes on where it was. A case
    runs again when something that it depends on has changed.
    """
    from ebplan.experiment.matrix import cases_of
    from ebplan.experiment.protocol import read_protocol

    protocol = read_protocol(file)
    with named(file):
        cases = cases_of(protocol)
        if only_list:
            for case in cases:
                click.echo(case.name)
            return
        try:
            _run(
                protocol,
                file,
                output,
                jobs or os.cpu_count() or 1,
                again,
                key,
                not no_figures,
                plain,
            )
        except KeyboardInterrupt:
            click.echo("interrupted: finished cases are kept; the same command goes on", err=True)
            sys.exit(INTERRUPTED)


def _run(
    protocol: Protocol,
    file: Path,
    output: Path | None,
    jobs: int,
    again: bool,
    key: Path | None,
    figures: bool,
    plain: bool,
) -> None:
    from ebplan.experiment.campaign import run_campaign
    from ebplan.experiment.folder import ReportFolder

    place = output or file.parent / (protocol.folder or f"{protocol.name}-report")
    if figures:
        from ebplan.report.canvas import styled

        with styled():  # without matplotlib this says so before hours of work
            pass
    folder = ReportFolder(place)
    signs = folder.signing_key(key)
    show = sys.stdout.isatty() and not plain
    with _bar(show) as tell:
        done = run_campaign(
            protocol, folder, base=file.parent, key=signs, again=again, jobs=jobs, progress=tell
        )
    _report(protocol, folder, done, figures)
    if done.failed:
        for name, why in done.failed.items():
            click.secho(f"{name}: {why}", fg="red", err=True)
        sys.exit(NO_PLAN)


def _report(protocol: Protocol, folder: ReportFolder, done: Campaign, figures: bool) -> None:
    from ebplan.experiment.summary import read_measured, summary_rows, write_summary

    if not done.finished:
        return
    measured = read_measured(folder, done.finished)
    rows = summary_rows(measured)
    write_summary(folder, rows, protocol.telemetry)
    click.echo(f"{len(rows)} cases, simulated: {folder.path / 'summary.csv'}")
    if figures:
        from ebplan.report.experiment_page import write_page

        click.echo(f"report: {write_page(protocol, folder, measured, rows)}")


@contextmanager
def _bar(show: bool) -> Iterator[Callable[[Progress], None]]:
    """Show progress: a bar on a terminal, a line a case elsewhere."""
    if not show:
        yield _line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Bar(*columns) as bar:
        task = bar.add_task("", total=None)

        def tell(now: Progress) -> None:
            ended = now.state != "running"
            bar.update(task, total=now.cases, advance=ended, description=_short(now.name))

        yield tell


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def _line(now: Progress) -> None:
    if now.state == "running":
        return
    took = f" in {now.took_s:.1f} s" if now.state == "done" else ""
    why = f": {now.why}" if now.why else ""
    click.echo(f"{now.number}/{now.cases} {now.name} {now.state}{took}{why}")
