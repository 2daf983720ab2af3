"""The event that a call of a product makes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ebplan.errors import InputError
from ebplan.event import Event, EventType, ResponseShape, Target
from ebplan.frequency import FrequencyResponse
from ebplan.services.definition import Direction, ServiceDefinition
from ebplan.services.values import needed

_BY_FREQUENCY: dict[Direction, EventType] = {
    "release": "under_frequency",
    "absorb": "over_frequency",
}


def event_of(
    service: ServiceDefinition,
    direction: Direction,
    kw: float,
    start: datetime,
    duration_s: float | None = None,
    *,
    trace: tuple[tuple[float, float], ...] = (),
) -> Event:
    """Return the event of a full call: the product's speed, from its start on.

    A product whose latest beginning is unknown is read strictly: its response grows from the start
    on. With a frequency trace, the event follows the product's curve instead of a full call.

    Args:
        service: the product.
        direction: ``release`` or ``absorb``.
        kw: size of the bid, > 0.
        start: when the call starts.
        duration_s: seconds from the start to the end, the time to full activation included; as
            long as the product asks where absent.
        trace: frequency as (seconds from the start, Hz).

    Raises:
        InputError: the product does not pay for the direction, the size is not above zero, the
            duration ends before the response is whole, or a fact that is needed is unknown.
    """
    _check_size(service, direction, kw)
    full_s: float = needed(service, "full_activation_s")
    lasts_s: float = full_s + needed(service, "sustain_s") if duration_s is None else duration_s
    if lasts_s <= full_s:
        raise InputError(
            field="duration_s",
            value=lasts_s,
            allowed=f"> full_activation_s = {full_s:g}",
            remedy="lengthen the call: it ends before the response is whole",
            file=service.id,
        )
    about: dict[str, Any] = {
        "id": f"{service.id}-{direction}",
        "start": start,
        "duration_s": lasts_s,
    }
    if trace:
        about |= _following(service, direction, kw, trace)
    else:
        about |= _called(service, direction, kw, full_s)
    return Event.parse(about, file=service.id)


def _check_size(service: ServiceDefinition, direction: Direction, kw: float) -> None:
    """Refuse a direction that is not paid, and a size that is none."""
    if direction not in service.directions:
        raise InputError(
            field="direction",
            value=direction,
            allowed=" or ".join(service.directions),
            remedy=f"{service.id} does not pay for the other: choose another service",
            file=service.id,
        )
    if not kw > 0.0:
        raise InputError(
            field="kw",
            value=kw,
            allowed="> 0",
            remedy="give the size; the direction says whether it releases or absorbs",
            file=service.id,
        )


def _following(
    service: ServiceDefinition,
    direction: Direction,
    kw: float,
    trace: tuple[tuple[float, float], ...],
) -> dict[str, Any]:
    """Return the fields of an event that follows the frequency."""
    curve = FrequencyResponse(
        release_capacity_kw=kw if direction == "release" or service.symmetric else 0.0,
        absorb_capacity_kw=kw if direction == "absorb" or service.symmetric else 0.0,
        curve=needed(service, "curve"),
        nominal_hz=_nominal_hz(service, trace),
        trace=trace,
    )
    return {"type": "frequency_response", "target": {"frequency": curve}}


def _called(
    service: ServiceDefinition, direction: Direction, kw: float, full_s: float
) -> dict[str, Any]:
    """Return the fields of an event that is a full call."""
    by_frequency = service.trigger == "local_frequency"
    return {
        "type": _BY_FREQUENCY[direction] if by_frequency else "demand_response",
        "target": Target(delta_kw=-kw if direction == "release" else kw),
        "response": ResponseShape(
            initial_delay_s=service.initial_delay_s or 0.0, full_activation_s=full_s
        ),
    }


def _nominal_hz(service: ServiceDefinition, trace: tuple[tuple[float, float], ...]) -> float:
    """Return the nominal frequency that the trace begins nearest to."""
    return min(service.nominal_hz, key=lambda hz: abs(hz - trace[0][1]))
