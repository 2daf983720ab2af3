"""Controllers killed at random moments of an event: ``python -m benchmarks.kills --help``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from benchmarks.kills.bench import site_bench
from benchmarks.kills.kill import HOW, Killed, kill_once
from benchmarks.kills.page import section
from benchmarks.kills.plan import LASTS_S, everything_at_once
from benchmarks.sections import write_section
from ebplan.document import write_atomically

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"


async def kill_many(
    indices: Iterable[int], lease_s: float, seed: int, latest_s: float = LASTS_S - 1.5
) -> AsyncIterator[Killed]:
    """Yield what one site did each time."""
    with tempfile.TemporaryDirectory() as name:
        plan_file = Path(name) / "plan.json"
        write_atomically(plan_file, everything_at_once(EXAMPLE).to_json())
        async with site_bench(Path(name), lease_s=lease_s) as bench:
            for i in indices:
                yield await kill_once(bench, plan_file, HOW[i % len(HOW)], seed + i, latest_s)


async def _share(indices: range, lease_s: float, seed: int) -> list[Killed]:
    killed = []
    async for one in kill_many(indices, lease_s, seed):
        killed.append(one)
        click.echo(f"{'safe' if one.is_safe else 'NOT SAFE'} {one}", err=True)
    return killed


def _one_site(indices: range, lease_s: float, seed: int) -> list[Killed]:
    return asyncio.run(_share(indices, lease_s, seed))


@click.command(help=__doc__)
@click.option("--count", default=200, show_default=True)
@click.option("--lease", default=2.0, show_default=True, help="Term of the leases, s.")
@click.option("--sites", default=4, show_default=True, help="Side by side; they mostly wait.")
@click.option("--seed", default=20261126, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(count: int, lease: float, sites: int, seed: int, write: Path | None) -> None:
    """Kill and report; exits with 1 where the site was not safe within the lease."""
    shares = [range(first, count, sites) for first in range(min(sites, count))]
    with ProcessPoolExecutor(len(shares)) as pool:
        done = pool.map(_one_site, shares, [lease] * len(shares), [seed] * len(shares))
        killed = [one for share in done for one in share]
    text = section(killed)
    click.echo(text)
    if write is not None:
        write_section(write, "kills", text)
    sys.exit(0 if all(one.is_safe for one in killed) else 1)


if __name__ == "__main__":
    main()
