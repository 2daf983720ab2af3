"""No edit goes unseen, and the verdict says where it was."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from hashlib import sha256

import pytest
from audit_logs import KEY, NEW_KEY, Ticking, lines, proven, write

from benchmarks.audit.edits import HOW, edit
from ebplan.audit import AuditLog, SigningKey, note, verify
from ebplan.audit.line import canonical, line_of
from ebplan.audit.tree import Tree, leaf_hash


@pytest.fixture(scope="module")
def rotated(tmp_path_factory):
    """A log of several segments, with documents, a change of the key and copies of checkpoints."""
    folder = tmp_path_factory.mktemp("audit") / "log"
    copies = folder.with_name("copies")
    with AuditLog(folder, KEY, now=Ticking(), segment_bytes=8_000, copy_to=copies) as log:
        for n in range(120):
            named = {"plan": b"plan %d" % (n // 40)} if n % 40 == 0 else {}
            log.record("decision", {"n": n, "asked": n / 7}, named)
            if n % 9 == 0:
                assert log.seal()
            if n == 60:
                log.change_key(NEW_KEY)
    assert len(list(folder.glob("*.jsonl"))) >= 3
    proven(folder, elsewhere=[copies])
    return folder, copies


@pytest.mark.parametrize("seed", range(len(HOW) * 15))
def test_an_edit_is_found(rotated, seed: int) -> None:
    folder, copies = rotated
    done = edit(folder, random.Random(seed))
    try:
        verdict = verify(folder, KEY.verify_key, elsewhere=[copies])
        assert not verdict.ok or verdict.unsigned, done.how
    finally:
        done.undo()


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_number_is_found_at_its_line(rotated, seed: int) -> None:
    folder, _ = rotated
    rng = random.Random(seed)
    path = rng.choice(sorted(folder.glob("*.jsonl")))
    before = path.read_bytes()
    changed = before.split(b"\n")
    at = rng.randrange(1, len(changed) - 2)
    changed[at] = changed[at].replace(b'"n":', b'"n":1', 1)
    path.write_bytes(b"\n".join(changed))
    try:
        if changed[at] != before.split(b"\n")[at]:
            first = verify(folder, KEY.verify_key).faults
            assert any(f.file == path.name and f.line == at + 1 for f in first), first
    finally:
        path.write_bytes(before)


def test_each_kind_of_edit_is_told_in_its_own_words(tmp_path) -> None:
    write(tmp_path / "good", 30)
    raw = lines(tmp_path / "good")

    def verdict_of(*changed: bytes) -> str:
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "good", folder)
        (folder / "000000000000.jsonl").write_bytes(b"".join(changed))
        return "\n".join(str(f) for f in verify(folder, KEY.verify_key).faults)

    assert "jsonl:6: record 5 is missing before record 6" in verdict_of(*raw[:5], *raw[6:])
    assert "jsonl:6: records 5 to 7 are missing" in verdict_of(*raw[:5], *raw[8:])
    assert "jsonl:8: record 6 stands after record 7" in verdict_of(
        *raw[:6], raw[7], raw[6], *raw[8:]
    )
    assert "jsonl:7: record 5 stands after record 5" in verdict_of(*raw[:6], raw[5], *raw[6:])
    edited = raw[5].replace(b"-3.25", b"-3.75")
    assert "jsonl:6: record 5 was edited" in verdict_of(*raw[:5], edited, *raw[6:])
    at = raw[5].index(b'"prev":"') + 8
    unlinked = raw[5][:at] + (b"1" if raw[5][at:][:1] == b"0" else b"0") + raw[5][at + 1 :]
    assert "jsonl:6: record 5 was edited" in verdict_of(*raw[:5], unlinked, *raw[6:])
    assert "jsonl:6: not a record" in verdict_of(*raw[:5], b" " + raw[5], *raw[6:])
    last = raw[-1].replace(b"closed", b"opened")
    assert "its root is another: record" in verdict_of(*raw[:-1], last)
    assert "covers" in verdict_of(*raw[:-3])


def test_a_log_rewritten_whole_is_not_the_sites(tmp_path) -> None:
    """Somebody with another key writes a log of their own under the same name."""
    stranger = SigningKey("site-1", bytes(32))
    forged = tmp_path / "forged"
    with AuditLog(forged, stranger, now=Ticking()) as log:
        log.record("answer", {"asked": 0.0})
    verdict = verify(forged, KEY.verify_key)
    assert not verdict.ok
    assert "not signed by" in verdict.faults[0].what
    assert proven(forged, stranger.verify_key).records == 3


def test_a_key_that_only_the_log_names_is_not_trusted(tmp_path) -> None:
    """A record hands over to another key, and the site did not sign for it."""
    folder = tmp_path / "log"
    write(folder, 5)
    stranger = SigningKey("site-1", bytes(32))
    (path,) = folder.glob("*.jsonl")
    tree = Tree()
    for line in lines(folder):
        tree.append(leaf_hash(line.rstrip(b"\n")))
    prev = leaf_hash(lines(folder)[-1].rstrip(b"\n")).hex()
    body = canonical({"key": str(stranger.verify_key), "was": str(KEY.verify_key), "why": ""})
    line = line_of(body, "key", prev, tree.size, b"2026-11-26T12:00:09.000000Z")
    with path.open("ab") as stream:
        stream.write(line + b"\n")
    tree.append(leaf_hash(line))
    checkpoint = note.sign("site-1", tree.size, tree.root(), [stranger])
    with path.with_suffix(".checkpoints").open("a") as stream:
        stream.write("\n" + checkpoint.to_text())
    verdict = verify(folder, KEY.verify_key)
    assert not verdict.ok
    assert verdict.keys == (str(KEY.verify_key),)
    assert verdict.unsigned == 1


def test_a_cut_off_end_shows_only_against_what_was_kept_elsewhere(tmp_path) -> None:
    folder, copies = tmp_path / "log", tmp_path / "copies"
    with AuditLog(folder, KEY, copy_to=copies) as log:
        for n in range(30):
            log.record("answer", {"n": n})
            log.seal()
    (path,) = folder.glob("*.jsonl")
    notes = [text for _, text in note.split(path.with_suffix(".checkpoints").read_text())]
    kept = note.parse(notes[-5])
    assert kept is not None
    path.write_bytes(b"".join(lines(folder)[: kept.size]))
    path.with_suffix(".checkpoints").write_text(note.join(notes[:-4]))
    proven(folder)
    verdict = verify(folder, KEY.verify_key, elsewhere=[copies])
    assert not verdict.ok
    assert f"records {kept.size} to" in verdict.faults[0].what
    assert "cut off" in verdict.faults[0].what


def test_checkpoints_taken_away_leave_nothing_proven(tmp_path) -> None:
    write(tmp_path, 10)
    (path,) = tmp_path.glob("*.checkpoints")
    path.unlink()
    verdict = verify(tmp_path, KEY.verify_key)
    assert not verdict.ok
    assert "nothing is signed" in verdict.faults[0].what


def test_a_long_end_without_signatures_is_no_log_of_a_writer(tmp_path) -> None:
    """Checkpoints cut off, so that records after them could be written anew."""
    clock = Ticking()
    with AuditLog(tmp_path, KEY, now=clock) as log:
        for n in range(20):
            log.record("answer", {"n": n})
            log.seal()
            clock.at += timedelta(seconds=1.0)
    (path,) = tmp_path.glob("*.checkpoints")
    notes = [text for _, text in note.split(path.read_text())]
    for kept, long in ((len(notes) - 3, False), (len(notes) - 9, True)):
        path.write_text(note.join(notes[:kept]))
        verdict = verify(tmp_path, KEY.verify_key)
        assert verdict.unsigned > 0
        assert verdict.ok != long
        assert any("nobody signed for them" in fault.what for fault in verdict.faults) == long


def test_old_segments_may_be_moved_away(rotated, tmp_path) -> None:
    folder, _ = rotated
    rest = tmp_path / "rest"
    shutil.copytree(folder, rest)
    gone = sorted(rest.glob("*.jsonl"))[0]
    gone.unlink()
    gone.with_suffix(".checkpoints").unlink()
    verdict = proven(rest)
    assert verdict.first > 0
    first = sorted(rest.glob("*.jsonl"))[0]
    first.write_bytes(first.read_bytes().replace(b'"peaks":["', b'"peaks":["0', 1))
    assert not verify(rest, KEY.verify_key).ok


def test_a_later_segment_without_its_beginning_is_not_ok(rotated, tmp_path) -> None:
    folder, _ = rotated
    for change in ("notes", "line"):
        copy = tmp_path / change
        shutil.copytree(folder, copy)
        second = sorted(copy.glob("*.jsonl"))[1]
        if change == "notes":
            notes = [t for _, t in note.split(second.with_suffix(".checkpoints").read_text())]
            second.with_suffix(".checkpoints").write_text(note.join(notes[1:]))
        else:
            second.write_bytes(second.read_bytes().replace(b'"peaks":["', b'"peaks":["0', 1))
        verdict = verify(copy, KEY.verify_key)
        assert not verdict.ok
        assert any("before it" in fault.what for fault in verdict.faults)


@pytest.mark.parametrize("what", ["time", "document", "long"])
def test_hostile_files_are_faults(tmp_path, what: str) -> None:
    log = AuditLog(tmp_path, KEY, now=Ticking())
    log.record("note", {}, {"plan": b"plan"})
    log.close()
    digest = sha256(b"plan").hexdigest()
    (path,) = tmp_path.glob("*.jsonl")
    if what == "time":
        raw = path.read_bytes().replace(
            b"2026-11-26T12:00:00.020000Z", b"0001-01-01T00:00:00+01:00"
        )
        path.write_bytes(raw)
    elif what == "document":
        (tmp_path / "documents" / digest).unlink()
        (tmp_path / "documents" / digest).mkdir()
    else:
        path.write_bytes(path.read_bytes() + b"x" * (2**20 + 5))
    assert not verify(tmp_path, KEY.verify_key).ok
