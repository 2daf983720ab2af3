"""A signature holds for one time and one message, and for nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.webhook.proof import may_send, signature
from ebplan.adapters.secrets import Secret

KEY = Secret("a-key-of-ours")
AT_S = 1_800_000_000


def why_not(body: bytes, signed: str, now_s: float = AT_S) -> str | None:
    return may_send(
        token=None,
        key=KEY,
        authorization=None,
        signed=signed,
        body=body,
        now_s=now_s,
        within_s=300.0,
    )


@given(st.binary(max_size=300), st.integers(-300, 300))
def test_what_was_signed_is_let_in(body: bytes, ago_s: int) -> None:
    assert why_not(body, signature(KEY, body, AT_S - ago_s)) is None


@given(st.data())
def test_one_other_byte_is_not(data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=100))
    signed = signature(KEY, body, AT_S)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(body) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda b: b != body[at]))
        assert why_not(body[:at] + bytes([other]) + body[at + 1 :], signed)
    else:
        at = data.draw(st.integers(0, len(signed) - 1))
        character = data.draw(st.characters(codec="ascii").filter(lambda c: c != signed[at]))
        assert why_not(body, signed[:at] + character + signed[at + 1 :])


@given(st.integers(301, 10**6), st.sampled_from((-1, 1)))
def test_an_old_or_future_one_is_not(off_s: int, sign: int) -> None:
    assert "ago by our clock" in (why_not(b"x", signature(KEY, b"x", AT_S + sign * off_s)) or "")


def test_another_key_is_not() -> None:
    assert why_not(b"x", signature(Secret("another-key"), b"x", AT_S))
    assert "neither" in (
        may_send(
            token=Secret("t"),
            key=None,
            authorization=None,
            signed=signature(KEY, b"x", AT_S),
            body=b"x",
            now_s=AT_S,
            within_s=300.0,
        )
        or ""
    )
