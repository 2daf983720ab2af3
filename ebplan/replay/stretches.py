"""Cuts a long recording where nothing is asked: a stretch is what is kept when it is finished.

At a cut the planner begins anew from the state of the twin, whether or not anybody interrupted:
what comes out does not depend on where somebody did.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ebplan.event import Event
from ebplan.replay.recording import Recording

LEAD_S = 600.0
"""A cut lies so long before the next event at least: the planner is to know the site by then."""


@dataclass(frozen=True)
class Stretch:
    """A part of a recording, as numbers of its intervals."""

    number: int
    begin: int
    end: int
    """The first interval that is not in it."""
    events: tuple[Event, ...]
    """Those that begin in it."""


def stretches(recording: Recording, about_s: float) -> list[Stretch]:
    """Return stretches that follow one another over the whole recording, by time."""
    meter = recording.meter
    count, interval_s = round(meter.end_s / meter.interval_s), meter.interval_s
    busy = [
        (
            meter.seconds(event.start) - LEAD_S,
            meter.seconds(event.start) + event.duration_s + event.response.recovery_s,
        )
        for event in recording.events
    ]
    cuts, begin_s = [0], 0.0
    for i in range(1, count):
        at_s = i * interval_s
        free = all(not from_s < at_s < to_s for from_s, to_s in busy)
        if free and at_s - begin_s >= about_s:
            cuts.append(i)
            begin_s = at_s
    cuts.append(count)
    found = []
    for number, (begin, end) in enumerate(pairwise(cuts)):
        inside = tuple(
            event
            for event in recording.events
            if begin * interval_s <= meter.seconds(event.start) < end * interval_s
        )
        found.append(Stretch(number, begin, end, inside))
    return found
