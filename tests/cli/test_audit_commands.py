"""``ebplan audit``: what each command prints, and one line for each mistake."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan.audit import AuditLog, SigningKey, VerifyKey
from ebplan.audit.folder import segments
from ebplan.cli import main

NAME = "ebplan.example.com/site-1"
KEY, NEXT, STRANGER = (SigningKey(NAME, bytes([n]) * 32) for n in (1, 2, 3))
START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)


class Clock:
    """A minute later with each record; the log itself looks as often as it likes."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def write(folder: Path, key: SigningKey = KEY, copy_to: Path | None = None) -> None:
    clock = Clock()
    with AuditLog(folder, key, copy_to=copy_to, now=clock) as log:
        log.record("event", {"by": "controller", "uid": "call-7", "outcome": "new"})
        log.seal()
        clock.at += timedelta(minutes=1)
        log.record("decision", {"event": "call-7", "why": "new"}, {"plan": b'{"kind": "plan"}'})
        log.record("window", {"grid_kw": 4.123456789, "pool_kw": {"a": 1.5}})
        log.seal()
        clock.at += timedelta(minutes=1)
        log.record("note", {"what": "all is well"})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(tmp_path / "log")
    return tmp_path / "log"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder with the key of the log and the next one."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, key in (("site", KEY), ("next", NEXT), ("stranger", STRANGER)):
        key.write(folder / name)
    return folder


def run(*words: object) -> Result:
    """Run a command; nothing but an exit may come out of it."""
    done = CliRunner().invoke(main, ["audit", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def good(*words: object) -> str:
    done = run(*words)
    assert done.exit_code == 0, done.output
    return done.stdout


def bad(*words: object) -> str:
    """Return the one line of a mistake."""
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


# keygen


def test_a_key_is_made_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    said = good("keygen", NAME, "-o", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = SigningKey.read(path)
    assert said == f"{key.verify_key}\n"
    assert VerifyKey.parse(said).name == NAME
    assert path.read_text() not in said


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    good("keygen", NAME, "-o", path)
    before = path.read_bytes()
    assert "never overwritten" in bad("keygen", NAME, "-o", path)
    assert path.read_bytes() == before
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    bad("keygen", NAME, "-o", tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_one_is_one_line(name: str, tmp_path: Path) -> None:
    assert "name" in bad("keygen", name, "-o", tmp_path / "site.key")
    assert not (tmp_path / "site.key").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in bad("keygen", NAME, "-o", tmp_path / "none" / "site.key")


# verify


def test_a_log_is_proven(log: Path, tmp_path: Path) -> None:
    said = good("verify", log, "--key", KEY.verify_key)
    assert said.startswith(f"ok: records 0 to 5 of {NAME}, ")
    assert "--elsewhere" in said
    (tmp_path / "site.pub").write_text(f"{KEY.verify_key}\n")
    assert good("verify", log, "--key", tmp_path / "site.pub") == said


def test_an_edited_record_is_named_by_file_and_line(log: Path) -> None:
    file = segments(log)[0].path
    file.write_bytes(file.read_bytes().replace(b'"why":"new"', b'"why":"old"'))
    done = run("verify", log, "--key", KEY.verify_key)
    assert done.exit_code == 6
    assert done.stdout.startswith("NOT ok: ")
    assert "000000000000.jsonl:3: record 2 was edited" in done.stdout
    verdict = json.loads(run("verify", log, "--key", KEY.verify_key, "--json").stdout)
    assert verdict["ok"] is False
    named = {"file": file.name, "line": 3, "seq": 2, "what": "record 2 was edited"}
    assert named in verdict["faults"]


def test_many_faults_are_counted(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "log", KEY) as log:
        for n in range(60):
            log.record("note", {"n": n})
    file = segments(tmp_path / "log")[0].path
    file.write_bytes(file.read_bytes().replace(b'"kind":"note"', b'"kind": "note"'))
    done = run("verify", tmp_path / "log", "--key", KEY.verify_key)
    assert done.exit_code == 6
    listed = [line for line in done.stdout.splitlines() if line.startswith("  0")]
    assert len(listed) == 20
    assert "more\n" in done.stdout


def test_the_verdict_is_json_for_machines(log: Path) -> None:
    verdict = json.loads(good("verify", log, "--key", KEY.verify_key, "--json"))
    assert verdict["ok"] is True
    assert (verdict["records"], verdict["unsigned"], verdict["origin"]) == (6, 0, NAME)
    assert verdict["keys"] == [str(KEY.verify_key)]


def test_a_cut_off_end_shows_against_what_is_kept_elsewhere(tmp_path: Path) -> None:
    folder, kept = tmp_path / "log", tmp_path / "kept"
    write(folder, copy_to=kept)
    words = ("verify", folder, "--key", KEY.verify_key)
    assert "--elsewhere" not in good(*words, "--elsewhere", kept)
    last = segments(folder)[0]
    notes = last.checkpoints.read_text().split("\n\n")
    last.checkpoints.write_text("\n\n".join(notes[:4]) + "\n")
    size = int(notes[2].splitlines()[1])
    lines = last.path.read_bytes().splitlines(keepends=True)
    last.path.write_bytes(b"".join(lines[:size]))
    good(*words)
    done = run(*words, "--elsewhere", kept)
    assert done.exit_code == 6
    assert f"records {size} to 5 were cut off" in done.stdout


def test_a_wrong_key_proves_nothing(log: Path) -> None:
    done = run("verify", log, "--key", STRANGER.verify_key)
    assert done.exit_code == 6
    assert "not signed by" in done.stdout


@pytest.mark.parametrize(
    "key",
    [
        "",
        "no key",
        f"{NAME}+00000000+{str(KEY.verify_key).rsplit('+', 1)[1]}",
        "a+b+c",
        "+" * 3000,
        "a+b+\x00",
        "ü" * 300 + "+00000000+AA==",
        str(KEY.verify_key)[:-1],
    ],
)
def test_a_text_that_is_no_key_is_one_line(key: str, log: Path) -> None:
    bad("verify", log, "--key", key)


def test_a_secret_key_given_for_a_public_one_is_not_shown(log: Path, keys: Path) -> None:
    said = bad("verify", log, "--key", keys / "site")
    secret = (keys / "site").read_text().strip().rsplit("+", 1)[1]
    assert secret[:6] not in said
    assert secret[:6] not in bad("verify", log, "--key", (keys / "site").read_text())


def test_what_is_no_log_is_one_line(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no log")
    for path in (tmp_path / "none", tmp_path / "empty", tmp_path / "file"):
        bad("verify", path, "--key", KEY.verify_key)
        bad("show", path)
        bad("export", path, "-o", tmp_path / "out.json")
        bad("checkpoint", path)
        bad("change-key", path, "--key", keys / "site", "--new", keys / "next")
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "out.json").exists()


def test_a_file_of_checkpoints_that_is_not_there_is_one_line(log: Path, tmp_path: Path) -> None:
    words = ("verify", log, "--key", KEY.verify_key)
    assert "none" in bad(*words, "--elsewhere", tmp_path / "none")


# show


def test_records_are_shown_in_words(log: Path) -> None:
    lines = good("show", log).splitlines()
    assert len(lines) == 6
    assert lines[1] == "        1 2026-06-01T03:00:00.000Z event    outcome new, uid call-7"
    assert "grid_kw 4.12346, pool_kw a 1.5" in lines[3]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--kind", "window"), [3]),
        (("--kind", "window", "--kind", "note"), [3, 4]),
        (("--event", "call-7"), [1, 2]),
        (("--event", "none"), []),
        (("--from", "2026-06-01T03:01:00Z"), [2, 3, 4, 5]),
        (("--from", "2026-06-01T12:01:00+09:00", "--to", "2026-06-01T12:02:00+09:00"), [2, 3]),
        (("--last", "2"), [4, 5]),
        (("--kind", "event", "--last", "5"), [1]),
    ],
)
def test_records_are_chosen(words: tuple[str, ...], shown: list[int], log: Path) -> None:
    assert [int(line.split()[0]) for line in good("show", log, *words).splitlines()] == shown


def test_lines_are_shown_as_they_are(log: Path) -> None:
    assert good("show", log, "--json") == segments(log)[0].path.read_text()


def test_no_record_is_more_than_one_line(tmp_path: Path) -> None:
    hostile = (
        "\x1b[2J\r\n        6 2026-06-01T03:00:00.000Z note     forged \u2028\u202e\x9b31m\x00"
    )
    with AuditLog(tmp_path / "log", KEY) as log:
        log.record("note", {"what": hostile, hostile: [hostile, {hostile: hostile}]})
    shown = good("show", tmp_path / "log", "--kind", "note")
    assert shown.count("\n") == 1
    assert shown.removesuffix("\n").isprintable()
    assert "\\x1b[2J\\r\\n" in shown
    # the lines of a log are JSON, in which no control character stands
    raw = good("show", tmp_path / "log", "--kind", "note", "--json")
    assert raw.count("\n") == 1
    assert "\x1b" not in raw


def test_a_line_that_is_no_record_is_said_and_passed(log: Path) -> None:
    file = segments(log)[0].path
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"\x1b no record\n", *lines[1:], lines[0][:-1]]))
    done = run("show", log)
    assert done.exit_code == 0
    assert done.stdout.count("\n") == 6
    assert done.stderr == f"{file.name}:2: not a record\n{file.name}:8: not a record\n"


@pytest.mark.parametrize("time", ["", "now", "2026-06-01", "2026-06-01T12:00:00", "25:00", "0"])
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_time_without_its_zone_is_one_line(
    time: str, option: str, log: Path, tmp_path: Path
) -> None:
    assert option in bad("show", log, option, time)
    assert option in bad("export", log, "-o", tmp_path / "out.json", option, time)


def test_a_kind_that_does_not_exist_is_one_line(log: Path, tmp_path: Path) -> None:
    assert "alarm, answer, command" in bad("show", log, "--kind", "events")
    assert "--kind" in bad("export", log, "-o", tmp_path / "out.json", "--kind", "")


# export


def test_an_extract_proves_itself(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "call.json"
    said = good("export", log, "-o", out, "--event", "call-7")
    assert said == f"2 records, 1 documents: {out}\n"
    proven = good("verify", out, "--key", KEY.verify_key)
    assert proven == "ok: 2 records of the log, as signed\n"
    out.write_text(out.read_text().replace("call-7", "call-8"))
    done = run("verify", out, "--key", KEY.verify_key)
    assert done.exit_code == 6
    assert done.stdout == "NOT ok: records.0: not what was signed for\n"
    as_json = json.loads(run("verify", out, "--key", KEY.verify_key, "--json").stdout)
    assert as_json == {"ok": False, "records": 2, "fault": "records.0: not what was signed for"}
    assert run("verify", out, "--key", STRANGER.verify_key).exit_code == 6


def test_an_extract_of_nothing_is_one_line(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert "no record" in bad("export", log, "-o", out, "--event", "none")
    assert not out.exists()
    bad("export", log, "-o", tmp_path / "none" / "out.json")
    assert "schema" in bad_after(out, '{"kind": "audit_extract", "schema_version": "9"}')
    assert "kind" in bad_after(out, '{"kind": "plan"}')


def bad_after(out: Path, text: str) -> str:
    out.write_text(text)
    return bad("verify", out, "--key", KEY.verify_key)


# change-key


def test_the_key_is_changed_and_the_old_one_still_proves(log: Path, keys: Path) -> None:
    words = ("change-key", log, "--key", keys / "site", "--new", keys / "next")
    assert good(*words, "--why", "the year is over") == f"{NEXT.verify_key}\n"
    verdict = json.loads(good("verify", log, "--key", KEY.verify_key, "--json"))
    assert verdict["keys"] == [str(KEY.verify_key), str(NEXT.verify_key)]
    assert "why the year is over" in good("show", log, "--kind", "key")
    # the one before no longer signs
    assert "the key that signs this log" in bad(*words)


def test_who_does_not_hold_the_key_does_not_change_it(log: Path, keys: Path) -> None:
    before = segments(log)[0].path.read_bytes()
    bad("change-key", log, "--key", keys / "stranger", "--new", keys / "next")
    (keys / "next").chmod(0o640)
    assert "chmod 600" in bad("change-key", log, "--key", keys / "site", "--new", keys / "next")
    bad("change-key", log, "--key", keys / "site", "--new", keys / "none")
    (keys / "site").write_text("no key")
    said = bad("change-key", log, "--key", keys / "site", "--new", keys / "next")
    assert "no key" not in said
    assert segments(log)[0].path.read_bytes() == before


def test_a_running_controller_keeps_its_key(tmp_path: Path, keys: Path) -> None:
    with AuditLog(tmp_path / "log", KEY):
        words = ("--key", keys / "site", "--new", keys / "next")
        assert "one writer at a time" in bad("change-key", tmp_path / "log", *words)
    assert "was" not in good("show", tmp_path / "log", "--kind", "key")


def test_a_disk_that_fails_changes_no_key(
    log: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = AuditLog.change_key

    def with_a_failing_disk(self: AuditLog, key: SigningKey, why: str = "") -> None:
        def fsync(_: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as failing:
            failing.setattr("ebplan.audit.pen.os.fsync", fsync)
            change(self, key, why)

    monkeypatch.setattr(AuditLog, "change_key", with_a_failing_disk)
    words = ("change-key", log, "--key", keys / "site", "--new", keys / "next")
    assert "Input/output error" in bad(*words)
    verdict = json.loads(good("verify", log, "--key", KEY.verify_key, "--json"))
    assert verdict["keys"] == [str(KEY.verify_key)]


# checkpoint


def test_the_newest_checkpoint_is_printed_to_be_kept(log: Path, tmp_path: Path) -> None:
    said = good("checkpoint", log)
    assert said.splitlines()[:2] == [NAME, "6"]
    assert segments(log)[0].checkpoints.read_text().endswith(said)
    (tmp_path / "kept").write_text(said)
    good("verify", log, "--key", KEY.verify_key, "--elsewhere", tmp_path / "kept")
