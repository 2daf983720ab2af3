"""``ebplan run``: run a site until it is told to end, then hand it back."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import named, one_line_errors

if TYPE_CHECKING:
    from ebplan.adapters.events.inbox import Inbox
    from ebplan.adapters.events.source import EventSource
    from ebplan.audit.journal import Journal
    from ebplan.controller.controller import Status
    from ebplan.controller.run_spec import RunSpec

FILE = click.Path(path_type=Path)
REFUSED = 5
"""Exit code: a device was not handed back; it goes to its safe state when its lease ends."""
SAY_EVERY = 10
"""Cycles between two lines where nobody looks at a screen and nothing changes."""


@click.command("run")
@click.argument("file", type=FILE)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read and plan, and tell no device anything. Calls are taken and recorded all the same.",
)
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0.0, min_open=True), help="End after so long, s."
)
@click.option("--plain", is_flag=True, help="Lines for a log, also on a terminal.")
@one_line_errors
def run(file: Path, dry_run: bool, seconds: float | None, plain: bool) -> None:
    """Run the site of FILE: hear calls, plan each second, tell devices, record everything.

    It ends on Ctrl-C or SIGTERM and hands the site back: the battery rests, limits are restored,
    the router returns to its own weights.
    """
    from ebplan.controller.run_spec import RunSpec
    from ebplan.document import read_data

    for name in ("pymodbus", "pymodbus.logging"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    spec = RunSpec.parse(read_data(file), file=str(file))
    show = sys.stdout.isatty() and not plain
    level = logging.ERROR if show else logging.WARNING
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level)
    if show:
        from rich.live import Live

        from ebplan.report.live import live_view

        with Live(refresh_per_second=4) as live:
            kept = asyncio.run(
                _run(spec, file, dry_run, seconds, lambda s: live.update(live_view(s)))
            )
    else:
        kept = asyncio.run(_run(spec, file, dry_run, seconds, _lines()))
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


async def _run(
    spec: RunSpec,
    file: Path,
    dry_run: bool,
    seconds: float | None,
    show: Callable[[Status], None],
) -> list[str]:
    """Run the site; return what was not handed back, a line each."""
    from ebplan.adapters.answers import Applied, AppliedInPart
    from ebplan.adapters.devices import DevicesSpec
    from ebplan.adapters.events.inbox import Inbox
    from ebplan.adapters.events.sources import run_sources
    from ebplan.adapters.open_devices import declared_droop, open_devices
    from ebplan.case import load_site
    from ebplan.controller import Controller
    from ebplan.document import read_data
    from ebplan.planner import Planner

    folder = file.parent
    with named(file):
        site = load_site(spec.site, folder=folder)
    devices_file = folder / spec.devices
    declared = DevicesSpec.parse(read_data(devices_file), file=str(devices_file))
    async with AsyncExitStack() as stack:
        journal = _journal(spec, folder, stack)
        sources, inbox = _sources(spec, folder, journal) if spec.sources else ([], Inbox())
        stack.callback(inbox.close)
        shown = await _metrics(spec, stack)
        devices = open_devices(declared, folder=devices_file.parent)
        stack.push_async_callback(devices.close)
        planner = stack.enter_context(Planner(site).start(wait_s=10.0, standby=True))

        def listen(status: Status) -> None:
            show(status)
            shown(status)

        controller = Controller(
            site,
            devices,
            planner,
            inbox,
            lease_s=declared.lease_s,
            journal=journal,
            droop=declared_droop(declared),
            cycle_s=spec.cycle_s,
            deadline_s=spec.deadline_s,
            sources=sources,
            report_every_s=spec.report_every_s,
            dry_run=dry_run,
            listen=listen,
        )
        running = asyncio.create_task(controller.run())
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, running.cancel)
        hearing = asyncio.create_task(run_sources(sources, inbox)) if sources else None
        working = [task for task in (running, hearing) if task is not None]
        done, _ = await asyncio.wait(working, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for task in done:
            if not task.cancelled():
                task.result()
        return [
            str(answer)
            for answer in controller.released.values()
            if not isinstance(answer, Applied | AppliedInPart)
        ]


def _journal(spec: RunSpec, folder: Path, stack: AsyncExitStack) -> Journal | None:
    if spec.audit is None:
        return None
    from ebplan.audit import AuditLog, SigningKey
    from ebplan.audit.journal import Journal

    copies = spec.audit.copy_checkpoints_to
    log = AuditLog(
        folder / spec.audit.folder,
        SigningKey.read(folder / spec.audit.key),
        copy_to=None if copies is None else folder / copies,
    )
    return Journal(stack.enter_context(log))


def _sources(
    spec: RunSpec, folder: Path, journal: Journal | None
) -> tuple[list[EventSource], Inbox]:
    from ebplan.adapters.events.sources import EventSourcesSpec, open_inbox, open_sources
    from ebplan.document import read_data

    path = folder / str(spec.sources)
    declared = EventSourcesSpec.parse(read_data(path), file=str(path))
    with named(path):
        sources = open_sources(declared, folder=path.parent)
    listen = None if journal is None else journal.event
    inbox = open_inbox(declared, folder=path.parent, listen=listen)
    return sources, inbox


async def _metrics(spec: RunSpec, stack: AsyncExitStack) -> Callable[[Status], None]:
    """Serve the page for Prometheus; return what updates it."""
    if spec.metrics is None:
        return lambda status: None
    from ebplan.adapters.metrics_page import MetricsPage
    from ebplan.controller.numbers import NAMED, numbers
    from ebplan.errors import InputError

    page = MetricsPage(NAMED)
    address = spec.metrics
    try:
        await stack.enter_async_context(page.served(address.host, address.port))
    except OSError as error:
        raise InputError(
            field="metrics.port",
            value=f"{address.host}:{address.port}",
            allowed="an address of this machine that is free",
            remedy=f"choose another one ({error.strerror})",
        ) from None
    return lambda status: page.show(numbers(status))
