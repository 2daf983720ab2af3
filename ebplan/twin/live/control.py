"""Start, find and end a live site from outside its process.

What a folder holds of it is told by name: ``down`` takes away what ``up`` put there and nothing
else, also after the site's process was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ebplan.document import read_data, write_atomically
from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.twin.live.serve import STATE, started_at
from ebplan.twin.live.spec import TwinSpec

START_S = 90.0
"""How long a site may take to start, on a machine that has other work."""
ARRIVED_S = 60.0
"""From then on nobody waits for the first users: there may be none."""
END_S = 15.0
"""How long it may take to end before it is killed."""
LONGEST_SOCKET = 100
"""Path of a socket; the system's limit is 107 bytes."""
RECORDS = (
    *("audit", "calls", "inbox.json", "inbox.json.lock", "inbox.baselines.json"),
    *("site.pub", "site.key"),
)
"""What a controller and its senders leave: kept where asked."""
MADE = (
    *("twin.json", "site.json", STATE, "twin.lock", "twin.log", "traffic.json", "traffic.log"),
    *("devices.json", "router.json", "sources.json", "run.toml", "commissioning.json"),
    *("haproxy.cfg", "admin.sock", "*.map", "node*.gpus", "node*.sock", "node*.sock.lock"),
    *("node*.log", "node*.limits.json", "waked.sock", "waked.sock.lock", "waked.log"),
    *("watched.json", "watched.json.lock", "node*.limits.json.lock", "node.password"),
    *("redfish.pem", "redfish.key", "webhook.token", "nvml-*", "ipmi", ".*.tmp*"),
)
"""What a site puts into its folder."""

_started: dict[Path, subprocess.Popen[bytes]] = {}
"""Processes that this one started, by folder: it is their parent as long as it lives."""


def default_folder() -> Path:
    """Return the folder where nobody says another: of this user's state, or of this machine's."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    folder = base / "ebplan" / "twin"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return Path(tempfile.gettempdir()) / f"ebplan-twin-{os.getuid()}"
    return folder


def prepare(folder: Path, site: Site, spec: TwinSpec) -> None:
    """Write what the process reads.

    Raises:
        InputError: a site runs or was left behind there, or the folder will not do.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if len(str(folder / "node99.sock.lock").encode()) > LONGEST_SOCKET:
        raise InputError(
            field="folder",
            value=str(folder),
            allowed=f"a path of about {LONGEST_SOCKET - 20} characters: sockets lie in it",
            remedy="choose a shorter one with --folder",
        )
    if (folder / STATE).exists():
        runs = is_running(folder)
        raise InputError(
            field="folder",
            value=str(folder),
            allowed="a folder in which no simulated site runs or was left behind",
            remedy=f"`ebplan twin down --folder {folder}` first"
            if not runs
            else "end it with `ebplan twin down`, or choose another folder with --folder",
        )
    names = ("devices.*", "run.toml", "site.json")
    theirs = [path.name for name in names for path in folder.glob(name)]
    if here := sorted(theirs):
        raise InputError(
            field="folder",
            value=f"{folder} holds {here[0]}",
            allowed="a folder without files of that name: they would be overwritten",
            remedy="choose another one with --folder, or `ebplan twin down` where a site left it",
        )
    write_atomically(folder / "site.json", site.to_json())
    write_atomically(folder / "twin.json", spec.to_json())


def start(folder: Path) -> dict[str, Any]:
    """Start the site of a prepared folder in the background; return its state.

    Raises:
        RuntimeError: it does not start; what it left is taken away.
    """
    log = folder / "twin.log"
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ebplan.twin.live.serve", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    _started[folder] = process
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        if (state := read_state(folder)) is not None:
            return state
        time.sleep(0.05)
    process.kill()
    process.wait()
    words = log.read_text(errors="replace").strip()[-800:]
    down(folder)
    raise RuntimeError(f"the simulated site does not start: {words}")


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what a site last said of itself; None where none is."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return told


def users_arrive(folder: Path) -> bool:
    """Whether the site's users have only begun: the draw rises until requests are answered."""
    state = read_state(folder)
    if state is None or state["plant"]["seconds"] > ARRIVED_S:
        return False
    try:
        told = json.loads((folder / "traffic.json").read_text())
    except (FileNotFoundError, ValueError):
        return True
    return not any("200" in statuses for statuses in told["answers"].values())


def has_something(folder: Path) -> bool:
    """Whether a folder holds anything that a site, or who works with it, puts there."""
    return any(True for pattern in MADE + RECORDS for _ in folder.glob(pattern))


def is_running(folder: Path) -> bool:
    """Whether the site of a folder runs."""
    state = read_state(folder)
    return state is not None and started_at(state["pid"]) == state["started"]


def down(folder: Path, *, keep: bool = False) -> list[str]:
    """End the site of a folder and take away what it put there.

    Args:
        folder: its folder.
        keep: leave the records of controllers: audit log and its key, inbox, calls.

    Returns:
        what lies in the folder still, by name.
    """
    state = read_state(folder)
    if state is not None:
        _end(state["pid"], state["started"])
        for one in state["processes"].values():
            _end(one["pid"], one["started"])
    if (mine := _started.pop(folder, None)) is not None:
        mine.wait()
    if not folder.exists():
        return []
    for pattern in MADE + (() if keep else RECORDS):
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    left = sorted(path.name for path in folder.iterdir())
    if not left:
        folder.rmdir()
    return left


def _end(pid: int, started: int | None) -> None:
    """End a process, if it is still the one that was meant."""
    if started is None:
        return
    for how, within_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, 5.0)):
        if started_at(pid) != started:
            return
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        until_s = time.monotonic() + within_s
        while started_at(pid) == started and time.monotonic() < until_s:
            time.sleep(0.02)


def load_spec(file: Path | None) -> TwinSpec:
    """Return what a file says, or the built-in site with the load of its examples.

    Raises:
        InputError: the file is missing or wrong.
    """
    return TwinSpec() if file is None else TwinSpec.parse(read_data(file), file=str(file))
