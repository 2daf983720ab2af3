"""The journal writes whatever a control loop has to say, and never ends it."""

from __future__ import annotations

from audit_logs import KEY, lines, proven

from ebplan.adapters.answers import AppliedInPart, Range
from ebplan.audit import AuditLog
from ebplan.audit.journal import Journal
from ebplan.audit.line import read_line


def said(folder):
    return [read_line(line.rstrip(b"\n")) for line in lines(folder)][1:-1]


def test_open_limits_and_nothing_are_said_in_words(tmp_path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        Journal(log, "me").answer(
            AppliedInPart(
                device="gpu",
                command="cap",
                asked=float("nan"),
                confirmed=None,
                feasible=Range(200.0, float("inf"), "W"),
                why="clamped",
            )
        )
        Journal(log).note("deep", more={"a": [1.0, float("-inf")]}, absent=None)
    answer, note = said(tmp_path)
    assert answer.body["asked"] == "nan"
    assert answer.body["feasible"] == {"low": 200, "high": "inf", "unit": "W"}
    assert answer.body["by"] == "me"
    assert note.body["more"] == {"a": [1, "-inf"]}
    assert "absent" not in note.body
    proven(tmp_path)


def test_what_cannot_be_a_record_is_kept_beside_it(tmp_path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        Journal(log).note("long", text="x" * 2**17)
        Journal(log).note("strange", thing=object())
    long, strange = said(tmp_path)
    assert "document" in long.body["kept_beside"]
    (digest,) = long.documents
    assert b"x" * 2**17 in (tmp_path / "documents" / digest).read_bytes()
    assert strange.body["kept_beside"]
    proven(tmp_path)
