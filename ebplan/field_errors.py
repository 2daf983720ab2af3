"""What pydantic finds wrong with a document, in one line of our words."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ebplan.errors import InputError

_ALLOWED = {
    "bool_type": "true or false",
    "dict_type": "an object {{...}}",
    "finite_number": "a finite number",
    "float_type": "a number, not text or true/false",
    "greater_than": "> {gt:g}",
    "greater_than_equal": ">= {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number, not text or true/false",
    "json_invalid": "JSON ({error})",
    "less_than": "< {lt:g}",
    "less_than_equal": "<= {le:g}",
    "literal_error": "{expected}",
    "missing": "a value",
    "model_type": "an object {{...}}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_type": "text",
    "too_long": "at most {max_length} item(s)",
    "too_short": "at least {min_length} item(s)",
    "tuple_type": "a list [...]",
    "union_tag_invalid": "{discriminator} one of {expected_tags}",
    "union_tag_not_found": "an object that says its {discriminator}",
}
_REMEDY = {
    "finite_number": "replace it by a measured or assumed value",
    "missing": "add the field",
}


class FieldFault(ValueError):
    """Raised inside a validator when fields contradict each other; becomes an InputError."""

    def __init__(self, *, field: str, value: object, allowed: str, remedy: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        self.remedy = remedy
        super().__init__(f"{field}: {allowed}")


def first_error(
    error: ValidationError, model: type[BaseModel], *, file: str | None, at: str
) -> InputError:
    """Turn pydantic's complaints into our one line, about a misspelt field where there is one.

    A misspelt field shows as a missing and an unknown one: naming the missing one first would send
    the reader looking for a field that seems to be there.
    """
    details = error.errors(include_url=False)
    slip = _misspelt(details, model)
    detail, meant = slip if slip else (details[0], "")
    kind, context = detail["type"], detail.get("ctx", {})
    fault = context.get("error")
    if not isinstance(fault, FieldFault):
        schema = _schema_at(model, detail["loc"][:-1])
        known = schema.get("properties", {})
        name = str(detail["loc"][-1]) if detail["loc"] else ""
        meaning = " ".join(known.get(name, {}).get("description", "").split())
        fault = FieldFault(
            field="",
            value=None if kind == "missing" else detail["input"],
            allowed=_ALLOWED[kind].format(**context) if kind in _ALLOWED else detail["msg"],
            remedy=_REMEDY.get(kind, "correct the value") + (meaning and f': "{meaning}"'),
        )
        if kind == "extra_forbidden":
            fault.allowed = ", ".join(known) or "the fields of the schema"
            fault.remedy = f"did you mean {meant!r}?" if meant else "remove the field"
    path = ".".join(part for part in (at, *_inside(detail, model), fault.field) if part)
    explained = [d for d in details if d is detail or _is_missing(d, detail, meant)]
    more = error.error_count() - len(explained)
    return InputError(
        field=path or "(file)",
        value=fault.value,
        allowed=fault.allowed,
        remedy=fault.remedy + (f" (and {more} more)" if more else ""),
        file=file,
    )


def _misspelt(
    details: list[ErrorDetails], model: type[BaseModel]
) -> tuple[ErrorDetails, str] | None:
    """Return the first unknown field that looks like one there is, and that one.

    Fields that are missing beside it are looked at first, and from farther: one of them was meant.
    """
    for detail in details:
        if detail["type"] != "extra_forbidden":
            continue
        name, known = str(detail["loc"][-1]), _schema_at(model, detail["loc"][:-1])
        fields = known.get("properties", {})
        missing = [field for field in fields if any(_is_missing(d, detail, field) for d in details)]
        near = get_close_matches(name, missing, 1, cutoff=0.5) or get_close_matches(name, fields, 1)
        if near:
            return detail, near[0]
    return None


def _is_missing(detail: ErrorDetails, beside: ErrorDetails, field: str) -> bool:
    """Whether a complaint is that ``field`` is missing in the object that ``beside`` is about."""
    return detail["type"] == "missing" and detail["loc"] == (*beside["loc"][:-1], field)


def _inside(detail: ErrorDetails, model: type[BaseModel]) -> Iterator[str]:
    """Yield the path to a complaint, without the names that pydantic gives to choices."""
    place = detail["loc"]
    for i, part in enumerate(place):
        if part != "[key]" and not _is_choice(part, _schema_at(model, place[:i])):
            yield str(part)


def _is_choice(key: int | str, schema: dict[str, Any]) -> bool:
    """Whether a part of a path is the name of the object itself, one of several choices."""
    return ("properties" in schema and key == schema.get("title")) or key in _by_tag(schema)


def _by_tag(schema: dict[str, Any]) -> dict[str, str]:
    """Return where the choices are described between which one field of the object decides."""
    return dict(schema.get("discriminator", {}).get("mapping", {}))


def _schema_at(model: type[BaseModel], path: tuple[int | str, ...]) -> dict[str, Any]:
    """Return the JSON Schema of the object at a path; empty where it is none."""
    whole = _schema(model)

    def resolved(part: Any) -> dict[str, Any]:
        part = part.get("anyOf", [part])[0] if isinstance(part, dict) else {}
        return dict(whole["$defs"][part["$ref"].rsplit("/", 1)[-1]] if "$ref" in part else part)

    part = resolved(whole)
    for key in path:
        if _is_choice(key, part):
            tagged = _by_tag(part).get(str(key))
            part = resolved({"$ref": tagged}) if tagged else part
            continue
        named = {**part.get("properties", {}), "": part.get("items")}
        others = [*part.get("patternProperties", {}).values(), part.get("additionalProperties")]
        part = resolved(named.get("" if isinstance(key, int) else key) or others[0])
    return part


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()
