"""What an engine is asked over HTTP: one request on a connection of its own, never repeated.

A connection that is kept may be closed by the other side just as it is used, and then nobody knows
whether a command was carried out; a new one costs less than a millisecond. Redirects are not
followed: they would carry the key elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebplan.adapters.secrets import Secret

if TYPE_CHECKING:
    from aiohttp import ClientSession

LONGEST_REPLY = 4_000_000
"""Bytes after which a reply is given up; a page of metrics has some 50 kB per engine."""


class NoReply(Exception):
    """The engine did not reply as one does.

    Args:
        why: what was seen instead.
        sent: whether the request may have been carried out.
    """

    def __init__(self, why: str, *, sent: bool) -> None:
        self.why = why
        self.sent = sent
        super().__init__(why)


@dataclass(frozen=True)
class Asked:
    """What became of a prompt."""

    text: str
    """What was written."""
    tokens: int
    """How many tokens that is."""
    ended: str
    """Why it ended; ``abort`` means it was cut off."""
    cached_tokens: int | None
    """Prompt tokens found in the cache, where the engine tells."""


class EngineHttp:
    """A client of one engine.

    Args:
        url: its address.
        key: its API key.
        timeout_s: longest time from a request to the end of the reply.
    """

    def __init__(self, url: str, *, key: Secret | None = None, timeout_s: float = 1.0) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._session: ClientSession | None = None

    async def get(self, path: str) -> str:
        """Return the text at a path.

        Raises:
            NoReply: there was none.
        """
        status, text = await self._exchange("GET", path)
        return _expect_ok(status, text)

    async def post(self, path: str, *, timeout_s: float) -> None:
        """Command something.

        Raises:
            NoReply: it was not taken, or nobody knows.
        """
        status, text = await self._exchange("POST", path, timeout_s=timeout_s)
        _expect_ok(status, text)

    async def is_sleeping(self) -> bool | None:
        """Return whether it sleeps; None where it has no such path.

        Raises:
            NoReply: it does not say.
        """
        status, text = await self._exchange("GET", "/is_sleeping")
        if status == 404:
            return None
        said = _json(_expect_ok(status, text)).get("is_sleeping")
        if not isinstance(said, bool):
            raise NoReply("it does not say whether it sleeps", sent=True)
        return said

    async def first_model(self) -> str:
        """Return the first model it serves.

        Raises:
            NoReply: it names none.
        """
        try:
            return str(_json(await self.get("/v1/models"))["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise NoReply("it names no model", sent=True) from None

    async def complete(self, model: str, prompt: str, *, timeout_s: float) -> Asked:
        """Have it write one token after a prompt.

        Raises:
            NoReply: it did not.
        """
        wanted = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0}
        status, text = await self._exchange(
            "POST", "/v1/completions", body=wanted, timeout_s=timeout_s
        )
        reply = _json(_expect_ok(status, text))
        try:
            choice, usage = reply["choices"][0], reply["usage"]
            details = usage.get("prompt_tokens_details") or {}
            cached = details.get("cached_tokens")
            return Asked(
                text=str(choice["text"]),
                tokens=int(usage["completion_tokens"]),
                ended=str(choice["finish_reason"]),
                cached_tokens=None if cached is None else int(cached),
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise NoReply("its completion lacks what one has", sent=True) from None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> tuple[int, str]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True), trust_env=False
            )
        longest_s = self._timeout_s if timeout_s is None else timeout_s
        # only completions and models ask for the key: control paths never see it
        secret = self._key.reveal() if self._key is not None and path.startswith("/v1/") else None
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        try:
            async with (
                asyncio.timeout(longest_s),
                self._session.request(
                    method, self._url + path, json=body, headers=headers, allow_redirects=False
                ) as reply,
            ):
                raw = bytearray()
                async for chunk in reply.content.iter_chunked(65536):
                    raw += chunk
                    if len(raw) > LONGEST_REPLY:
                        raise NoReply(f"a reply of over {LONGEST_REPLY} bytes", sent=True)
                return reply.status, raw.decode("utf-8")
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or "no connection"
            raise NoReply(why.lower(), sent=False) from None
        except TimeoutError:
            raise NoReply(f"no reply within {longest_s:g} s", sent=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReply(f"broken reply ({type(error).__name__})", sent=True) from None


def _expect_ok(status: int, text: str) -> str:
    if status != 200:
        raise NoReply(f"it replies {status}", sent=True)
    return text


def _json(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise NoReply("its reply is no JSON object", sent=True)
    return said
