"""What docs/events.md shows is what is understood."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from ebplan.adapters.events.folder import LONGEST_BYTES
from ebplan.adapters.events.inbox import KEPT, KEPT_CALLS, Inbox, Outcome
from ebplan.adapters.events.message import read_message
from ebplan.adapters.events.sources import EventSourcesSpec
from ebplan.adapters.events.webhook import connections, proof
from ebplan.adapters.events.webhook.doors import BODY_WITHIN_S, STATUS
from ebplan.adapters.events.webhook.spec import WebhookSpec
from ebplan.adapters.secrets import Secret

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_each_message_on_the_page_is_one() -> None:
    calls = [b for b in blocks("json") if '"grid_event"' in b]
    assert len(calls) >= 2
    for text in calls:
        call = read_message(json.loads(text), source="page", received=NOW)
        assert call.uid == json.loads(text)["uid"]


def test_the_file_of_sources_on_the_page_is_one() -> None:
    (text,) = (b for b in blocks("toml") if "event_sources" in b)
    spec = EventSourcesSpec.parse(tomllib.loads(text))
    assert [source.kind for source in spec.sources] == ["folder", "webhook"]


def test_the_page_knows_every_outcome_and_limit() -> None:
    for outcome in get_args(Outcome):
        assert f"`{outcome}` |" in PAGE
        assert f"{STATUS[outcome]} " in PAGE
    assert f"{KEPT_CALLS:,} calls" in PAGE
    assert f"above {LONGEST_BYTES // 2**20} MiB" in PAGE
    assert KEPT.days == 7
    assert "is forgotten** seven days after" in PAGE
    most_kib = WebhookSpec.model_fields["longest_bytes"].default // 1024
    assert f"{BODY_WITHIN_S:g} s, 413 above {most_kib} KiB" in PAGE.replace("\n", " ")


def test_the_signature_on_the_page_is_ours() -> None:
    (text,) = (b for b in blocks("python") if "def signature" in b)
    told: dict[str, object] = {}
    exec(text, told)
    given = "DELETE", "/events/dr%2017", b"body"
    theirs = told["signature"](b"a-key", *given, 1_800_000_000)  # type: ignore[operator]
    ours = proof.signature(Secret("a-key"), proof.content(*given), 1_800_000_000)
    assert theirs == ours


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_signature_of_the_shell_is_ours(tmp_path: Path) -> None:
    (text,) = (b for b in blocks("sh") if "signature()" in b)
    (tmp_path / "key").write_text("a-key of ours\n")
    run = subprocess.run(
        ["sh", "-c", text + f"\nsignature {tmp_path / 'key'} POST /events"],
        input=b'{"kind": "grid_event"}\n',
        capture_output=True,
        check=True,
        timeout=30,
    )
    signed = run.stdout.decode()
    at_s = int(signed.partition(",")[0].removeprefix("t="))
    over = proof.content("POST", "/events", b'{"kind": "grid_event"}\n')
    assert signed == proof.signature(Secret("a-key of ours"), over, at_s)


def test_the_page_knows_the_limits_of_connections() -> None:
    text = PAGE.replace("\n ", "")
    assert f"have {connections.WITHIN_S:g} s each" in text
    assert f"Of over {connections.MOST} connections" in text


def test_the_load_target_on_the_page_is_what_the_table_says() -> None:
    (text,) = (b for b in blocks("json") if '"import_limit"' in b)
    call = read_message(json.loads(text), source="page", received=NOW)
    (event,) = call.events
    assert event.target is not None
    assert event.target.import_limit_kw == 6.0 * 1000.0
    assert (event.duration_s, event.penalty_per_kwh) == (2 * 3600.0, 0.0)
    inbox = Inbox(now=lambda: NOW)
    assert inbox.take(call).outcome == "new"
    default = {"kind": "grid_event", "uid": call.uid, "revision": 2, "cancelled": True}
    assert inbox.take(read_message(default, source="page", received=NOW)).outcome == "cancelled"
    assert inbox.events() == ()
