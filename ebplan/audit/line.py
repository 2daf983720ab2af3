"""One record, one line: the JSON of RFC 8785, whose bytes follow from the content alone.

    {"body": {...}, "kind": "answer", "prev": "9f86...", "seq": 17, "time": "2026-...123456Z"}

``prev`` is the leaf hash of the line before: the chain that shows where a log was changed, without
the tree and without a key. The first line names 64 zeros.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import rfc8785

Kind = Literal[
    "log",
    "key",
    "event",
    "state",
    "decision",
    "command",
    "answer",
    "window",
    "model",
    "alarm",
    "note",
]
"""``log`` and ``key`` are the log's own: opened, segment, recovered, lost, closed; a new key."""
KINDS: frozenset[str] = frozenset(get_args(Kind))
NOTHING_BEFORE = "0" * 64
"""``prev`` of the first record."""
FIELDS = frozenset({"body", "kind", "prev", "seq", "time"})


@dataclass(frozen=True)
class Record:
    """One record as it was written."""

    seq: int
    """Its place, from 0."""
    time: datetime
    """When it was made, by the writer's clock."""
    kind: str
    """What it is about."""
    body: Mapping[str, Any]
    """What it says."""
    prev: str
    """Hash of the line before, hex."""

    @property
    def documents(self) -> list[str]:
        """SHA-256 (hex) of the documents that it names, in ``documents`` of the body by name."""
        named = self.body.get("documents")
        return [str(digest) for digest in named.values()] if isinstance(named, dict) else []


def canonical(body: Mapping[str, Any]) -> bytes:
    """Return a body in the bytes of RFC 8785.

    Raises:
        ValueError: it holds what JSON has no word for: NaN, an integer beyond 2^53, half a
            character, another object.
    """
    return rfc8785.dumps(dict(body))


def line_of(body: bytes, kind: str, prev: str, seq: int, time: bytes) -> bytes:
    """Return the line, without its break. The fields are in the order that RFC 8785 gives them."""
    return b'{"body":%b,"kind":"%b","prev":"%b","seq":%d,"time":"%b"}' % (
        body,
        kind.encode(),
        prev.encode(),
        seq,
        time,
    )


def stamp(at: datetime) -> bytes:
    """Return an instant as lines hold it: UTC, microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def read_line(line: bytes) -> Record | None:
    """Return the record of a line; None where it is none, byte for byte.

    Args:
        line: without its break.
    """
    try:
        data = json.loads(line)
        if not isinstance(data, dict) or data.keys() != FIELDS or rfc8785.dumps(data) != line:
            return None
        at = datetime.fromisoformat(data["time"])
        if data["kind"] not in KINDS or not isinstance(data["body"], dict):
            return None
        if type(data["seq"]) is not int or not isinstance(data["prev"], str):
            return None
        if stamp(at).decode() != data["time"]:
            return None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return Record(data["seq"], at, data["kind"], data["body"], data["prev"])
