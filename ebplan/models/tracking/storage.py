"""The energy of the battery and its one-way efficiency, tracked together.

With ``e`` and ``h`` for what they are over the site's numbers, readings tell

    giving     cells' energy by the site's model / by the state of charge, discharging     e h
    taking     the same, charging                                                          e / h

and, where the power that leaves the cells is measured as well,

    cells      cells' power by the site's model / as measured (charging: its inverse)      h
    counted    cells' energy as measured / by the state of charge                          e

In logarithms each is a row of two numbers. Each has a cumulative sum of its own: a loss that grows
lowers what is given and raises what is taken, and would cancel in a common one.

Who sees the battery go one way only, by its state of charge only, knows a product. That is named
then, and fade and loss by their names as soon as readings tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ebplan.document import Part, Timestamp
from ebplan.models.tracking.belief import Belief, Numbers, Prior, predicted, surprise
from ebplan.models.tracking.cusum import Cusum, add
from ebplan.models.tracking.history import Entry
from ebplan.models.tracking.parameter import GATE, REMEMBERED, STEP, Drift, Sensing

Way = Literal["giving", "taking", "cells", "counted"]
ROWS: dict[Way, Numbers] = {
    "giving": (1.0, 1.0),
    "taking": (1.0, -1.0),
    "cells": (0.0, 1.0),
    "counted": (1.0, 0.0),
}
"""How the logarithms of energy and efficiency make each reading."""
NAMES = ("battery_energy", "battery_efficiency")
BOTH = "battery"
"""What the two are called while they are not told apart."""
TOLD_SHARE = 0.4
"""A number is known by itself once its standard deviation is below this share of the prior's. One
way alone never gets the energy's below a half."""
AS_SITE = (1.0, 1.0)


class Seen(Part):
    """An observation."""

    at: Timestamp
    way: Way
    value: float
    """Logarithm of what was read."""


class Stored(Part):
    """What is known of the battery: all that has to be kept over a restart."""

    belief: Belief | None = None
    """Of the logarithms; the prior where nothing was learnt."""
    applied: Numbers = AS_SITE
    """What plans are made with: energy and efficiency over the site's."""
    named: Numbers = AS_SITE
    """What readings are held against: what was believed when a drift was named last."""
    told: Numbers = AS_SITE
    """What a person was told last of each by itself."""
    pending: Drift | None = None
    """A drift that was named of both, until they are told apart."""
    cusums: dict[Way, Cusum] = Field(default_factory=dict)
    recent: tuple[Seen, ...] = ()
    at: Timestamp | None = None
    """When something was learnt last."""


@dataclass(frozen=True)
class Storage:
    """What is assumed of a battery before it is tracked."""

    by_charge: Sensing
    """Of readings by the state of charge."""
    by_cells: Sensing
    """Of the power that leaves the cells."""
    prior: Prior
    """Of the logarithms of energy and efficiency over the site's."""

    def sensing(self, way: Way) -> Sensing:
        """Return how a reading errs."""
        return self.by_cells if way == "cells" else self.by_charge

    def learn(
        self, stored: Stored, way: Way, value: float, at: Timestamp
    ) -> tuple[Stored, tuple[Drift, ...], tuple[Entry, ...]]:
        """Learn from a reading.

        Args:
            stored: what was known before.
            way: what was read.
            value: the reading, > 0.
            at: when it was complete.

        Returns:
            What is known then, drifts where some are named, and what was changed.
        """
        row, sensing, log = ROWS[way], self.sensing(way), math.log(value)
        belief = stored.belief or self.prior.begin()
        if stored.at is not None:
            belief = self.prior.forget(belief, (at - stored.at).total_seconds())
        seen = _remembered(stored.recent, Seen(at=at, way=way, value=log))
        before = stored.cusums.get(way, Cusum())
        z = (log - predicted(_logs(stored.named), row)) / sensing.sd
        cusum = add(before, z, sensing.reference, at)
        learnt = belief
        if abs(surprise(belief, row, log, sensing.sd)) <= GATE:
            learnt = self.prior.learn(belief, row, log, sensing.sd)
        known = stored.model_copy(
            update={
                "belief": learnt,
                "recent": seen,
                "at": at,
                "cusums": {**stored.cusums, way: cusum},
            }
        )
        if stored.pending is not None and all(self._told(learnt)):
            drifts = self._apart(stored, learnt, self._changed(stored, learnt), stored.pending, at)
            return self._settled(stored, known, learnt, drifts)
        if cusum.highest > sensing.threshold and cusum.since is not None:
            learnt = self._anew(belief.mean, seen, cusum.since)
            return self._settled(
                stored, known, learnt, self._drifts(stored, learnt, way, cusum, at)
            )
        moved = max(abs(m - a) for m, a in zip(learnt.mean, _logs(stored.applied), strict=True))
        if moved > STEP:
            known = known.model_copy(update={"applied": _gains(learnt)})
        return known, (), tuple(_entries(stored, known, ()))

    def _anew(self, mean: Numbers, seen: tuple[Seen, ...], since: Timestamp) -> Belief:
        """Return what is believed by what was seen since then alone."""
        belief = self.prior.begin(mean)
        for one in seen:
            if one.at >= since:
                sd = self.sensing(one.way).sd
                belief = self.prior.learn(belief, ROWS[one.way], one.value, sd)
        return belief

    def _told(self, belief: Belief) -> tuple[bool, ...]:
        """Return which number is known by itself."""
        prior = self.prior.covariance
        return tuple(belief.covariance[i][i] < TOLD_SHARE**2 * prior[i][i] for i in (0, 1))

    def _moved(self, stored: Stored, belief: Belief) -> tuple[float, ...]:
        """Return how far each number has moved from what was told of it."""
        return tuple(abs(m - t) for m, t in zip(belief.mean, _logs(stored.told), strict=True))

    def _changed(self, stored: Stored, belief: Belief) -> tuple[int, ...]:
        """Return which numbers are known to differ from what was told of them."""
        told, moved = self._told(belief), self._moved(stored, belief)
        least = 0.5 * self.by_charge.smallest
        return tuple(i for i in (0, 1) if told[i] and moved[i] >= least)

    def _drifts(
        self, stored: Stored, belief: Belief, way: Way, cusum: Cusum, at: Timestamp
    ) -> tuple[Drift, ...]:
        """Return the drifts that a sum above its threshold names."""
        assert cusum.since is not None, "a sum above its threshold has begun"
        before, after = (
            math.exp(predicted(logs, ROWS[way])) for logs in (_logs(stored.named), belief.mean)
        )
        words = _words_of_both(way, before, after, as_site=stored.named == AS_SITE)
        both = Drift(
            parameter=BOTH,
            pool=None,
            before=before,
            after=after,
            since=cusum.since,
            at=at,
            evidence=cusum.highest / self.sensing(way).threshold,
            words=words + _since(cusum.since),
        )
        changed = self._changed(stored, belief)
        if not changed and all(self._told(belief)):
            moved = self._moved(stored, belief)
            changed = (moved.index(max(moved)),)
        return self._apart(stored, belief, changed, both, at) if changed else (both,)

    def _apart(
        self, stored: Stored, belief: Belief, changed: tuple[int, ...], both: Drift, at: Timestamp
    ) -> tuple[Drift, ...]:
        """Return the drift of each number that has changed, for that of the two together."""
        return tuple(
            both.model_copy(
                update={
                    "parameter": NAMES[i],
                    "before": stored.told[i],
                    "after": after,
                    "at": at,
                    "words": _words_of(i, stored.told[i], after) + _since(both.since),
                }
            )
            for i, after in enumerate(_gains(belief))
            if i in changed
        )

    def _settled(
        self, stored: Stored, known: Stored, belief: Belief, drifts: tuple[Drift, ...]
    ) -> tuple[Stored, tuple[Drift, ...], tuple[Entry, ...]]:
        """Return what is known once drifts were named; readings are held against it from now on."""
        gains, names = _gains(belief), {drift.parameter for drift in drifts}
        told = zip(NAMES, gains, stored.told, strict=True)
        after = known.model_copy(
            update={
                "belief": belief,
                "applied": gains,
                "named": gains,
                "told": tuple(gain if name in names else was for name, gain, was in told),
                "pending": next((d for d in drifts if d.parameter == BOTH), None),
                "cusums": {},
                "recent": (),
            }
        )
        return after, drifts, tuple(_entries(stored, after, drifts))


def _remembered(recent: tuple[Seen, ...], new: Seen) -> tuple[Seen, ...]:
    """Return what is kept: of each way alike, or the frequent would drive out the rare."""
    same = [one for one in recent if one.way == new.way]
    if len(same) < REMEMBERED:
        return (*recent, new)
    return (*(one for one in recent if one is not same[0]), new)


def _entries(before: Stored, after: Stored, drifts: tuple[Drift, ...]) -> Iterator[Entry]:
    assert after.at is not None, "something was learnt"
    named = {drift.parameter: drift for drift in drifts}
    if (both := named.get(BOTH)) is not None:
        yield Entry(
            at=after.at,
            parameter=BOTH,
            pool=None,
            old=both.before,
            new=both.after,
            reason="drift",
            words=both.words,
        )
    for name, was, now in zip(NAMES, before.applied, after.applied, strict=True):
        drift = named.get(name)
        if was != now or drift is not None:
            yield Entry(
                at=after.at,
                parameter=f"{name}_gain",
                pool=None,
                old=was,
                new=now,
                reason="tracked" if drift is None else "drift",
                words=f"{name}_gain follows what is measured" if drift is None else drift.words,
            )


def _words_of(number: int, before: float, after: float) -> str:
    less = after < before
    percent = 100.0 * abs(after / before - 1.0)
    against = _against(before, as_site=before == AS_SITE[number])
    if number == 0:
        faded = "has faded: it holds" if less else "holds"
        return f"the battery {faded} {percent:.1f} % {'less' if less else 'more'} than {against}"
    which, way = ("loses more", "lower") if less else ("loses less", "higher")
    return f"the battery {which}: its one-way efficiency is {percent:.1f} % {way} than {against}"


def _words_of_both(way: Way, before: float, after: float, *, as_site: bool) -> str:
    less = "less" if after < before else "more"
    does, other = ("takes", "discharged") if way == "taking" else ("gives", "charged")
    return (
        f"the battery {does} {100.0 * abs(after / before - 1.0):.1f} % {less} for its state of "
        f"charge than {_against(before, as_site=as_site)}: its energy or its efficiency, which "
        f"readings tell apart once it is {other} too"
    )


def _against(before: float, *, as_site: bool) -> str:
    return "its site says" if as_site else f"told before ({before:.3f})"


def _since(at: Timestamp) -> str:
    return f", since {at.isoformat(timespec='seconds')}"


def _logs(gains: Numbers) -> Numbers:
    return tuple(math.log(gain) for gain in gains)


def _gains(belief: Belief) -> Numbers:
    return tuple(math.exp(m) for m in belief.mean)
