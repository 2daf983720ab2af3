"""Sources side by side: one that fails stops no other."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from ebplan.adapters.answers import Answer, Refused
from ebplan.adapters.clock import ManualClock
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.sources import (
    EventSourcesSpec,
    open_inbox,
    open_sources,
    run_sources,
)
from ebplan.errors import InputError


class Failing:
    """A source that fails, and then runs."""

    def __init__(self, name: str, failures: int) -> None:
        self.name, self.begun, self._failures = name, 0, failures

    async def run(self, inbox: Inbox) -> None:
        self.begun += 1
        if self.begun <= self._failures:
            raise RuntimeError("no")
        await asyncio.get_running_loop().create_future()

    async def report(self, report: SiteReport) -> Answer:
        return Refused(device=self.name, command="report", asked=None, why="no reports")


async def test_a_source_that_fails_is_begun_anew(caplog) -> None:
    clock, one, other = ManualClock(), Failing("one", 2), Failing("other", 0)
    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(run_sources([one, other], Inbox(), clock=clock))
        await clock.advance(20.0)
    assert (one.begun, other.begun) == (3, 1)
    assert "one failed" in caplog.text
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


def test_a_file_of_sources_opens(tmp_path: Path) -> None:
    spec = EventSourcesSpec.parse(
        {
            "kind": "event_sources",
            "site": "hall-1",
            "inbox": "inbox.json",
            "sources": [
                {"kind": "folder", "name": "calls", "path": "calls"},
                {"kind": "folder", "name": "more", "path": "more"},
            ],
        }
    )
    assert [source.name for source in open_sources(spec, folder=tmp_path)] == ["calls", "more"]
    inbox = open_inbox(spec, folder=tmp_path)
    assert inbox.calls == {}
    inbox.close()


def test_two_processes_do_not_share_an_inbox(tmp_path: Path) -> None:
    """Each would write over what the other heard."""
    spec = EventSourcesSpec.parse(
        {
            "kind": "event_sources",
            "site": "hall-1",
            "inbox": "inbox.json",
            "sources": [{"kind": "folder", "path": "calls"}],
        }
    )
    inbox = open_inbox(spec, folder=tmp_path)
    with pytest.raises(InputError, match="another process has it") as refused:
        open_inbox(spec, folder=tmp_path)  # a lock is of a file that is open, not of a process
    assert "inbox.json" in str(refused.value)
    inbox.close()
    inbox.close()
    again = open_inbox(spec, folder=tmp_path)
    again.close()
    with pytest.raises(InputError, match="folder that exists and may be written"):
        open_inbox(spec, folder=tmp_path / "gone")


def test_what_was_heard_until_the_file_is_let_go_is_known_to_the_next(tmp_path: Path) -> None:
    """A process may be started while the one before it ends."""
    path = tmp_path / "inbox.json"
    first = Inbox(path=path)
    first.hold()
    second = Inbox(path=path)
    call = {
        "source": "utility",
        "uid": "dr-17",
        "received": "2026-11-26T12:00:00Z",
        "cancelled": True,
    }
    first.take(GridEvent.parse(call))
    first.close()
    second.hold()
    assert second.calls == first.calls
    second.close()
    third = Inbox(path=path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"inbox\.json"):
        third.hold()
    path.unlink()
    first.hold()  # nobody has it
    first.close()


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "sources"),
        ([{"kind": "folder", "path": "a"}, {"kind": "folder", "path": "b"}], "sources.1.name"),
        ([{"kind": "carrier_pigeon"}], "kind"),
        ([{"kind": "folder"}], "path"),
    ],
)
def test_a_wrong_file_is_one_line(sources: list[object], said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        EventSourcesSpec.parse({"kind": "event_sources", "site": "x", "sources": sources})
    assert "\n" not in str(refused.value)


def test_a_missing_secret_names_its_source(tmp_path: Path) -> None:
    vtn = {
        "kind": "openadr3",
        "name": "vtn",
        "url": "http://127.0.0.1:1",
        "client_id": {"env": "EBPLAN_TEST_NOT_THERE"},
        "client_secret": {"env": "EBPLAN_TEST_NOT_THERE"},
        "ven_name": "hall-1",
        "programs": [{"name": "dr"}],
        "currency": "JPY",
    }
    text = json.dumps({"kind": "event_sources", "site": "x", "sources": [vtn]})
    spec = EventSourcesSpec.parse(text.encode())
    with pytest.raises(InputError, match=r"sources\.0\."):
        open_sources(spec, folder=tmp_path)
