"""Instances in the problem stated once more: where each is, how it runs, what it draws.

Every instance is in one place in every epoch: it holds the pool's own weights, those of the lower
precision, sleeps, or is on its way to one of the three. Where it takes requests it runs in one way,
as it is or under a locked clock or in the lower precision, with a load and a power of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_lag import simulate_lag, unit_steps
from oracle_latency import state_latency
from oracle_lenses import LOCKED, LOWER, OWN, running
from oracle_requests import Statement, state_requests
from oracle_warmth import Warmth, state_warmth

from ebplan.problem import PoolProblem
from ebplan.timegrid import TimeGrid

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""


@dataclass(frozen=True)
class Places:
    """Where the instances are, each of shape (N, K), 0 or 1."""

    working: dict[str, Expression]
    """By way; only the ways that the pool has."""
    drained: Expression
    """Own weights, no load."""
    lower_drained: Expression
    """Weights of the lower precision, no load."""
    asleep: Expression

    @property
    def own_working(self) -> Expression:
        """Who takes requests with the pool's own weights."""
        return sum(self.working[way] for way in (OWN, LOCKED) if way in self.working)

    @property
    def awake(self) -> Expression:
        """Who holds the pool's own weights."""
        return self.own_working + self.drained

    @property
    def in_tier(self) -> Expression:
        """Who holds the weights of the lower precision."""
        return self.working.get(LOWER, 0.0) + self.lower_drained

    @property
    def serving(self) -> Expression:
        """Who takes requests."""
        return sum(self.working.values())


@dataclass(frozen=True)
class Command:
    """Commands to go from one place to another."""

    given: Expression
    """(N, K), 0 or 1."""
    origin: str
    to: str
    lead_s: float
    stay_s: float = 0.0
    """How long who arrives must stay."""


def state_pool(
    said: Statement, pool: PoolProblem, grid: TimeGrid, *, absorbs: bool
) -> tuple[Expression, Expression]:
    """State one pool; return its draw as step means and at step edges."""
    shape = (pool.instances, grid.n_epochs)
    places = _places(pool, shape)
    said.constraints += [cp.sum(places.serving, axis=0) >= pool.fewest_active]
    if pool.most_active is not None:
        said.constraints += [cp.sum(places.serving, axis=0) <= pool.most_active]
    warmth = state_warmth(said, pool, grid)
    _moves(said, pool, grid, places, warmth)
    loads, powers = running(said, pool, grid, places.working)
    state_latency(said, pool, grid, places.working[OWN], loads[OWN], powers[OWN])
    lowered = cp.sum(loads[LOWER], axis=0) if LOWER in loads else None
    state_requests(said, pool, grid, sum(cp.sum(load, axis=0) for load in loads.values()), lowered)
    missing = pool.active_at_start + (pool.tier.active_at_start if pool.tier else 0)
    missing = missing - cp.sum(places.serving, axis=0)
    hours = grid.epoch_durations_s / 3600.0
    said.charge("readiness", pool.readiness_per_instance_h * (cp.pos(missing) @ hours))

    start = _start(pool, grid.epoch_starts_s)
    leave = [_drains(said, pool, places.own_working, start["own"], warmth)]
    falls_kw = [(pool.load_curve.full_kw - pool.drained_kw) * leave[0]]
    if pool.tier is not None:
        leave.append(_drains(said, pool, places.working[LOWER], start["lower"], warmth))
        falls_kw.append((pool.tier.load_curve.full_kw - pool.drained_kw) * leave[1])
    settled = cp.sum(
        sum(powers.values())
        + pool.drained_kw * (1 - places.serving - places.asleep)
        + pool.asleep_kw * places.asleep,
        axis=0,
    )
    warmth.each_is_used(said)
    return _draw(pool, grid, settled + warmth.power_kw, sum(falls_kw), absorbs=absorbs)


def _places(pool: PoolProblem, shape: tuple[int, int]) -> Places:
    def whether() -> Expression:
        return cp.Variable(shape, boolean=True)

    working = {OWN: whether()}
    if pool.clock_lock is not None:
        working[LOCKED] = whether()
    if pool.tier is not None:
        working[LOWER] = whether()
    return Places(
        working=working,
        drained=whether(),
        lower_drained=whether() if pool.tier else np.zeros(shape),
        asleep=whether(),
    )


# --- draw -----------------------------------------------------------------------------------


def _drains(
    said: Statement, pool: PoolProblem, working: Expression, before: FloatArray, warmth: Warmth
) -> Expression:
    """Charge for those who no longer take requests with some weights; return their number, (K,)."""
    leaves, enters = (cp.Variable(working.shape, boolean=True) for _ in range(2))
    earlier = cp.hstack([before[:, None], working[:, :-1]])
    said.constraints += [working - earlier == enters - leaves]
    # A router moves load off some instances or onto some, it does not exchange one for another.
    fewer = cp.Variable((1, working.shape[1]), boolean=True)
    said.constraints += [leaves <= np.ones((pool.instances, 1)) @ fewer]
    said.constraints += [enters <= 1 - np.ones((pool.instances, 1)) @ fewer]
    said.charge("draining", pool.drain_per_instance * cp.sum(leaves))
    if pool.prewarm is not None:
        warm = cp.Variable(working.shape, boolean=True)
        cheaper = pool.drain_per_instance - pool.prewarm.drain_per_instance
        said.constraints += [warm <= leaves, warm <= warmth.of_all]
        warmth.uses.append(cp.sum(warm, axis=0))
        said.charge("draining", -cheaper * cp.sum(warm))
    return cp.sum(leaves, axis=0)


def _draw(
    pool: PoolProblem, grid: TimeGrid, settled: Expression, fall: Expression, *, absorbs: bool
) -> tuple[Expression, Expression]:
    """Return a pool's draw: what is settled follows fast, who leaves service falls slowly.

    An absorb counts on what the load adds, so on the way up, and not on what an instance that
    leaves still draws: there it falls as fast.
    """
    quick = (pool.rise_response or pool.cap_response) if absorbs else pool.cap_response
    slow = quick if absorbs else pool.route_response
    n, start_kw = pool.active_at_start, pool.asleep_kw * pool.asleep_at_start
    idle, load = pool.instances - n - pool.asleep_at_start, pool.load
    if pool.tier is not None and pool.tier.active_at_start:
        lower, done = pool.tier.active_at_start, pool.tier.load_at_start
        each = min(done / (pool.tier.capacity_factor * lower), 1.0)
        start_kw += lower * float(pool.tier.load_curve.power_kw(each))
        idle -= lower
    if pool.tier is not None:
        load -= pool.tier.load_at_start
    if n:
        start_kw += n * float(pool.load_curve.power_kw(min(load / n, 1.0)))
    start_kw += pool.drained_kw * idle
    draws = []
    for fast, late in zip(simulate_lag(quick, grid), simulate_lag(slow, grid), strict=True):
        # Whoever leaves at an epoch still draws what the slow lag holds back of its fall from full.
        held_back = unit_steps(fast) - unit_steps(late)
        draws.append(fast[:, 0] * start_kw + fast[:, 1:] @ settled + held_back @ fall)
    return draws[0], draws[1]


# --- where they are -------------------------------------------------------------------------


def _moves(
    said: Statement, pool: PoolProblem, grid: TimeGrid, places: Places, warmth: Warmth
) -> None:
    """Follow each instance through sleep, wake and swaps, with lead times and minimum stays.

    Only who was drained an epoch before is put to sleep or given other weights: nothing in flight
    is cut off.
    """
    t = grid.epoch_starts_s
    start = _start(pool, t)
    commands = _commands(said, pool, grid, warmth)
    homes = {"awake": places.awake, "asleep": places.asleep}
    if pool.tier is not None:
        homes["tier"] = places.in_tier
    drained = {"awake": places.drained, "tier": places.lower_drained}
    for k in range(len(t)):
        on_the_way: Expression = np.zeros(pool.instances)
        for home, who in homes.items():
            before = who[:, k - 1] if k else start[home]
            gone = sum(c.given[:, k] for c in commands if c.origin == home)
            came = sum(_arriving(c, t, k) for c in commands if c.to == home)
            came = came + (start[f"to_{home}"] == k).astype(float)
            said.constraints += [who[:, k] == before - gone + came]
            for command in (c for c in commands if c.to == home):
                on_the_way = on_the_way + _under_way(command, t, k)
            on_the_way = on_the_way + (start[f"to_{home}"] > k).astype(float)
            if home in drained and any(c.origin == home for c in commands):
                idle = drained[home][:, k - 1] if k else start[f"{home}_drained"]
                said.constraints += [gone <= idle]
        said.constraints += [sum(who[:, k] for who in homes.values()) + on_the_way == 1]
        for j in range(k + 1):
            for command in commands:
                if t[k] - t[j] < command.stay_s:
                    said.constraints += [homes[command.to][:, k] >= _arriving(command, t, j)]
            for home, stay_s in (("awake", pool.min_awake_s), ("asleep", pool.min_asleep_s)):
                if t[k] - t[j] < stay_s:
                    said.constraints += [homes[home][:, k] >= (start[f"to_{home}"] == j) * 1.0]


def _commands(said: Statement, pool: PoolProblem, grid: TimeGrid, warmth: Warmth) -> list[Command]:
    """Return the commands that the pool knows; charge for them."""

    def commands() -> Expression:
        return cp.Variable((pool.instances, grid.n_epochs), boolean=True)

    sleep = Command(commands(), "awake", "asleep", pool.sleep_s, pool.min_asleep_s)
    known = [sleep, Command(commands(), "asleep", "awake", pool.wake_s, pool.min_awake_s)]
    if not pool.may_sleep:
        said.constraints += [sleep.given == 0]
    if pool.prewarm is not None:
        warm = Command(commands(), "asleep", "awake", pool.prewarm.wake_s, pool.min_awake_s)
        said.constraints += [warm.given <= warmth.of_all]
        warmth.uses.append(cp.sum(warm.given, axis=0))
        known.append(warm)
    for wake in known[1:]:
        said.charge("waking", pool.wake_per_instance * cp.sum(wake.given))
    if pool.tier is not None:
        for origin, to in (("awake", "tier"), ("tier", "awake")):
            swap = Command(commands(), origin, to, pool.tier.swap_s)
            said.charge("swapping", pool.tier.swap_price_per_instance * cp.sum(swap.given))
            known.append(swap)
    return known


def _arriving(command: Command, t: FloatArray, k: int) -> Expression:
    """Return who arrives at epoch k by a command, (N,)."""
    due = [_first_epoch(t, at + command.lead_s) for at in t]
    return sum(
        (command.given[:, j] for j in range(k + 1) if due[j] == k), np.zeros(command.given.shape[0])
    )


def _under_way(command: Command, t: FloatArray, k: int) -> Expression:
    """Return who has been given a command by epoch k and has not arrived, (N,)."""
    due = [_first_epoch(t, at + command.lead_s) for at in t]
    return sum(
        (command.given[:, j] for j in range(k + 1) if due[j] > k), np.zeros(command.given.shape[0])
    )


def _start(pool: PoolProblem, epoch_s: FloatArray) -> dict[str, NDArray[Any]]:
    """Give every instance its place at the start; arrivals by epoch, -1 for none."""
    modes = ["own"] * pool.active_at_start + ["awake_drained"] * pool.drained_at_start
    modes += ["asleep"] * pool.asleep_at_start
    if pool.tier is not None:
        modes += ["lower"] * pool.tier.active_at_start
        modes += ["tier_drained"] * pool.tier.drained_at_start
    homes = ("awake", "asleep", "tier")
    due = {home: [-1] * len(modes) for home in homes}
    for arrival in pool.arrivals:
        for _ in range(arrival.count):
            modes.append("on the way")
            for to in homes:
                due[to].append(_first_epoch(epoch_s, arrival.at_s) if to == arrival.to else -1)

    def among(*names: str) -> FloatArray:
        return np.array([mode in names for mode in modes], dtype=float)

    return {
        **{mode: among(mode) for mode in ("own", "awake_drained", "asleep", "lower")},
        "tier_drained": among("tier_drained"),
        "awake": among("own", "awake_drained"),
        "tier": among("lower", "tier_drained"),
        **{f"to_{home}": np.array(epochs) for home, epochs in due.items()},
    }


def _first_epoch(epoch_s: FloatArray, at_s: float) -> int:
    """Return the first epoch at or after a time; the number of epochs where there is none."""
    return next((k for k, s in enumerate(epoch_s) if s >= at_s - 1e-9), len(epoch_s))
