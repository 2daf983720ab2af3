"""``ebplan-waked``: wakes serving engines that a controller put to sleep and then left alone.

**Safe state.** Every engine that may be asleep is woken and says so itself. Engines keep no lease:
one that sleeps would sleep for ever. Only the engines named at the start are ever called.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ebplan.adapters.daemon.engine_keeper import EngineKeeper, Patience
from ebplan.adapters.daemon.http_ask import engine_url
from ebplan.adapters.daemon.serve import serve, socket_mode, uids
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.adapters.daemon.waked_name import NAME
from ebplan.errors import EbplanError


def main(argv: Sequence[str] | None = None) -> None:
    """Run the daemon; exit 0 where every engine is awake, 1 otherwise, 2 on bad input.

    Args:
        argv: command line.
    """
    options = _options(argv)
    logging.basicConfig(level=logging.INFO, format=f"{NAME}: %(message)s", stream=sys.stderr)
    try:
        done = asyncio.run(_serve(options))
    except EbplanError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if done else 1)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description="Wake engines that were left asleep.")
    add = parser.add_argument
    add("--engine", action="append", default=[], type=_engine, metavar="NAME=URL", required=True,
        help="an engine that may be called")  # fmt: skip
    add("--socket", type=Path, default=Path("/run/ebplan-wake/waked.sock"), help="where to listen")
    add("--state", type=Path, default=Path("/var/lib/ebplan-wake/watched.json"),
        help="file with the engines that may be asleep")  # fmt: skip
    add("--allow", action="append", default=[], metavar="USER", help="user that may connect")
    add("--group", help="group that the socket is open to; this process must run as it")
    add("--wake-s", type=float, default=60.0, help="how long an engine may take to wake (60)")
    add("--stop-s", type=float, help="how long waking may take at the end (twice as long)")
    options = parser.parse_args(argv)
    if not 0.0 < options.wake_s <= 3600.0:
        parser.error("--wake-s: more than 0, at most 3600")
    if options.stop_s is None:
        options.stop_s = 2.0 * options.wake_s
    return options


def _engine(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError("NAME=URL")
    try:
        return name, engine_url(url)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{url!r}: {error}") from None


async def _serve(options: argparse.Namespace) -> bool:
    keeper = EngineKeeper(dict(options.engine), options.state, Patience(wake_s=options.wake_s))
    server = LeaseServer(
        keeper,
        options.socket,
        daemon=NAME,
        safe_s=options.wake_s,
        allowed_uids=uids(options.allow),
        mode=socket_mode(options.group),
    )
    why = "a run before left engines asleep" if keeper.watched else None
    return await serve(server, left_behind=why, stop_s=options.stop_s)


if __name__ == "__main__":
    main()
