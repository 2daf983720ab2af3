"""The lines that daemons and their clients exchange: one JSON object each, of bounded length.

{"id": 7, "op": "renew", "ttl_s": 3.0}
{"id": 7, "ok": true, "ttl_s": 3.0}
{"id": 8, "ok": false, "error": "held", "why": "another controller holds the lease"}
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, get_args

PROTOCOL: Final = 1
"""Version of what is said; a client that knows another one hangs up."""
LINE_BYTES: Final = 65536
"""No line is longer."""

Denial = Literal["bad", "held", "unleased", "lapsed", "busy", "stopping", "failed"]
"""Why a request was not carried out.

``bad``: it makes no sense. ``held``: another connection holds the lease. ``unleased``: nobody does.
``lapsed``: the lease ended meanwhile, part of it may have been carried out. ``busy``: too many at
once. ``stopping``: the daemon ends. ``failed``: the daemon itself failed.
"""
DENIALS: Final[tuple[Denial, ...]] = get_args(Denial)
MAYBE_EXECUTED: Final[frozenset[Denial]] = frozenset({"lapsed", "failed"})
"""Denials after which part of the request may hold all the same."""


class Denied(Exception):
    """A request was not carried out."""

    def __init__(self, denial: Denial, why: str) -> None:
        self.denial: Denial = denial
        self.why = why
        super().__init__(why)


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as one line.

    Raises:
        ValueError: it holds a number that is none, or the line is too long.
    """
    line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE_BYTES:
        raise ValueError(f"a message of {len(line)} bytes is longer than {LINE_BYTES}")
    return line


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of a line.

    Raises:
        ValueError: it is no JSON object, or holds a number that is none.
    """
    try:
        message = json.loads(line, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
