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
from ebplan.adapters.events import folder as folder_module
from ebplan.adapters.events.folder import FolderSource, FolderSpec
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.source import EventSource
from ebplan.document import write_atomically
from ebplan.errors import InputError

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


def test_a_change_after_the_clock_was_set_back_is_a_change(watched: Watched) -> None:
    for content in (event(), event(-2.0), event(-2.0), event()):
        watched.drop("e.json", {"kind": "event", "event": content})
        watched.look()
        watched.now -= timedelta(minutes=10)
    assert watched.outcomes == ["new", "modified", "repeated", "modified"]


def test_the_contract_adds_what_a_single_event_leaves_out(watched: Watched) -> None:
    terms = {"payment_per_kwh": 40.0, "response": {"full_activation_s": 30.0}}
    spec = FolderSpec.parse({"path": "calls", "terms": terms})
    watched.source = FolderSource(spec, folder=watched.folder.parent, now=lambda: watched.now)
    watched.drop("e.json", {"kind": "event", "event": event() | {"payment_per_kwh": 55.0}})
    watched.drop("g.json", call(uid="whole", events=[event() | {"id": "g"}]))
    watched.look()
    one, whole = watched.inbox.events()
    assert (one.payment_per_kwh, one.response.full_activation_s) == (55.0, 30.0)
    assert (whole.payment_per_kwh, whole.response.full_activation_s) == (0.0, 0.0)


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


def test_links_pipes_and_what_is_gone_are_not_read(watched: Watched, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("a secret of ours")
    watched.folder.mkdir()
    (watched.folder / "link.json").symlink_to(secret)
    (watched.folder / "nowhere.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(watched.folder / "pipe.json")
    watched.drop("gone.json", call(uid="gone"))
    watched.look(1)
    (watched.folder / "gone.json").unlink()
    watched.drop("late.json", call())
    watched.look(1)
    (watched.folder / "late.json").unlink()  # what takes the place of a file it knows is no file
    (watched.folder / "late.json").symlink_to(secret)
    watched.look()
    assert watched.outcomes == []
    assert watched.names("refused") == watched.names("done") == []


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of ours")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FileNotFoundError):
        folder_module._text(tmp_path / "link")


def test_one_file_that_fails_holds_up_no_other(watched: Watched, monkeypatch) -> None:
    def write(path: Path, text: str) -> None:
        if path.name.startswith("a.json"):
            raise InputError(field="(output)", value="no", allowed="room", remedy="make some")
        write_atomically(path, text)

    monkeypatch.setattr(folder_module, "write_atomically", write)
    watched.drop("a.json", {})
    watched.drop("b.json", call())
    watched.look(1)
    for _ in range(3):
        with pytest.raises(InputError, match="make some"):
            watched.look(1)
    assert watched.outcomes == ["new"]
    assert watched.names("done") == ["b.json", "b.json.outcome.json"]


@pytest.mark.parametrize("letter", ["a", "\u96fb"])
def test_a_name_as_long_as_can_be_is_shortened(watched: Watched, letter: str) -> None:
    name = letter * (250 // len(letter.encode())) + ".json"
    for content in (call(), call(), "no message"):
        watched.drop(name, content)
        watched.look()
    assert watched.outcomes == ["new", "repeated"]
    assert watched.names("") == ["done", "refused", "reports"]
    files = [path for path in watched.names("done") if not path.endswith(".outcome.json")]
    assert watched.names("done") == sorted([*files, *(f"{path}.outcome.json" for path in files)])
    assert len(files) == 2
    assert all(path.startswith(letter * 40) for path in files)
    assert len(watched.names("refused")) == 2


def test_a_file_that_cannot_be_moved_is_heard_once(watched: Watched, monkeypatch) -> None:
    watched.drop("a.json", {"kind": "event", "event": event()})
    watched.look(1)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_atomically", refuse)
        for _ in range(5):
            watched.now += timedelta(seconds=1)
            with pytest.raises(OSError, match="read-only"):
                watched.look(1)
        assert watched.outcomes == ["new"]
        watched.drop("a.json", {"kind": "event", "event": event(-12.5)})  # another content
        watched.look(1)
        with pytest.raises(OSError, match="read-only"):
            watched.look(1)
    assert watched.outcomes == ["new", "modified"]
    watched.look(1)
    assert watched.names("done") == ["a.json", "a.json.outcome.json"]
    assert watched.outcomes == ["new", "modified"]


def refuse(*_: object) -> None:
    raise OSError(30, "read-only")


def test_a_time_that_jumps_back_is_a_change(watched: Watched) -> None:
    """As on network file systems whose clock is another."""
    watched.drop("a.json", call())
    watched.look(1)
    os.utime(watched.folder / "a.json", ns=(1, 1))
    watched.look(1)
    assert watched.outcomes == []
    watched.look(1)
    assert watched.outcomes == ["new"]


def test_a_length_beyond_all_clocks_is_set_aside(watched: Watched) -> None:
    watched.drop("a.json", call(events=[event() | {"duration_s": 1e300}]))
    watched.drop("b.json", call())
    watched.look()
    assert watched.outcomes == ["new"]
    line = (watched.folder / "refused" / "a.json.error.txt").read_text()
    assert "events.0.duration_s" in line


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
