"""A site opened from its run file: devices, sources, log and planner around a controller.

async with open_run(Path("run.toml"), listen=show) as site:
await site.run()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ebplan.adapters.answers import Applied, AppliedInPart
from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.events.inbox import Inbox, Taken
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.open_devices import declared_droop, open_devices
from ebplan.audit.journal import Journal
from ebplan.case import load_site
from ebplan.controller.baselines import Baselines, file_beside
from ebplan.controller.controller import Controller, Status
from ebplan.controller.run_spec import RunSpec
from ebplan.document import read_data
from ebplan.errors import named
from ebplan.planner import Planner
from ebplan.site import Site
from ebplan.solvers.session import PROCESSES


@dataclass(frozen=True)
class SiteRun:
    """A site that is open."""

    spec: RunSpec
    site: Site
    controller: Controller
    inbox: Inbox
    sources: tuple[EventSource, ...]

    async def run(self) -> None:
        """Run controller and sources until cancelled; the site is handed back then.

        Raises:
            asyncio.CancelledError: it was cancelled.
        """
        from ebplan.adapters.events.sources import run_sources

        working = [asyncio.create_task(self.controller.run(), name="controller")]
        if self.sources:
            hearing = run_sources(self.sources, self.inbox)
            working.append(asyncio.create_task(hearing, name="sources"))
        try:
            done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        for task in done:
            task.result()

    @property
    def not_handed_back(self) -> list[str]:
        """What was not handed back when the run ended, a line each."""
        return [
            str(answer)
            for answer in self.controller.released.values()
            if not isinstance(answer, Applied | AppliedInPart)
        ]


@asynccontextmanager
async def open_run(
    file: Path,
    *,
    dry_run: bool = False,
    listen: Callable[[Status], None] | None = None,
    heard: Callable[[Taken], None] | None = None,
    say: Callable[[str], object] | None = None,
) -> AsyncIterator[SiteRun]:
    """Open what a run file names, and close it again. The page for Prometheus is the caller's.

    Args:
        file: the run file; its paths count from it.
        dry_run: read and plan, and tell nobody anything.
        listen: told the status after each cycle.
        heard: told what became of each message of the grid.
        say: told in words what takes some seconds before the first cycle.

    Raises:
        InputError: a file is missing or wrong, or devices and site do not fit.
    """
    spec = RunSpec.parse(read_data(file), file=str(file))
    folder = file.parent
    with named(file):
        site = load_site(spec.site, folder=folder)
    devices_file = folder / spec.devices
    declared = DevicesSpec.parse(read_data(devices_file), file=str(devices_file))
    async with AsyncExitStack() as stack:
        journal = _journal(spec, folder, stack)
        sources, inbox, kept = (
            _sources(spec, folder, journal, heard) if spec.sources else ([], Inbox(), Baselines())
        )
        stack.callback(inbox.close)
        devices = open_devices(declared, folder=devices_file.parent)
        stack.push_async_callback(devices.close)
        with named(file):
            planner = Planner(site, restoration=spec.restoration)
        if say is not None:
            say(f"{site.name}: starting {PROCESSES} solver processes ...")
        stack.enter_context(planner.start(wait_s=10.0, standby=True))
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
            record_states=spec.audit is None or spec.audit.states,
            baselines=kept,
            listen=listen,
        )
        yield SiteRun(spec, site, controller, inbox, tuple(sources))


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
    spec: RunSpec, folder: Path, journal: Journal | None, heard: Callable[[Taken], None] | None
) -> tuple[list[EventSource], Inbox, Baselines]:
    from ebplan.adapters.events.sources import EventSourcesSpec, open_inbox, open_sources

    path = folder / str(spec.sources)
    declared = EventSourcesSpec.parse(read_data(path), file=str(path))
    with named(path):
        sources = open_sources(declared, folder=path.parent)
    told = [each for each in (None if journal is None else journal.event, heard) if each]

    def listen(taken: Taken) -> None:
        for each in told:
            each(taken)

    inbox = open_inbox(declared, folder=path.parent, listen=listen)
    # beside the inbox, whose lock keeps another process from both
    beside = None if declared.inbox is None else path.parent / declared.inbox
    kept = Baselines(None if beside is None else file_beside(beside))
    return sources, inbox, kept
