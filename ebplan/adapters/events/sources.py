"""The sources of a site: what ``sources.toml`` holds, opened and run side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.folder import FolderSource, FolderSpec
from ebplan.adapters.events.inbox import Inbox, Taken
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.events.webhook.spec import WebhookSpec
from ebplan.document import Document, FieldFault, check_writable
from ebplan.errors import InputError

log = logging.getLogger("ebplan.events")

AGAIN_S = 5.0
"""A source that failed is begun anew after this."""

SourceSpec = Annotated[
    FolderSpec | WebhookSpec | OpenAdr3Spec | OpenAdr2bSpec, Field(discriminator="kind")
]


class EventSourcesSpec(Document):
    """Where the calls of a site come from."""

    kind: Literal["event_sources"] = "event_sources"
    site: str = Field(min_length=1, max_length=200)
    """Name of the site: with a call's it gives the random delay of a start."""
    inbox: str | None = None
    """File in which calls survive a restart; its path counts from this file."""
    sources: Annotated[tuple[SourceSpec, ...], Field(min_length=1, max_length=100)]
    """The sources."""

    @model_validator(mode="after")
    def _names_of_their_own(self) -> EventSourcesSpec:
        names = [source.name for source in self.sources]
        for n, name in enumerate(names):
            if name in names[:n]:
                raise FieldFault(
                    field=f"sources.{n}.name",
                    value=name,
                    allowed="a name that no other source has: calls are known by it",
                    remedy="give it another name",
                )
        return self


def open_inbox(
    spec: EventSourcesSpec, *, folder: Path, listen: Callable[[Taken], None] | None = None
) -> Inbox:
    """Return the inbox of a site, with what it held before; its file is held until ``close``.

    Args:
        spec: the file of sources.
        folder: what its paths count from.
        listen: told what became of each message.

    Raises:
        InputError: its file is there and cannot be read, or another process uses it, or its folder
            cannot be written to.
    """
    path = None if spec.inbox is None else folder / spec.inbox
    if path is not None:
        check_writable(path)
    inbox = Inbox(path=path, site=spec.site, listen=listen)
    inbox.hold()
    return inbox


def open_sources(spec: EventSourcesSpec, *, folder: Path) -> list[EventSource]:
    """Return the sources; each connects when it is run.

    Args:
        spec: the file of sources.
        folder: what its paths count from.

    Raises:
        InputError: a secret or a certificate is missing or wrong.
    """
    opened: list[EventSource] = []
    for n, source in enumerate(spec.sources):
        try:
            opened.append(_open(source, folder))
        except InputError as error:
            raise InputError(
                field=f"sources.{n}.{error.field}",
                value=error.value,
                allowed=error.allowed,
                remedy=error.remedy,
            ) from None
    return opened


async def run_sources(
    sources: Sequence[EventSource], inbox: Inbox, *, clock: Clock | None = None
) -> None:
    """Run sources side by side until cancelled; one that fails is begun anew and stops no other."""
    clock = clock or MonotonicClock()
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_keep(source, inbox, clock), name=f"source {source.name}")


async def _keep(source: EventSource, inbox: Inbox, clock: Clock) -> None:
    while True:
        try:
            await source.run(inbox)
            log.error("%s ended by itself and is begun anew", source.name)
        except Exception:
            log.exception("%s failed and is begun anew in %g s", source.name, AGAIN_S)
        await clock.sleep(AGAIN_S)


def _open(spec: SourceSpec, folder: Path) -> EventSource:
    match spec:
        case FolderSpec():
            return FolderSource(spec, folder=folder)
        case WebhookSpec():
            from ebplan.adapters.events.webhook.source import WebhookSource

            return WebhookSource(spec)
        case OpenAdr3Spec():
            from ebplan.adapters.events.openadr3 import OpenAdr3Source

            return OpenAdr3Source(spec)
        case OpenAdr2bSpec():
            from ebplan.adapters.events.openadr2b import OpenAdr2bSource

            return OpenAdr2bSource(spec)
