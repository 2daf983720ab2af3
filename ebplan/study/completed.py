"""What a study leaves to the definitions of its products: read there, or taken as their range.

A number that the study does not state and the definition does not know is taken as the range that
the definition names, and then moved to both ends like any other; without a range it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebplan.errors import InputError
from ebplan.services import ServiceDefinition, load_service, needed, with_values
from ebplan.study.spec import Service, StudySpec
from ebplan.study.stated import Assumed, Stated


def definitions_of(spec: StudySpec, folder: Path) -> tuple[ServiceDefinition, ...]:
    """Return the definition of each product, with the values that the study gives.

    Raises:
        InputError: a definition is missing or wrong, or of another currency, or it sells two
            directions apart, of which the study names none.
    """
    return tuple(
        _definition(service, folder, spec.currency, field=f"services.{n}.service")
        for n, service in enumerate(spec.services)
    )


def completed(spec: StudySpec, definitions: Sequence[ServiceDefinition]) -> StudySpec:
    """Return the study with what it leaves to the definitions filled in.

    Raises:
        InputError: neither the study nor the definition says it, nor is there a range.
    """
    services = tuple(
        service
        if service.unavailable_times is not None
        else service.model_copy(update={"unavailable_times": _multiple(service, definition)})
        for service, definition in zip(spec.services, definitions, strict=True)
    )
    return spec.model_copy(update={"services": services})


def wanted_fact(definition: ServiceDefinition, fact: str) -> Any:
    """Return a fact that a study cannot do without.

    Raises:
        InputError: it is not known; the line says why, and how the study gives it.
    """
    try:
        return needed(definition, fact)
    except InputError as error:
        raise InputError(
            field=f"services.{definition.id}.values.{fact}",
            value=error.value,
            allowed=error.allowed,
            remedy=f'give it in the study: values = {{ "{fact}" = ... }}',
        ) from None


def _definition(service: Service, folder: Path, currency: str, field: str) -> ServiceDefinition:
    definition = with_values(
        load_service(service.service, folder=folder, field=field), service.values
    )
    if definition.market.currency not in (None, currency):
        raise InputError(
            field=f"services.{definition.id}",
            value=definition.market.currency,
            allowed=f"a product paid in {currency}, the currency of the study",
            remedy="study in the currency of the market",
        )
    return _in_direction(service, definition)


def _in_direction(service: Service, definition: ServiceDefinition) -> ServiceDefinition:
    """Return the definition of the direction that is offered, where a product sells two apart."""
    apart = len(definition.directions) > 1 and not definition.symmetric
    if apart != (service.direction is not None):
        raise InputError(
            field=f"services.{definition.id}.direction",
            value=service.direction,
            allowed="release or absorb: the product sells them apart"
            if apart
            else f"nothing: one award is for {' and '.join(definition.directions)}",
            remedy="say which of them is offered" if apart else "leave it out",
        )
    if service.direction is None:
        return definition
    return definition.model_copy(update={"directions": (service.direction,)})


def _multiple(service: Service, definition: ServiceDefinition) -> Stated:
    fact = "market.penalty_multiple"
    known, between = definition.market.penalty_multiple, definition.range_of(fact)
    if known is not None:
        return known
    if between is not None:
        return Assumed(value=between.value, low=between.low, high=between.high, why=between.why)
    raise InputError(
        field=f"services.{definition.id}.unavailable_times",
        value=service.unavailable_times,
        allowed="a number, or a range with its reason: the definition knows none "
        f"({_why(definition, fact)})",
        remedy="state how many times its payment a missing kW costs",
    )


def _why(definition: ServiceDefinition, fact: str) -> str:
    evidence = definition.evidence_of(fact)
    return evidence.note.rstrip(".") if evidence and evidence.note else "it does not say"
