"""Controllers killed at random moments of an event: ``python -m benchmarks.kills --help``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import click

from benchmarks.kills.bench import site_bench
from benchmarks.kills.kill import HOW, Killed, kill_once
from benchmarks.kills.page import section
from benchmarks.kills.plan import everything_at_once
from benchmarks.sections import write_section
from ebplan.document import write_atomically

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"


async def kill_many(count: int, lease_s: float, seed: int) -> AsyncIterator[Killed]:
    """Yield what the site did each time."""
    with tempfile.TemporaryDirectory() as name:
        plan_file = Path(name) / "plan.json"
        write_atomically(plan_file, everything_at_once(EXAMPLE).to_json())
        async with site_bench(Path(name), lease_s=lease_s) as bench:
            for i in range(count):
                yield await kill_once(bench, plan_file, HOW[i % len(HOW)], seed + i)


async def _main(count: int, lease_s: float, seed: int) -> list[Killed]:
    killed = []
    async for one in kill_many(count, lease_s, seed):
        killed.append(one)
        click.echo(f"{len(killed):4d} {'safe' if one.is_safe else 'NOT SAFE'} {one}", err=True)
    return killed


@click.command(help=__doc__)
@click.option("--count", default=200, show_default=True)
@click.option("--lease", default=2.0, show_default=True, help="Term of the leases, s.")
@click.option("--seed", default=20261126, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(count: int, lease: float, seed: int, write: Path | None) -> None:
    """Kill and report; exits with 1 where the site was not safe within the lease."""
    killed = asyncio.run(_main(count, lease, seed))
    text = section(killed)
    click.echo(text)
    if write is not None:
        write_section(write, "kills", text)
    sys.exit(0 if all(one.is_safe for one in killed) else 1)


if __name__ == "__main__":
    main()
