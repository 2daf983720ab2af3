"""Every line that is ever sent to HAProxy's runtime socket, and nothing else.

The socket gives full control of the router, and a line may hold several commands: a name or value
from outside that held ``;`` or a line break would be a command of its own. So each line is built
here from its parts, and a line that does not look like one of these is never sent.
"""

from __future__ import annotations

import re

NAME = r"[A-Za-z0-9_.-]{1,64}"
"""Names of servers, pools and request classes."""
MAP_PATH = r"/[A-Za-z0-9_./-]{1,200}"
"""Absolute path of a map file."""
FULL_WEIGHT = 100
"""Weight of a server that is given its full share."""

_ALLOWED = re.compile(
    "|".join(
        (
            r"show info",
            r"show stat -1 4 -1",
            rf"show map {MAP_PATH}",
            rf"show table {NAME}",
            rf"set weight {NAME}/{NAME} \d{{1,3}}",
            rf"set map {MAP_PATH} {NAME} -?\d{{1,15}}",
            rf"set table {NAME} key {NAME} data\.gpc0_rate 0 data\.gpc1_rate 0",
        )
    )
)


def is_allowed(line: str) -> bool:
    """Whether a line is one of those below."""
    return _ALLOWED.fullmatch(line) is not None


def show_info() -> str:
    """Ask who answers: name, version, process and description."""
    return "show info"


def show_servers() -> str:
    """Ask for the state, weight and load of every server."""
    return "show stat -1 4 -1"


def show_map(path: str) -> str:
    """Ask for the entries of a map."""
    return _checked(f"show map {path}")


def show_table(name: str) -> str:
    """Ask for the entries of a stick table."""
    return _checked(f"show table {name}")


def set_weight(backend: str, server: str, weight: int) -> str:
    """Give a server a weight of 0 to ``FULL_WEIGHT``; 0 drains it."""
    return _checked(f"set weight {backend}/{server} {weight}")


def set_map(path: str, key: str, value: int) -> str:
    """Change an entry that the map already has."""
    return _checked(f"set map {path} {key} {value}")


def forget_rate(table: str, key: str) -> str:
    """Start counting the admitted rate of a class anew; works while requests are in flight."""
    return _checked(f"set table {table} key {key} data.gpc0_rate 0 data.gpc1_rate 0")


def _checked(line: str) -> str:
    if not is_allowed(line):
        raise ValueError(f"not a line for the router: {line!r}")
    return line
