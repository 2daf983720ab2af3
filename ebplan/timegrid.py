"""The non-uniform time grid: fine where power moves, coarse where it rests.

A *step* is an interval over which powers are means; a *state* (energy, counts) belongs to the
edge at the **start** of a step, with one more for the end of the horizon: flows have shape
``(T,)``, states ``(T + 1,)``. Compute may change only at *epochs*, a subset of the step edges.
Steps are cheap for the solver, epochs are not (docs/formulation.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part

FIRST_STEP_S = 0.1
"""Shortest step: the resolution at which a fast response is judged."""
GROWTH = 0.4
"""A step may be this share of the time since the target last moved."""
LONGEST_STEPS = 40
"""No step is longer than the horizon divided by this."""
RESPONSE_EPOCHS_S = (0.0, 1.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
"""Epochs after the response begins, for one that is complete at once: dense while the hand-off
runs. A response that rises over more than a minute stretches them."""
RELEASE_EPOCHS_S = (0.0, 5.0, 15.0, 30.0)
"""Epochs after the end of the event."""
NOTICE_EPOCHS_S = (60.0, 15.0)
"""Epochs before the response begins, where there is notice: time to drain, sleep or wake."""


class TimeGrid(Part):
    """Step edges in seconds from plan start, and the steps at which epochs begin."""

    edges_s: tuple[float, ...] = Field(min_length=2)
    """Step edges in seconds, strictly increasing from 0, shape (T + 1,)."""
    epoch_steps: tuple[int, ...] = Field(min_length=1)
    """Index of the first step of each epoch, strictly increasing from 0, shape (K,)."""

    @model_validator(mode="after")
    def _ordered(self) -> TimeGrid:
        if self.edges_s[0] != 0.0 or bool(np.any(np.diff(self.edges_s) <= 0)):
            raise FieldFault(
                field="edges_s",
                value=self.edges_s[:3],
                allowed="strictly increasing from 0",
                remedy="sort the edges and start at 0",
            )
        steps = self.epoch_steps
        if steps[0] != 0 or bool(np.any(np.diff(steps) <= 0)) or steps[-1] >= self.n_steps:
            raise FieldFault(
                field="epoch_steps",
                value=steps[:3],
                allowed=f"strictly increasing from 0, below {self.n_steps}",
                remedy="let each epoch begin at a step",
            )
        return self

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return len(self.edges_s) - 1

    @property
    def n_epochs(self) -> int:
        """Number of epochs K."""
        return len(self.epoch_steps)

    @property
    def horizon_s(self) -> float:
        """End of the last step in seconds."""
        return self.edges_s[-1]

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """Start of each step in seconds, shape (T,)."""
        return _arrays(self).starts_s

    @property
    def durations_s(self) -> NDArray[np.float64]:
        """Duration of each step in seconds, shape (T,)."""
        return _arrays(self).durations_s

    @property
    def epoch_starts_s(self) -> NDArray[np.float64]:
        """Start of each epoch in seconds, shape (K,)."""
        return _arrays(self).epoch_starts_s

    @property
    def epoch_durations_s(self) -> NDArray[np.float64]:
        """Duration of each epoch in seconds, shape (K,)."""
        return _arrays(self).epoch_durations_s

    @property
    def epoch_of_step(self) -> NDArray[np.int64]:
        """Epoch that each step belongs to, shape (T,)."""
        return _arrays(self).epoch_of_step


@dataclass(frozen=True)
class _Arrays:
    """A grid as arrays that may not be written to: they are shared."""

    starts_s: NDArray[np.float64]
    durations_s: NDArray[np.float64]
    epoch_starts_s: NDArray[np.float64]
    epoch_durations_s: NDArray[np.float64]
    epoch_of_step: NDArray[np.int64]


@lru_cache(maxsize=64)
def _arrays(grid: TimeGrid) -> _Arrays:
    edges_s, epoch_steps = np.array(grid.edges_s), np.array(grid.epoch_steps)
    epoch_starts_s = edges_s[epoch_steps]
    arrays = _Arrays(
        starts_s=edges_s[:-1],
        durations_s=np.diff(edges_s),
        epoch_starts_s=epoch_starts_s,
        epoch_durations_s=np.diff(np.append(epoch_starts_s, grid.horizon_s)),
        epoch_of_step=np.searchsorted(epoch_steps, np.arange(grid.n_steps), "right") - 1,
    )
    for shared in vars(arrays).values():
        shared.setflags(write=False)
    return arrays


def build_time_grid(
    *,
    start_s: float,
    begin_s: float,
    full_s: float,
    end_s: float,
    horizon_s: float,
    marks_s: Iterable[float] = (),
    longest_in_event_s: float | None = None,
    decide_at_s: Iterable[float] | None = None,
) -> TimeGrid:
    """Build a grid that is fine where the response begins and ends, and coarse elsewhere.

    Args:
        start_s: when the event starts.
        begin_s: when its response begins.
        full_s: when it is complete.
        end_s: when it ends.
        horizon_s: end of the plan.
        marks_s: further times that must be edges (event start, hand-off time).
        longest_in_event_s: steps of this length while the response is asked, for a target that
            moves throughout.
        decide_at_s: when epochs begin inside the event; dense after its begin if absent.
    """
    moves, horizon_s = [_ms(begin_s), _ms(end_s)], _ms(horizon_s)
    marks = {_ms(m) for m in (full_s, *marks_s) if 0.0 < m < horizon_s}
    # Compute cannot tell a response that begins within a second from one that begins at once, and
    # what is agreed (the hand-off) counts from the start.
    at_once = begin_s - start_s < RESPONSE_EPOCHS_S[1]
    origin_s = _ms(start_s) if at_once else moves[0]
    epochs = _epochs(
        origin_s,
        moves[1],
        stretch=max((full_s - begin_s) / 60.0, 1.0),
        horizon_s=horizon_s,
        inside_s=None if decide_at_s is None else tuple(decide_at_s),
    )
    fixed = sorted({0.0, *moves, *marks, *epochs, horizon_s})
    edges = [0.0]
    for until in fixed[1:]:
        since = min((edges[-1] - m for m in moves if m <= edges[-1]), default=np.inf)
        longest_s = horizon_s / LONGEST_STEPS
        if longest_in_event_s is not None and moves[0] <= edges[-1] < moves[1]:
            since, longest_s = np.inf, longest_in_event_s
        edges.extend(_grow(edges[-1], until, since, longest_s=longest_s))
    steps = np.searchsorted(np.array(edges), epochs)
    return TimeGrid(edges_s=tuple(edges), epoch_steps=tuple(steps.tolist()))


def _grow(start: float, end: float, since_s: float, *, longest_s: float) -> list[float]:
    """Return edges after ``start`` up to and including ``end``."""
    edges: list[float] = []
    now = start
    while now < end:
        step = max(min(GROWTH * (since_s + now - start), longest_s), FIRST_STEP_S)
        now = end if end - now < 1.5 * step else _ms(now + step)
        edges.append(now)
    return edges


def _epochs(
    begin_s: float,
    end_s: float,
    *,
    stretch: float,
    horizon_s: float,
    inside_s: tuple[float, ...] | None = None,
) -> list[float]:
    """Return epoch times: dense after the response begins and ends, then twice as far each.

    Inside the event those given, where any are.
    """
    times = {0.0, *(begin_s - notice for notice in NOTICE_EPOCHS_S if begin_s > notice)}
    offsets = [stretch * offset for offset in RESPONSE_EPOCHS_S]
    spans = [(begin_s, end_s, offsets), (end_s, horizon_s, list(RELEASE_EPOCHS_S))]
    if inside_s is not None:
        times.update(t for t in inside_s if t > 0.0)  # what the event has behind it is past
        del spans[0]
    for start, stop, dense in spans:
        times.update(start + offset for offset in dense if start + offset < stop)
        further = 2.0 * dense[-1]
        while start + 1.25 * further < stop:
            times.add(start + further)
            further *= 2.0
    # compared once rounded: a sum that lies below the horizon may round to it
    return sorted({t for t in map(_ms, times) if t < horizon_s})


def _ms(t_s: float) -> float:
    """Round to whole milliseconds, so that equal times are equal floats."""
    return round(t_s * 1000.0) / 1000.0
