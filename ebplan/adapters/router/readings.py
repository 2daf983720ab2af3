"""What HAProxy's tables say: a row per server, and the entries of a map."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ebplan.adapters.router.runtime_socket import NoAnswer

ARRIVED = re.compile(
    r"^0x[0-9a-f]+: key=(?P<key>\S+) .*\bhttp_req_cnt=(?P<count>\d+)", re.MULTILINE
)


@dataclass(frozen=True)
class ServerRow:
    """One server in HAProxy's own numbers."""

    weight: int
    """0 to 100 of a full server; 0: takes nothing new."""
    up: bool
    """Whether its health check passes and nobody took it out by hand."""
    draining: bool
    """Whether somebody told it by hand to take nothing new, or its weight is 0."""
    in_flight: int
    """Requests it is answering."""
    queued: int
    """Requests that wait for this server alone."""


def read_servers(table: str, backend: Mapping[str, str]) -> dict[str, ServerRow]:
    """Return the rows of these servers.

    Args:
        table: answer to ``show stat``, CSV with a header.
        backend: backend of each server that there must be.

    Raises:
        NoAnswer: that is not such a table, or a server is missing.
    """
    rows: dict[str, ServerRow] = {}
    if not table.startswith("# pxname,svname,"):
        raise NoAnswer("the table of servers is none", sent=False)
    try:
        for row in csv.DictReader(table[2:].splitlines(), strict=True):
            server = row["svname"]
            if backend.get(server) == row["pxname"]:
                status = row["status"]
                rows[server] = ServerRow(
                    weight=int(row["weight"]),
                    # "UP 1/2" is on its way down, "DRAIN": up with weight 0 or told to drain
                    up=status.startswith(("UP", "DRAIN", "no check")),
                    draining=status.startswith("DRAIN"),
                    in_flight=int(row["scur"]),
                    queued=int(row["qcur"]),
                )
    except (KeyError, ValueError, AttributeError, csv.Error):
        raise NoAnswer("the table of servers cannot be read", sent=False) from None
    missing = sorted(set(backend) - set(rows))
    if missing:
        raise NoAnswer(f"it has no server {missing[0]}", sent=False)
    return rows


def read_arrived(listing: str) -> dict[str, float]:
    """Return how many requests came of each class.

    Args:
        listing: answer to ``show table``; entries that hold no such counter are left out.

    Raises:
        NoAnswer: that is no such listing, e.g. an error text.
    """
    if not listing.lstrip().startswith("# table:"):
        raise NoAnswer(f"a table cannot be read: {listing.strip()[:60]!r}", sent=False)
    return {found["key"]: float(found["count"]) for found in ARRIVED.finditer(listing)}


def read_map(listing: str) -> dict[str, int]:
    """Return the entries of a map whose values are whole numbers.

    Raises:
        NoAnswer: that is no such listing, e.g. an error text.
    """
    entries: dict[str, int] = {}
    try:
        for line in listing.split("\n"):
            if line:
                reference, key, value = line.split(" ")
                int(reference, 16)
                entries[key] = int(value)
    except ValueError:
        raise NoAnswer(f"a map cannot be read: {listing.strip()[:60]!r}", sent=False) from None
    return entries
