"""The life of a daemon: ready, alive, told to end, safe, gone."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
from collections.abc import Iterable

from ebplan.adapters.daemon.notify import notify, show_life
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.errors import InputError

_log = logging.getLogger(__name__)


async def serve(server: LeaseServer, *, left_behind: str | None, stop_s: float) -> bool:
    """Serve until SIGTERM or SIGINT; return whether the safe state was reached then.

    Args:
        server: what to serve.
        left_behind: what a run before left behind, if anything: the safe state comes first then.
        stop_s: how long the safe state may take at the end; a second signal cuts that short.

    Raises:
        InputError: it cannot listen.
    """
    loop = asyncio.get_running_loop()
    told, again = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        (again if told.is_set() else told).set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, tell)
    await server.start()
    if left_behind is not None:
        server.tenancy.go_safe(left_behind)
    alive = asyncio.create_task(show_life(), name="signs of life")
    try:
        notify("READY=1")
        _log.info("ready")
        await told.wait()
        notify("STOPPING=1")
        stopping = asyncio.create_task(server.stop(stop_s), name="stop")
        hurry = asyncio.create_task(again.wait(), name="second signal")
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if stopping.done():
            return stopping.result()
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        await server.stop(0.0)
        return False
    finally:
        alive.cancel()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


def uids(users: Iterable[str]) -> frozenset[int]:
    """Return this user, root, and the users named or numbered here.

    Raises:
        InputError: there is no such user.
    """
    found = {os.getuid(), 0}
    for user in users:
        try:
            found.add(int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid)
        except KeyError:
            raise InputError(
                field="allow",
                value=user,
                allowed="a user of this machine",
                remedy="create it, or name the one the controller runs as",
            ) from None
    return frozenset(found)


def socket_mode(group: str | None) -> int:
    """Return the permissions of a socket, for the owner or for the group this process runs as.

    Raises:
        InputError: this process runs as another group.
    """
    if group is None:
        return 0o600
    own = os.getegid()
    with contextlib.suppress(KeyError):
        if grp.getgrnam(group).gr_gid == own:
            return 0o660
    raise InputError(
        field="group",
        value=group,
        allowed="the group that the daemon runs as",
        remedy="start it with that group; it may not give files away",
    )
