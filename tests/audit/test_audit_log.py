"""The writer: it never waits, it signs in time, and it says what it could not keep."""

from __future__ import annotations

import errno
import os
import threading
from hashlib import sha256

import pytest
from audit_logs import BODY, KEY, NEW_KEY, lines, proven, write

from ebplan.audit import AuditLog, note
from ebplan.audit import log as log_module
from ebplan.audit.line import read_line
from ebplan.errors import InputError


def records(folder):
    return [read_line(line.rstrip(b"\n")) for line in lines(folder)]


def test_what_is_recorded_is_there_in_order(tmp_path) -> None:
    write(tmp_path, 50)
    found = records(tmp_path)
    assert [record.seq for record in found] == list(range(len(found)))
    assert [record.body["n"] for record in found if record.kind == "answer"] == list(range(50))
    assert found[0].body["what"] == "opened"
    assert found[-1].body["what"] == "closed"
    assert proven(tmp_path).unsigned == 0


def test_a_checkpoint_comes_by_itself(tmp_path) -> None:
    with AuditLog(tmp_path, KEY, seal_s=0.05) as log:
        signed = log.health.signed
        log.record("answer", BODY)
        while log.health.signed == signed:
            pass
        assert log.health.unsigned_s == 0.0


def test_many_threads_write_one_chain(tmp_path) -> None:
    with AuditLog(tmp_path, KEY, segment_bytes=50_000) as log:

        def some(who: int) -> None:
            for n in range(200):
                log.record("note", {"who": who, "n": n})

        threads = [threading.Thread(target=some, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert proven(tmp_path).records >= 800
    for who in range(4):
        said = [r.body["n"] for r in records(tmp_path) if r.body.get("who") == who]
        assert said == list(range(200))


def test_a_body_may_change_after_it_was_recorded(tmp_path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        body = {"n": [1]}
        log.record("note", body)
        body["n"].append(2)
    assert records(tmp_path)[1].body == {"n": [1]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, object(), "\ud800"])
def test_what_json_cannot_say_is_refused_at_once(tmp_path, value) -> None:
    with AuditLog(tmp_path, KEY) as log, pytest.raises((ValueError, TypeError)):
        log.record("note", {"x": value})
    assert len(records(tmp_path)) == 2


def test_a_long_body_belongs_in_a_document(tmp_path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        with pytest.raises(ValueError, match="document"):
            log.record("note", {"x": "y" * 2**16})
        with pytest.raises(ValueError, match="too long"):
            log.record("note", {}, {"long": b"y" * (2**24 + 1)})
        for _ in range(2):
            log.record("note", {}, {"long": b"y" * 2**20})
    digest = sha256(b"y" * 2**20).hexdigest()
    assert (tmp_path / "documents" / digest).read_bytes() == b"y" * 2**20
    proven(tmp_path)
    (tmp_path / "documents" / digest).write_bytes(b"z")
    from ebplan.audit import verify

    assert "is gone or was edited" in verify(tmp_path, KEY.verify_key).faults[0].what


def test_one_writer_at_a_time(tmp_path) -> None:
    with AuditLog(tmp_path, KEY), pytest.raises(InputError, match="held by another process"):
        AuditLog(tmp_path, KEY)
    AuditLog(tmp_path, KEY).close()


@pytest.mark.parametrize("seal_s", [0.0, -1.0, 1.1, float("nan")])
def test_signing_less_than_once_a_second_is_refused(tmp_path, seal_s: float) -> None:
    with pytest.raises(InputError, match="seal_s"):
        AuditLog(tmp_path, KEY, seal_s=seal_s)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/log: \(folder\): got"):
        AuditLog(tmp_path / "file" / "log", KEY)


def test_segments_follow_each_other(tmp_path) -> None:
    write(tmp_path, 200, segment_bytes=5_000)
    assert len(list(tmp_path.glob("*.jsonl"))) > 5
    verdict = proven(tmp_path)
    assert verdict.first == 0
    assert verdict.unsigned == 0


def test_a_full_disk_is_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    real, full = os.pwrite, threading.Event()

    def pwrite(handle: int, content: bytes, at: int) -> int:
        if full.is_set():
            real(handle, bytes(content[: len(content) // 2]), at)  # half of it got through
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, content, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with AuditLog(tmp_path, KEY) as log:
        full.set()
        for n in range(100):
            log.record("note", {"n": n})
        while log.health.fault is None:
            pass
        assert "No space left" in log.health.fault
        assert all(record is not None for record in records(tmp_path))
        full.clear()
        assert log.seal()
        assert log.health.fault is None
    assert [r.body["n"] for r in records(tmp_path) if r.kind == "note"] == list(range(100))
    proven(tmp_path)


def test_what_memory_cannot_hold_is_counted_and_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    monkeypatch.setattr(log_module, "MOST_WAITING_BYTES", 1000)
    real, full = os.pwrite, threading.Event()

    def pwrite(handle: int, content: bytes, at: int) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, content, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr("ebplan.audit.pen.FLUSH_BYTES", 1)
    with AuditLog(tmp_path, KEY) as log:
        full.set()
        for n in range(500):
            log.record("note", {"n": n})
        lost = log.health.lost
        assert lost > 0
        full.clear()
        assert log.seal()
    kept = [r for r in records(tmp_path) if r.kind == "note"]
    said = [r.body for r in records(tmp_path) if r.body.get("what") == "lost"]
    assert sum(body["records"] for body in said) == lost
    assert len(kept) + lost == 500
    assert all(body["from"] <= body["to"] for body in said)
    proven(tmp_path)


def test_a_disk_that_forgets_is_never_signed_for(tmp_path, monkeypatch) -> None:
    log = AuditLog(tmp_path, KEY, seal_s=0.01)

    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    log.record("note", {"n": 1})
    assert not log.seal()
    log.record("note", {"n": 2})
    assert "Input/output" in str(log.health.fault)
    assert log.health.signed == 1
    assert not log.close()
    monkeypatch.undo()
    with AuditLog(tmp_path, KEY):
        pass
    proven(tmp_path)


def test_checkpoints_are_copied_and_a_failing_copy_stops_nothing(tmp_path) -> None:
    copies = tmp_path / "elsewhere" / "copies"
    with AuditLog(tmp_path / "log", KEY, copy_to=copies) as log:
        log.record("note", {"n": 1})
        assert not log.seal() or log.health.fault
        assert "No such file" in str(log.health.fault)
        assert log.health.signed == 2
        copies.parent.mkdir()
        log.record("note", {"n": 2})
        log.seal()
        assert log.health.fault is None
    assert proven(tmp_path / "log", elsewhere=[copies]).unsigned == 0
    assert len(list(note.split(copies.read_text()))) == 2


def test_the_key_changes_hands(tmp_path) -> None:
    with AuditLog(tmp_path, KEY, segment_bytes=4_000) as log:
        for n in range(30):
            log.record("note", {"n": n})
            if n == 15:
                log.change_key(NEW_KEY, "yearly")
    verdict = proven(tmp_path)
    assert verdict.keys == (str(KEY.verify_key), str(NEW_KEY.verify_key))
    changes = [r.body for r in records(tmp_path) if r.kind == "key"]
    assert changes == [
        {"key": str(NEW_KEY.verify_key), "was": str(KEY.verify_key), "why": "yearly"}
    ]


@pytest.mark.parametrize("fails", ["pwrite", "fsync of the folder"])
def test_a_disk_full_at_a_new_segment_is_waited_for(tmp_path, monkeypatch, fails: str) -> None:
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    real, full = os.pwrite, threading.Event()

    def pwrite(handle: int, content: bytes, at: int) -> int:
        if full.is_set() and at == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, content, at)

    def sync_folder(folder) -> None:
        if full.is_set():
            raise OSError(errno.EIO, "Input/output error")

    if fails == "pwrite":
        monkeypatch.setattr(os, "pwrite", pwrite)
    else:
        monkeypatch.setattr("ebplan.audit.pen.sync_folder", sync_folder)
    with AuditLog(tmp_path, KEY, segment_bytes=4_000) as log:
        full.set()
        for n in range(60):
            log.record("note", {"n": n})
        while log.health.fault is None:
            pass
        full.clear()
        assert log.seal()
    with AuditLog(tmp_path, KEY, segment_bytes=4_000):
        pass
    assert len(list(tmp_path.glob("*.jsonl"))) > 1
    assert [r.body["n"] for r in records(tmp_path) if r.kind == "note"] == list(range(60))
    proven(tmp_path)


def test_a_checkpoint_written_in_pieces_is_whole(tmp_path, monkeypatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, raw, at: real(handle, bytes(raw[:40]), at))
    with AuditLog(tmp_path, KEY) as log:
        log.record("note", {"n": 1})
    monkeypatch.undo()
    assert proven(tmp_path).unsigned == 0


def test_a_log_whose_thread_is_gone_says_so_at_once(tmp_path, monkeypatch) -> None:
    log = AuditLog(tmp_path, KEY, seal_s=0.01)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    log.record("note", {"n": 1})
    log._thread.join()
    assert not log.seal(60.0)
    assert not log.change_key(NEW_KEY)
    assert not log.close(60.0)
