"""``ebplan listen``: hear the calls of the grid, and say what each message changes."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_signals import until_told
from ebplan.errors import named

if TYPE_CHECKING:
    from ebplan.adapters.events.inbox import Inbox, Taken
    from ebplan.adapters.events.source import EventSource

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print each message as a line of JSON.")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0.0, min_open=True), help="End after so long, s."
)
@one_line_errors
def listen(file: Path, as_json: bool, seconds: float | None) -> None:
    """Hear the calls of FILE (a file of event sources) and print what each message changes.

    Nothing is carried out. It ends on Ctrl-C or SIGTERM; what was heard stays in the inbox.
    """
    import logging

    from ebplan.adapters.events.sources import EventSourcesSpec, open_inbox, open_sources
    from ebplan.document import read_data
    from ebplan.report.call_words import call_words

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    spec = EventSourcesSpec.parse(read_data(file), file=str(file))
    with named(file):
        sources = open_sources(spec, folder=file.parent)
    inbox = open_inbox(
        spec,
        folder=file.parent,
        listen=lambda taken: click.echo(_line(taken) if as_json else call_words(taken)),
    )
    with closing(inbox):
        standing = inbox.events()
        if not as_json:
            click.echo(
                f"listening to {', '.join(s.name for s in sources)}; {len(standing)} standing"
            )
        asyncio.run(_listen(sources, inbox, seconds))


async def _listen(sources: list[EventSource], inbox: Inbox, seconds: float | None) -> None:
    from ebplan.adapters.events.sources import run_sources

    await until_told(run_sources(sources, inbox), seconds)


def _line(taken: Taken) -> str:
    call = taken.message.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"outcome": taken.outcome, **call}, ensure_ascii=False)
