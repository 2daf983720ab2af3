"""What pydantic finds wrong with a document, in one line of our words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ebplan.document_path import Place, named_item, place_of
from ebplan.errors import InputError
from ebplan.kinds import another_kind
from ebplan.nearest import meant

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
    "string_too_short": "at least {min_length} character(s)",
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


class _Complaint(NamedTuple):
    """What pydantic says, and where in the document."""

    detail: ErrorDetails
    place: Place

    @property
    def kind(self) -> str:
        return self.detail["type"]


def first_error(
    error: ValidationError, model: type[BaseModel], *, raw: str | bytes, file: str | None, at: str
) -> InputError:
    """Turn pydantic's complaints into our one line, about a misspelt field where there is one.

    A misspelt field shows as a missing and an unknown one: naming the missing one first would send
    the reader looking for a field that seems to be there.

    Args:
        error: the complaints.
        model: the document that the data was to be.
        raw: the data, as JSON.
        file: where it came from.
        at: dotted path of the data within the file.
    """
    details = error.errors(include_url=False)
    data = None if details[0]["type"] == "json_invalid" else json.loads(raw)
    if other := _of_another_kind(data, model, at, file):
        return other
    told = [_Complaint(d, place_of(d, data)) for d in details]
    complaints = _without_consequences(_of_the_meant_forms(told))
    slip = _misspelt(complaints, model)
    first, intended = slip if slip else (complaints[0], "")
    kind, context = first.kind, first.detail.get("ctx", {})
    fault = context.get("error")
    if not isinstance(fault, FieldFault):
        known = _fields_at(model, first.place, inner=1)
        name = str(first.detail["loc"][-1]) if first.detail["loc"] else ""
        meaning = " ".join(known.get(name, {}).get("description", "").split())
        fault = FieldFault(
            field="",
            value=None if kind == "missing" else first.detail["input"],
            allowed=_allowed(first, told),
            remedy=_remedy(first.detail) + (meaning and f': "{meaning}"'),
        )
        if kind == "extra_forbidden":
            fault.allowed = ", ".join(known) or "the fields of the schema"
            fault.remedy = f"did you mean {intended!r}?" if intended else "remove the field"
    path = ".".join(str(part) for part in first.place.path)
    item = named_item(first.place.path, data)
    explained = [c for c in complaints if c is first or _is_missing(c, first, intended)]
    more = len(complaints) - len(explained)
    return InputError(
        field=".".join(part for part in (at, path, fault.field) if part) or "(file)",
        value=fault.value,
        allowed=fault.allowed,
        remedy=fault.remedy + (item and f" ({item})") + (f" (and {more} more)" if more else ""),
        file=file,
    )


def _remedy(detail: ErrorDetails) -> str:
    """Say what to do; of a value that is one of a few, which of them was meant."""
    context, value = detail.get("ctx", {}), detail["input"]
    listed = context.get("expected") if detail["type"] == "literal_error" else None
    if detail["type"] == "union_tag_invalid":
        listed, value = context["expected_tags"], context["tag"]
    near = meant(value, re.findall(r"'([^']+)'", listed), most=1) if listed else ""
    return near or _REMEDY.get(detail["type"], "correct the value")


def _of_another_kind(
    data: object, model: type[BaseModel], at: str, file: str | None
) -> InputError | None:
    """Say so first where a whole file is a document of another kind: all else follows from it."""
    kind = model.model_fields.get("kind")
    if at or kind is None or not isinstance(data, dict):
        return None
    return another_kind(data, str(kind.default), fields=model.model_fields, file=file)


def _allowed(complaint: _Complaint, told: list[_Complaint]) -> str:
    """Say what is allowed; of a value that is of none of its forms, what each would be."""
    of_none = complaint.place.own[-1:] == (False,) and complaint.kind != "missing"
    path = complaint.place.path
    said = [c.detail for c in told if c.place.path == path] if of_none else [complaint.detail]
    texts = [
        _ALLOWED[kind].format(**detail.get("ctx", {}))
        if (kind := detail["type"]) in _ALLOWED
        else detail["msg"]
        for detail in said
    ]
    return ", or ".join(dict.fromkeys(texts))


def _without_consequences(complaints: list[_Complaint]) -> list[_Complaint]:
    """Leave out that a list is too short where items were not counted because they are wrong."""

    def around(outer: Place, inner: Place) -> bool:
        size = len(outer.path)
        return size < len(inner.path) and inner.path[:size] == outer.path

    return [
        c
        for c in complaints
        if c.kind != "too_short" or not any(around(c.place, other.place) for other in complaints)
    ]


def _of_the_meant_forms(complaints: list[_Complaint]) -> list[_Complaint]:
    """Leave out what is said of forms that were not meant, where a value may have several.

    Each form that was tried complains of its own. The one with a complaint inside the value was
    meant rather than one that is of another kind altogether, and of two such the one with fewer.
    """
    depth = 0
    while any(len(c.place.parts) > depth for c in complaints):
        forms: dict[tuple[int | str, ...], dict[int | str, list[_Complaint]]] = {}
        for c in complaints:
            if len(c.place.parts) > depth and not c.place.own[depth]:
                tried = forms.setdefault(c.place.parts[:depth], {})
                tried.setdefault(c.place.parts[depth], []).append(c)
        for tried in forms.values():
            nearest = min(tried.values(), key=_distance)
            out = {id(c) for said in tried.values() if said is not nearest for c in said}
            complaints = [c for c in complaints if id(c) not in out]
        depth += 1
    return complaints


def _distance(complaints: list[_Complaint]) -> tuple[int, int]:
    """Return how far a value is from a form; less is nearer."""
    deepest = max(len(c.place.path) for c in complaints)
    return -deepest, len(complaints)


def _misspelt(
    complaints: list[_Complaint], model: type[BaseModel]
) -> tuple[_Complaint, str] | None:
    """Return the first unknown field that looks like one there is, and that one.

    Fields that are missing beside it are looked at first, and from farther: one of them was meant.
    """
    for complaint in complaints:
        if complaint.kind != "extra_forbidden":
            continue
        name, fields = str(complaint.place.parts[-1]), _fields_at(model, complaint.place, inner=1)
        missing = [f for f in fields if any(_is_missing(c, complaint, f) for c in complaints)]
        near = get_close_matches(name, missing, 1, cutoff=0.5) or get_close_matches(name, fields, 1)
        if near:
            return complaint, near[0]
    return None


def _is_missing(complaint: _Complaint, beside: _Complaint, field: str) -> bool:
    """Whether a complaint is that ``field`` is missing in the object that ``beside`` is about."""
    where = (*beside.place.parts[:-1], field)
    return complaint.kind == "missing" and complaint.place.parts == where


def _fields_at(model: type[BaseModel], place: Place, *, inner: int = 0) -> dict[str, Any]:
    """Return the JSON Schemas of the fields of an object, by name; none where it is no object.

    Args:
        model: the document.
        place: where.
        inner: how many of the last parts are left out: 1 for the object around a field.
    """
    whole = _schema(model)
    forms = list(_forms(whole, whole))
    end = len(place.parts) - inner
    for part, own in list(zip(place.parts, place.own, strict=True))[: max(end, 0)]:
        if own:
            forms = [f for form in forms for f in _forms(_below(form, part), whole)]
        else:
            forms = [f for f in forms if _is_called(f, part)] or forms
    return {name: field for form in forms for name, field in form.get("properties", {}).items()}


def _forms(schema: Any, whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each form that a schema allows, its references resolved."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _forms(whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]], whole)
        return
    tags = {at: tag for tag, at in schema.get("discriminator", {}).get("mapping", {}).items()}
    several = schema.get("anyOf") or schema.get("oneOf")
    for one in several or ():
        tag = tags.get(one.get("$ref", ""))
        yield from ({**form, "tag": tag} if tag else form for form in _forms(one, whole))
    if not several:
        yield schema


def _below(form: dict[str, Any], part: int | str) -> Any:
    """Return the schema of a field or an item of a form."""
    if isinstance(part, int):
        return form.get("items")
    others = [*form.get("patternProperties", {}).values(), form.get("additionalProperties")]
    return form.get("properties", {}).get(part, others[0])


def _is_called(form: dict[str, Any], part: int | str) -> bool:
    """Whether a part of a location, no field of the document, is the name of this form."""
    title = form.get("title")
    return part == form.get("tag") or (
        title is not None and (part == title or str(part).endswith(f", {title}]"))
    )


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()
