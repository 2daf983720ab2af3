"""One HTTP request without a library: to engines of this site, whose answers are short."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Literal
from urllib.parse import urlsplit

MOST_BYTES: Final = 65536
"""No answer is longer."""


class HttpFault(Exception):
    """The engine gave no answer that can be used."""


async def ask_http(method: Literal["GET", "POST"], url: str, *, timeout_s: float) -> bytes:
    """Return the body of a 200.

    Args:
        method: of the request; it has no body.
        url: plain http, checked by ``engine_url``.
        timeout_s: for everything together.

    Raises:
        HttpFault: there is no connection, no answer in time, or another status.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _exchange(method, parts.hostname or "", parts.port or 80, parts.path)
    except TimeoutError:
        raise HttpFault("no answer in time") from None
    except (OSError, ValueError) as error:
        raise HttpFault(str(error)) from None
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
        shown = b" ".join(status)[:60].decode("ascii", "replace")
        raise HttpFault(f"it says {shown!r}")
    return body


def engine_url(url: str) -> str:
    """Return the URL of an engine without what does not belong to it.

    Raises:
        ValueError: it is none that may be called.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.username or parts.password:
        raise ValueError("http://host:port")
    if parts.query or parts.fragment or not url.isascii() or any(c.isspace() for c in url):
        raise ValueError("http://host:port")
    _ = parts.port  # raises where it is none
    return url.rstrip("/")


async def _exchange(method: str, host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, limit=MOST_BYTES)
    shown = f"[{host}]" if ":" in host else host
    try:
        # HTTP/1.0: the answer ends with the connection and comes in one piece
        request = (
            f"{method} {path} HTTP/1.0\r\nHost: {shown}:{port}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode("ascii"))
        answer = b""
        while data := await reader.read(MOST_BYTES):
            answer += data
            if len(answer) > MOST_BYTES:
                raise ValueError(f"an answer of more than {MOST_BYTES} bytes")
        return answer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
