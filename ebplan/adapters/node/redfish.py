"""Node power by Redfish: the DMTF's client, its asynchronous one.

``EnvironmentMetrics.PowerWatts`` of a chassis is asked first; where that has no reading, the older
``Power.PowerControl``. The client's blocking class is not used: its time-out begins anew with every
byte, it sends a request up to eleven times by default, and without a CA file it checks no
certificate. The asynchronous one sends once, on a session of ours, with our deadline and our trust;
it refuses to log in without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.node.polled import REFUSED_WAIT_S, NoReadingError, PolledNode, number_of
from ebplan.adapters.roles import NodePowerReading
from ebplan.adapters.secrets import Secret, SecretSource
from ebplan.document import NonNegative, Part, Positive
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from redfish.aio import AsyncRedfishClient

CHASSIS = "/redfish/v1/Chassis"
MOST_BYTES = 1_000_000
"""A resource has a few kB."""
S_PER_MIN = 60.0
LOG_OUT_S = 1.0
"""How long logging out may take."""
REFUSED = "it refuses the user or the password"
MEANING = {403: ": the account may not read this", 404: ": it has no such resource"}
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""A name of the controller's that may stand in a message."""


class RedfishAddress(Part):
    """A management controller that speaks Redfish."""

    driver: Literal["redfish"]
    """Redfish over HTTPS."""
    url: str = Field(pattern=r"^https://[^/\s@]+$")
    """Its address, with the name that stands in its certificate."""
    user: str = Field(min_length=1)
    """Account; the role ReadOnly is enough."""
    password: SecretSource
    """Where its password is."""
    authority: str | None = None
    """Certificate (PEM) of the authority that signed the controller's, and then the only one that
    is trusted; the system's authorities where absent. It is always checked."""
    chassis: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.~-]+$")
    """Which chassis is the node; the only one if absent."""
    timeout_s: Positive = 5.0
    """Deadline of a reading, logging in included."""
    age_s: NonNegative = 1.0
    """How old a reading may be. Assumed where the manual is silent: once a second."""
    measurement_point: Literal["node", "ac"] = "ac"
    """Input of the power supplies (``ac``), or their output (``node``): the manual says which."""
    most_kw: Positive = 20.0
    """More than this is no reading."""

    def context(self, *, at: str) -> ssl.SSLContext:
        """Return what checks the controller's certificate.

        Args:
            at: field that names the authority, for the error.

        Raises:
            InputError: the authority's file is missing or no certificate.
        """
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                field=at,
                value=f"{self.authority}: {error.strerror or 'no certificate'}",
                allowed="a readable PEM file with a certificate",
                remedy="name the certificate of the authority that signed the controller's",
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass(frozen=True)
class _Places:
    """Where a chassis says its power."""

    metrics: str | None
    power: str | None


class RedfishPower(PolledNode):
    """A node by Redfish.

    Args:
        name: what it is called in answers.
        address: where it is.
        password: of its account.
        at: field that holds the address, for errors.
        policy: how long it is left alone after it did not answer.
        refused_wait_s: the same after it refused the password.
        clock: what time it is.

    Raises:
        InputError: the authority's file is missing or no certificate.
    """

    def __init__(
        self,
        name: str,
        address: RedfishAddress,
        password: Secret,
        *,
        at: str = "power",
        policy: BackOff | None = None,
        refused_wait_s: float = REFUSED_WAIT_S,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            name,
            timeout_s=address.timeout_s,
            most_kw=address.most_kw,
            policy=policy,
            refused_wait_s=refused_wait_s,
            clock=clock,
        )
        self.address = address
        self._password = password
        self._trust = address.context(at=f"{at}.authority")
        self._line: ClientSession | None = None
        self._client: AsyncRedfishClient | None = None
        self._places: _Places | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Log out and close the connections."""
        self._drop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _ask(self) -> NodePowerReading:
        if self._client is None:
            await self._log_in()
        places = self._places
        if places is None:
            places = self._places = await self._find()
        if places.metrics is not None:
            reading = self._by_metrics(await self._get(places.metrics))
            if reading is not None:
                return reading
        if places.power is not None:
            return self._by_power(await self._get(places.power))
        raise NoReadingError("its chassis says no power")

    def _by_metrics(self, said: Mapping[str, Any]) -> NodePowerReading | None:
        """Return what EnvironmentMetrics says (DSP2046); None where no power is in it."""
        watts = _part(said, "PowerWatts").get("Reading")
        if watts is None:
            return None
        energy = number_of(_part(said, "EnergykWh").get("Reading"))
        return NodePowerReading(
            power_kw=self._kw_of(watts),
            energy_kwh=energy if energy is not None and energy >= 0.0 else None,
            covers="node",
            measurement_point=self.address.measurement_point,
            age_s=self.address.age_s,
            limit_kw=self._limit(_part(said, "PowerLimitWatts")),
        )

    def _limit(self, said: Mapping[str, Any]) -> float | None:
        if said.get("ControlMode") == "Disabled":
            return None
        return self._kw_or_none(said.get("SetPoint"))

    def _by_power(self, said: Mapping[str, Any]) -> NodePowerReading:
        """Return what the first of PowerControl says: the whole chassis, as a rule (assumed)."""
        controls = said.get("PowerControl")
        first = controls[0] if isinstance(controls, list) and controls else None
        if not isinstance(first, dict) or first.get("PowerConsumedWatts") is None:
            raise NoReadingError("its chassis says no power")
        over = _part(first, "PowerMetrics")
        minutes = number_of(over.get("IntervalInMin"))
        told = minutes is not None and minutes > 0.0
        return NodePowerReading(
            power_kw=self._kw_of(first["PowerConsumedWatts"]),
            energy_kwh=None,
            covers="node",
            measurement_point=self.address.measurement_point,
            age_s=self.address.age_s,
            low_kw=self._kw_or_none(over.get("MinConsumedWatts")) if told else None,
            average_kw=self._kw_or_none(over.get("AverageConsumedWatts")) if told else None,
            high_kw=self._kw_or_none(over.get("MaxConsumedWatts")) if told else None,
            window_s=minutes * S_PER_MIN if minutes is not None and told else None,
            limit_kw=self._kw_or_none(_part(first, "PowerLimit").get("LimitInWatts")),
        )

    async def _find(self) -> _Places:
        """Return where the chassis says its power.

        Raises:
            NoReadingError: there is no chassis, or several and none was named.
        """
        chosen = self.address.chassis
        where = f"{CHASSIS}/{chosen}" if chosen else await self._only_chassis()
        chassis = await self._get(where)
        return _Places(
            metrics=_link(chassis.get("EnvironmentMetrics")), power=_link(chassis.get("Power"))
        )

    async def _only_chassis(self) -> str:
        members = (await self._get(CHASSIS)).get("Members")
        links = [_link(one) for one in members] if isinstance(members, list) else []
        found = [link for link in links if link is not None]
        if len(found) != 1:
            ends = (link.rstrip("/").rsplit("/", 1)[-1] for link in found[:8])
            names = ", ".join(name for name in ends if PLAIN.fullmatch(name))
            raise NoReadingError(
                f"it has {len(found)} chassis{f' ({names})' if names else ''}: name one (chassis)"
            )
        return found[0]

    async def _log_in(self) -> None:
        import aiohttp

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from redfish.aio import AsyncRedfishClient
        self._line = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=2),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=_limited(),
        )
        self._client = AsyncRedfishClient(
            self.address.url,
            username=self.address.user,
            password=self._password.reveal(),
            session=self._line,
            timeout=self.address.timeout_s,
        )
        with _in_words(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about roots that ask for a login: they get one
            await self._client.login()

    async def _get(self, path: str) -> Mapping[str, Any]:
        client = self._client
        assert client is not None
        with _in_words():
            answer = await client.get(path)
            if answer.status == 401:
                raise NoReadingError(REFUSED, refused=True)
            if answer.status != 200:
                meaning = MEANING.get(answer.status, "")
                raise NoReadingError(f"it answers {answer.status}{meaning}")
            said = answer.dict
        if not isinstance(said, dict):
            raise NoReadingError("an answer that is none of Redfish")
        return said

    def _drop(self) -> None:
        client, line = self._client, self._line
        self._client = self._line = self._places = None
        if client is not None and line is not None:
            task = asyncio.get_running_loop().create_task(_leave(client, line))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)


async def _leave(client: AsyncRedfishClient, line: ClientSession) -> None:
    """Log out, as controllers have few sessions; one that does not answer is left."""
    try:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LOG_OUT_S):
                await client.logout()
    finally:
        await line.close()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Say what the client raises in words of our own: its words may quote the controller."""
    from redfish.aio import exceptions as redfish

    try:
        yield
    except NoReadingError:
        raise
    except redfish.RedfishPasswordChangeRequiredError:
        raise NoReadingError("it wants its password changed first", refused=True) from None
    except redfish.RedfishAuthenticationError:
        raise NoReadingError(REFUSED, refused=True) from None
    except redfish.RedfishTimeoutError:
        raise NoReadingError("no answer in time") from None
    except redfish.RedfishConnectionError as error:
        raise NoReadingError(_why_no_connection(error)) from None
    except redfish.RedfishHTTPError as error:
        raise NoReadingError(f"it answers {error.response.status}") from None
    except Exception:  # of whatever kind: that depends on what the controller sent
        raise NoReadingError("an answer that is none of Redfish") from None


def _why_no_connection(error: BaseException) -> str:
    import aiohttp

    match error.__cause__:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted, or says another name: see authority and url"
        case aiohttp.ClientSSLError():
            return "no TLS connection"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection ended before an answer"
        case _:
            return "an answer that is none of HTTP"


def _limited() -> type[ClientResponse]:
    """Return a response that reads no endless answer."""
    import aiohttp

    class Limited(aiohttp.ClientResponse):
        async def read(self) -> bytes:
            raw = bytearray()
            async for piece in self.content.iter_any():
                raw += piece
                if len(raw) > MOST_BYTES:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"over {MOST_BYTES} bytes")
            self._body = bytes(raw)
            return self._body

    return Limited


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _link(said: object) -> str | None:
    link = said.get("@odata.id") if isinstance(said, dict) else None
    return link if isinstance(link, str) and link.startswith("/") else None
