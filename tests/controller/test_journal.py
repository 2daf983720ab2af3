"""What the journal is told is written, whatever it is: long, infinite, or beyond JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ebplan.adapters.answers import Applied
from ebplan.audit import AuditLog, SigningKey, verify
from ebplan.audit.folder import document_path, segments
from ebplan.audit.journal import Journal
from ebplan.audit.line import Record
from ebplan.audit.walk import walk

KEY = SigningKey("ebplan.example.com/journal", bytes(range(32)))


def written(folder: Path) -> list[Record]:
    verdict = verify(folder, KEY.verify_key)
    assert verdict.ok
    (segment,) = segments(folder)
    lines = [line.record for line in walk(segment.path) if line.record is not None]
    return [record for record in lines if record.kind not in ("log", "key")]


def test_infinite_numbers_are_said_in_words_however_deep(tmp_path: Path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        journal = Journal(log)
        journal.note("limits", by_gpu={"0": math.inf, "1": [math.nan, 2.0]}, top=-math.inf)
        asked = {"llama-0": {"rate": math.inf}}
        journal.answer(Applied(device="d", command="c", asked=asked, confirmed=asked))
    note, answer = written(tmp_path)
    assert note.body["by_gpu"] == {"0": "inf", "1": ["nan", 2.0]}
    assert note.body["top"] == "-inf"
    assert answer.body["asked"] == {"llama-0": {"rate": "inf"}}


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"why": "x" * 70_000}, b"x" * 70_000),
        ({"number": 2**60}, str(2**60).encode()),
        ({"text": "half \ud800"}, b"half \\ud800"),
        ({"thing": {1: complex(1, 2)}}, b"(1+2j)"),
    ],
)
def test_what_no_line_takes_is_kept_beside_the_log(
    tmp_path: Path, more: dict[str, Any], kept: bytes
) -> None:
    with AuditLog(tmp_path, KEY) as log:
        Journal(log).note("odd", **more)
    (note,) = written(tmp_path)
    assert note.body["kept_beside"]
    (digest,) = note.documents
    assert kept in document_path(tmp_path, digest).read_bytes()


def test_a_journal_tells_how_its_log_is(tmp_path: Path) -> None:
    with AuditLog(tmp_path, KEY) as log:
        assert Journal(log).health.fault is None
