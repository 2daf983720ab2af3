"""The line to the server: each request once, with a token, within a time, and a limit on its size.

What comes back is an answer of whatever status, or ``NoAnswer``. A token is fetched by toadr3 when
it is needed, before it runs out, and anew once after a 401. Neither secrets nor what the server
wrote stand in any message, but the ``title`` of a problem.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ebplan.adapters.clock import Clock
from ebplan.adapters.events.openadr3.skew import SkewEstimate
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, may_try
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from toadr3 import AccessToken, OAuthScopeConfig

MOST_BYTES = 16_000_000
"""No answer is longer."""
BACKOFF = BackOff(first_s=1.0, longest_s=300.0)
PAGE = 50
"""Objects asked for at once; OpenAPI 3.0.1 allows no more."""
MOST_PAGES = 200

Method = Literal["GET", "POST", "PUT", "DELETE"]


class NoAnswer(Exception):
    """The server did not answer, or nothing that can be used.

    Args:
        why: what was seen instead.
        told: whether it may have done what it was asked all the same.
    """

    def __init__(self, why: str, *, told: bool) -> None:
        self.why, self.told = why, told
        super().__init__(why)


@dataclass(frozen=True)
class Got:
    """What the server answered."""

    status: int
    body: Any
    """JSON; None where it is none."""

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return 200 <= self.status < 300

    @property
    def shown(self) -> str:
        """The status in words."""
        title = self.body.get("title") if isinstance(self.body, dict) else None
        said = f" ({title[:80]})" if isinstance(title, str) and title.isprintable() else ""
        return f"it answers {self.status}{said}"


class Line:
    """The line to one server.

    Args:
        spec: where it is, and who we are.
        clock: seconds for waiting after failures.
        now: the wall clock, compared with the server's.
        policy: how long it is left alone after failures.

    Raises:
        InputError: a secret or a certificate is missing.
    """

    def __init__(
        self,
        spec: OpenAdr3Spec,
        *,
        clock: Clock,
        now: Callable[[], datetime],
        policy: BackOff = BACKOFF,
    ) -> None:
        self._spec, self._clock, self._now, self._policy = spec, clock, now, policy
        self._id = spec.client_id.read(at="client_id")
        self._secret = spec.client_secret.read(at="client_secret")
        self._tls = _trusting(spec.authority)
        self._session: ClientSession | None = None
        self._token: AccessToken | None = None
        self._fetching = asyncio.Lock()
        self.health = Health()
        """How it answered lately."""
        self.skew = SkewEstimate()
        """How far its clock lies from ours."""

    async def ask(
        self,
        method: Method,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Got:
        """Send a request. A token that is refused is replaced, and the request sent once more.

        Raises:
            NoAnswer: there is none in time, none that is HTTP, or the server is left alone.
        """
        if self.health.failures and not may_try(self.health, self._clock.now_s(), self._policy):
            raise NoAnswer(f"left alone after a failure: {self.health.why}", told=False)
        try:
            async with asyncio.timeout(self._spec.timeout_s):
                got = await self._send(method, path, tuple(query), body)
                if got.status == 401:
                    self._token = None
                    got = await self._send(method, path, tuple(query), body)
        except (NoAnswer, TimeoutError) as error:
            failed = error if isinstance(error, NoAnswer) else _late(method)
            self.health = after_failure(self.health, self._clock.now_s(), failed.why)
            raise failed from None
        if got.status >= 500 or got.status in (401, 403, 429):
            self.health = after_failure(self.health, self._clock.now_s(), got.shown)
        else:
            self.health = after_success(self.health, self._clock.now_s(), self._policy)
        return got

    async def list_all(
        self, path: str, *, query: Iterable[tuple[str, str]] = ()
    ) -> tuple[list[Any], int]:
        """Return all objects of a list, page by page, and how many pages there were.

        Only an empty page is the end: a server may give less at once than it is asked for. One that
        knows no pages gives the same again, which is the end too.

        Raises:
            NoAnswer: a page did not come, or is no list: then nothing is known of the whole.
        """
        found: dict[str, Any] = {}
        for page in range(MOST_PAGES):
            paging = (("skip", str(len(found))), ("limit", str(PAGE)))
            got = await self.ask("GET", path, query=(*query, *paging))
            if not got.ok:
                raise NoAnswer(got.shown, told=False)
            if not isinstance(got.body, list):
                raise self._unusable("no list where one was asked for")
            before = len(found)
            found |= {_key(one): one for one in got.body}
            if len(found) == before:
                return list(found.values()), page
        raise self._unusable(f"over {MOST_PAGES} pages")

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _unusable(self, why: str) -> NoAnswer:
        self.health = after_failure(self.health, self._clock.now_s(), why)
        return NoAnswer(why, told=False)

    async def _send(
        self,
        method: Method,
        path: str,
        query: tuple[tuple[str, str], ...],
        body: Mapping[str, Any] | None,
    ) -> Got:
        import aiohttp

        token = await self._fresh()
        try:
            asked = self._now()
            async with self._opened().request(
                method,
                self._spec.url + path,
                params=query,
                json=body,
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                allow_redirects=False,
            ) as answer:
                answered = self._now()
                self.skew.see(answer.headers.get("Date"), asked=asked, answered=answered)
                raw = bytearray()
                async for piece in answer.content.iter_any():
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise NoAnswer(f"an answer of over {MOST_BYTES} bytes", told=_tells(method))
                return Got(answer.status, _document(bytes(raw)))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            tls = isinstance(error, aiohttp.ClientSSLError)
            why = "its certificate is not trusted" if tls else "no connection"
            raise NoAnswer(why, told=False) from None
        except TimeoutError:  # one of OSError
            raise _late(method) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise NoAnswer(
                "an answer that breaks off, or is no HTTP", told=_tells(method)
            ) from None

    async def _fresh(self) -> str:
        """Return a token that is good for a while.

        toadr3 takes for granted that the server answers in the right form: what it raises otherwise
        is caught here, and quoted nowhere.
        """
        import aiohttp
        import toadr3

        async with self._fetching:
            if self._token is None or self._token.is_expired():
                try:
                    self._token = await toadr3.acquire_access_token_from_config(
                        self._opened(), self._credentials()
                    )
                except toadr3.ToadrError as error:
                    status = f"answers {error.status_code}"
                    raise NoAnswer(f"no token: the server {status}", told=False) from None
                except aiohttp.ClientSSLError:
                    raise NoAnswer("no token: a certificate not trusted", told=False) from None
                except (aiohttp.ClientError, OSError):  # of which a timeout is one
                    raise NoAnswer("no token: no connection, or no answer", told=False) from None
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise NoAnswer("no token: an answer without one", told=False) from None
            return self._token.token

    def _credentials(self) -> OAuthScopeConfig:
        from toadr3 import OAuthScopeConfig

        return OAuthScopeConfig(
            token_url=self._spec.tokens_at,
            grant_type="client_credentials",
            scope=self._spec.scopes,
            client_id=self._id.reveal(),
            client_secret=self._secret.reveal(),
        )

    def _opened(self) -> ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=4),
                timeout=aiohttp.ClientTimeout(total=self._spec.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _key(one: object) -> str:
    return str(one.get("id")) if isinstance(one, dict) and "id" in one else repr(one)


def _tells(method: Method) -> bool:
    return method != "GET"


def _late(method: Method) -> NoAnswer:
    return NoAnswer("no answer in time", told=_tells(method))


def _document(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _trusting(authority: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            field="authority",
            value=authority,
            allowed="a PEM file with the certificate of an authority",
            remedy=str(error),
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
