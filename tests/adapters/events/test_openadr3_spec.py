"""What the site says of a server: what is refused, and what the page shows."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from openadr3_rigs import SECRETS, spec_of

from ebplan.adapters.events.openadr3 import OpenAdr3Source, OpenAdr3Spec
from ebplan.adapters.events.openadr3.payloads import UNDERSTOOD
from ebplan.errors import InputError

PAGE = Path(__file__).parents[3] / "docs" / "events.md"
HOOK = {"token": {"env": "EBPLAN_TEST_HOOK"}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "http://vtn.example/openadr3"}, "https://host"),
        ({"url": "vtn.example"}, "https://host"),
        ({"url": "https://me:secret@vtn.example"}, "https://host"),
        ({"token_url": "http://vtn.example/token"}, "https://host"),
        ({"programs": []}, "at least 1"),
        ({"programs": [{}]}, "one of name and id"),
        ({"programs": [{"name": "dr", "id": "p1"}]}, "one of name and id"),
        ({"currency": "yen"}, "currency"),
        ({"version": "2.0b"}, "3.0.1"),
        ({"emergency_level": 4}, "emergency_level"),
        ({"client_secret": {"value": "x"}}, "client_secret"),
        ({"webhook": HOOK | {"host": "0.0.0.0"}}, "the address that the server is told"),
        ({"webhook": HOOK | {"certificate": "c.pem"}}, "certificate and key"),
        ({"webhook": HOOK | {"public_url": "http://site.example"}}, "https://host"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        spec_of(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "client_secret"),
        ({"authority": "nowhere.pem"}, "authority"),
        ({"webhook": HOOK | {"certificate": "no.pem", "key": "no.pem"}}, r"webhook\.certificate"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(
    fields: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EBPLAN_TEST_SECRET", raising=False)
    if fields:
        monkeypatch.setenv("EBPLAN_TEST_SECRET", "of-this-site")
    with pytest.raises(InputError, match=said):
        OpenAdr3Source(spec_of(**fields))


def test_the_page_shows_a_source_and_every_payload_that_is_understood() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (shown,) = [
        block.partition("```")[0]
        for block in page.split("```toml\n")
        if 'kind = "openadr3"' in block
    ]
    spec = OpenAdr3Spec.parse(tomllib.loads(shown))
    assert spec.webhook is not None
    assert all(f"`{payload}`" in page for payload in UNDERSTOOD)
