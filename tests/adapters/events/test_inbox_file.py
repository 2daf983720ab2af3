"""The file of the inbox: one clear line where it cannot be used, and never less than was known."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from inbox_rigs import NOW, Heard, asking, call

from ebplan.adapters.events.inbox import Inbox, InboxFile
from ebplan.errors import InputError


def kept(tmp_path: Path) -> Path:
    heard = Heard(tmp_path / "inbox.json")
    for uid in "ab":
        heard.take(call(uid))
    assert heard.path is not None
    return heard.path


def refusal(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as refused:
        Inbox(path=path, now=lambda: NOW)
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    assert before is None or path.read_bytes() == before
    return line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1 column 1: got nothing; allowed: JSON"),
        (b"\x00" * 64, "allowed: JSON"),
        (b'{"kind": "inbox", "calls": [{"kin', "allowed: JSON"),
        (b"\xff\xfe", "allowed: a readable UTF-8 file"),
        (b"[]", "allowed: a JSON object"),
        (b'{"kind": "plan"}', "kind: got 'plan'"),
        (b'{"kind": "inbox", "kind": "inbox"}', "kind: got 'the field twice'"),
        (b'{"kind": "inbox", "schema_version": "2.0"}', "schema_version: got '2.0'"),
        (b'{"kind": "inbox", "calls": NaN}', "allowed: finite numbers"),
        (b'{"kind": "inbox", "more": 1}', "more: got 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "inbox.json"
    path.write_bytes(content)
    assert said in refusal(path)


def changed(path: Path, n: int, **changes: Any) -> None:
    data = json.loads(path.read_text())
    data["calls"][n] |= changes
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"uid": "a", "revision": 7}, r"calls.1.uid: got 'a'; allowed: each call of s once"),
        ({"schema_version": "1.1"}, r"calls.1.schema_version: got '1.1'"),
        ({"received": "2026-11-26T12:00:00"}, r"calls.1.received: got '2026-11-26T12:00:00'"),
        ({"revision": -1}, r"calls.1.revision: got -1"),
        ({"events": []}, r"calls.1.events: got \[\]"),
        ({"absent": True}, r"calls.1.absent: got True; allowed: only with cancelled"),
    ],
)
def test_a_call_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = kept(tmp_path)
    changed(path, 1, **changes)
    assert re.search(said, refusal(path))


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)


def test_what_was_kept_comes_back_whole(tmp_path: Path) -> None:
    path = kept(tmp_path)
    inbox = Inbox(path=path, now=lambda: NOW)
    assert list(inbox.calls) == [("s", "a"), ("s", "b")]
    assert InboxFile.parse(path.read_bytes()).calls == tuple(inbox.calls.values())
    assert path.read_text().endswith("}\n")


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    path = kept(tmp_path)
    heard = Heard(path)
    path.unlink()
    for message in (call("a"), asking("a", 0, -9.0)):
        heard.take(message)
    assert [taken.outcome for taken in heard.told] == ["repeated", "conflict"]
    assert not path.exists()


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "os.fsync", "os.replace", "os.chmod"])
@pytest.mark.parametrize("message", [call("c"), asking("a", 1, -5.0), call("a", 1, cancelled=True)])
def test_a_write_that_fails_takes_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, message: Any
) -> None:
    heard = Heard(kept(tmp_path))
    assert heard.path is not None
    before, file, events = dict(heard.inbox.calls), heard.path.read_bytes(), heard.inbox.events()

    def full(*args: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(f"ebplan.document.{step}", full)
        with pytest.raises(InputError, match="No space left") as refused:
            heard.take(message)
    assert "\n" not in str(refused.value)
    assert (heard.told, heard.inbox.calls, heard.inbox.events()) == ([], before, events)
    assert heard.path.read_bytes() == file
    assert [p.name for p in tmp_path.iterdir()] == ["inbox.json"]
    assert heard.take(message) in {"new", "modified", "cancelled"}
    heard.restart()
    assert heard.take(message) == "repeated"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_is_really_full_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(kept(tmp_path))
    real = os.fdopen

    def on_a_full_disk(handle: int, mode: str) -> Any:
        os.close(handle)
        return real(os.open("/dev/full", os.O_WRONLY), mode)

    with monkeypatch.context() as patched:
        patched.setattr("ebplan.document.os.fdopen", on_a_full_disk)
        with pytest.raises(InputError, match="No space left"):
            heard.take(call("c"))
    heard.restart()
    assert list(heard.inbox.calls) == [("s", "a"), ("s", "b")]


def test_a_change_is_on_disk_before_the_listener_hears_of_it(tmp_path: Path) -> None:
    path = tmp_path / "inbox.json"
    seen: list[int] = []
    inbox = Inbox(
        path=path,
        now=lambda: NOW,
        listen=lambda taken: seen.append(len(InboxFile.parse(path.read_bytes()).calls)),
    )
    inbox.take(call("a"))
    inbox.take(call("b"))
    assert seen == [1, 2]
