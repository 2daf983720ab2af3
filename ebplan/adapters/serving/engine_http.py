"""Requests to one engine: each is sent once, within a time, on a connection of its own.

What comes back is an answer of whatever status, or ``NoAnswer``, which says whether the engine may
have carried the request out. Neither the key nor what the engine wrote stands in any message: an
engine may write back what it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, may_try
from ebplan.adapters.secrets import Secret

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST_BYTES = 4_000_000
"""A page of metrics has 50 kB."""
MEANING = {
    401: ": it asks for another key",
    403: ": it asks for another key",
    404: ": it has no such endpoint or model",
    503: ": it takes no more",
}


class NoAnswer(Exception):
    """The engine did not answer.

    Args:
        why: what was seen instead.
        told: whether it may have carried out a command all the same.
    """

    def __init__(self, why: str, *, told: bool) -> None:
        self.why, self.told = why, told
        super().__init__(why)


@dataclass(frozen=True)
class Got:
    """What an engine answered."""

    status: int
    text: str

    @property
    def shown(self) -> str:
        """The status in words."""
        return f"it answers {self.status}{MEANING.get(self.status, '')}"

    def document(self) -> Any:
        """Return the answer as JSON; None where it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


class EngineHttp:
    """The line to one engine; connections are opened when they are needed.

    Args:
        url: of the engine itself.
        key: its key, where it asks for one.
        timeout_s: how long a connection, and an answer if nothing else is said, may take.
        policy: how long it is left alone after it did not answer.
        clock: what time it is.
    """

    def __init__(
        self, url: str, *, key: Secret | None, timeout_s: float, policy: BackOff, clock: Clock
    ) -> None:
        self._url, self._key, self._timeout_s = url, key, timeout_s
        self._policy, self._clock = policy, clock
        self._health = Health()
        self._session: ClientSession | None = None

    async def ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        within_s: float | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Got:
        """Send one request, once; an engine that did not answer is left alone for a while.

        Raises:
            NoAnswer: there is no connection, no answer in time, or one that is no HTTP.
        """
        now_s = self._clock.now_s()
        if self._health.failures and not may_try(self._health, now_s, self._policy):
            raise NoAnswer(f"left alone after a failure: {self._health.why}", told=False)
        try:
            got = await self._send(method, path, within_s or self._timeout_s, body)
        except NoAnswer as error:
            self._health = after_failure(self._health, self._clock.now_s(), error.why)
            raise
        self._health = after_success(self._health, self._clock.now_s(), self._policy)
        return got

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(
        self, method: str, path: str, within_s: float, body: Mapping[str, object] | None
    ) -> Got:
        import aiohttp

        told = method == "POST"  # only these change anything
        limits = aiohttp.ClientTimeout(total=within_s, sock_connect=min(within_s, self._timeout_s))
        try:
            async with self._opened().request(
                method, self._url + path, timeout=limits, allow_redirects=False, json=body
            ) as answer:
                raw = bytearray()
                async for piece in answer.content.iter_any():
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise NoAnswer(f"an answer of over {MOST_BYTES} bytes", told=told)
                return Got(answer.status, raw.decode("utf-8"))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise NoAnswer("no connection", told=False) from None
        except aiohttp.InvalidURL:
            raise NoAnswer("its address is none", told=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
            raise NoAnswer(_what(error), told=told) from None

    def _opened(self) -> ClientSession:
        import aiohttp

        if self._session is None:
            headers = {} if self._key is None else {"Authorization": f"Bearer {self._key.reveal()}"}
            # kept connections may be dead, and a request on one would be sent twice to find out
            connector = aiohttp.TCPConnector(force_close=True, limit=8)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def _what(error: BaseException) -> str:
    """Return what happened, in words of our own: those of a library may quote the engine."""
    import aiohttp

    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "the connection ended before an answer"
        case aiohttp.ClientPayloadError():
            return "an answer that ends early"
        case _:
            return "an answer that is none of HTTP"
