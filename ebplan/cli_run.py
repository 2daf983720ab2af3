"""``ebplan run``: run a site until it is told to end, then hand it back."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_signals import until_told

if TYPE_CHECKING:
    from ebplan.adapters.events.inbox import Taken
    from ebplan.controller.controller import Status
    from ebplan.controller.run_spec import RunSpec

FILE = click.Path(path_type=Path)
REFUSED = 5
"""Exit code: a device was not handed back; it goes to its safe state when its lease ends."""
SAY_EVERY = 10
"""Cycles between two lines where nobody looks at a screen and nothing changes."""


class _Screen(NamedTuple):
    """Where a person looks."""

    show: Callable[[Status], None]
    """Shows how the site does."""
    say: Callable[[str], object]
    """Prints a line."""


@click.command("run")
@click.argument("file", type=FILE)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read and plan, and tell no device anything. Calls are taken and recorded all the same.",
)
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0.0, min_open=True),
    help="End so long after the site has been opened, s.",
)
@click.option("--plain", is_flag=True, help="Lines for a log, also on a terminal.")
@one_line_errors
def run(file: Path, dry_run: bool, seconds: float | None, plain: bool) -> None:
    """Run the site of FILE: hear calls, plan each second, tell devices, record everything.

    It ends on Ctrl-C or SIGTERM and hands the site back: the battery rests, limits are restored,
    the router returns to its own weights.
    """
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--for is a finite number of seconds.")
    for name in ("pymodbus", "pymodbus.logging"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    show = sys.stdout.isatty() and not plain
    level = logging.ERROR if show else logging.WARNING
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level)
    if show:
        from rich.live import Live

        from ebplan.report.live import live_view

        with Live(refresh_per_second=4) as live:
            above = partial(live.console.print, markup=False, highlight=False)
            screen = _Screen(lambda status: live.update(live_view(status)), above)
            kept = asyncio.run(_run(file, dry_run, seconds, screen))
    else:
        kept = asyncio.run(_run(file, dry_run, seconds, _Screen(_lines(), click.echo)))
    for line in kept:
        click.secho(f"not handed back: {line}", fg="red", err=True)
    click.echo("nothing was told" if dry_run else f"handed back{', in part' if kept else ''}")
    sys.exit(REFUSED if kept else 0)


def _lines() -> Callable[[Status], None]:
    """Return what prints a line each ten cycles, and at once where something changes."""
    from ebplan.report.live import one_line

    before: list[object] = [None]

    def say(status: Status) -> None:
        now = (status.event, status.degradations, status.plan is None)
        if now != before[0] or status.cycles % SAY_EVERY == 0:
            click.echo(one_line(status))
        before[0] = now

    return say


async def _run(file: Path, dry_run: bool, seconds: float | None, screen: _Screen) -> list[str]:
    """Run the site; return what was not handed back, a line each."""
    from ebplan.controller.run_spec import RunSpec
    from ebplan.controller.site_run import open_run
    from ebplan.document import read_data
    from ebplan.report.call_words import call_words

    spec = RunSpec.parse(read_data(file), file=str(file))
    async with _metrics(spec) as updates:

        def listen(status: Status) -> None:
            screen.show(status)
            updates(status)

        def heard(taken: Taken) -> None:
            if taken.outcome != "repeated":  # some sources say all they know each time
                screen.say(call_words(taken))

        opened = open_run(file, dry_run=dry_run, listen=listen, heard=heard, say=screen.say)
        async with opened as site:
            await until_told(site.run(), seconds)
            return site.not_handed_back


@asynccontextmanager
async def _metrics(spec: RunSpec) -> AsyncIterator[Callable[[Status], None]]:
    """Serve the page for Prometheus; yield what updates it."""
    if spec.metrics is None:
        yield lambda status: None
        return
    from ebplan.adapters.metrics_page import MetricsPage
    from ebplan.controller.numbers import NAMED, numbers
    from ebplan.errors import InputError

    page = MetricsPage(NAMED)
    address = spec.metrics
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(page.served(address.host, address.port))
        except OSError as error:
            raise InputError(
                field="metrics.port",
                value=f"{address.host}:{address.port}",
                allowed="an address of this machine that is free",
                remedy=f"choose another one ({error.strerror})",
            ) from None
        yield lambda status: page.show(numbers(status))
