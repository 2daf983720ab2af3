"""All that tracking knows of a site: a document, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field

from ebplan.document import Document, Part
from ebplan.models.tracking.assumed import CAPACITY, POWER
from ebplan.models.tracking.belief import Numbers
from ebplan.models.tracking.delivery import Delivery, observed
from ebplan.models.tracking.history import Entry, History, appended
from ebplan.models.tracking.parameter import Drift, Tracked
from ebplan.models.tracking.storage import BOTH, Storage, Stored, Way
from ebplan.state import PoolCorrection

AS_FITTED = 0.01
"""A parameter that came back this close to the fitted model is no drift any more."""


class PoolKnown(Part):
    """What is known of a pool."""

    power: Tracked = Field(default_factory=POWER.begin)
    """Draw without caps over its model: idle, and what load adds."""
    capacity: Tracked = Field(default_factory=CAPACITY.begin)
    """Throughput while requests wait, over its model."""
    caps: Delivery = Delivery()
    """What caps deliver."""

    @property
    def correction(self) -> PoolCorrection | None:
        """What plans are made with; None where nothing differs from the fitted models."""
        (idle, busy), (capacity,) = self.power.applied, self.capacity.applied
        found = PoolCorrection(
            idle_gain=idle, busy_gain=busy, capacity_gain=capacity, cap_delivery=self.caps.share
        )
        return None if found == PoolCorrection() else found


class SiteKnown(Document):
    """What is known of a site."""

    kind: Literal["tracking"] = "tracking"
    pools: dict[str, PoolKnown] = Field(default_factory=dict)
    battery: Stored = Stored()
    """Energy and one-way efficiency over the site's."""
    drifts: tuple[Drift, ...] = ()
    """What was named last of each parameter."""
    history: History = ()
    """Every change, oldest first."""

    def pool(self, name: str) -> PoolKnown:
        """Return what is known of a pool; as fitted where nothing was learnt."""
        return self.pools.get(name) or PoolKnown()

    @property
    def battery_energy_gain(self) -> float:
        """Energy of the battery that plans are made with, over the site's."""
        return self.battery.applied[0]

    @property
    def battery_efficiency_gain(self) -> float:
        """One-way efficiency that plans are made with, over the site's."""
        return self.battery.applied[1]

    def told(self) -> tuple[str, ...]:
        """Return a sentence for each drift that lasts and each mechanism that is de-rated."""
        caps = (
            f"pool {name}: power caps are de-rated, they deliver {known.caps.share:.0%}"
            for name, known in self.pools.items()
            if known.caps.share < 1.0
        )
        lasting = (drift for drift in self.drifts if abs(drift.after - 1.0) > AS_FITTED)
        return (*(drift.words for drift in lasting), *caps)


def learn_power(known: SiteKnown, pool: str, row: Numbers, value: float, at: datetime) -> SiteKnown:
    """Learn from the draw of a pool.

    Args:
        known: what was known.
        pool: the pool.
        row: shares of idle and of busy power in what the fitted model says, shape (2,), sum 1.
        value: what was measured over what the fitted model says.
        at: when.
    """
    before = known.pool(pool)
    tracked, drift, entries = POWER.learn(before.power, row, value, at, pool)
    changed = before.model_copy(update={"power": tracked})
    return _with(known, pool, changed, drift, entries)


def learn_capacity(known: SiteKnown, pool: str, value: float, at: datetime) -> SiteKnown:
    """Learn from the throughput of a pool for which requests wait, over its fitted model's."""
    before = known.pool(pool)
    tracked, drift, entries = CAPACITY.learn(before.capacity, (1.0,), value, at, pool)
    changed = before.model_copy(update={"capacity": tracked})
    return _with(known, pool, changed, drift, entries)


def learn_caps(
    known: SiteKnown, pool: str, share: float, sd: float, at: datetime, *, new_use: bool
) -> SiteKnown:
    """Learn what share of the power that caps were meant to take they took.

    Args:
        known: what was known.
        pool: the pool.
        share: taken over meant to be taken.
        sd: standard deviation of that.
        at: when.
        new_use: whether it is the first that is seen of a use of the caps.
    """
    before = known.pool(pool)
    caps, what = observed(before.caps, share, sd, new_use=new_use)
    changed = before.model_copy(update={"caps": caps})
    entries: tuple[Entry, ...] = ()
    if what is not None:
        words = f"pool {pool}: power caps delivered {share:.0%} of what they are meant to take"
        entries = (
            Entry(
                at=at,
                parameter="cap_delivery",
                pool=pool,
                old=before.caps.share,
                new=caps.share,
                reason=what,
                words=words if what == "de-rated" else f"{words}, in one use after another",
            ),
        )
    return _with(known, pool, changed, None, entries)


def learn_battery(
    known: SiteKnown, storage: Storage, way: Way, value: float, at: datetime
) -> SiteKnown:
    """Learn from what the battery showed of its energy and its efficiency.

    Args:
        known: what was known.
        storage: what is assumed of the battery.
        way: what was read.
        value: the reading, over what its site says.
        at: when.
    """
    stored, drifts, entries = storage.learn(known.battery, way, value, at)
    named = {drift.parameter for drift in drifts}
    if stored.pending is None:
        named.add(BOTH)
    kept = (d for d in known.drifts if d.pool is not None or d.parameter not in named)
    return known.model_copy(
        update={
            "battery": stored,
            "drifts": (*kept, *drifts),
            "history": appended(known.history, entries),
        }
    )


def _with(
    known: SiteKnown, pool: str, changed: PoolKnown, drift: Drift | None, entries: Iterable[Entry]
) -> SiteKnown:
    return known.model_copy(
        update={
            "pools": {**known.pools, pool: changed},
            "drifts": _drifts(known, drift),
            "history": appended(known.history, entries),
        }
    )


def _drifts(known: SiteKnown, drift: Drift | None) -> tuple[Drift, ...]:
    """Return the drifts with a new one in place of what was named of the same parameter."""
    if drift is None:
        return known.drifts
    of = (drift.parameter, drift.pool)
    return (*(d for d in known.drifts if (d.parameter, d.pool) != of), drift)
