"""A log after a power loss: what was signed is there, what was torn is set aside."""

from __future__ import annotations

import shutil
from hashlib import sha256

import pytest
from audit_logs import KEY, NEW_KEY, Ticking, lines, proven, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebplan.audit import AuditLog
from ebplan.audit.line import read_line
from ebplan.errors import InputError

SEGMENT = "000000000000.jsonl"
NOTES = "000000000000.checkpoints"


def went_on(folder, key=KEY) -> dict:
    """Open the log again, write a record, prove it; return what the log says of its opening."""
    before = len(lines(folder))
    with AuditLog(folder, key, now=Ticking()) as log:
        log.record("note", {"after": True})
    proven(folder)
    said = [record for line in lines(folder) if (record := read_line(line.rstrip(b"\n")))]
    opened = [r.body for r in said if r.body.get("what") in ("opened", "recovered")]
    assert before <= len(lines(folder)) + 1000
    return dict(opened[-1])


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A log with 8 records after its last checkpoint, whose writer was gone at once."""
    folder = tmp_path_factory.mktemp("unfinished") / "log"
    log = AuditLog(folder, KEY, now=Ticking(), seal_s=1.0)
    for n in range(20):
        log.record("answer", {"n": n})
        if n == 11:
            assert log.seal()
    while log.health.waiting:
        pass
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    log.close()
    verdict = proven(copy)
    assert verdict.unsigned == 8
    return copy


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_end_may_be_lost_at_any_byte_after_the_last_checkpoint(
    unfinished, tmp_path_factory, data
) -> None:
    folder = tmp_path_factory.mktemp("torn") / "log"
    shutil.copytree(unfinished, folder)
    path = folder / SEGMENT
    raw = path.read_bytes()
    signed = sum(map(len, raw.splitlines(True)[:13]))
    kept = data.draw(st.integers(signed, len(raw)), "kept")
    torn = data.draw(st.sampled_from([b"", b"\x00" * 4096, b"\xff\n\n", b'{"body":{}}\n']), "torn")
    path.write_bytes(raw[:kept] + torn)
    opened = went_on(folder)
    assert opened["what"] == "recovered"
    whole = raw[:kept].rfind(b"\n") + 1
    lost = raw[whole:kept] + torn
    if lost:
        (said,) = opened["set_aside"]
        assert said == {
            "of": SEGMENT,
            "bytes": len(lost),
            "lines": lost.count(b"\n"),
            "sha256": sha256(lost).hexdigest(),
        }
        (aside,) = (folder / "torn").iterdir()
        assert aside.read_bytes() == lost
    else:
        assert opened["set_aside"] == []
    assert opened["unsigned"] == raw[:whole].count(b"\n") - 13


@pytest.mark.parametrize("kept", [0, 1, 100, 1000])
def test_what_was_signed_and_is_gone_ends_the_log(unfinished, tmp_path, kept: int) -> None:
    folder = tmp_path / "log"
    shutil.copytree(unfinished, folder)
    path = folder / SEGMENT
    path.write_bytes(path.read_bytes()[:kept])
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match="keep the folder as it is"):
        AuditLog(folder, KEY)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_what_was_signed_and_is_another_ends_the_log(unfinished, tmp_path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(unfinished, folder)
    path = folder / SEGMENT
    path.write_bytes(path.read_bytes().replace(b'"n":3', b'"n":4'))
    with pytest.raises(InputError, match="keep the folder as it is"):
        AuditLog(folder, KEY)


@pytest.mark.parametrize("cut", range(1, 150, 11))
def test_a_checkpoint_half_written_is_written_again(unfinished, tmp_path, cut: int) -> None:
    folder = tmp_path / "log"
    shutil.copytree(unfinished, folder)
    path = folder / NOTES
    path.write_bytes(path.read_bytes()[:-cut])
    assert went_on(folder)["what"] == "recovered"


@pytest.mark.parametrize("begun", [b"", b'{"body":{"key', b"\x00" * 100])
def test_power_may_go_while_a_segment_begins(tmp_path, begun: bytes) -> None:
    write(tmp_path, 60, segment_bytes=6_000)
    count = len(lines(tmp_path))
    last = tmp_path / f"{count:012d}.jsonl"
    last.write_bytes(begun)
    last.with_suffix(".checkpoints").write_text("site-1\n")
    assert went_on(tmp_path)["what"] == "recovered" or not begun
    assert not last.exists() or read_line(last.read_bytes().split(b"\n")[0]) is not None


def test_power_may_go_before_the_first_record(tmp_path) -> None:
    (tmp_path / SEGMENT).write_bytes(b'{"bo')
    (tmp_path / NOTES).write_bytes(b"")
    with AuditLog(tmp_path, KEY):
        pass
    proven(tmp_path)


def test_a_key_that_nobody_signed_for_does_not_come_in(tmp_path) -> None:
    """Power goes between the record of the new key and the checkpoint that hands over."""
    folder = tmp_path / "log"
    write(folder, 5)
    count = len(lines(folder))
    with AuditLog(folder, KEY, now=Ticking()) as log:
        log.change_key(NEW_KEY)
    (path, notes) = folder / SEGMENT, folder / NOTES
    raw = path.read_bytes().splitlines(True)
    at = next(n for n, line in enumerate(raw) if b'"kind":"key"' in line)
    path.write_bytes(b"".join(raw[: at + 1]))
    kept = [part for part in notes.read_text().split("\n\n") if part]
    notes.write_text("\n\n".join(kept[:-4]) + "\n")
    assert at > count
    (said,) = went_on(folder)["set_aside"]
    assert said["lines"] == 1
    with AuditLog(folder, KEY, now=Ticking()) as log:
        log.change_key(NEW_KEY)
    assert proven(folder).keys == (str(KEY.verify_key), str(NEW_KEY.verify_key))
    with pytest.raises(InputError, match="the key that signs this log"):
        AuditLog(folder, KEY)
    assert went_on(folder, NEW_KEY)["what"] == "opened"


def test_another_key_does_not_go_on(tmp_path) -> None:
    write(tmp_path, 5)
    with pytest.raises(InputError, match="signs this log"):
        AuditLog(tmp_path, NEW_KEY)


def test_a_clean_log_is_just_opened(tmp_path) -> None:
    write(tmp_path, 5)
    assert went_on(tmp_path) == {"what": "opened", "ebplan": __import__("ebplan").__version__}


def test_a_checkpoint_that_was_whole_and_is_none_any_more_ends_the_log(tmp_path) -> None:
    """Cut off as torn, it would take every good one after it along."""
    write(tmp_path, 30)
    notes = tmp_path / NOTES
    for at in (0, notes.read_text().rindex("site-1\n")):  # the first, and the last
        text = notes.read_text()
        notes.write_text(text[:at] + text[at:].replace("site-1\n", "site-1\nx", 1))
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
        with pytest.raises(InputError, match="keep the folder as it is"):
            AuditLog(tmp_path, KEY)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
        notes.write_text(text)


def test_a_log_without_its_checkpoints_is_not_signed_anew(tmp_path) -> None:
    write(tmp_path, 10)
    (tmp_path / NOTES).unlink()
    with pytest.raises(InputError, match="no checkpoint"):
        AuditLog(tmp_path, KEY)


def test_copies_hold_a_log_to_what_they_cover(tmp_path) -> None:
    folder, copies = tmp_path / "log", tmp_path / "copies"
    with AuditLog(folder, KEY, copy_to=copies) as log:
        for n in range(10):
            log.record("note", {"n": n})
            log.seal()
    whole = lines(folder)
    (folder / SEGMENT).write_bytes(b"".join(whole[:5]))
    notes = (folder / NOTES).read_text().split("\n\n")
    (folder / NOTES).write_text("\n\n".join(notes[:8]) + "\n")
    with pytest.raises(InputError, match="whole records, where"):
        AuditLog(folder, KEY, copy_to=copies)


def test_a_handover_with_one_of_two_signatures_is_written_again(tmp_path) -> None:
    write(tmp_path, 5)
    with AuditLog(tmp_path, KEY, now=Ticking()) as log:
        log.change_key(NEW_KEY)
        raw = (tmp_path / SEGMENT).read_bytes()
        text = (tmp_path / NOTES).read_text()
    assert text.count("—") > text.count("\n\n") / 2
    (tmp_path / SEGMENT).write_bytes(raw)
    (tmp_path / NOTES).write_text(text[: text.rindex("— ")])
    said = went_on(tmp_path)["set_aside"]
    assert [part["of"] for part in said] == [NOTES, SEGMENT]


def test_what_nobody_had_signed_for_is_said(unfinished, tmp_path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(unfinished, folder)
    went_on(folder)
    (remark,) = proven(folder).remarks
    assert "signed for 8 records" in remark


def test_a_torn_copy_is_mended(tmp_path) -> None:
    folder, copies = tmp_path / "log", tmp_path / "copies"
    for n in range(3):
        with AuditLog(folder, KEY, copy_to=copies) as log:
            log.record("note", {"n": n})
        copies.write_text(copies.read_text() + "\nsite-1\n3\nabc")
    with AuditLog(folder, KEY, copy_to=copies):
        pass
    proven(folder, elsewhere=[copies])


@pytest.mark.parametrize("body", [{"peaks": 3}, {"peaks": ["zz"]}, {"key": 1}, {}])
def test_a_first_line_that_begins_nothing_is_one_line(tmp_path, body) -> None:
    from ebplan.audit.line import canonical, line_of

    (tmp_path / SEGMENT).write_bytes(
        line_of(canonical(body), "log", "0" * 64, 0, b"2026-11-26T12:00:00.000000Z") + b"\n"
    )
    with pytest.raises(InputError, match="begins no segment"):
        AuditLog(tmp_path, KEY)
