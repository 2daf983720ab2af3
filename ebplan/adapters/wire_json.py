"""Answers and readings as JSON holds them: typed on both sides of a line, and in a recording.

from_json(json.loads(json.dumps(to_json(answer)))) == answer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from ebplan.adapters import answers, roles

_KINDS = {
    kind.__name__: kind
    for module in (answers, roles)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind)
}


def to_json(value: Any) -> Any:
    """Return a value as JSON holds it, dataclasses and mappings by name."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = _adapter(type(value)).dump_python(value, mode="json")
        return {"is": type(value).__name__, **plain}
    if isinstance(value, Mapping):
        return {"by": type(next(iter(value), "")).__name__, "of": [
            [key, to_json(entry)] for key, entry in value.items()
        ]}  # fmt: skip
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return value if value == value else "NaN"


def from_json(value: Any) -> Any:
    """Return the value that ``to_json`` made this of.

    Raises:
        ValueError: it made nothing like that (a validation error is one).
        KeyError, TypeError: the same.
    """
    if isinstance(value, dict) and "is" in value:
        kind = _KINDS[value["is"]]
        return _adapter(kind).validate_python({k: v for k, v in value.items() if k != "is"})
    if isinstance(value, dict):
        return {key: from_json(entry) for key, entry in value["of"]}
    return value


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
