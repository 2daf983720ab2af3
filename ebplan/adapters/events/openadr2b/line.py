"""Requests to the server: each is sent once, and has one deadline for connection and answer.

What went wrong is said in words of our own: those of a library may quote the server.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST_BYTES = 4_000_000
"""A message with a thousand events has about 2 MB."""


class NoAnswer(Exception):
    """The server did not answer as it should; the text says what was seen instead.

    Args:
        why: what was seen.
        told: whether the message may have reached it all the same.
    """

    def __init__(self, why: str, *, told: bool) -> None:
        self.why, self.told = why, told
        super().__init__(why)


class Line:
    """The line to one server; connections are opened when they are needed.

    Args:
        url: its address up to the names of services.
        context: certificates, with https.
        server_name: name in its certificate, where that is not the host.
        timeout_s: how long an answer may take in all.
    """

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None,
        server_name: str | None,
        timeout_s: float,
    ) -> None:
        self._url, self._context, self._name = url, context, server_name
        self._timeout_s = timeout_s
        self._session: ClientSession | None = None

    async def post(self, service: str, message: bytes) -> bytes:
        """Send a message to a service; return the answer, which may be empty.

        Raises:
            NoAnswer: no connection, no answer in time, one that is no success, or too long a one.
        """
        import aiohttp

        try:
            async with self._opened().post(
                f"{self._url}/{service}",
                data=message,
                allow_redirects=False,
                server_hostname=self._name,
            ) as answer:
                raw = bytearray()
                async for piece in answer.content.iter_any():
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise NoAnswer(f"an answer of over {MOST_BYTES} bytes", told=True)
                if answer.status != 200:
                    raise NoAnswer(f"it answers {answer.status}", told=True)
                return bytes(raw)
        except aiohttp.ClientConnectorCertificateError:
            raise NoAnswer("its certificate is not of the authority declared", told=False) from None
        except aiohttp.ClientConnectorSSLError:
            raise NoAnswer("no TLS connection", told=False) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise NoAnswer("no connection", told=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(_what(error), told=True) from None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> ClientSession:
        import aiohttp

        if self._session is None:
            # a kept connection may be dead, and a message on one would be sent twice to find out
            connector = aiohttp.TCPConnector(
                ssl=self._context if self._context is not None else True, force_close=True, limit=4
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"Content-Type": "application/xml"},
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _what(error: BaseException) -> str:
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
