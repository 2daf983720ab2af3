"""A parameter of a model tracked from readings: believed, applied, and its drift named.

Three values are told apart:

- **believed**: what the filter says after the last block of readings;
- **applied**: what plans are made with; it follows once the belief has left it by ``step``, so that
  noise changes no plan;
- **named**: what a person was told last, 1 (the model as fitted) at first. Blocks are held against
  it by a cumulative sum; once that exceeds its threshold the drift is named, and what is believed
  is learnt anew from the blocks since it began.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ebplan.document import Part, Timestamp
from ebplan.models.tracking.belief import Belief, Numbers, Prior, predicted, surprise
from ebplan.models.tracking.cusum import Cusum, add, long_run_sd, threshold_for
from ebplan.models.tracking.history import Entry

GATE = 4.0
"""A block this many standard deviations off is not learnt from: if it is no outlier the sum says
so a few blocks later."""
REMEMBERED = 60
"""Blocks kept to learn anew from once a drift is named."""
STEP = 0.005
"""Change that is applied at least."""
DAY_S = 86400.0


class Observation(Part):
    """A block of readings."""

    at: Timestamp
    row: Numbers
    value: float


class Drift(Part):
    """A parameter that is no longer what was told of it."""

    parameter: str
    """Its name."""
    pool: str | None
    """Of which pool; None for the battery."""
    before: float
    """What was told of it."""
    after: float
    """What it is now."""
    since: Timestamp
    """Since when, as far as the readings tell."""
    at: Timestamp
    """When it was found."""
    evidence: float
    """Cumulative sum over its threshold; > 1."""
    words: str
    """The same in a sentence."""


class Tracked(Part):
    """What is known of a parameter: all that has to be kept over a restart."""

    belief: Belief
    applied: Numbers
    """What plans are made with."""
    named: Numbers
    """What a person was told last."""
    cusum: Cusum = Cusum()
    recent: tuple[Observation, ...] = ()
    at: Timestamp | None = None
    """When a block was learnt last."""


@dataclass(frozen=True)
class Sensing:
    """How blocks of readings err, and what is to be found in them."""

    white_sd: float
    """Standard deviation of a block that is new in each."""
    correlated_sd: float
    """Standard deviation of what stays from block to block: loads that wander over a curve whose
    shape is not quite that of the model."""
    correlation_s: float
    """Time after which a share 1/e of that is left."""
    block_s: float
    """Seconds of readings in a block."""
    smallest: float
    """Smallest drift that is to be found; half of it is never named."""
    run_days: float
    """Days of readings until noise alone names a drift, on average."""

    @cached_property
    def sd(self) -> float:
        """Standard deviation of independent blocks whose sums spread as these do."""
        apart_s = self.block_s
        return long_run_sd(self.white_sd, self.correlated_sd, self.correlation_s, apart_s)

    @cached_property
    def reference(self) -> float:
        """Half of the smallest drift, in standard deviations."""
        return 0.5 * self.smallest / self.sd

    @cached_property
    def threshold(self) -> float:
        """What a cumulative sum has to exceed."""
        return threshold_for(self.reference, self.run_days * DAY_S / self.block_s)


@dataclass(frozen=True)
class Parameter(Sensing):
    """What is assumed of a parameter of a pool before it is tracked."""

    name: str
    """What drifts and histories call it."""
    numbers: tuple[str, ...]
    """Names of its numbers."""
    more: str
    """Words for a value that rises, of the subject: ``draws more power``."""
    less: str
    """Words for a value that falls."""
    prior: Prior

    def begin(self) -> Tracked:
        """Return what is known before anything was read."""
        mean = self.prior.mean
        return Tracked(belief=self.prior.begin(), applied=mean, named=mean)

    def learn(
        self, tracked: Tracked, row: Numbers, value: float, at: Timestamp, pool: str
    ) -> tuple[Tracked, Drift | None, tuple[Entry, ...]]:
        """Learn from a block of readings.

        Args:
            tracked: what was known before.
            row: how the numbers make the reading, shape (n,).
            value: the reading.
            at: when it was complete.
            pool: whose it is, for the words.

        Returns:
            What is known then, the drift where one is named, and what was changed.
        """
        belief = tracked.belief
        if tracked.at is not None:
            belief = self.prior.forget(belief, (at - tracked.at).total_seconds())
        seen = (*tracked.recent, Observation(at=at, row=row, value=value))[-REMEMBERED:]
        z = (value - predicted(tracked.named, row)) / self.sd
        cusum = add(tracked.cusum, z, self.reference, at)
        drift, named = None, tracked.named
        if cusum.highest > self.threshold and cusum.since is not None:
            belief = self.prior.begin(belief.mean)
            for o in seen:
                if o.at >= cusum.since:
                    belief = self.prior.learn(belief, o.row, o.value, self.sd)
            named = belief.mean
            drift = self._drift(tracked.named, named, row, cusum, at, pool)
            cusum, seen = Cusum(), ()
        elif abs(surprise(belief, row, value, self.sd)) <= GATE:
            belief = self.prior.learn(belief, row, value, self.sd)
        moved = max(abs(m - a) for m, a in zip(belief.mean, tracked.applied, strict=True))
        applied = belief.mean if drift or moved > STEP else tracked.applied
        known = Tracked(
            belief=belief, applied=applied, named=named, cusum=cusum, recent=seen, at=at
        )
        return known, drift, self._entries(tracked.applied, applied, drift, at, pool)

    def _drift(
        self, named: Numbers, found: Numbers, row: Numbers, cusum: Cusum, at: Timestamp,
        pool: str,
    ) -> Drift:  # fmt: skip
        before, after = predicted(named, row), predicted(found, row)
        assert cusum.since is not None, "a sum above its threshold has begun"
        return Drift(
            parameter=self.name,
            pool=pool,
            before=before,
            after=after,
            since=cusum.since,
            at=at,
            evidence=cusum.highest / self.threshold,
            # compared as numbers: a sum of shares that should be 1 is so only to rounding
            words=self.words(before, after, pool, as_fitted=named == self.prior.mean)
            + f", since {cusum.since.isoformat(timespec='seconds')}",
        )

    def words(self, before: float, after: float, pool: str, *, as_fitted: bool) -> str:
        """Say how a value differs from what was told before, or from the model as fitted."""
        which = self.more if after > before else self.less
        percent = 100.0 * abs(after / before - 1.0)
        against = "its model says" if as_fitted else f"told before ({before:.3f})"
        return f"pool {pool} {which}: {percent:.1f} % against what {against}"

    def _entries(
        self, old: Numbers, new: Numbers, drift: Drift | None, at: Timestamp, pool: str
    ) -> tuple[Entry, ...]:
        return tuple(
            Entry(
                at=at,
                parameter=name,
                pool=pool,
                old=was,
                new=now,
                reason="drift" if drift else "tracked",
                words=drift.words if drift else f"{name} follows what is measured",
            )
            for name, was, now in zip(self.numbers, old, new, strict=True)
            if was != now
        )
