"""When products are bid and awards come, by their definitions, in steps of the day before."""

from __future__ import annotations

from datetime import datetime, timedelta

from ebplan.errors import InputError
from ebplan.services import ServiceDefinition
from ebplan.services.market import Clock
from ebplan.study.completed import wanted_fact
from ebplan.study.numbers import Gate


def gate_of(
    definition: ServiceDefinition, first: datetime, step_s: int, by_clock: bool
) -> Gate | None:
    """Return when bids close and awards come; None where the definition does not know."""
    market = definition.market
    if by_clock:
        for fact in ("market.gate", "market.award"):
            wanted_fact(definition, fact)
    if market.gate is None or market.award is None:
        return None
    where = f"services.{definition.id}.values.market"
    return Gate(
        bid=step_of(market.gate, first, step_s, f"{where}.gate"),
        known=step_of(market.award, first, step_s, f"{where}.award", late=True),
    )


def step_of(clock: Clock, first: datetime, step_s: int, field: str, *, late: bool = False) -> int:
    """Return the step of the day before delivery in which a clock strikes.

    Args:
        clock: strikes for a day of delivery.
        first: beginning of the study.
        step_s: length of a step.
        field: for the error.
        late: the first step that begins when it has struck.

    Raises:
        InputError: it strikes on another day.
    """
    delivery = first.date() + timedelta(days=1)
    after_s = (clock.moment(delivery) - first).total_seconds()
    if not 0.0 <= after_s < 86_400.0:
        raise InputError(
            field=field,
            value=f"{clock.at}, {clock.days_before} days before ({clock.time_zone})",
            allowed="a moment of the day before delivery, in the time zone of the study",
            remedy="give another: a study bids day by day",
        )
    return int(-(-after_s // step_s) if late else after_s // step_s)
