"""Are promises kept as often as stated? ``python -m benchmarks.reliability --help``.

Each promise is carried out on the fluid plant, call after call, with errors drawn anew for each:
the load strays by a share of the draw from the start on, compute moves less than it should by a
share of it. A call is kept where the draw stays within the promise in every step of the
plan and the battery's reserve is untouched. The plan is not made again on the way: what a
controller could still mend is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.reliability.outcomes import together
from benchmarks.reliability.page import page
from benchmarks.reliability.promises import SCENARIOS
from benchmarks.reliability.simulation import run
from benchmarks.sections import write_section


@click.command(help=__doc__)
@click.option("--calls", default=10_000, show_default=True, help="In each scenario.")
@click.option("--seed", default=20261126, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(calls: int, seed: int, jobs: int, write: Path | None) -> None:
    """Simulate and report; exits with 1 where a promise is kept too seldom."""
    outcomes = []
    for outcome in run(calls, seed=seed, jobs=jobs):
        outcomes.append(outcome)
        click.echo(
            f"{outcome.scenario:6} {outcome.subject:24} {outcome.confidence:.2f} "
            f"{outcome.kept / outcome.calls:.4f} (computed {outcome.computed:.4f})",
            err=True,
        )
    text = page(outcomes)
    click.echo(text)
    if write is not None:
        write_section(write, "promises", text)
    tested = len(outcomes) // len(SCENARIOS)
    each = all(outcome.is_often_enough(tested) for outcome in outcomes)
    sys.exit(0 if each and all(t.is_often_enough for t in together(outcomes)) else 1)


if __name__ == "__main__":
    main()
