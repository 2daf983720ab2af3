"""Perfect foresight: what could have been earned by somebody who knew everything; a bound above.

But for the demand charge: a month's peak is planned without what calls release in its step.

Month by month, each planned with some days of the next, so that what is stored at its end has the
value of what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ebplan.solvers.program import FloatArray
from ebplan.study.answered import plan
from ebplan.study.decisions import Track, carry, empty_track
from ebplan.study.moment import GroupMoment, Moment
from ebplan.study.numbers import StudyNumbers, levy_per_kwh
from ebplan.study.rows import stacked
from ebplan.study.window import Shape, Window

OVERLAP_DAYS = 3
"""Days of the next block that are planned with each."""


def foresee(
    numbers: StudyNumbers, accepted: FloatArray, stepped: Callable[[int, int], None] | None = None
) -> Track:
    """Return the track of perfect foresight.

    Args:
        numbers: the study.
        accepted: share of a bid that the market takes, shape (S, T).
        stepped: called with the month that begins, and of how many.
    """
    track, months = empty_track(numbers), blocks(numbers)
    for at, (first, last) in enumerate(months):
        if stepped is not None:
            stepped(at, len(months))
        end = min(last + OVERLAP_DAYS * numbers.steps_per_day, numbers.steps)
        steps = slice(first, end)
        shape = Shape(
            hours=(numbers.hours,) * (end - first),
            activation=tuple(tuple(s.activation[steps].tolist()) for s in numbers.services),
            absorption=tuple(tuple(s.absorption[steps].tolist()) for s in numbers.services),
            highest=tuple(tuple(s.absorption[steps].tolist()) for s in numbers.services),
        )
        window = Window(shape, numbers.groups, numbers.services)
        found = plan(window, moment_of(numbers, track, accepted, first, end))
        keep = slice(first, last)
        track.position_kw[keep] = found.position_kw[: last - first]
        track.award_kw[:, keep] = found.award_kw[:, : last - first]
        track.bid_kw[:, keep] = track.award_kw[:, keep]
        carry(numbers, track, found, first, last - first)
    return track


def blocks(numbers: StudyNumbers) -> list[tuple[int, int]]:
    """Return first and last step of each calendar month, the last excluded."""
    starts = [0, *(np.flatnonzero(np.diff(numbers.month)) + 1).tolist(), numbers.steps]
    return list(pairwise(starts))


def moment_of(
    numbers: StudyNumbers, track: Track, accepted: FloatArray, first: int, end: int
) -> Moment:
    """Return steps ``first`` to ``end`` as somebody is told them who knows everything."""
    steps, count = slice(first, end), end - first
    month = numbers.month[steps]
    # what is not taken by the market is as good as not bid
    award = np.where(accepted[:, steps] > 0.0, np.nan, 0.0)
    for i, service in enumerate(numbers.services):
        if service.contract_kw is not None:
            award[i] = service.contract_kw * service.held[steps]
    return Moment(
        groups=tuple(
            GroupMoment(
                baseline_kw=group.baseline_kw[steps],
                width_kw=group.width_kw[steps],
                lost_per_kwh=group.lost_per_kwh[steps],
                alone_kw=group.alone_kw[steps],
                levy_per_kwh=levy_per_kwh(numbers.market, group)[steps],
                start_kwh=float(done.energy_kwh[first]),
                layers_kwh=done.layers_kwh[first],
                peaks_kw=(0.0, 0.0),
            )
            for group, done in zip(numbers.groups, track.groups, strict=True)
        ),
        spot_per_kwh=numbers.market.spot_per_kwh[steps],
        spread_per_kwh=numbers.market.intraday_spread_per_kwh,
        position_kw=np.full(count, np.nan),
        award_kw=award,
        paid_per_kw=stacked(
            [s.price_per_kw[steps] - s.fee_per_kw[steps] for s in numbers.services], count
        ),
        energy_per_kwh=stacked([s.energy_per_kwh[steps] for s in numbers.services], count),
        held=stacked([s.held[steps] for s in numbers.services], count) > 0.0,
        block=np.array([np.arange(first, end) // s.block for s in numbers.services]).reshape(
            -1, count
        ),
        demand_per_kw=tuple(g.demand_per_kw_month[month[[0, -1]]] for g in numbers.groups),
        last_month=month > month[0],
        real=np.ones(count, dtype=bool),
        terminal_per_kwh=numbers.terminal_per_kwh,
        sure_load=True,
    )
