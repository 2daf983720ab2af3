"""Measure and print, or write the page: ``python -m benchmarks --help``."""

from __future__ import annotations

from pathlib import Path

import click

import benchmarks.subjects  # noqa: F401  (fills the registry)
from benchmarks.machine import describe_machine
from benchmarks.options import TIME_LIMIT_S, TRIED_ON, measure_settings
from benchmarks.phases import measure
from benchmarks.processes import COMMANDS, measure_process
from benchmarks.reference import TIME_LIMIT_S as SOLVE_LIMIT_S
from benchmarks.registry import HEAVY_REPEATS, SUBJECTS, Subject
from benchmarks.tables import options_table, process_table, size_table, time_table
from benchmarks.traps import traps_table
from ebplan.document import write_atomically

TITLE = "# Performance"
METHOD = """\
Every number on this page was written by `python -m benchmarks --write docs/performance.md`; do
not edit it. A cell `a / b` is the median and the 90th percentile of n runs in milliseconds, wall
time. One run is a whole re-plan, phase by phase; nothing is kept from one run to the next.

`5 min` and `4 h` name the event, then the instances: the shipped site with its loads, battery
and target scaled by their number. `5 min, 4` is `under_frequency` once more: what differs
between the two rows is the machine's noise. In `10 x 100` the loads of the ten pools differ, and
only few runs are made."""
SIZES = """\
The LP gap at the root is how far the plain relaxation lies below the plan, as a share of the
plan's objective; it says how good the formulation is before the solver adds cuts. `gap` is what
is left when the solver stops."""
TIMES = f"""\
`watch` looks for peaks of the draw inside a step; where it finds one that nobody covers, the
planner builds and solves another round, and the times are of all rounds together. `extract`
includes the explanation, which solves further LPs: the price of the next kW, and where something is
given up, whether it had to be. A solve is stopped after {SOLVE_LIMIT_S:g} s.

`HiGHS defaults` is HiGHS on the same arrays, right after each solve, with nothing set but
threads, gap and the same limit of time; `ratio` is our median solve over its median."""
OPTIONS = f"""\
HiGHS is deterministic, so each setting is run with several random seeds: a cell is the median
and the slowest seed in milliseconds, of {HEAVY_REPEATS} seeds for `10 x 100`. Threads and gap
are the same everywhere; a run is stopped after {TIME_LIMIT_S:g} s. `ebplan` is what
`ebplan/solvers/highs.py` sets."""
TRAPS = """\
What the rules of [the formulation](formulation.md) are worth: each is taken out of the program
and the result measured."""


@click.command()
@click.option("--repeat", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--subject", "names", multiple=True, type=click.Choice(list(SUBJECTS)))
@click.option("--options", "only_options", is_flag=True, help="Only the HiGHS option settings.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(repeat: int, names: tuple[str, ...], only_options: bool, write: Path | None) -> None:
    """Measure the subjects (all, or those named) and print Markdown tables."""
    subjects = [SUBJECTS[name] for name in names] or list(SUBJECTS.values())
    tried = [SUBJECTS[name] for name in names or TRIED_ON]
    lines = [] if only_options else _measured(subjects, repeat)
    if only_options or write is not None:
        lines += _options(tried, repeat)
    if write is not None:
        lines += ["## Rules of the formulation", "", TRAPS, "", *traps_table(), ""]
    page = "\n".join(lines).strip() + "\n"
    if write is None:
        click.echo(page)
    else:
        head = [TITLE, "", METHOD, "", *describe_machine(), "", ""]
        write_atomically(write, "\n".join(head) + page)


def _measured(subjects: list[Subject], repeat: int) -> list[str]:
    # The first plan of a process pays for imports and first touches: not counted.
    measure(SUBJECTS["under_frequency"], 1)
    measured = [measure(subject, repeat) for subject in subjects]
    processes = {command: measure_process(COMMANDS[command], repeat) for command in COMMANDS}
    return [
        *("## Size and proof", "", SIZES, "", *size_table(measured), ""),
        *("## Time of a re-plan", "", TIMES, "", *time_table(measured), ""),
        *("## Whole processes", "", *process_table(processes), ""),
    ]


def _options(subjects: list[Subject], repeat: int) -> list[str]:
    measured = measure_settings(subjects, repeat)
    return ["## HiGHS options", "", OPTIONS, "", *options_table(measured), ""]


if __name__ == "__main__":
    main()
