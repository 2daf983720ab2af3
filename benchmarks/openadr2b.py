"""How long an OpenADR 2.0b event takes to us and back: ``python -m benchmarks.openadr2b``."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.tables import table
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn, Span, event

POLLS: Sequence[tuple[float, int]] = ((0.01, 100), (1.0, 30))
"""How often the server is asked in s, and how many events are measured."""
HEAD = ("poll every, s", "events", "listed to inbox, ms", "p90", "listed to optIn, ms", "p90")
LONGEST_S = 30.0


@click.command(help=__doc__)
def main() -> None:
    """Measure and report."""
    rows = [asyncio.run(measure(poll_s, events)) for poll_s, events in POLLS]
    click.echo("\n".join((*describe_machine()[:1], "", *table(HEAD, rows))))


async def measure(poll_s: float, events: int) -> tuple[str, ...]:
    """Return a row: median and 90 % of the times from the listing of an event on.

    Each is listed at a moment that has nothing to do with the poll. Server and site share one
    process, so that their clocks are one.
    """
    listed, heard = dict[str, float](), dict[str, float]()
    opted = dict[str, float]()
    inbox = Inbox(listen=lambda t: heard.setdefault(t.message.uid, time.perf_counter()))
    async with Openadr2bVtn() as vtn:
        source = OpenAdr2bSource(
            OpenAdr2bSpec.parse(
                {
                    "url": vtn.url, "ven_name": "site", "currency": "JPY", "poll_s": poll_s,
                    "absent": "kept", "other": {},
                }
            )
        )  # fmt: skip
        task = asyncio.create_task(source.run(inbox))
        await vtn.said("oadrPoll")
        phase = random.Random(1)
        for n in range(events):
            await asyncio.sleep(phase.uniform(0.0, poll_s))
            uid, start = f"e{n}", datetime.now(UTC) + timedelta(hours=1 + n)
            vtn.events.clear()
            listed[uid] = time.perf_counter()
            vtn.put(event(uid, [Span(1800.0, -100.0)], start=start))
            await asyncio.wait_for(vtn.answered(uid, 0), LONGEST_S)
            opted[uid] = time.perf_counter()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    to_inbox, to_opt = _ms(listed, heard), _ms(listed, opted)
    return f"{poll_s:g}", f"{events}", *to_inbox, *to_opt


def _ms(since: dict[str, float], until: dict[str, float]) -> tuple[str, str]:
    took = [1e3 * (until[uid] - at) for uid, at in since.items()]
    median, p90 = np.percentile(took, [50, 90])
    return f"{median:.0f}", f"{p90:.0f}"


if __name__ == "__main__":
    main()
