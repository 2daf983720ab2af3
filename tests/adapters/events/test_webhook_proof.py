"""A signature holds for one time and one message, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.webhook.proof import KeptOut, LetIn, may_send, signature
from ebplan.adapters.secrets import Secret

KEY = Secret("a-key-of-ours")
AT_S = 1_800_000_000


def judged(content: bytes, signed: str) -> LetIn | KeptOut:
    return may_send(
        token=None,
        key=KEY,
        authorization=None,
        signed=signed,
        over=content,
        now_s=AT_S,
        within_s=300.0,
    )


def status(content: bytes, signed: str) -> int:
    found = judged(content, signed)
    return 200 if isinstance(found, LetIn) else found.status


@given(st.binary(max_size=300), st.integers(-300, 300))
def test_what_was_signed_is_let_in(body: bytes, ago_s: int) -> None:
    signed = signature(KEY, body, AT_S - ago_s)
    mark = signed.partition("v1=")[2]
    at = datetime.fromtimestamp(AT_S - ago_s, UTC)
    assert judged(body, signed) == LetIn(mark=mark, until_s=AT_S - ago_s + 300.0, at=at)


@given(st.data())
def test_one_other_byte_is_not(data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=100))
    signed = signature(KEY, body, AT_S)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(body) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda b: b != body[at]))
        assert status(body[:at] + bytes([other]) + body[at + 1 :], signed) == 401
    else:
        at = data.draw(st.integers(0, len(signed) - 1))
        character = data.draw(
            st.one_of(st.sampled_from("0123456789abcdef\u0661\uff11"), st.characters()).filter(
                lambda c: c != signed[at]
            )
        )
        assert status(body, signed[:at] + character + signed[at + 1 :]) == 401


@pytest.mark.parametrize("written", ["0{}", " {}", "{} ", "{}.0", "+{}", "1_{}"])
def test_a_time_is_written_in_one_way(written: str) -> None:
    code = signature(KEY, b"x", AT_S).partition(",")[2]
    assert status(b"x", f"t={written.format(AT_S)},{code}") == 401


@given(st.integers(301, 10**6), st.sampled_from((-1, 1)))
def test_an_old_or_future_one_is_not(off_s: int, sign: int) -> None:
    found = judged(b"x", signature(KEY, b"x", AT_S + sign * off_s))
    assert isinstance(found, KeptOut)
    assert found.status == 403
    assert f"signed {-sign * off_s} s ago by our clock" in found.why


def test_another_key_is_not() -> None:
    assert status(b"x", signature(Secret("another-key"), b"x", AT_S)) == 401
    found = may_send(
        token=Secret("t"),
        key=None,
        authorization=None,
        signed=signature(KEY, b"x", AT_S),
        over=b"x",
        now_s=AT_S,
        within_s=300.0,
    )
    assert isinstance(found, KeptOut)
    assert "neither" in found.why
