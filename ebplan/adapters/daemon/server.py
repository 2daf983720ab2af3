"""The socket of a daemon that holds a lease: whoever may connect reads, one connection commands.

A unix socket, open to nobody but its owner, on which the kernel says who the peer is. Requests are
lines (``wire``). The lease belongs to the connection: it ends when the connection closes, when it
is not renewed in time, and when the daemon is told to end. Every peer is taken to be clumsy: lines,
connections, requests in flight and unread answers are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.daemon.leasing import LONGEST_TTL_S, Keeper, Tenancy
from ebplan.adapters.daemon.wire import LINE_BYTES, PROTOCOL, Denied, decode, encode
from ebplan.adapters.only_one import only_one
from ebplan.errors import InputError

MOST_CONNECTIONS: Final = 16
"""One more takes the place of the one that was silent longest, never of the holder."""
MOST_IN_FLIGHT: Final = 16
"""Requests of one connection that are not answered yet."""
MOST_UNREAD_BYTES: Final = 4 * LINE_BYTES
"""Who leaves more answers unread is dropped."""

_log = logging.getLogger(__name__)


class _Peer:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, heard_s: float) -> None:
        self.writer = writer
        self.heard_s = heard_s
        self.asking: set[asyncio.Task[None]] = set()

    def say(self, message: dict[str, Any]) -> None:
        """Answer; drop whoever does not read."""
        transport = self.writer.transport
        if transport.is_closing():
            return
        try:
            line = encode(message)
        except ValueError:
            line = encode(_no(message.get("id"), Denied("failed", "the answer is too long")))
        self.writer.write(line)
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            _log.warning("a peer that does not read is dropped")
            transport.abort()


class LeaseServer:
    """Serves a keeper on a unix socket.

    Args:
        keeper: what is leased.
        path: the socket; its folder must exist.
        daemon: name that clients expect.
        safe_s: how long the way to the safe state may take, told to clients.
        allowed_uids: users that may connect; this one and root if absent.
        mode: permissions of the socket.
        longest_s: no longer term is granted.
        clock: what time it is.
    """

    def __init__(
        self,
        keeper: Keeper,
        path: Path,
        *,
        daemon: str,
        safe_s: float = 0.0,
        allowed_uids: Iterable[int] | None = None,
        mode: int = 0o600,
        longest_s: float = LONGEST_TTL_S,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self.instance = secrets.token_hex(8)
        """New at each start: a client that sees another one knows of the restart."""
        self._keeper, self._daemon, self._safe_s, self._mode = keeper, daemon, safe_s, mode
        self._clock = clock or MonotonicClock()
        self._allowed = frozenset({os.getuid(), 0} if allowed_uids is None else allowed_uids)
        self.tenancy = Tenancy(keeper, self._clock, longest_s)
        """Who holds the lease."""
        self._peers: dict[asyncio.Task[Any], _Peer] = {}
        self._server: asyncio.Server | None = None
        self._only: int | None = None

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._peers)

    async def start(self) -> None:
        """Listen.

        Raises:
            InputError: the socket cannot be made, or another daemon listens on it.
        """
        try:
            self._only = only_one(self.path)
            self.path.unlink(missing_ok=True)
            listening = _bound(self.path, self._mode)
        except OSError as error:
            self._let_go()
            raise InputError(
                field="socket",
                value=str(self.path),
                allowed="a path that a socket can be made at",
                remedy=str(error.strerror or error),
            ) from None
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listening, limit=LINE_BYTES
        )

    async def stop(self, within_s: float) -> bool:
        """Go to the safe state, hang up and stop listening; return whether that state is reached.

        Args:
            within_s: how long to wait for it.
        """
        reached = await self.tenancy.stop(within_s)
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)
        while self._peers:
            for peer in self._peers.values():
                peer.writer.transport.abort()
            await asyncio.wait(set(self._peers))
        self._let_go()
        return reached

    def _let_go(self) -> None:
        if self._only is not None:
            os.close(self._only)
            self._only = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = _Peer(writer, self._clock.now_s())
        self._peers[task] = peer
        try:
            if _uid(writer) not in self._allowed:
                peer.say(_no(None, Denied("bad", "this user may not connect")))
                return
            if self._make_room(peer):
                await self._listen(reader, peer)
        except OSError:
            pass  # the peer is gone
        finally:
            self.tenancy.gone(peer)
            if peer.asking:
                for asking in peer.asking:
                    asking.cancel()
                await asyncio.wait(peer.asking)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._peers[task]

    def _make_room(self, new: _Peer) -> bool:
        """Drop the peer that was silent longest where there are too many."""
        if len(self._peers) <= MOST_CONNECTIONS:
            return True
        open_peers = [
            peer
            for peer in self._peers.values()
            if peer not in (new, self.tenancy.holder) and not peer.writer.transport.is_closing()
        ]
        if len(self._peers) > 2 * MOST_CONNECTIONS or not open_peers:
            return False
        min(open_peers, key=lambda peer: peer.heard_s).writer.transport.abort()
        return True

    async def _listen(self, reader: asyncio.StreamReader, peer: _Peer) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # longer than a line may be
                peer.say(_no(None, Denied("bad", f"a line has at most {LINE_BYTES} bytes")))
                return
            if not line.endswith(b"\n"):
                return
            peer.heard_s = self._clock.now_s()
            try:
                request = decode(line)
            except ValueError as error:
                peer.say(_no(None, Denied("bad", f"no request: {error}")))
                continue
            number = request.get("id")
            if isinstance(number, bool) or not isinstance(number, int):
                peer.say(_no(None, Denied("bad", "a request has a number, id")))
            elif len(peer.asking) >= MOST_IN_FLIGHT and request.get("op") != "renew":
                peer.say(_no(number, Denied("busy", "too many requests at once")))
            elif len(peer.asking) >= 2 * MOST_IN_FLIGHT:
                return
            else:
                asking = asyncio.create_task(self._answer(peer, number, request))
                peer.asking.add(asking)
                asking.add_done_callback(peer.asking.discard)

    async def _answer(self, peer: _Peer, number: int, request: dict[str, Any]) -> None:
        try:
            body = await self._do(peer, request)
        except Denied as denied:
            peer.say(_no(number, denied))
        except Exception as error:
            _log.exception("a request failed")
            peer.say(_no(number, Denied("failed", type(error).__name__)))
        else:
            peer.say({"id": number, "ok": True, **body})

    async def _do(self, peer: _Peer, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"op": "hello"}:
                return {
                    "daemon": self._daemon,
                    "protocol": PROTOCOL,
                    "instance": self.instance,
                    "safe_s": self._safe_s,
                }
            case {"op": "read"}:
                return {
                    "leased": self.tenancy.holder is not None,
                    "yours": self.tenancy.holder is peer,
                    "returning": self.tenancy.returning,
                    "state": await self._keeper.read(),
                }
            case {"op": "renew", "ttl_s": float() | int() as ttl_s} if ttl_s is not True:
                return {"ttl_s": await self.tenancy.renew(peer, float(ttl_s))}
            case {"op": "set", "what": dict() as what}:
                return {"result": await self.tenancy.set(peer, what)}
            case {"op": "release"}:
                return {"safe": await self.tenancy.release(peer)}
        raise Denied("bad", "ops: hello, read, renew {ttl_s}, set {what}, release")


def _bound(path: Path, mode: int) -> socket.socket:
    """Return a socket that listens at a path nobody else could open in between."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listening.bind(str(path))
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    listening.setblocking(False)
    return listening


def _uid(writer: asyncio.StreamWriter) -> int:
    """Return the user of the peer, as the kernel knows him."""
    peer: socket.socket = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def _no(number: object, denied: Denied) -> dict[str, Any]:
    return {"id": number, "ok": False, "error": denied.denial, "why": denied.why}
