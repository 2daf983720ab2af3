"""Where in a document a complaint of pydantic lies, in the document's own words.

Between the fields and indices of the document a location of pydantic also names the forms that
were tried on a value (``portfolio.0.load.share.day.by_hour``: ``day`` is a form of a series, no
field) and the validators around them. The document itself tells which parts are its own: the others
lead nowhere in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

NAMES = ("name", "id", "service")
"""Fields by which an item of a list is known to who wrote it."""
NOTHING = object()
"""Stands for what a document does not hold."""


class Place(NamedTuple):
    """A location of pydantic, its parts told apart."""

    parts: tuple[int | str, ...]
    """The location as pydantic gives it."""
    own: tuple[bool, ...]
    """Of each part: whether it stands in the document."""

    @property
    def path(self) -> tuple[int | str, ...]:
        """The parts that stand in the document."""
        return tuple(part for part, own in zip(self.parts, self.own, strict=True) if own)


def place_of(detail: ErrorDetails, data: object) -> Place:
    """Tell the parts of a complaint's location apart.

    Args:
        detail: the complaint.
        data: the document, as plain data.
    """
    *outer, last = detail["loc"] or ("[key]",)
    if last == "[key]" or detail["type"] == "missing":  # the last part leads to no value
        end: tuple[bool, ...] = (last != "[key]",) if detail["loc"] else ()
        inner = _reading(tuple(outer), data, detail["input"])
        return Place(detail["loc"], (*inner, *end))
    return Place(detail["loc"], _reading(detail["loc"], data, detail["input"]))


def named_item(path: Sequence[int | str], data: object) -> str:
    """Return which item of a list a path leads into, by the name it has: ``services.0 is 'fcr'``.

    Empty where it leads into none with a name; of several items the innermost is named.
    """
    said = ""
    for end, part in enumerate(path, start=1):
        data = _at(data, part)
        fields = data if isinstance(data, dict) and isinstance(part, int) else {}
        name = next((fields[f] for f in NAMES if isinstance(fields.get(f), str)), "")
        if name and end < len(path):
            said = f"{'.'.join(str(p) for p in path[:end])} is {name!r}"
    return said


def _reading(parts: tuple[int | str, ...], data: object, value: object) -> tuple[bool, ...]:
    """Return which parts lead through the document to the value that is complained of.

    A form may be called like a field in it (``folder.folder``): the value decides. Where a
    validator has changed it, as many parts as possible are taken for the document's.
    """
    readings = list(_readings(parts, data))
    return next((own for own, end in readings if end == value), readings[0][0])


def _readings(parts: tuple[int | str, ...], data: object) -> Iterator[tuple[tuple[bool, ...], Any]]:
    if not parts:
        yield (), data
        return
    inner = _at(data, parts[0])
    if inner is not NOTHING:
        for own, end in _readings(parts[1:], inner):
            yield (True, *own), end
    for own, end in _readings(parts[1:], data):
        yield (False, *own), end


def _at(data: object, part: int | str) -> object:
    if isinstance(data, dict):
        return data.get(part, NOTHING)
    inside = isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data)
    return data[part] if inside else NOTHING  # type: ignore[index]
