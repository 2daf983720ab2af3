"""A watched folder: each file is one message, read whole, once, and answered beside it."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ebplan.adapters.answers import Applied, Unreachable
from ebplan.adapters.clock import ManualClock
from ebplan.adapters.events.folder import FolderSource, FolderSpec
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.source import EventSource

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def event(delta_kw: float = -1.0) -> dict[str, object]:
    return {
        "id": "dr-17",
        "type": "demand_response",
        "start": (NOW + timedelta(minutes=5)).isoformat(),
        "duration_s": 600.0,
        "target": {"delta_kw": delta_kw},
    }


def call(**changes: object) -> dict[str, object]:
    return {"kind": "grid_event", "uid": "dr-17", "events": [event()]} | changes


class Watched:
    """A folder and the inbox that hears it."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.folder = folder / "calls"
        self.outcomes: list[str] = []
        self.inbox = Inbox(
            path=folder / "inbox.json",
            now=lambda: self.now,
            listen=lambda taken: self.outcomes.append(taken.outcome),
        )
        spec = FolderSpec(path="calls")
        self.source = FolderSource(spec, folder=folder, now=lambda: self.now)

    def drop(self, name: str, content: object) -> None:
        self.folder.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / name).write_text(text)

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.source.look(self.inbox)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_it_is_a_source(watched: Watched) -> None:
    assert isinstance(watched.source, EventSource)


def test_a_file_is_taken_once_and_answered(watched: Watched) -> None:
    watched.drop("a.json", call(revision=3))
    watched.look(1)
    assert watched.outcomes == []  # it may still be being written
    watched.look(3)
    assert watched.outcomes == ["new"]
    assert watched.names("done") == ["a.json", "a.json.outcome.json"]
    said = json.loads((watched.folder / "done" / "a.json.outcome.json").read_text())
    assert (said["outcome"], said["uid"], said["revision"]) == ("new", "dr-17", 3)
    (one,) = watched.inbox.events()
    assert one.target is not None
    assert one.target.delta_kw == -1.0


def test_a_file_that_still_grows_is_waited_for(watched: Watched) -> None:
    text = json.dumps(call())
    for end in (20, 60, len(text)):
        watched.drop("a.json", text[:end])
        os.utime(watched.folder / "a.json", ns=(end, end))
        watched.look(1)
        assert watched.outcomes == []
    watched.look(1)
    assert watched.outcomes == ["new"]


def test_changes_repeats_and_taking_back(watched: Watched) -> None:
    for n, message in enumerate(
        (
            call(),
            call(),
            call(revision=1, events=[event(-2.0)]),
            call(revision=2, cancelled=True, events=[]),
            call(),
        )
    ):
        watched.drop(f"{n}.json", message)
        watched.look()
    assert watched.outcomes == ["new", "repeated", "modified", "cancelled", "outdated"]
    assert watched.inbox.events() == ()


def test_a_bare_event_is_changed_by_its_content(watched: Watched) -> None:
    for content in (event(), event(), event(-2.0)):
        watched.drop("e.json", {"kind": "event", "event": content})
        watched.look()
        watched.now += timedelta(seconds=1)
    assert watched.outcomes == ["new", "repeated", "modified"]
    assert watched.names("done") == [
        f"e{n}.json{end}" for n in ("-1", "-2", "") for end in ("", ".outcome.json")
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON"),
        ("[]", "a JSON object"),
        ('{"kind": "plan"}', "kind: got 'plan'"),
        ('{"kind": "event", "event": {"id": NaN}}', "finite numbers"),
        ('{"kind": "event", "event": {}}', "event.id"),
        (json.dumps({"kind": "event", "event": event(), "site": "x"}), "site: got 'x'"),
        (json.dumps(call(source="me")), "source: got 'me'"),
        (json.dumps(call(surprise=1)), "surprise"),
        (json.dumps(call(events=[])), "events"),
        ('{"kind": "grid_event", "uid": "a", "uid": "b"}', "the field twice"),
        ("x" * (2**20 + 1), "bytes"),
    ],
)
def test_what_is_not_understood_is_set_aside_with_one_line(
    watched: Watched, content: str, said: str
) -> None:
    watched.drop("bad.json", content)
    watched.drop("good.json", call())
    watched.look()
    assert watched.outcomes == ["new"]
    assert watched.names("refused") == ["bad.json", "bad.json.error.txt"]
    line = (watched.folder / "refused" / "bad.json.error.txt").read_text()
    assert said in line
    assert line.count("\n") == 1
    assert str(watched.folder) not in line


def test_after_a_crash_between_taking_and_moving_it_is_a_repeat(
    watched: Watched, tmp_path: Path
) -> None:
    watched.drop("a.json", call())
    watched.look()
    again = Watched(tmp_path)
    again.drop("a.json", call())
    again.look()
    assert again.outcomes == ["repeated"]


def test_hidden_files_other_names_and_folders_are_left_alone(watched: Watched) -> None:
    watched.drop(".half.json", call())
    watched.drop("note.txt", "hello")
    (watched.folder / "folder.json").mkdir()
    watched.look()
    assert watched.outcomes == []
    assert (watched.folder / ".half.json").exists()


async def test_a_folder_that_fails_is_tried_again(watched: Watched) -> None:
    clock = ManualClock()
    source = FolderSource(
        FolderSpec(path="calls"), folder=watched.folder.parent, clock=clock, now=lambda: NOW
    )
    watched.folder.write_text("a file where the folder should be")
    running = asyncio.create_task(source.run(watched.inbox))
    await clock.advance(3.0)
    assert source.fault is not None
    watched.folder.unlink()
    watched.drop("a.json", call())
    await clock.advance(3.0)
    assert source.fault is None
    assert watched.outcomes == ["new"]
    running.cancel()
    await asyncio.wait([running])


def test_an_inbox_that_cannot_be_written_leaves_the_file(watched: Watched, tmp_path: Path) -> None:
    watched.drop("a.json", call())
    watched.look(1)
    real, watched.inbox._path = watched.inbox._path, tmp_path / "nowhere" / "inbox.json"
    with pytest.raises(Exception, match="nowhere"):
        watched.look(1)
    assert (watched.folder / "a.json").exists()
    watched.inbox._path = real
    watched.look()
    assert watched.outcomes == ["new"]


async def test_reports_are_written_whole(watched: Watched) -> None:
    report = SiteReport.parse(
        {
            "at": NOW.isoformat(),
            "uid": "dr/17",
            "stretches": [
                {"start": NOW.isoformat(), "duration_s": 60.0, "values": {"delivered_kw": -1.0}}
            ],
        }
    )
    answer = await watched.source.report(report)
    assert isinstance(answer, Applied)
    (path,) = (watched.folder / "reports").iterdir()
    assert SiteReport.parse(json.loads(path.read_text())) == report
    (watched.folder / "reports").rename(watched.folder / "gone")
    (watched.folder / "reports").write_text("")
    assert isinstance(await watched.source.report(report), Unreachable)
