"""Addresses that messages and secrets are sent to."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from ebplan.document import FieldFault

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _secure(url: str) -> str:
    """Refuse an address that would send a token in the open."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        parts = urlsplit("")
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if (
        not parts.hostname
        or (parts.scheme != "https" and not plain)
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise FieldFault(
            field="",
            value=url,
            allowed="https://host[:port][/path], or http:// on this machine",
            remedy="write the address so; secrets are named in fields of their own",
        )
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_secure)]
