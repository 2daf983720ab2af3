"""How much two workers of a cluster are faster than one: ``python -m benchmarks.sweeps``.

``--write docs/sweeps.md`` puts the table there. It needs the extras ``study`` and ``dask``, two
cores and a machine that does nothing else. A sweep of 32 scenarios over the example's week, on a
Dask scheduler with one worker and with two, all on this machine. The compute frontiers are asked
before and known to both, so that only scenarios are measured; the hashes of the results have to
be equal. Wall time from the first chunk handed out to the last written, so a machine that does
something else shows it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import click

from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.tables import table
from ebplan.sweep.run import run_sweep
from ebplan.sweep.spec import Axes, SweepSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
DAYS = 28


def sweep_of(days: int) -> SweepSpec:
    """Return the sweep over so many days."""
    return SweepSpec(
        name="32 scenarios",
        study="study_week.toml",
        axes=Axes(
            battery_energy_kwh=(2.0, 5.0, 10.0, 20.0),
            battery_power_kw=(2.0, 4.0, 8.0, 16.0),
            services=((), ("jp_fcr",)),
            fields={"period.days": (days,)},
        ),
    )


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[str]:
    """Start a scheduler and so many workers of one thread; yield the scheduler's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    commands = [
        ("distributed.cli.dask_scheduler", "--no-dashboard", "--host", address),
        *[
            (
                *("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"),
                *("--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(folder)),
            )
        ]
        * workers,
    ]
    with ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield address


def measured(spec: SweepSpec, workers: int, folder: Path, frontiers: Path) -> tuple[float, str]:
    """Return wall seconds of the scenarios, and the hash of the results."""
    from distributed import Client

    output = folder / f"of-{workers}"
    shutil.copytree(frontiers, output / "frontiers")
    with cluster(workers, folder) as address:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers)
            # imports are paid once in the life of a worker
            client.run(__import__, "ebplan.sweep.cells")
        began = [0.0]

        def told(what: str, _done: int, _of: int, _workers: int) -> None:
            if what == "working out scenarios" and not began[0]:
                began[0] = monotonic()

        swept = run_sweep(spec, EXAMPLES, output, scheduler=address, told=told)
        return monotonic() - began[0], swept.sha256


@click.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write a section into this page.")
@click.option(
    "--frontiers",
    type=click.Path(path_type=Path),
    help="Folder `frontiers` of an earlier sweep of this example: not asked once more.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=DAYS,
    show_default=True,
    help="Days of each scenario: fewer for a trial of the benchmark itself.",
)
def main(write: Path | None, frontiers: Path | None, days: int) -> None:
    r"""Print wall seconds of 32 scenarios with one worker and with two.

    Run it on a machine of two cores or more that does nothing else:

    \b
        python -m benchmarks.sweeps --write docs/sweeps.md

    First compute is asked what it can give, in a sweep of one day on all cores; then the same 32
    scenarios are worked out on a Dask scheduler with one worker and again with two. A scenario of
    28 days is about two seconds of a processor, so all of it takes a few minutes.
    """
    spec = sweep_of(days)
    with TemporaryDirectory() as name:
        folder, began = Path(name), monotonic()
        first = folder / "first"
        if frontiers is not None:
            shutil.copytree(frontiers, first / "frontiers")
        # the load of a day is that of every day: a sweep of one day asks all that is to be asked
        run_sweep(sweep_of(1), EXAMPLES, first)
        click.echo(f"frontiers are known after {monotonic() - began:,.0f} s", err=True)
        found = {}
        for workers in (1, 2):
            found[workers] = measured(spec, workers, folder, first / "frontiers")
            click.echo(f"{workers} working: {found[workers][0]:,.1f} s", err=True)
    same = "yes" if len({sha256 for _, sha256 in found.values()}) == 1 else "NO"
    rows = [
        [f"{workers}", f"{seconds:,.1f}", f"{found[1][0] / seconds:.2f}", same]
        for workers, (seconds, _) in found.items()
    ]
    head = ("workers", "wall s", "times one worker", "same hash")
    text = "\n".join([*describe_machine(), "", *table(head, rows)])
    click.echo(text)
    if write is not None:
        write_section(write, "two workers", text)


if __name__ == "__main__":
    main()
