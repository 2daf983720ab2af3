"""Solver processes: they end with their parent, and one that dies is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from ebplan.solvers.session import Session

PARENT = """
import sys
from ebplan.solvers.session import Session
session = Session()
assert session.wait_ready()
print(*session.pids(), flush=True)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def test_they_end_when_the_session_is_closed() -> None:
    session = Session()
    assert session.wait_ready()
    pids = session.pids()
    session.close()
    assert gone(pids, 0.5)


def test_they_end_with_a_parent_that_closed_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT], capture_output=True, text=True, check=True
    )
    assert gone([int(pid) for pid in done.stdout.split()])


def test_one_that_dies_is_replaced() -> None:
    session = Session()
    try:
        assert session.wait_ready()
        pids = session.pids()
        os.kill(pids[0], signal.SIGKILL)
        until = time.monotonic() + 10.0  # its threads end a little after it
        while pids[0] in session.pids() and time.monotonic() < until:
            assert session.wait_ready()
        assert len(session.pids()) == 2
        assert pids[0] not in session.pids()
    finally:
        session.close()
