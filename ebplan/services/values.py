"""Values that a definition lacks: asked for by name, given by the user."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ebplan.errors import InputError
from ebplan.nearest import meant
from ebplan.services.evidence import Defined, Evidence

AnyDefined = TypeVar("AnyDefined", bound=Defined)

_EXAMPLES = {
    "curve": '{"shape": "droop", "dead_band_hz": 0.01, "full_hz": 0.2}',
    "baseline": "high_4_of_5",
    "directions": '["release"]',
    "trigger": "dispatch",
    "symmetric": "false",
    "nominal_hz": "[50]",
    "tolerance.under": "0.1",
    "tolerance.over": "0.2",
    "tolerance.share_outside": "0.05",
    "recovery": "TEXT",
}


def needed(service: Defined, fact: str) -> Any:
    """Return a fact that cannot be done without.

    Args:
        service: the definition.
        fact: dotted name, e.g. ``tolerance.under``.

    Raises:
        InputError: it is not known; the line says why, and how to give it.
        KeyError: there is no fact of this name.
    """
    value = service.facts()[fact]
    if value is not None:
        return value
    evidence = service.evidence_of(fact)
    why = "the definition does not say"
    if evidence and evidence.note:
        is_none = "does not apply" if evidence.confidence == "not_applicable" else "unknown"
        why = f"{is_none}: {evidence.note}"
    raise InputError(
        field=fact,
        value=None,
        allowed=f"a value, which is none on purpose ({why.rstrip('.')})",
        remedy=f"give it: --set {fact}={_EXAMPLES.get(fact, 'NUMBER')}",
        file=service.id,
    )


def with_values(service: AnyDefined, values: Mapping[str, Any]) -> AnyDefined:
    """Return the definition with facts given by the user, whose evidence then says ``given``.

    Args:
        service: the definition.
        values: by dotted name, e.g. ``{"tolerance.under": 0.1}``.

    Raises:
        InputError: no fact has such a name, or its value is not allowed.
    """
    if not values:
        return service
    data = service.model_dump(mode="json")
    facts = service.fact_names()
    for name, value in values.items():
        if name not in facts:
            raise InputError(
                field=name,
                value=value,
                allowed=", ".join(facts),
                remedy=meant(name, facts, most=1) or "choose one of these",
                file=service.id,
            )
        group, _, field = name.rpartition(".")
        (data[group] if group else data)[field] = value
    kept = [
        entry.model_copy(update={"fields": left})
        for entry in service.evidence
        if (left := tuple(name for name in entry.fields if name not in values))
    ]
    own = Evidence(fields=tuple(values), confidence="given", note="given by the user")
    data["evidence"] = [entry.model_dump(mode="json") for entry in (*kept, own)]
    data["ranges"] = [one for one in data["ranges"] if one["fact"] not in values]
    return type(service).parse(data, file=service.id)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return values from texts like ``tolerance.under=0.1``, the value in JSON or plain text.

    Raises:
        InputError: a text without ``=``, or a name twice.
    """
    values: dict[str, Any] = {}
    for text in settings:
        name, equals, raw = text.partition("=")
        name = name.strip()
        if not (equals and name and raw.strip()) or name in values:
            raise InputError(
                field="--set",
                value=text,
                allowed="NAME=VALUE, each name once, e.g. tolerance.under=0.1",
                remedy="write it so",
            )
        try:
            values[name] = json.loads(raw)
        except ValueError:
            values[name] = raw.strip()
    return values
