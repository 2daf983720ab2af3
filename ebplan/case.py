"""A case: an event with the site and the state it meets, as one file or several.

``event.json`` may hold the whole case, or refer to a site by file or by the name of a built-in
one, and to a state by file.
"""

from __future__ import annotations

import math
import os
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ebplan.document import Document, read_data, read_text
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.nearest import meant
from ebplan.site import Site
from ebplan.state import State

_BUILT_IN = resources.files("ebplan") / "sites"


class Case(Document):
    """An event with its site and state, resolved."""

    kind: Literal["event"] = "event"
    event: Event
    """What the grid asks."""
    site: Site
    """The site it asks."""
    state: State
    """The state of the site when the plan is made."""


class CaseFile(Document):
    """A case as a file: site and state in place or by reference."""

    kind: Literal["event"] = "event"
    event: Event
    """What the grid asks."""
    site: Site | str
    """The site, the path of its file, or the name of a built-in one."""
    state: State | str
    """The state, or the path of its file."""


def built_in_sites() -> list[str]:
    """Return the names of the sites shipped with ebplan."""
    return sorted(entry.name.removesuffix(".json") for entry in _BUILT_IN.iterdir())


def load_site(name: str, *, folder: Path | None = None, field: str = "site") -> Site:
    """Load a built-in site by name, or a site file (JSON or TOML), relative to ``folder``.

    Args:
        name: the name, or the path of the file.
        folder: where paths count from.
        field: what names the site, for the error.

    Raises:
        InputError: there is no such site, or the file is wrong.
    """
    if name in built_in_sites():
        return Site.parse((_BUILT_IN / f"{name}.json").read_bytes(), file=name)
    path = (folder or Path()) / name
    if not os.path.exists(path):  # unlike Path.exists, False for every name that cannot be one
        raise InputError(
            field=field,
            value=name,
            allowed=f"a built-in site ({', '.join(built_in_sites())}) or a file",
            remedy=meant(name, built_in_sites()) or "correct the name or the path",
        )
    return Site.parse(read_data(path), file=str(path))


def load_case(path: str | Path) -> Case:
    """Load a case from a file (JSON or TOML) and resolve what it refers to.

    Raises:
        InputError: a file is missing or unreadable, or a field is wrong; the message names both.
    """
    path = Path(path)
    return resolve_case(read_data(path), folder=path.parent, file=str(path))


def resolve_case(data: dict[str, Any], *, folder: Path, file: str) -> Case:
    """Resolve a case's references and validate it."""
    data = dict(data)
    try:
        if isinstance(data.get("site"), str):
            data["site"] = load_site(data["site"], folder=folder)
        if isinstance(data.get("state"), str):
            state_path = folder / data["state"]
            data["state"] = State.parse(read_data(state_path), file=str(state_path))
        if "event" in data:
            data["event"] = with_trace(data["event"], folder)
    except InputError as error:
        raise error.in_file(file) from None
    return Case.parse(data, file=file)


def with_trace(event: Any, folder: Path) -> Any:
    """Return an event's data with the frequency trace of its ``trace_file`` in place."""
    try:
        name = event["target"]["frequency"]["trace_file"]
        given = event["target"]["frequency"].get("trace")
    except (KeyError, TypeError, AttributeError):  # not there, or wrong: the event says what
        return event
    if not isinstance(name, str) or given:
        return event
    frequency = {**event["target"]["frequency"], "trace": read_trace(folder / name)}
    del frequency["trace_file"]
    return {**event, "target": {**event["target"], "frequency": frequency}}


def read_trace(path: Path) -> list[list[float]]:
    """Return a frequency trace as [seconds from the start of the event, Hz] from a CSV file.

    Raises:
        InputError: the file is missing or no CSV with the header ``t_s,hz`` and numbers.
    """
    rows = [line.split(",") for line in read_text(path).splitlines() if line.strip()]
    if not rows or [cell.strip() for cell in rows[0]] != ["t_s", "hz"]:
        raise _no_trace(path, "line 1", rows[0] if rows else None)
    trace: list[list[float]] = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            t_s, hz = (float(cell) for cell in row)
        except ValueError:
            raise _no_trace(path, f"line {number}", ",".join(row)) from None
        if not (math.isfinite(t_s) and math.isfinite(hz)):
            raise _no_trace(path, f"line {number}", ",".join(row))
        trace.append([t_s, hz])
    if not trace:
        raise _no_trace(path, "line 2", None)
    return trace


def _no_trace(path: Path, field: str, value: object) -> InputError:
    return InputError(
        field=field,
        value=value,
        allowed="the header t_s,hz, then two finite numbers a line",
        remedy="write seconds from the start of the event and the frequency in Hz",
        file=str(path),
    )
