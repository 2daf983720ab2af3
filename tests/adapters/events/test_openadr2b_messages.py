"""Messages are written so that they are read back, and nothing else is believed."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openadr2b_rigs import soon

from ebplan.adapters.events.openadr2b.envelope import BadMessage, Envelope
from ebplan.adapters.events.openadr2b.heard import HeardEvent
from ebplan.adapters.events.openadr2b.read_events import read_events
from ebplan.adapters.events.openadr2b.registration import RegistrationLost, read_registration
from ebplan.twin.wire.openadr2b_vtn import Span, event, power

ENVELOPE = Envelope()


def listed(**changed: object) -> bytes:
    one = asdict(event("e1", [Span(900.0, -5.0), Span(900.0, -6.0)], start=soon()))
    one["event_descriptor"] |= changed
    one["targets"] = [{"ven_id": "a<b"}, {"group_id": "g&h"}]
    # openleadr reads units of a second signal only where the first has some
    one["event_signals"].insert(
        0, {**one["event_signals"][0], "signal_name": "SIMPLE", "signal_type": "level",
            "measurement": None},
    )  # fmt: skip
    return ENVELOPE.write("oadrDistributeEvent", request_id="r1", vtn_id="v1", events=[one])


def read(raw: bytes) -> HeardEvent:
    (heard,) = read_events(ENVELOPE.open(raw)).events
    return heard


@given(st.from_regex(r"[!-~]([ -~]{0,28}[!-~])?", fullmatch=True))
def test_any_id_is_read_back_as_it_was_written(uid: str) -> None:
    assert read(listed(event_id=uid)).uid == uid


@pytest.mark.parametrize("uid", ["007", "a  b", "1.2.3", "true", "a&b", "<x/>", "日本", "-5"])
def test_an_id_stays_a_text(uid: str) -> None:
    assert read(listed(event_id=uid)).uid == uid


def test_every_field_is_read() -> None:
    heard = read(listed(test_event=True, modification_number=4, priority=2))
    assert heard.priority == 2
    assert (heard.uid, heard.revision, heard.test, heard.status) == ("e1", 4, True, "far")
    assert heard.market_context == "http://twin/dr"
    assert heard.targets == (("groupID", "g&h"), ("venID", "a<b"))
    simple, dispatch = heard.signals
    assert (simple.name, simple.quantity) == ("SIMPLE", None)
    assert (dispatch.quantity, dispatch.units, dispatch.scale) == ("powerReal", "W", "k")
    assert [(i.duration, i.value) for i in dispatch.intervals] == [
        ("PT15M", "-5.0"),
        ("PT15M", "-6.0"),
    ]
    assert power("k").scale == dispatch.scale


def test_comments_between_parts_say_nothing() -> None:
    plain = listed()
    remarked = plain.replace(b"><", b"><!-- a remark --><")
    assert remarked != plain
    assert read(remarked) == read(plain)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no XML"),
        (b"\x00\xff", "no XML"),
        (b"<html>login</html>", "schema"),
        (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "document type"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/hostname'><a/>", "document type"),
        (listed().replace(b"far", b"soon"), "schema"),
        (listed()[:-20], "no XML"),
    ],
)
def test_what_is_no_message_is_told_in_our_own_words(raw: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why) as bad:
        ENVELOPE.open(raw)
    assert "login" not in str(bad.value)
    assert "\n" not in str(bad.value)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_no_message(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        ENVELOPE.open(raw)


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=4))
def test_a_message_that_was_hit_is_read_or_is_none(at: int, hit: bytes) -> None:
    whole = listed()
    at %= len(whole)
    try:
        message = ENVELOPE.open(whole[:at] + hit + whole[at + len(hit) :])
    except BadMessage:
        return
    assert isinstance(read_events(message).events, tuple)


def test_a_server_that_registers_nobody_is_no_registration() -> None:
    response = {"response_code": 200, "response_description": "OK", "request_id": "1"}
    raw = ENVELOPE.write(
        "oadrCreatedPartyRegistration", response=response, vtn_id="v",
        profiles=[{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}],
        registration_id=None, ven_id=None,
    )  # fmt: skip
    with pytest.raises(RegistrationLost, match="does not register"):
        read_registration(ENVELOPE.open(raw))
