"""From counts to names: which instance changes its mode when a plan changes a count.

A plan counts identical instances; an adapter needs to know which of them. Between two epochs an
instance may switch

    active, locked, drained      among each other at once; from drained to to_asleep, to_lower
    lower_active, lower_drained  among each other at once; from lower_drained to to_own
    asleep                       to to_awake
    to_asleep                    to asleep; to to_awake if more are woken than have been asleep
    to_awake, to_own             to active, locked or drained
    to_lower                     to lower_active or lower_drained

and at most once an epoch, transitions that take no time apart. The plan fixes how many are told to
sleep (s), to wake (w) and to load weights (a, a'), and the balances of its counts fix how many
arrive (docs/formulation.md, 3.1):

    arriving asleep = S' - S + w,  awake = (A + C + D)' - (A + C + D) + s + a,  lower likewise

**Least switching.** Whoever is told something or arrives switches once, and no assignment can save
that. The rest of a group of modes, of which n_m are left in mode m and m' are wanted, must give up
at least max(0, n_m - m') in each mode m: a surplus leaves by switches only, each takes one away.
Those who arrive fill places that are missing, and the surplus fills the others, for both sides sum
to the same. So the sum of commands, arrivals and surpluses is reached, and it is the least; it does
not depend on who switches, so the least of each epoch is the least of the plan.

**Dwell.** Who leaves sleep has slept longest. Of those drained, whose time awake must be over when
they are told to sleep or to load other weights, routing decides who they are, and least switching
fixes how many. Let d be the second at which an instance's time awake is over. Those with small d
are drained first and put to work last; so, rank by rank, no other assignment has smaller d among
its drained ones (exchange any two), and if any keeps every dwell, this one does. Among those whose
dwell is over nothing is lost by another order: the longest in its mode leaves it, and the most
recently drained, whose cache is warm, is put to work first. Where some work under a locked clock
and some do not, it is not known which of both will be drained next: there this is a rule, no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.plan import PoolEpoch

Mode = Literal[
    "active",
    "locked",
    "drained",
    "lower_active",
    "lower_drained",
    "asleep",
    "to_asleep",
    "to_awake",
    "to_own",
    "to_lower",
]
MODES: tuple[Mode, ...] = Mode.__args__  # type: ignore[attr-defined]
(ACTIVE, LOCKED, DRAINED, LOWER_ACTIVE, LOWER_DRAINED, ASLEEP, TO_ASLEEP, TO_AWAKE, TO_OWN,
 TO_LOWER) = range(len(MODES))  # fmt: skip
IN_TRANSIT = (TO_ASLEEP, TO_AWAKE, TO_OWN, TO_LOWER)
OWN_GROUP, LOWER_GROUP = (ACTIVE, LOCKED, DRAINED), (LOWER_ACTIVE, LOWER_DRAINED)

IntArray = NDArray[np.int64]


class Instance(NamedTuple):
    """An instance as it is when the plan starts; times are seconds of the plan, past ones < 0."""

    id: str
    """Its name."""
    mode: Mode
    """What it does."""
    since_s: float = -np.inf
    """Since when it is in that mode."""
    awake_since_s: float = -np.inf
    """When it was woken last; counts for modes in which it is awake."""
    until_s: float = 0.0
    """When it arrives; counts for modes ``to_...``."""


class Switch(NamedTuple):
    """One instance changes its mode."""

    id: str
    from_mode: Mode
    to_mode: Mode


@dataclass(frozen=True)
class Timing:
    """How long transitions take and how long an instance should stay, in seconds."""

    sleep_s: float = 0.0
    wake_s: float = 0.0
    warm_wake_s: float = 0.0
    swap_s: float = 0.0
    min_asleep_s: float = 0.0
    min_awake_s: float = 0.0


class _Counts(NamedTuple):
    """What an epoch asks of each mode, and what it tells."""

    stay: dict[int, int]
    sleep: int
    wake: int
    warm: int
    to_lower: int
    to_own: int


def disaggregate(
    epochs: Sequence[PoolEpoch], instances: Sequence[Instance], timing: Timing | None = None
) -> list[list[Switch]]:
    """Name the instances that change their mode at each epoch of a plan.

    Args:
        epochs: what the plan tells the pool.
        instances: every instance of the pool, as it is when the plan starts.
        timing: leads and dwell; all 0 where absent.

    Returns:
        A list of switches for each epoch, in the order of ``epochs``; an instance switches at most
        once in each, and twice where it is told a transition that takes no time.

    Raises:
        InputError: the counts of the plan do not follow from these instances.
    """
    fleet = _Fleet(instances, timing or Timing())
    return [fleet.switch(epoch, f"epochs.{k}") for k, epoch in enumerate(epochs)]


class _Fleet:
    """The instances as arrays, in the order given."""

    def __init__(self, instances: Sequence[Instance], timing: Timing) -> None:
        code = {mode: i for i, mode in enumerate(MODES)}
        self._ids = [instance.id for instance in instances]
        self._mode: IntArray = np.array([code[i.mode] for i in instances], dtype=np.int64)
        self._since_s = np.array([i.since_s for i in instances], dtype=float)
        self._woken_s = np.array([i.awake_since_s for i in instances], dtype=float)
        self._until_s = np.array([i.until_s for i in instances], dtype=float)
        self._timing = timing
        self._now_s = 0.0
        self._switches: list[Switch] = []
        self._settled = np.zeros(len(instances), dtype=bool)
        """Who has switched in this epoch."""

    def switch(self, epoch: PoolEpoch, where: str) -> list[Switch]:
        """Carry an epoch out and return who switches."""
        self._now_s, self._switches = epoch.t_s, []
        self._settled[:] = False
        asked, timing = _asked(epoch), self._timing
        before = np.bincount(self._mode, minlength=len(MODES))
        here = {mode: int(before[mode]) for mode in range(len(MODES))}
        arriving = _arriving(asked, here)
        _check(asked, here, arriving, timing, where)
        # who wakes while warm is due sooner; who of those asleep is warm does not matter
        waking = self._longest(ASLEEP, min(asked.wake, here[ASLEEP]))
        at_once = self._due((TO_ASLEEP,), asked.wake - len(waking))
        waking = np.concatenate([waking, at_once])
        self._go(waking[: asked.warm], TO_AWAKE, until_s=self._now_s + timing.warm_wake_s)
        self._go(waking[asked.warm :], TO_AWAKE, until_s=self._now_s + timing.wake_s)
        leaving = self._first_by_dwell(DRAINED, asked.sleep + asked.to_lower)
        self._go(leaving[: asked.sleep], TO_ASLEEP, until_s=self._now_s + timing.sleep_s)
        self._go(leaving[asked.sleep :], TO_LOWER, until_s=self._now_s + timing.swap_s)
        leaving = self._longest(LOWER_DRAINED, asked.to_own)
        self._go(leaving, TO_OWN, until_s=self._now_s + timing.swap_s)
        asleep, own, lower = arriving
        self._go(self._due((TO_ASLEEP,), asleep - len(at_once)), ASLEEP)
        self._route(OWN_GROUP, asked, self._due((TO_AWAKE, TO_OWN), own))
        self._route(LOWER_GROUP, asked, self._due((TO_LOWER,), lower))
        return self._switches

    # --- who -------------------------------------------------------------------------------------

    def _those(self, *modes: int) -> IntArray:
        """Return who is in one of the modes and has not switched yet, in the order given."""
        there = np.isin(self._mode, modes) if len(modes) > 1 else self._mode == modes[0]
        return np.flatnonzero(there & ~self._settled)

    def _longest(self, mode: int, count: int) -> IntArray:
        """Return those longest in a mode, longest first."""
        those = self._those(mode) if count else np.zeros(0, dtype=np.int64)
        return those[np.argsort(self._since_s[those], kind="stable")][:count]

    def _due(self, modes: tuple[int, ...], count: int) -> IntArray:
        """Return those who arrive first."""
        those = self._those(*modes) if count else np.zeros(0, dtype=np.int64)
        order = np.lexsort((self._since_s[those], self._until_s[those]))
        return those[order][:count]

    def _first_by_dwell(self, mode: int, count: int) -> IntArray:
        """Return who leaves a mode first: dwell over and longest in it, then who is next."""
        if not count:
            return np.zeros(0, dtype=np.int64)
        those = self._those(mode)
        owed_s = self._owed_s(those)
        return those[np.lexsort((self._since_s[those], owed_s))][:count]

    def _put_to_work(self, mode: int, count: int) -> IntArray:
        """Return who goes to work: dwell not over, latest woken first; then latest drained."""
        those = self._those(mode)
        owed_s = self._owed_s(those)
        return those[np.lexsort((-self._since_s[those], -owed_s))][:count]

    def _owed_s(self, those: IntArray) -> NDArray[np.float64]:
        """Return how long each must still stay awake; 0 where its dwell is over."""
        left_s = self._woken_s[those] + self._timing.min_awake_s - self._now_s
        return np.where(left_s > 1e-6, left_s, 0.0)

    # --- where to --------------------------------------------------------------------------------

    def _route(self, group: tuple[int, ...], asked: _Counts, arriving: IntArray) -> None:
        """Move the surplus of each mode of a group, and those who arrive, to where some miss."""
        rest = group[-1]
        apart = {mode: len(self._those(mode)) - asked.stay[mode] for mode in group}
        movers = [
            self._put_to_work(mode, n) if mode == rest else self._first_by_dwell(mode, n)
            for mode, n in apart.items()
            if n > 0
        ]
        # Who was woken last goes to work; the others rest.
        moving = np.concatenate([arriving, *movers])
        woken_s = np.where(self._mode[moving] == TO_AWAKE, self._now_s, self._woken_s[moving])
        moving = moving[np.argsort(-woken_s, kind="stable")]
        for mode in group:
            missing = max(-apart[mode], 0)
            self._go(moving[:missing], mode)
            moving = moving[missing:]

    def _go(self, those: IntArray, to: int, *, until_s: float = 0.0) -> None:
        if not len(those):
            return
        from_modes = self._mode[those].tolist()
        self._woken_s[those[self._mode[those] == TO_AWAKE]] = self._now_s
        ids, to_mode = self._ids, MODES[to]
        self._switches.extend(
            Switch(ids[i], MODES[mode], to_mode)
            for i, mode in zip(those.tolist(), from_modes, strict=True)
        )
        self._mode[those], self._since_s[those] = to, self._now_s
        self._until_s[those] = until_s
        # a transition without a lead is over at once: who is told then arrives in the same epoch
        self._settled[those] = not (to in IN_TRANSIT and until_s <= self._now_s)


def _asked(epoch: PoolEpoch) -> _Counts:
    tier, lock = epoch.tier, epoch.clock_lock
    return _Counts(
        stay={
            ACTIVE: epoch.active,
            LOCKED: lock.active if lock else 0,
            DRAINED: epoch.drained,
            LOWER_ACTIVE: tier.active if tier else 0,
            LOWER_DRAINED: tier.drained if tier else 0,
            ASLEEP: epoch.asleep,
        },
        sleep=epoch.put_to_sleep,
        wake=epoch.woken,
        warm=epoch.woken_warm,
        to_lower=tier.to_tier if tier else 0,
        to_own=tier.to_own if tier else 0,
    )


def _arriving(asked: _Counts, here: dict[int, int]) -> tuple[int, int, int]:
    """Return how many arrive asleep, awake, and in the lower precision: what the balances say."""

    def grown(group: tuple[int, ...]) -> int:
        return sum(asked.stay[mode] - here[mode] for mode in group)

    return (
        grown((ASLEEP,)) + asked.wake,
        grown(OWN_GROUP) + asked.sleep + asked.to_lower,
        grown(LOWER_GROUP) + asked.to_own,
    )


def _check(
    asked: _Counts, here: dict[int, int], arriving: tuple[int, int, int], timing: Timing, where: str
) -> None:
    """Refuse counts that do not follow from who is where."""
    asleep, own, lower = arriving
    to_asleep = here[TO_ASLEEP] + (asked.sleep if timing.sleep_s == 0.0 else 0)
    to_awake = here[TO_AWAKE] + here[TO_OWN]
    to_awake += asked.wake - asked.warm if timing.wake_s == 0.0 else 0
    to_awake += asked.warm if timing.warm_wake_s == 0.0 else 0
    to_awake += asked.to_own if timing.swap_s == 0.0 else 0
    to_lower = here[TO_LOWER] + (asked.to_lower if timing.swap_s == 0.0 else 0)
    for what, count, most in (
        ("put_to_sleep and to_tier", asked.sleep + asked.to_lower, here[DRAINED]),
        ("woken", asked.wake, here[ASLEEP] + to_asleep),
        ("tier.to_own", asked.to_own, here[LOWER_DRAINED]),
        ("asleep", asleep, to_asleep),
        ("active, clock_lock.active and drained", own, to_awake),
        ("tier.active and tier.drained", lower, to_lower),
    ):
        if not 0 <= count <= most:
            raise InputError(
                field=f"{where}.{what}",
                value=f"{count} instances",
                allowed=f"0 to {most}, as many as can",
                remedy="give every instance of the pool as it is when the plan starts, or plan "
                "again from where they are",
            )
