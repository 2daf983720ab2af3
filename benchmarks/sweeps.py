"""How much two workers of a cluster are faster than one: ``python -m benchmarks.sweeps``.

A sweep of 32 scenarios over the example's week, on a Dask scheduler with one worker and with two,
all on this machine. The compute frontiers are asked before and known to both, so that only
scenarios are measured; the hashes of the results have to be equal. Wall time from the first chunk
handed out to the last written, so a machine that does something else shows it.
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
SWEEP = SweepSpec(
    name="32 scenarios",
    study="study_week.toml",
    axes=Axes(
        battery_energy_kwh=(2.0, 5.0, 10.0, 20.0),
        battery_power_kw=(2.0, 4.0, 8.0, 16.0),
        services=((), ("jp_fcr",)),
        fields={"period.days": (28,)},
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


def measured(workers: int, folder: Path, frontiers: Path) -> tuple[float, str]:
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

        swept = run_sweep(SWEEP, EXAMPLES, output, scheduler=address, told=told)
        return monotonic() - began[0], swept.sha256


@click.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write a section into this page.")
@click.option("--frontiers", type=click.Path(path_type=Path), help="Frontiers asked before.")
def main(write: Path | None, frontiers: Path | None) -> None:
    """Print wall seconds with one worker and with two."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if frontiers is None:
            run_sweep(SWEEP, EXAMPLES, folder / "first")
            frontiers = folder / "first" / "frontiers"
        found = {workers: measured(workers, folder, frontiers) for workers in (1, 2)}
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
