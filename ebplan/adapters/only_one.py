"""One process at a time for a path; the lock goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def only_one(path: Path) -> int:
    """Return a lock (a descriptor, to be closed) that only one process has for a path.

    Raises:
        OSError: another one has it, or the folder cannot be written to.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(path.with_name(path.name + ".lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BlockingIOError(0, "another process has it") from None
    except OSError:
        os.close(lock)
        raise
    return lock
