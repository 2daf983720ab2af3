"""What an event asks of the draw: a change, a band around a target, or nothing but a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.problem import Asks

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What is asked inside the event."""

    asks: Asks
    delta_kw: float = 0.0
    """Change against the baseline, where one is asked in one direction."""
    tolerance_kw: float = 0.0
    """Half the width of the band, where a target is followed both ways."""
    import_limit_kw: float | None = None
    """Limit of the draw, where it asks for no change of it."""


def what_is_asked(event: Event, baseline_kw: float, draw_kw: float) -> Asked:
    """Return what an event asks.

    Args:
        event: the event.
        baseline_kw: what the site would draw without it.
        draw_kw: what the site draws when the plan starts.

    Raises:
        InputError: it asks for a change of nothing, or refers to a trace that was not read.
    """
    target = event.target
    if target is None:
        return Asked("nothing")
    if target.frequency is not None:
        if target.frequency.trace_file is not None:
            raise InputError(
                field="event.target.frequency.trace_file",
                value=target.frequency.trace_file,
                allowed="a trace that has been read",
                remedy="read the case with load_case, or give the trace in place",
            )
        return Asked("both_ways", tolerance_kw=target.frequency.tolerance_kw)
    if target.import_limit_kw is not None:
        limit_kw = target.import_limit_kw
        # A limit below what would be drawn is a release down to it; one above asks for nothing.
        if limit_kw < min(baseline_kw, draw_kw):
            return Asked("one_way", limit_kw - baseline_kw)
        return Asked("nothing", import_limit_kw=limit_kw)
    if target.delta_kw is not None:
        field, delta_kw = "event.target.delta_kw", target.delta_kw
    else:
        field = "event.target.fraction_of_baseline"
        delta_kw = (target.fraction_of_baseline or 0.0) * baseline_kw
    if delta_kw == 0.0:
        raise InputError(
            field=field,
            value=0.0,
            allowed="not 0",
            remedy="ask for less draw (< 0, release) or more (> 0, absorb)",
        )
    return Asked("one_way", delta_kw)


def without_effect(event: Event, asked: Asked) -> tuple[str, ...]:
    """Say which fields of an event say nothing because its limit lies above the draw."""
    if asked.import_limit_kw is None:
        return ()
    stated = {
        "the hand-off": event.handoff,
        "the initial delay": event.response.initial_delay_s,
        "the time to full activation": event.response.full_activation_s,
        "the payment": event.payment_per_kwh,
        "the penalty": event.penalty_per_kwh,
    }
    idle = [words for words, value in stated.items() if value]
    if not idle:
        return ()
    return (
        f"The limit of {asked.import_limit_kw:.2f} kW asks for no change of the draw; without "
        f"effect: {', '.join(idle)}.",
    )


def target_steps(event: Event, asked: Asked, edges_s: FloatArray) -> FloatArray:
    """Return the target per step, shape (T,): the deepest it asks within the step.

    A frequency response asks for the mean of its curve over the trace inside the step. ``edges_s``
    (T + 1,) count from the start of the event.
    """
    until, shape = edges_s[1:], event.response
    begin, full, end = shape.initial_delay_s, shape.full_activation_s, event.duration_s
    inside = (edges_s[:-1] >= begin - 1e-9) & (edges_s[:-1] < end - 1e-9)
    if event.target is not None and event.target.frequency is not None:
        return np.where(inside, event.target.frequency.target_kw(edges_s), 0.0)
    rise_s = full - begin
    reached = np.ones_like(until) if rise_s <= 0.0 else np.clip((until - begin) / rise_s, 0.0, 1.0)
    return np.asarray(np.where(inside, asked.delta_kw * reached, 0.0))
