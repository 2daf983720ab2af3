"""``ebplan-capd``: owns caps and clocks of a node's GPUs for a controller without rights.

**Safe state.** The limits that were requested before ebplan came, clocks unlocked; GPUs come back
one step at a time, so that a site is not hit by the rebound of all of them at once.

Where the daemon itself dies, limits stay: safe for the grid, not for the service. Its next start,
or ``--restore``, finds the file with the limits before and restores them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ebplan.adapters.daemon.capd_name import NAME
from ebplan.adapters.daemon.gpu_keeper import GpuKeeper, OwnedGpus
from ebplan.adapters.daemon.serve import serve, socket_mode, uids
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.adapters.only_one import only_one
from ebplan.errors import EbplanError, InputError

RESTORE_S: Final = 10.0
"""Over how long the GPUs come back."""

Make = Callable[[argparse.Namespace], OwnedGpus]
"""Makes the GPUs of the command line."""


def main(argv: Sequence[str] | None = None, make: Make | None = None) -> None:
    """Run the daemon; exit 0 where the GPUs are as they were before, 1 otherwise, 2 on bad input.

    Args:
        argv: command line.
        make: makes the GPUs; those of NVIDIA's library if absent.
    """
    options = _options(argv)
    logging.basicConfig(level=logging.INFO, format=f"{NAME}: %(message)s", stream=sys.stderr)
    work = _restore if options.restore else _serve
    try:
        done = asyncio.run(work(options, make or _nvml))
    except EbplanError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        sys.exit(2)
    sys.stderr.flush()
    # a thread that hangs in a driver must not keep the process
    os._exit(0 if done else 1)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description="Own caps and clocks of GPUs.")
    add = parser.add_argument
    add("--socket", type=Path, default=Path("/run/ebplan/capd.sock"), help="where to listen")
    add("--baseline", type=Path, default=Path("/var/lib/ebplan/gpu-limits.json"),
        help="file with the limits before ebplan came")  # fmt: skip
    add("--allow", action="append", default=[], metavar="USER", help="user that may connect")
    add("--group", help="group that the socket is open to; this process must run as it")
    add("--allowed-w", type=float, nargs=2, metavar=("LEAST", "MOST"), help="limits of caps in W")
    add("--restore-s", type=float, help=f"over how long GPUs come back ({RESTORE_S:g} s)")
    add("--stop-s", type=float, help="how long that may take at the end (twice as long)")
    add("--name", default="gpus", help="what the node is called in logs")
    add("--restore", action="store_true", help="restore what a run left behind (at once), and exit")
    options = parser.parse_args(argv)
    if options.restore_s is None:
        options.restore_s = 0.0 if options.restore else RESTORE_S
    if not 0.0 <= options.restore_s <= 3600.0:
        parser.error("--restore-s: 0 to 3600")
    if options.stop_s is None:
        options.stop_s = 2.0 * options.restore_s + 1.0
    return options


def _nvml(options: argparse.Namespace) -> OwnedGpus:
    from ebplan.adapters.gpu.nvml import NvmlGpus

    allowed = None if options.allowed_w is None else tuple(options.allowed_w)
    return NvmlGpus(options.name, allowed_w=allowed, baseline_file=options.baseline)


async def _serve(options: argparse.Namespace, make: Make) -> bool:
    left_behind = options.baseline.exists()
    keeper = GpuKeeper(make(options), options.restore_s, left_behind=left_behind)
    server = LeaseServer(
        keeper,
        options.socket,
        daemon=NAME,
        safe_s=options.restore_s,
        allowed_uids=uids(options.allow),
        mode=socket_mode(options.group),
    )
    why = "a run before left limits behind" if left_behind else None
    reached = await serve(server, left_behind=why, stop_s=options.stop_s)
    if not reached:
        reached = await keeper.at_once()
    await keeper.close(restored=reached)
    return reached


async def _restore(options: argparse.Namespace, make: Make) -> bool:
    if not options.baseline.exists():
        return True
    try:
        only = only_one(options.socket)
    except FileNotFoundError:
        only = None  # the folder of the socket is gone with the daemon
    except OSError as error:
        raise InputError(
            field="restore",
            value=str(options.socket),
            allowed="nobody who owns the GPUs",
            remedy=f"{error}: stop it, it restores the limits itself",
        ) from None
    keeper = GpuKeeper(make(options), options.restore_s, left_behind=True)
    try:
        async with asyncio.timeout(options.stop_s):
            await keeper.safe("told to restore")
        reached = True
    except TimeoutError:
        reached = await keeper.at_once()
    await keeper.close(restored=reached)
    if only is not None:
        os.close(only)
    return reached


if __name__ == "__main__":
    main()
