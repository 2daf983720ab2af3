"""``ebplan replay``: a recording through the planner, or a recorded answer found again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_problem import load_problem
from ebplan.errors import named

if TYPE_CHECKING:
    from ebplan.replay.run import Told

FILE = click.Path(path_type=Path)
INTERRUPTED = 130


@click.command()
@click.argument("file", type=FILE)
@click.argument("problem_file", type=FILE, metavar="[PROBLEM]", required=False)
@click.option("-o", "--output", type=FILE, help="Write tables, numbers and a figure here.")
@click.option("--no-figure", is_flag=True, help="With -o: leave the figure out.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option(
    "--hot-from",
    type=FILE,
    help="With PROBLEM: the problem whose basis the answer started from (answer.hot_from).",
)
@one_line_errors
def replay(
    file: Path,
    problem_file: Path | None,
    output: Path | None,
    no_figure: bool,
    as_json: bool,
    hot_from: Path | None,
) -> None:
    """Replay a recording: what was done, and what ebplan would have done.

    FILE is a replay file (kind "replay"). With -o, finished stretches are kept: after an
    interruption the same call goes on.

    With PROBLEM, FILE is a plan: its answer is found again, the same point of the same rung.
    """
    if problem_file is not None:
        if output or as_json or no_figure:
            raise click.UsageError("PLAN PROBLEM prints a line: leave -o, --json out.")
        _found_again(file, problem_file, hot_from)
        return
    if hot_from is not None:
        raise click.UsageError("--hot-from goes with PLAN PROBLEM.")
    try:
        _replay(file, output, figure=not no_figure, as_json=as_json)
    except KeyboardInterrupt:
        kept = "" if output is None else ": finished stretches are kept; the same command goes on"
        click.echo(f"interrupted{kept}", err=True)
        sys.exit(INTERRUPTED)


def _replay(file: Path, output: Path | None, *, figure: bool, as_json: bool) -> None:
    from rich.console import Console

    from ebplan.document import write_atomically
    from ebplan.errors import NoPlanError
    from ebplan.replay.compare import summary_of
    from ebplan.replay.folder import (
        FIGURE,
        SUMMARY,
        intervals_table,
        put_in_place,
        working_folder,
        write_tables,
    )
    from ebplan.replay.run import replay_recording
    from ebplan.replay.spec import read_spec
    from ebplan.report.replay_table import print_replay

    spec = read_spec(file)
    if output is not None and figure:
        from ebplan.report.canvas import styled

        with styled():  # without matplotlib this says so before a long run
            pass
    working = None if output is None else working_folder(output)
    kept = None if working is None else working / "stretches"
    with named(file), _progress() as told:
        replayed = replay_recording(spec, file.parent, kept=kept, told=told)
    summary = summary_of(replayed)
    if output is not None and working is not None:
        write_tables(replayed, working)
        if figure:
            from ebplan.report.replay_figure import plot_replay

            plot_replay(summary, intervals_table(replayed), working / FIGURE)
        write_atomically(working / SUMMARY, summary.to_json() + "\n")
        put_in_place(working, output)
    if as_json:
        click.echo(summary.to_json())
    else:
        print_replay(summary, Console())
    if summary.decisions is not None and summary.decisions.differ_by_work:
        count = summary.decisions.differ_by_work
        raise NoPlanError(f"{count} decision(s) that counted work were not found again")


@contextmanager
def _progress() -> Iterator[Told | None]:
    """Yield what tells a person how far it is; nobody is told where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    yield _teller()
    click.echo("\r" + " " * 60 + "\r", nl=False, err=True)


def _teller() -> Callable[[str, int, int], None]:
    def told(what: str, done: int, of: int) -> None:
        if done == of or done % max(of // 200, 1) == 0:
            click.echo(f"\r{what}: {done} of {of}   ", nl=False, err=True)

    return told


def _found_again(plan_file: Path, problem_file: Path, hot_from: Path | None) -> None:
    from ebplan.document import read_data
    from ebplan.errors import NoPlanError
    from ebplan.plan import Plan
    from ebplan.planner.replay import differences, replay

    plan = Plan.parse(read_data(plan_file), file=str(plan_file))
    problem = load_problem(problem_file)
    first = None if hot_from is None else load_problem(hot_from)
    again = replay(problem, plan, hot_from=first)
    if apart := differences(plan, again):
        raise NoPlanError(f"another plan: {'; '.join(apart)}", plan=again)
    rung = "" if plan.answer is None else plan.answer.rung
    click.echo(f"the same plan: {rung}, objective {plan.objective:g} {plan.currency}")
