"""One connection to one Modbus device: a request out, its answer or what was seen instead.

Every answer is a value. What the protocol's client library leaves unchecked is checked here: the
number of registers, the function, the transaction. Nothing is ever sent twice: a write that got no
answer may have been executed, and says so.

A connection is opened by the first request that needs it and after any failure only as often as
the back-off allows; nothing runs in between, so a sick device costs no task, socket or memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import (
    BackOff,
    Health,
    after_failure,
    after_success,
    may_try,
    retry_at_s,
)
from ebplan.adapters.modbus.tls import TlsFiles, read_frames_by_length
from ebplan.document import Part, Positive

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU

Table = Literal["holding", "input"]
MOST_READ = 125
"""Registers of one read, by the protocol."""
MOST_WRITTEN = 123
"""Registers of one write, by the protocol."""
WRITE = 16
"""Function that writes several registers in one step."""

EXCEPTIONS = {
    1: "it does not know the function",
    2: "it has no such register",
    3: "it does not take the value",
    4: "it failed while executing",
    5: "it needs longer",
    6: "it is busy",
    10: "the gateway has no path",
    11: "the gateway got no answer",
}


class ModbusAddress(Part):
    """Where a device is and how patient one is with it."""

    host: str
    """Name or address; the network it is in should be reachable by the controller only."""
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    """Port; Modbus Security has 802."""
    unit: Annotated[int, Field(ge=1, le=247)] = 1
    """Number of the device behind the address."""
    timeout_s: Positive = 0.5
    """How long an answer may take."""
    connect_s: Positive | None = None
    """How long opening may take, where that is longer: small devices work on certificates for
    seconds."""
    silent_requests: Annotated[int, Field(ge=1)] = 2
    """So many unanswered requests in a row close the connection."""
    two_connections: bool = True
    """Whether set-points have a connection of their own, so that no poll delays them; a device
    that takes one client only closes the second."""
    tls: TlsFiles | None = None
    """Certificates; without, nothing on the network proves who it is."""


@dataclass(frozen=True)
class Words:
    """Registers that were read, or written and acknowledged."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Denied:
    """The device answered that it will not."""

    code: int
    """Exception code of the protocol; 0 where it was refused before it was sent."""
    why: str


@dataclass(frozen=True)
class Stranger:
    """Another device answers than the one that was meant; nothing was sent to it."""

    why: str


@dataclass(frozen=True)
class Lost:
    """No usable answer."""

    why: str
    executed: bool = False
    """Whether a write may have been executed."""


Failure = Denied | Stranger | Lost


def after_a_write(failure: Failure) -> Failure:
    """Return a failure of a later step: what came before it has been executed."""
    return replace(failure, executed=True) if isinstance(failure, Lost) else failure


Reply = Words | Failure
Greeting = Callable[["Connection"], Awaitable[Failure | None]]


class Connection:
    """One connection to a device; requests follow one another.

    Args:
        address: where the device is.
        policy: how often one tries again.
        clock: what time it is.
    """

    def __init__(
        self, address: ModbusAddress, *, policy: BackOff | None = None, clock: Clock | None = None
    ) -> None:
        self.address = address
        self.writable: tuple[range, ...] = ()
        """Registers that may be written; anything else is refused before it reaches the wire."""
        self.greeting: Greeting | None = None
        """Asked after each opening, before anything else: whether this is the device."""
        self.health = Health()
        """What is remembered of the device."""
        self.opened = 0
        """How often a connection was opened."""
        self.policy = policy or BackOff()
        self._clock = clock or MonotonicClock()
        self._lock = asyncio.Lock()
        self._client: AsyncModbusTcpClient | None = None
        self._gone: asyncio.Future[None] | None = None
        self._silent = 0
        self._turned_away: Failure | None = None
        self._tls = None if address.tls is None else address.tls.context()

    @property
    def connected(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._client is not None and self._client.connected

    async def read(self, address: int, count: int, table: Table = "holding") -> Reply:
        """Return ``count`` registers from ``address`` on."""
        if not 1 <= count <= MOST_READ:
            raise ValueError(f"one read takes 1 to {MOST_READ} registers, got {count}")
        async with self._lock:
            failure = await self._ready()
            return failure or await self._read(address, count, table)

    async def write(self, address: int, words: Sequence[int]) -> Reply:
        """Write registers in one step; ``Words`` says that the device acknowledged them."""
        if not 1 <= len(words) <= MOST_WRITTEN:
            raise ValueError(f"one write takes 1 to {MOST_WRITTEN} registers, got {len(words)}")
        if not self._may_write(address, len(words)):
            return Denied(0, f"registers {address} to {address + len(words) - 1} are not writable")
        async with self._lock:
            failure = await self._ready()
            if failure is not None:
                return failure
            if not self._may_write(address, len(words)):  # the device came back as it is now
                return Denied(0, f"register {address} is not writable any more")
            return await self._write(address, words)

    async def greet(self) -> Failure | None:
        """Make sure that the connection is open and the device is the one that was meant."""
        async with self._lock:
            return await self._ready()

    async def close(self) -> None:
        """Close it; a later request opens it again."""
        async with self._lock:
            self._drop()
            await asyncio.sleep(0)  # the transport says goodbye in its next turn

    # -- asked within a greeting, when the lock is held already --

    async def read_in_greeting(self, address: int, count: int, table: Table = "holding") -> Reply:
        """Return registers; only for a greeting."""
        return await self._read(address, count, table)

    # -- opening and closing --

    async def _ready(self) -> Failure | None:
        if self.connected:
            return None
        self._drop()
        now_s = self._clock.now_s()
        if self.health.failures and not may_try(self.health, now_s, self.policy):
            if self._turned_away is not None:
                return self._turned_away
            left_s = retry_at_s(self.health, self.policy) - now_s
            return Lost(f"{self.health.why}; tried again in {left_s:.3g} s")
        self._turned_away = None
        self._client = self._new_client()
        limits = self._client.ctx.comm_params  # one number of the library's serves both waits
        try:
            limits.timeout_connect = self.address.connect_s or self.address.timeout_s
            opened = await self._client.connect()
            limits.timeout_connect = self.address.timeout_s
        except (OSError, ValueError):  # a name that is none
            opened = False
        except BaseException:
            self._drop()
            raise
        if not opened:
            where = f"{self.address.host}:{self.address.port}"
            trust = "" if self.address.tls is None else ", or no trust in its certificate"
            return self._failed(f"no connection to {where}{trust}", drop=True)
        self.opened += 1
        self._silent = 0
        return await self._welcome()

    async def _welcome(self) -> Failure | None:
        if self.greeting is None:
            return None
        try:
            failure = await self.greeting(self)
        except BaseException:
            self._drop()
            raise
        if failure is None:
            return None
        if isinstance(failure, Lost):
            self._drop()
            return failure
        self._failed(failure.why, drop=True)
        self._turned_away = failure
        return failure

    def _new_client(self) -> AsyncModbusTcpClient:
        from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient

        self._gone = gone = asyncio.get_running_loop().create_future()

        def trace(connected: bool) -> None:
            if not connected and not gone.done():
                gone.set_result(None)

        common: dict[str, Any] = {
            "port": self.address.port,
            "timeout": self.address.timeout_s,
            "retries": 0,  # each of them would send a write again
            "reconnect_delay": 0,  # its own back-off forgets failures as soon as it is accepted
            "trace_connect": trace,
        }
        client: AsyncModbusTcpClient
        if self._tls is None:
            client = AsyncModbusTcpClient(self.address.host, **common)
        else:
            client = AsyncModbusTlsClient(self.address.host, sslctx=self._tls, **common)
            read_frames_by_length(client)
            self._expect_name(client)
        client.set_max_no_responses(self.address.silent_requests)
        return client

    def _expect_name(self, client: AsyncModbusTcpClient) -> None:
        tls = self.address.tls
        if tls is not None and tls.server_name is not None:
            create: Any = client.ctx.call_create
            client.ctx.call_create = partial(create, server_hostname=tls.server_name)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _failed(self, why: str, *, executed: bool = False, drop: bool) -> Lost:
        self.health = after_failure(self.health, self._clock.now_s(), why)
        if drop:
            self._drop()
        return Lost(why, executed)

    # -- one request --

    async def _read(self, address: int, count: int, table: Table) -> Reply:
        client = self._client
        assert client is not None
        ask = client.read_holding_registers if table == "holding" else client.read_input_registers
        answer = await self._ask(
            ask(address, count=count, device_id=self.address.unit),
            function=3 if table == "holding" else 4,
            writes=False,
        )
        if isinstance(answer, Denied | Stranger | Lost):
            return answer
        if len(answer.registers) != count:
            why = f"{len(answer.registers)} registers came for {count} that were asked"
            return self._failed(why, drop=True)
        self._answered()
        return Words(tuple(answer.registers))

    async def _write(self, address: int, words: Sequence[int]) -> Reply:
        client = self._client
        assert client is not None
        answer = await self._ask(
            client.write_registers(address, list(words), device_id=self.address.unit),
            function=WRITE,
            writes=True,
        )
        if isinstance(answer, Denied | Stranger | Lost):
            return answer
        if (answer.address, answer.count) != (address, len(words)):
            return self._failed("it acknowledged another write", executed=True, drop=True)
        self._answered()
        return Words(tuple(words))

    async def _ask(
        self, request: Awaitable[ModbusPDU], *, function: int, writes: bool
    ) -> ModbusPDU | Failure:
        """Send a request; return a checked answer or what was seen instead."""
        from pymodbus.exceptions import ConnectionException, ModbusException

        gone = self._gone
        assert gone is not None
        asked: asyncio.Future[ModbusPDU] = asyncio.ensure_future(request)
        both: set[asyncio.Future[Any]] = {asked, gone}
        try:
            # A closed connection ends the wait: left alone, the library waits till the timeout.
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                asked.cancel()
                await asyncio.wait({asked})
                return self._failed("it closed the connection", executed=writes, drop=True)
            answer = asked.result()
        except ConnectionException:
            return self._failed("the connection was closed", drop=True)
        except ModbusException:
            self._silent += 1
            why = f"no usable answer within {self.address.timeout_s:g} s"
            return self._failed(
                why, executed=writes, drop=self._silent >= self.address.silent_requests
            )
        except asyncio.CancelledError:
            asked.cancel()
            self._drop()  # its answer may still come and must not meet another request
            raise
        return self._checked(answer, function, writes)

    def _checked(self, answer: ModbusPDU, function: int, writes: bool) -> ModbusPDU | Failure:
        if not answer.transaction_id:
            return self._failed("an answer without its number", executed=writes, drop=True)
        if answer.isError() and answer.function_code == function | 0x80:
            self._answered()
            code = int(answer.exception_code)
            return Denied(code, EXCEPTIONS.get(code, f"exception {code}"))
        if answer.function_code != function:
            return self._failed("an answer to something else", executed=writes, drop=True)
        return answer

    def _answered(self) -> None:
        self._silent = 0
        self.health = after_success(self.health, self._clock.now_s(), self.policy)

    def _may_write(self, address: int, count: int) -> bool:
        return any(
            allowed.start <= address and address + count <= allowed.stop
            for allowed in self.writable
        )
