"""Who may send: a token, or a signature over time and content.

    X-Ebplan-Signature: t=<seconds since 1970>,v1=<hex of HMAC-SHA256(key, "<t>.<body>")>

A signature is refused when its time lies too far from ours. Within that window the same message may
come again: it changes nothing the second time, because the inbox knows it.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from ebplan.adapters.secrets import Secret

SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
HEADER = "X-Ebplan-Signature"


def signature(key: Secret, body: bytes, at_s: int) -> str:
    """Return the header's value for a body that is sent at a time."""
    return f"t={at_s},v1={_code(key, body, at_s)}"


def may_send(
    *,
    token: Secret | None,
    key: Secret | None,
    authorization: str | None,
    signed: str | None,
    body: bytes,
    now_s: float,
    within_s: float,
) -> str | None:
    """Return why a message is not let in; None where it is.

    Args:
        token: what a sender may show.
        key: what a sender may sign with.
        authorization: the header of this name.
        signed: the header ``X-Ebplan-Signature``.
        body: the message.
        now_s: our time, seconds since 1970.
        within_s: how far the time of a signature may lie from it.
    """
    if token is not None and authorization is not None:
        shown = authorization.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(shown, f"Bearer {token.reveal()}".encode()):
            return None
    if key is None or signed is None:
        return "neither a token nor a signature that counts here"
    found = SIGNATURE.fullmatch(signed)
    if found is None or not hmac.compare_digest(found[2], _code(key, body, int(found[1]))):
        return "the signature is not over this time and this message"
    if abs(now_s - int(found[1])) > within_s:
        return f"signed {now_s - int(found[1]):.0f} s ago by our clock, up to {within_s:g} s counts"
    return None


def _code(key: Secret, body: bytes, at_s: int) -> str:
    return hmac.new(key.reveal().encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
