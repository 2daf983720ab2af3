"""What a message means to this site: its contract says what the message leaves out.

Protocols carry numbers and instants. How fast the response must come, what is paid, what baseline
counts and what "level 2" means stand in the contract, and so in the file that declares the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.errors import InputError
from ebplan.event import Baseline, Event, EventType, HandOff, ResponseShape, Target

Ask = Literal["delta_kw", "fraction", "limit_kw", "draw_kw", "level", "price"]
"""What a number asks: a change in kW, a share of the baseline, a limit or a draw in kW, a level, a
price per kWh."""


class EventTerms(Part):
    """What the contract adds to the messages of a source."""

    response: ResponseShape = ResponseShape()
    """Speed and recovery."""
    handoff: HandOff | None = None
    """When compute should have taken over; not for prices."""
    baseline: Baseline = Baseline()
    """What a change is measured against."""
    payment_per_kwh: NonNegative = 0.0
    """Paid for each kWh delivered, in the site's currency."""
    penalty_per_kwh: NonNegative = 0.0
    """Charged for each kWh not delivered."""
    level_kw: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")], float] = Field(
        default_factory=dict
    )
    """Change of the draw in kW that each level asks for; < 0 releases. A level that stands not here
    is refused; level 0 asks for nothing and cannot be given another meaning."""


@dataclass(frozen=True)
class Interval:
    """One stretch of a message, times already in this site's words."""

    start: datetime
    """When it starts, with its zone."""
    duration_s: float
    """How long it lasts."""
    value: float
    """The number asked, kW or a price per kWh."""


def events_of(
    uid: str, ask: Ask, intervals: Sequence[Interval], terms: EventTerms
) -> tuple[Event, ...]:
    """Return what intervals ask as events; neighbours that ask the same become one.

    Prices become one price window: its steps are where the price changes.

    Args:
        uid: what the sender calls it.
        ask: what the numbers are.
        intervals: in order of time, each from the end of the one before on.
        terms: what the contract adds.

    Raises:
        InputError: a level is unknown, a draw has no fixed baseline to be a change of, or an event
            of this kind is refused by ``Event``.
    """
    if ask == "price":
        return _price_windows(uid, intervals, terms)
    merged: list[Interval] = []
    for interval in intervals:
        if merged and _continues(merged[-1], interval) and merged[-1].value == interval.value:
            last = merged.pop()
            interval = Interval(last.start, _until_end_of(interval, last.start), last.value)
        merged.append(interval)
    asking = [i for i in merged if not (ask == "level" and i.value == 0.0)]
    names = [uid] if len(asking) == 1 else [f"{uid}/{n}" for n in range(len(asking))]
    return tuple(_event(n, ask, i, terms) for n, i in zip(names, asking, strict=True))


def with_terms(event: Event, terms: EventTerms) -> Event:
    """Return an event with what the contract says where its sender left it out.

    Args:
        event: as its sender wrote it; what was written stands.
        terms: what the contract adds.

    Raises:
        InputError: what was written and what the contract says do not go together.
    """
    changes = event.target is not None and event.target.frequency is None
    shape = terms.response if changes else _at_once(terms.response)
    said: dict[str, object] = {
        "response": _fitting(shape, event.duration_s),
        "baseline": terms.baseline,
    }
    if changes:
        said["handoff"] = _in_time(terms.handoff, event.duration_s)
    if event.target is not None:
        said["payment_per_kwh"] = terms.payment_per_kwh
        said["penalty_per_kwh"] = terms.penalty_per_kwh
    written = event.model_dump(mode="json", exclude_unset=True)
    return Event.parse({**said, **written})


def _event(name: str, ask: Ask, interval: Interval, terms: EventTerms) -> Event:
    kind: EventType = "import_limit" if ask == "limit_kw" else "demand_response"
    return Event.parse(
        {
            "id": name,
            "type": kind,
            "start": interval.start.isoformat(),
            "duration_s": interval.duration_s,
            "target": _target(ask, interval.value, terms),
            "response": _fitting(terms.response, interval.duration_s),
            "handoff": _in_time(terms.handoff, interval.duration_s),
            "baseline": terms.baseline,
            "payment_per_kwh": terms.payment_per_kwh,
            "penalty_per_kwh": terms.penalty_per_kwh,
        }
    )


def _target(ask: Ask, value: float, terms: EventTerms) -> Target:
    if ask == "limit_kw":
        return Target.parse({"import_limit_kw": value})
    if ask == "fraction":
        return Target.parse({"fraction_of_baseline": value})
    if ask == "level":
        level = f"{value:g}"
        if level not in terms.level_kw:
            raise InputError(
                field="level",
                value=level,
                allowed=", ".join(sorted(terms.level_kw)) or "no level; none is declared",
                remedy="declare in level_kw of the source what the contract means by it",
            )
        value = terms.level_kw[level]
    elif ask == "draw_kw":
        if terms.baseline.kw is None:
            raise InputError(
                field="baseline",
                value=terms.baseline.rule,
                allowed="rule 'fixed' with its kw: a draw asked for is a change of something",
                remedy="declare the agreed baseline with the source, or ask for a change",
            )
        value -= terms.baseline.kw
    return Target.parse({"delta_kw": value})


def _price_windows(uid: str, intervals: Sequence[Interval], terms: EventTerms) -> tuple[Event, ...]:
    windows: list[list[Interval]] = []
    for interval in intervals:
        if windows and _continues(windows[-1][-1], interval):
            windows[-1].append(interval)
        else:
            windows.append([interval])
    names = [uid] if len(windows) == 1 else [f"{uid}/{n}" for n in range(len(windows))]
    return tuple(_price_window(name, w, terms) for name, w in zip(names, windows, strict=True))


def _price_window(name: str, window: Sequence[Interval], terms: EventTerms) -> Event:
    first, steps = window[0].start, list[tuple[float, float]]()
    for interval in window:
        if not steps or steps[-1][1] != interval.value:
            steps.append(((interval.start - first).total_seconds(), interval.value))
    return Event.parse(
        {
            "id": name,
            "type": "price_window",
            "start": first.isoformat(),
            "duration_s": _until_end_of(window[-1], first),
            "price_steps": steps,
            "response": _at_once(terms.response),
            "baseline": terms.baseline,
        }
    )


def _until_end_of(interval: Interval, start: datetime) -> float:
    """Return the seconds to the end of an interval; a sum of many durations would drift from it."""
    return (interval.start - start).total_seconds() + interval.duration_s


def _continues(last: Interval, following: Interval) -> bool:
    # calls are told to a millisecond, rounded: what is less than one apart touches
    gap_s = (following.start - last.start).total_seconds() - last.duration_s
    return abs(gap_s) < 9.5e-4  # a whole one may fall short of itself in floating point


def _fitting(response: ResponseShape, duration_s: float) -> ResponseShape:
    """Let a stretch that is shorter than the activation be asked in full from its start on.

    It is a later step of a call, or a call that ends at once: there is no ramp to wait for.
    """
    if response.full_activation_s < duration_s:
        return response
    return _at_once(response)


def _at_once(response: ResponseShape) -> ResponseShape:
    return response.model_copy(update={"initial_delay_s": 0.0, "full_activation_s": 0.0})


def _in_time(handoff: HandOff | None, duration_s: float) -> HandOff | None:
    return None if handoff is None or handoff.by_s > duration_s else handoff
