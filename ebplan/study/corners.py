"""Results as ranges: the study once more at either end of each assumed range, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from ebplan.study.spec import StudySpec

CENTRAL = "central"
"""The corner at which every assumption has its central value."""
_ASSUMED = {"value", "low", "high", "why"}


def assumptions(spec: StudySpec) -> list[dict[str, Any]]:
    """Return what the study assumes: field, value, low, high, why."""
    plain = spec.model_dump(mode="json")
    return [{"field": field, **found} for field, found in _walk(plain, "")]


def corners(spec: StudySpec) -> Iterator[tuple[str, StudySpec]]:
    """Yield each corner with the study at it: ``FIELD:low`` and ``FIELD:high``.

    Ranges without width have none.
    """
    for one in assumptions(spec):
        for end in ("low", "high"):
            if one[end] != one["value"]:
                yield f"{one['field']}:{end}", at_value(spec, one["field"], one[end])


def at_value(spec: StudySpec, field: str, value: float) -> StudySpec:
    """Return the study with a field of this dotted path known to be a value."""
    plain = deepcopy(spec.model_dump(mode="json"))
    *path, last = field.split(".")
    inner: Any = plain
    for key in path:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return StudySpec.parse(plain)


def _walk(plain: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(plain, dict):
        if set(plain) == _ASSUMED:
            yield at, plain
            return
        for key, inner in plain.items():
            yield from _walk(inner, f"{at}.{key}" if at else key)
    elif isinstance(plain, list):
        for i, inner in enumerate(plain):
            yield from _walk(inner, f"{at}.{i}" if at else str(i))


def words_of(corner: str, services: Sequence[str], groups: Sequence[str]) -> str:
    """Return a corner as a reader knows it: ``jp_fcr.price_times, high``.

    Args:
        corner: as ``corners`` names it.
        services: products, in their order.
        groups: groups, in their order.
    """
    field, _, end = corner.rpartition(":")
    first, *rest = field.split(".")
    names = {"services": services, "portfolio": groups}.get(first)
    if names is not None and rest:
        field = ".".join([names[int(rest[0])], *rest[1:]])
    return f"{field}, {end}"
