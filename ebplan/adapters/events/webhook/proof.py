"""Who may send: a token, or a signature over time and content.

    X-Ebplan-Signature: t=<seconds since 1970>,v1=<hex of HMAC-SHA256(key, "<t>.<content>")>
    content: <METHOD> <path, with the query, as it is sent><newline><body>

No path has a newline in it: what is signed reads in one way only, and is good for nothing else. A
signature is refused when its time lies too far from ours.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ebplan.adapters.secrets import Secret

SIGNATURE = re.compile(r"t=(0|[1-9][0-9]{0,11}),v1=([0-9a-f]{64})")
HEADER = "X-Ebplan-Signature"


@dataclass(frozen=True)
class LetIn:
    """It may send."""

    mark: str | None = None
    """The code of its signature: the same again is the same request again. None for a token."""
    until_s: float = 0.0
    """How long that signature counts, seconds since 1970."""
    at: datetime | None = None
    """When it was signed, by the sender's clock."""


@dataclass(frozen=True)
class KeptOut:
    """It may not."""

    status: Literal[401, 403]
    """401: it does not show who it is; 403: it does, and its time is too far from ours."""
    why: str
    """For the log and the answer."""


def content(method: str, raw_path: str, body: bytes) -> bytes:
    """Return what is signed of a request."""
    return f"{method} {raw_path}\n".encode("utf-8", "surrogateescape") + body


def signature(key: Secret, signed: bytes, at_s: int) -> str:
    """Return the header's value for what is sent at a time."""
    return f"t={at_s},v1={_code(key, signed, at_s)}"


def may_send(
    *,
    token: Secret | None,
    key: Secret | None,
    authorization: str | None,
    signed: str | None,
    over: bytes,
    now_s: float,
    within_s: float,
) -> LetIn | KeptOut:
    """Return whether a request is let in.

    Args:
        token: what a sender may show.
        key: what a sender may sign with.
        authorization: the header of this name.
        signed: the header ``X-Ebplan-Signature``.
        over: what must have been signed, see ``content``.
        now_s: our time, seconds since 1970.
        within_s: how far the time of a signature may lie from it.
    """
    if token is not None and authorization is not None:
        shown = authorization.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(shown, f"Bearer {token.reveal()}".encode()):
            return LetIn()
    if key is None or signed is None:
        return KeptOut(401, "neither a token nor a signature that counts here")
    found = SIGNATURE.fullmatch(signed)
    if found is None or not hmac.compare_digest(found[2], _code(key, over, int(found[1]))):
        return KeptOut(401, "the signature is not over this time and this message")
    at_s = int(found[1])
    if abs(now_s - at_s) > within_s:
        why = f"signed {now_s - at_s:.0f} s ago by our clock, up to {within_s:g} s counts"
        return KeptOut(403, why)
    at = datetime.fromtimestamp(at_s, UTC)
    return LetIn(mark=found[2], until_s=at_s + within_s, at=at)


def _code(key: Secret, signed: bytes, at_s: int) -> str:
    return hmac.new(key.reveal().encode(), b"%d." % at_s + signed, hashlib.sha256).hexdigest()
