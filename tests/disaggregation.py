"""Walks of a pool's counts to give names to, and every way there is to give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ebplan.disaggregate import Instance, Switch, Timing
from ebplan.plan import ClockLockEpoch, PoolEpoch, TierEpoch

RUN = {"utilisation": 0.5, "capacity_used": 0.5, "power_kw": 1.0}
ARRIVES = {
    "to_asleep": ("asleep",),
    "to_awake": ("active", "locked", "drained"),
    "to_own": ("active", "locked", "drained"),
    "to_lower": ("lower_active", "lower_drained"),
}
ALLOWED = {
    "active": ("active", "locked", "drained"),
    "locked": ("active", "locked", "drained"),
    "drained": ("active", "locked", "drained", "to_asleep", "to_lower"),
    "lower_active": ("lower_active", "lower_drained"),
    "lower_drained": ("lower_active", "lower_drained", "to_own"),
    "asleep": ("asleep", "to_awake"),
    **{mode: (mode, *to) for mode, to in ARRIVES.items()},
}
"""Where an instance may be an epoch later; written out apart from the module's own words."""


@dataclass(frozen=True)
class Walk:
    """A case: a pool as it is, and what a plan asks of it."""

    instances: list[Instance]
    epochs: list[PoolEpoch]
    counts: list[dict[str, int]]
    """Instances by mode in each epoch, transit by where it leads."""
    timing: Timing


def draw_walk(rng: np.random.Generator, *, instances: int, epochs: int, ways: bool = True) -> Walk:
    """Draw counts by chance, one instance after the other, and forget who it was."""
    timing = Timing(
        *(float(s) for s in rng.choice([3.0, 8.0, 15.0], 4)),
        min_asleep_s=float(rng.choice([0.0, 12.0])),
        min_awake_s=float(rng.choice([0.0, 12.0, 25.0])),
    )
    modes = list(ALLOWED) if ways else ["active", "drained", "asleep", "to_asleep", "to_awake"]
    drawn = [modes[i] for i in rng.integers(len(modes), size=instances)]
    pool = [
        Instance(
            f"gpu-{i}",
            mode,  # type: ignore[arg-type]
            since_s=-float(rng.integers(0, 30)),
            awake_since_s=-float(rng.integers(0, 30)),
            until_s=float(rng.integers(1, 12)) if mode in ARRIVES else 0.0,
        )
        for i, mode in enumerate(drawn)
    ]
    lead_s = {"to_asleep": timing.sleep_s, "to_awake": timing.wake_s}
    lead_s |= {"to_own": timing.swap_s, "to_lower": timing.swap_s}
    now = [(i.mode, i.until_s) for i in pool]
    made, counts, t_s = [], [], 0.0
    for _ in range(epochs):
        told = dict.fromkeys(ARRIVES, 0)
        then: list[tuple[str, float]] = []
        for mode, until_s in now:
            if mode in ARRIVES:
                there = ARRIVES[mode][int(rng.integers(len(ARRIVES[mode])))]
                there = there if ways or there != "locked" else "active"
                then.append((there, 0.0) if until_s <= t_s else (mode, until_s))
                continue
            goes = [to for to in ALLOWED[mode] if ways or to not in ("locked", "to_lower")]
            to = mode if rng.random() < 0.4 else goes[int(rng.integers(len(goes)))]
            if to in told:
                told[to] += 1
            then.append((to, t_s + lead_s.get(to, 0.0)))
        now = then
        here = {mode: sum(m == mode for m, _ in now) for mode in ALLOWED}
        counts.append(here)
        made.append(make_epoch(t_s, here, told))
        t_s += float(rng.choice([2.0, 5.0, 10.0]))
    return Walk(pool, made, counts, timing)


def make_epoch(t_s: float, here: dict[str, int], told: dict[str, int]) -> PoolEpoch:
    """Return an epoch with these counts."""
    return PoolEpoch(
        t_s=t_s,
        active=here["active"],
        drained=here["drained"],
        asleep=here["asleep"],
        in_transit=sum(here[mode] for mode in ARRIVES),
        put_to_sleep=told["to_asleep"],
        woken=told["to_awake"],
        **RUN,
        cap_w_per_gpu=None,
        clock_lock=ClockLockEpoch(active=here["locked"], clock_mhz=None, **RUN),
        tier=TierEpoch(
            active=here["lower_active"],
            drained=here["lower_drained"],
            to_tier=told["to_lower"],
            to_own=told["to_own"],
            cap_w_per_gpu=None,
            **RUN,
        ),
        classes={},
    )


@dataclass(frozen=True)
class Named:
    """Modes by name, and what it cost to come there."""

    modes: tuple[str, ...]
    since_s: tuple[float, ...]
    woken_s: tuple[float, ...]
    switches: int = 0
    cut_short: int = 0
    """Switches of instances that should have stayed."""


def started(walk: Walk) -> Named:
    """Return where everybody is before the first epoch."""
    return Named(
        tuple(i.mode for i in walk.instances),
        tuple(i.since_s for i in walk.instances),
        tuple(i.awake_since_s for i in walk.instances),
    )


def moved(named: Named, to: tuple[str, ...], t_s: float, timing: Timing) -> Named:
    """Return the same after an epoch."""
    since_s, woken_s = list(named.since_s), list(named.woken_s)
    switches, cut_short = named.switches, named.cut_short
    for i, (old, new) in enumerate(zip(named.modes, to, strict=True)):
        if old == new:
            continue
        switches += 1
        if old == "asleep":
            cut_short += t_s - since_s[i] < timing.min_asleep_s - 1e-6
        if new in ("to_asleep", "to_lower"):
            cut_short += t_s - woken_s[i] < timing.min_awake_s - 1e-6
        if old == "to_awake":
            woken_s[i] = t_s
        since_s[i] = t_s
    return Named(to, tuple(since_s), tuple(woken_s), switches, cut_short)


def every_way(walk: Walk) -> Iterator[Named]:
    """Yield every assignment of names that keeps the counts; arrivals in the order they are due."""
    until_s = {i.id: i.until_s for i in walk.instances}
    names = [i.id for i in walk.instances]
    lead_s = {"to_asleep": walk.timing.sleep_s, "to_awake": walk.timing.wake_s}
    lead_s |= {"to_own": walk.timing.swap_s, "to_lower": walk.timing.swap_s}
    waiting = [(started(walk), tuple(until_s[n] for n in names), 0)]
    while waiting:
        named, due_s, k = waiting.pop()
        if k == len(walk.epochs):
            yield named
            continue
        t_s, here = walk.epochs[k].t_s, walk.counts[k]
        wanted = [mode for mode, n in here.items() for _ in range(n)]
        for to in set(permutations(wanted)):
            pairs = list(zip(named.modes, to, strict=True))
            if any(new not in ALLOWED[old] for old, new in pairs):
                continue
            if any((old in ARRIVES) and ((old == new) != (due_s[i] > t_s))
                   for i, (old, new) in enumerate(pairs)):  # fmt: skip
                continue
            then = tuple(
                t_s + lead_s[new] if new in lead_s and new != old else due_s[i]
                for i, (old, new) in enumerate(pairs)
            )
            waiting.append((moved(named, to, t_s, walk.timing), then, k + 1))


def carried_out(walk: Walk, switches: list[list[Switch]]) -> list[Named]:
    """Return where everybody is after each epoch, refusing a switch from where nobody is."""
    named, made = started(walk), []
    place = {instance.id: i for i, instance in enumerate(walk.instances)}
    for epoch, here in zip(walk.epochs, switches, strict=True):
        to = list(named.modes)
        assert len({s.id for s in here}) == len(here), "one switch an epoch"
        for s in here:
            assert to[place[s.id]] == s.from_mode
            assert s.to_mode in ALLOWED[s.from_mode]
            assert s.to_mode != s.from_mode
            to[place[s.id]] = s.to_mode
        named = moved(named, tuple(to), epoch.t_s, walk.timing)
        made.append(named)
    return made
