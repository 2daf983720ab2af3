"""HAProxy's runtime socket: one line out, one answer back, each on a connection of its own.

An answer is complete when it ends as HAProxy ends them and the connection is closed. Whatever else
comes (nothing, half of it, bytes of somebody else, too much of it) is no answer, and says whether
the line may have been carried out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ebplan.adapters.router.runtime_commands import is_allowed, show_info

LONGEST_ANSWER = 4_000_000
"""Bytes after which an answer is given up: 4,000 servers answer with about 2 MB."""


class NoAnswer(Exception):
    """The router did not answer in full.

    Args:
        why: what was seen instead.
        sent: whether the line had left, so that it may have been carried out.
    """

    def __init__(self, why: str, *, sent: bool) -> None:
        self.why = why
        self.sent = sent
        super().__init__(why)


class NotTaken(Exception):
    """The router answered a change with an error text; nothing was changed."""


@dataclass(frozen=True)
class Process:
    """Who answers: another process has lost every change made at run time."""

    name: str
    """``HAProxy``."""
    version: str
    """E.g. ``2.6.12``."""
    pid: int
    """Its process number."""
    node: str
    """Name given to it in its configuration."""
    description: str
    """Says which configuration it runs."""


class RuntimeSocket:
    """A client of one router.

    Args:
        path: the socket; mode 0600, owned by who runs this.
        timeout_s: longest time from the call to the end of the answer.
    """

    def __init__(self, path: str, timeout_s: float = 0.5) -> None:
        self.path = path
        self.timeout_s = timeout_s

    async def ask(self, line: str) -> str:
        """Return the answer to a line, without the blank line that ends it.

        Raises:
            NoAnswer: there was none, or not all of it, in time.
            ValueError: the line is none of those that may be sent.
        """
        if not is_allowed(line):
            raise ValueError(f"not a line for the router: {line!r}")
        progress = _Progress()
        try:
            async with asyncio.timeout(self.timeout_s):
                raw = await self._exchange(line, progress)
        except TimeoutError:
            raise NoAnswer(f"no answer within {self.timeout_s:g} s", sent=progress.sent) from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise NoAnswer(why.lower(), sent=progress.sent) from None
        return _complete(raw)

    async def change(self, line: str) -> None:
        """Send a line that answers nothing when it is carried out.

        Raises:
            NoAnswer: see ``ask``.
            NotTaken: the router said why not.
        """
        said = (await self.ask(line)).strip()
        if said:
            raise NotTaken(said.splitlines()[0])

    async def identity(self) -> Process:
        """Return who answers.

        Raises:
            NoAnswer: nobody did, or not HAProxy.
        """
        said = await self.ask(show_info())
        fields = {
            key.strip().lower(): value.strip()
            for key, colon, value in (entry.partition(":") for entry in said.splitlines())
            if colon
        }
        name = fields.get("name", "")
        if name != "HAProxy" or not fields.get("pid", "").isdecimal():
            raise NoAnswer(f"{name or 'something else'} answers, not HAProxy", sent=True)
        return Process(
            name=name,
            version=fields.get("version", ""),
            pid=int(fields["pid"]),
            node=fields.get("node", ""),
            description=fields.get("description", ""),
        )

    async def _exchange(self, line: str, progress: _Progress) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            progress.sent = True
            writer.write(line.encode("ascii") + b"\n")
            await writer.drain()
            raw = bytearray()
            while chunk := await reader.read(65536):
                raw += chunk
                if len(raw) > LONGEST_ANSWER:
                    raise NoAnswer(f"an answer of over {LONGEST_ANSWER} bytes", sent=True)
            return bytes(raw)
        finally:
            # abort, not close: an answer that is given up is not waited for
            writer.transport.abort()


class _Progress:
    """How far a call has come."""

    sent = False


def _complete(raw: bytes) -> str:
    if not raw:
        raise NoAnswer("the connection was closed without an answer", sent=True)
    if raw != b"\n" and not raw.endswith(b"\n\n"):
        raise NoAnswer("the answer breaks off", sent=True)
    try:
        return raw.decode("utf-8")[:-1]
    except UnicodeDecodeError:
        raise NoAnswer("the answer is not text", sent=True) from None
