"""The Python of docs/audit.md runs, and its commands print what the page says."""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

from ebplan.audit.journal import Window
from ebplan.audit.line import Kind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "audit.md").read_text("utf-8")
OTHER_EACH_TIME = (
    r"\d{4}-\d\d-\d\dT[\d:.]+Z",  # a time
    r"(?<=\+)[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}",  # a key
    r"(?m)^[A-Za-z0-9+/=]{44}$",  # a root
    r"[A-Za-z0-9+/=]{92}",  # a signature
    r"\d+ checkpoints",  # as many as there was time for
)


def the_same_each_time(text: str) -> str:
    for pattern in OTHER_EACH_TIME:
        text = re.sub(pattern, "...", text)
    return text


def test_the_page_is_a_session_that_runs() -> None:
    spec = importlib.util.spec_from_file_location("refresh", DOCS / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    again = refresh.audit_page(PAGE)
    assert the_same_each_time(again) == the_same_each_time(PAGE)


def test_every_kind_of_record_and_every_field_of_a_window_is_named() -> None:
    table = PAGE.partition("## What is recorded")[2].partition("\n\nFields")[0]
    kinds = re.findall(r"(?m)^\| `(\w+)` \|", table)
    assert sorted(kinds) == sorted(get_args(Kind))
    (windows,) = re.findall(r"(?m)^\| `window` .*$", table)
    assert [f"`{name}`" in windows for name in Window.model_fields] == [True] * len(
        Window.model_fields
    )


def test_the_benchmark_finds_its_places() -> None:
    marks = re.findall(r"<!-- (.*?) -->", PAGE.partition("## Measured")[2])
    titles = [one for one, end in pairwise(marks) if end == f"end of {one}"]
    assert titles == ["audit speed", "audit edits", "audit kills"]
