"""Every adapter through every fault of its line: ``python -m benchmarks.faults --help``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from benchmarks.faults.matrix import FAULTS, run_one
from benchmarks.faults.page import section
from benchmarks.faults.subjects import SUBJECTS
from benchmarks.sections import write_section


@click.command(help=__doc__)
@click.option("--only", multiple=True, help="Adapters, by name; all if absent.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(only: tuple[str, ...], write: Path | None) -> None:
    """Run and report; exits with 1 where something hangs, grows or is unsafe."""
    outcomes = []
    for name, start in SUBJECTS.items():
        if only and name not in only:
            continue
        for fault_name, fault in FAULTS:
            outcome = asyncio.run(run_one(start, fault_name, fault))
            outcomes.append(outcome)
            click.echo(f"{name:14} {fault_name:15} {outcome}", err=True)
    text = section(outcomes)
    click.echo(text)
    if write is not None:
        write_section(write, "faults", text)
    sys.exit(0 if all(outcome.is_good for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
