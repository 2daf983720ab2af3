"""Every message of both sides against the published contract, where the user has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebplan.errors import InputError
from ebplan.twin.wire.check_openadr3 import main, talk
from ebplan.twin.wire.openadr3_contract import Contract

VARIABLE = "EBPLAN_OPENADR3_SCHEMA"
WHY = f"{VARIABLE} does not name the OpenAPI document of OpenADR 3.0.1; openadr.org hands it out"

SMALL = """\
openapi: 3.0.0
info: {title: like OpenADR, version: 3.0.1}
servers: [{url: "http://localhost/openadr3/3.0.1"}]
paths:
  /vens:
    get:
      responses:
        '200':
          description: names
          content: {application/json: {schema: {type: array, items: {type: integer}}}}
components:
  schemas:
    notification: {type: object, required: [nothing we send]}
"""
"""A contract that our messages break: what is found is told."""


@pytest.mark.skipif(VARIABLE not in os.environ, reason=WHY)
async def test_every_message_is_as_published() -> None:
    contract = Contract(Path(os.environ[VARIABLE]))
    exchanges, notifications = await talk()
    asked = {(e.method, e.path.split("/")[3]) for e in exchanges}
    assert {("GET", "events"), ("POST", "subscriptions"), ("PUT", "reports")} <= asked
    assert [told["operation"] for told in notifications] == ["POST", "PUT", "DELETE"]
    assert [line for e in exchanges for line in contract.faults(e)] == []
    assert [line for told in notifications for line in contract.notification_faults(told)] == []


def test_messages_that_are_not_as_published_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    assert main([str(path)]) == 1
    said = capsys.readouterr().out
    assert "notification of POST: $: 'nothing we send' is a required property" in said
    assert "POST /vens" in said
    assert "POST /reports: request: " in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("a: [", "an OpenAPI document"),
        ("{}", "an OpenAPI document"),
        (SMALL.replace("notification", "other"), "the OpenAPI document of OpenADR 3"),
        (SMALL.replace("version: 3.0.1", "version: 3.1.0"), "name the document of 3.0.1"),
    ],
)
def test_what_is_no_contract_is_refused_in_a_line(
    text: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "contract.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Contract(path)
    assert "\n" not in str(caught.value)
