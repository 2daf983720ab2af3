"""Node power by IPMI: the DCMI power reading of a management controller (pyghmi).

One session is kept; it is given up after a lost answer, or after a pause in which the controller
may have ended it, and the next reading opens another. A controller refreshes its reading once a
second or slower, so nothing shorter than ``age_s`` can be seen. It sees the input of the power
supplies as a rule, which is the measurement point ``ac``; some see their output.

Sources: DCMI 1.5, 6.6.1 Get Power Reading and 6.6.2 Get Power Limit; IPMI 2.0 for the session.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.node.ipmi_pump import PUMP, Exchange, IpmiPump
from ebplan.adapters.node.polled import REFUSED_WAIT_S, W_PER_KW, NoReadingError, PolledNode
from ebplan.adapters.roles import NodePowerReading
from ebplan.adapters.secrets import Secret, SecretSource
from ebplan.document import NonNegative, Part, Positive

if TYPE_CHECKING:
    from pyghmi.ipmi.command import Command

GROUP, NETFN = 0xDC, 0x2C
"""DCMI's group extension."""
GET_READING, GET_LIMIT = 2, 3
READING = struct.Struct("<BHHHHIIB")
"""Group, watts now, least, most, mean; time stamp, window in ms; state."""
LIMIT = struct.Struct("<B2xBHI2xH")
"""Group, what happens beyond it, watts, correction time in ms, window in s."""
ACTIVE = 0x40
"""Bit of the state: the controller is measuring."""
IDLE_S = 20.0
"""After a pause like this another session is opened: a controller ends idle ones after 60 s (IPMI
2.0, 6.12.15), some earlier."""
LIMIT_EVERY_S = 60.0
"""How often the limit is asked for."""
PRIVILEGES = {"user": 2, "operator": 3, "administrator": 4}
REFUSALS = ("password", "unauthorized name", "invalid role", "rakp4")
"""What pyghmi's messages say where the controller refuses who we are."""
MEANING = {
    0xC1: "it has no DCMI power reading",
    0xC7: "it has no DCMI power reading of this form",
    0xCC: "it has no DCMI power reading of this form",
    0xD4: "the account may not read power: give it a higher privilege",
    0xD5: "it cannot read its power now",
}
"""Completion codes (IPMI 2.0, table 5-2)."""


class DcmiAddress(Part):
    """A management controller that speaks IPMI over LAN."""

    driver: Literal["ipmi_dcmi"]
    """DCMI power reading."""
    host: str = Field(min_length=1)
    """Where it is, on a network of its own: IPMI over LAN lets anybody try passwords offline."""
    port: int = Field(default=623, ge=1, le=65535)
    """UDP port."""
    user: str = Field(min_length=1, max_length=16)
    """Account; the privilege ``user`` is enough where the controller allows it to read power."""
    password: SecretSource
    """Where its password is; at most 20 characters."""
    privilege: Literal["user", "operator", "administrator"] = "user"
    """What is asked for at login; never more than needed."""
    timeout_s: Positive = 2.0
    """Deadline of a reading, opening the session included."""
    age_s: NonNegative = 1.0
    """How old a reading may be. Assumed where the manual is silent: once a second."""
    measurement_point: Literal["node", "ac"] = "ac"
    """Input of the power supplies (``ac``), or their output (``node``): the manual says which."""
    most_kw: Positive = 20.0
    """More than this is no reading."""


class DcmiPower(PolledNode):
    """A node by its management controller's DCMI power reading.

    Args:
        name: what it is called in answers.
        address: where it is.
        password: of its account.
        policy: how long it is left alone after it did not answer.
        refused_wait_s: the same after it refused the password.
        clock: what time it is.
        pump: the thread that speaks IPMI.
    """

    def __init__(
        self,
        name: str,
        address: DcmiAddress,
        password: Secret,
        *,
        policy: BackOff | None = None,
        refused_wait_s: float = REFUSED_WAIT_S,
        clock: Clock | None = None,
        pump: IpmiPump = PUMP,
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
        self._pump = pump
        self._held: _Held | None = None
        self._used_s = 0.0
        self._limit_kw: float | None = None
        self._limit_asked_s = -float("inf")
        self.opened = 0
        """Sessions opened so far."""

    async def close(self) -> None:
        """End the session."""
        self._drop()

    async def _ask(self) -> NodePowerReading:
        if self._held is None or self._clock.now_s() - self._used_s > IDLE_S:
            self._drop()
            await self._log_in()
        data = await self._command(GET_READING, bytes((GROUP, 1, 0, 0)))
        if isinstance(data, int):
            raise NoReadingError(MEANING.get(data, f"it refuses the reading (code {data:#04x})"))
        if len(data) < READING.size or data[0] != GROUP:
            raise NoReadingError("an answer that is no power reading")
        _, now_w, low_w, high_w, mean_w, _, window_ms, state = READING.unpack_from(data)
        if not state & ACTIVE:
            raise NoReadingError("it does not measure power now")
        kw = self._kw_of(now_w)
        told = bool(window_ms and low_w <= mean_w <= high_w)
        reading = NodePowerReading(
            power_kw=kw,
            energy_kwh=None,
            covers="node",
            measurement_point=self.address.measurement_point,
            age_s=self.address.age_s,
            low_kw=self._kw_or_none(low_w) if told else None,
            average_kw=self._kw_or_none(mean_w) if told else None,
            high_kw=self._kw_or_none(high_w) if told else None,
            window_s=window_ms / 1000.0 if told else None,
            limit_kw=await self._limit(),
        )
        self._used_s = self._clock.now_s()
        return reading

    async def _limit(self) -> float | None:
        """Return the limit that is set; asked for now and then."""
        if self._clock.now_s() - self._limit_asked_s >= LIMIT_EVERY_S:
            data = await self._command(GET_LIMIT, bytes((GROUP, 0, 0)))
            self._limit_kw = None
            # a refusal says that none is active, or that it knows no limits
            if not isinstance(data, int) and len(data) >= LIMIT.size and data[0] == GROUP:
                self._limit_kw = LIMIT.unpack_from(data)[2] / W_PER_KW or None
            self._limit_asked_s = self._clock.now_s()
        return self._limit_kw

    async def _log_in(self) -> None:
        host = await self._resolve()
        address, secret = self.address, self._password
        held = self._held = _Held()

        def begin(exchange: Exchange) -> None:
            from pyghmi.ipmi.command import Command

            def logged_on(response: dict[str, Any], command: Command) -> None:
                held.session = command.ipmi_session
                exchange.done(response)

            # held even where the login never ends, so that it can be given up
            held.session = Command(
                bmc=host,
                # as bytes: with text pyghmi 1.6 never forgets a login, and hands out dead sessions
                userid=address.user.encode(),
                password=secret.reveal().encode(),
                port=address.port,
                privlevel=PRIVILEGES[address.privilege],
                keepalive=False,
                onlogon=logged_on,
            ).ipmi_session

        response = await self._talk(begin)
        error = str(response.get("error", "")).lower()
        if any(said in error for said in REFUSALS):
            raise NoReadingError("it refuses the user or the password", refused=True)
        if error:
            raise NoReadingError(
                "nobody answers there" if "timeout" in error else "it opens no session"
            )
        self.opened += 1
        self._limit_asked_s = -float("inf")

    async def _resolve(self) -> str:
        """Return the address of the host: left to pyghmi, a slow name server would stop them all.

        Raises:
            NoReadingError: the name is not known.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self.address.host, self.address.port, type=socket.SOCK_DGRAM
            )
        except (OSError, UnicodeError):
            raise NoReadingError("its name is not known") from None
        return str(found[0][4][0])

    async def _command(self, command: int, data: bytes) -> bytes | int:
        """Return what a DCMI command answers, or its completion code."""
        held = self._held
        assert held is not None
        session = held.session

        def begin(exchange: Exchange) -> None:
            def answered(response: dict[str, Any]) -> None:
                session.incommand = False  # asked of callers that give a callback
                while session.evq:
                    session.evq.popleft().set()
                exchange.done(response)

            session.raw_command(netfn=NETFN, command=command, data=data, callback=answered)

        response = await self._talk(begin)
        if "error" in response and "data" not in response:
            raise NoReadingError("it went away")
        code = int(response["code"])
        return code or bytes(response["data"])

    async def _talk(self, begin: Any) -> dict[str, Any]:
        try:
            response: dict[str, Any] = await self._pump.talk(begin)
        except Exception:
            # of whatever kind: what the library raises depends on what the controller sent
            raise NoReadingError("an answer that is none of IPMI") from None
        return response

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._pump.post(held.give_up)


class _Held:
    """A session of pyghmi's; only the pump's thread touches it."""

    def __init__(self) -> None:
        self.session: Any = None

    def give_up(self) -> None:
        """End it without waiting for anything; after it was begun, as the pump keeps the order."""
        if self.session is not None:
            self.session.incommand = False
            self.session.lastpayload = None
            self.session.pendingpayloads.clear()
            self.session.logout(False)
