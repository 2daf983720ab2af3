"""Laws of the fleet: counts, transitions, dwell, the lens, caps, requests, compute power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebplan.checker.evidence import (
    INSTANT_S,
    Evidence,
    Finding,
    FloatArray,
    PoolEvidence,
    capacity,
    worst,
)
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    BACKLOG_REQUESTS,
    CAP_W,
    COUNT_SHARE,
    NATURAL_DRAW_SHARE,
    POWER_KW,
    RATE_SHARE,
    RATIO,
)


def _each_pool(
    evidence: Evidence, law: Callable[[PoolEvidence, FloatArray], list[Finding]]
) -> list[Finding]:
    """Ask a law of each pool, at the epochs' starts."""
    return [f for pool in evidence.pools for f in law(pool, evidence.epoch_starts_s)]


# --- counts -----------------------------------------------------------------------------------


def counts(evidence: Evidence, _: Replay) -> list[Finding]:
    """Every instance is somewhere once, no count is negative, sleep only where it is allowed."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        name, of = pool.problem.name, pool.problem
        modes = np.array([pool.active, pool.drained, pool.asleep, pool.in_transit])
        commands = np.array([pool.put_to_sleep, pool.woken])
        lowest = np.vstack([modes, commands]).min(axis=0)
        found = worst(
            np.abs(modes.sum(axis=0) - of.instances),
            0.0,
            at_s,
            f"{name}: active, drained, asleep and in transit must sum to {of.instances}",
        )
        found += worst(-lowest, 0.0, at_s, f"{name}: a count is negative")
        if not of.may_sleep:
            found += worst(pool.put_to_sleep, 0.0, at_s, f"{name}: instances may not sleep")
        return found

    return _each_pool(evidence, law)


def transitions(evidence: Evidence, _: Replay) -> list[Finding]:
    """Counts change only by commands, at once, and by arrivals, after their lead."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of = pool.problem
        awake, asleep = arrivals(pool, at_s)
        found = []
        for what, count, start, change in (
            (
                "active + drained",
                pool.active + pool.drained,
                of.active_at_start + of.drained_at_start,
                awake - pool.put_to_sleep,
            ),
            ("asleep", pool.asleep, of.asleep_at_start, asleep - pool.woken),
        ):
            before = np.concatenate([[start], count[:-1]])
            found += worst(
                np.abs(count - before - change),
                0.0,
                at_s,
                f"{of.name}: {what} changes otherwise than by commands and arrivals",
            )
        drained_before = np.concatenate([[of.drained_at_start], pool.drained[:-1]])
        undrained = pool.put_to_sleep - drained_before
        message = f"{of.name}: an instance is put to sleep that was not drained before"
        return found + worst(undrained, 0.0, at_s, message)

    return _each_pool(evidence, law)


def dwell(evidence: Evidence, _: Replay) -> list[Finding]:
    """Who has arrived asleep stays asleep, and who has arrived awake stays awake, long enough."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of = pool.problem
        awake, asleep = arrivals(pool, at_s)
        found = []
        for what, arrived, minimum_s, count in (
            ("asleep", asleep, of.min_asleep_s, pool.asleep),
            ("awake", awake, of.min_awake_s, pool.active + pool.drained),
        ):
            ago_s = at_s[:, None] - at_s[None, :]
            recent = (ago_s >= 0.0) & (ago_s < minimum_s - INSTANT_S)
            found += worst(
                recent @ arrived - count,
                0.0,
                at_s,
                f"{of.name}: left before {minimum_s:g} s {what}",
            )
        return found

    return _each_pool(evidence, law)


def arrivals(pool: PoolEvidence, at_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return who arrives awake and asleep at each epoch, each of shape (K,).

    A transition arrives at the first epoch at or after its end, and not at all after the last.
    """
    of = pool.problem
    awake, asleep = np.zeros(len(at_s)), np.zeros(len(at_s))
    under_way = [(a.at_s, a.count, awake if a.to == "awake" else asleep) for a in of.arrivals]
    for t_s, sleepers, wakers in zip(at_s, pool.put_to_sleep, pool.woken, strict=True):
        under_way += [(t_s + of.sleep_s, sleepers, asleep), (t_s + of.wake_s, wakers, awake)]
    for ready_s, count, into in under_way:
        epoch = int(np.searchsorted(at_s, ready_s - INSTANT_S))
        if epoch < len(at_s):
            into[epoch] += count
    return awake, asleep


# --- the lens ---------------------------------------------------------------------------------


def cap_floor(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance is capped below the floor, and none at all draws nothing."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        name, floor_kw = pool.problem.name, pool.problem.cap_curve.floor_kw
        below = np.where(pool.running, floor_kw - pool.each_kw, np.abs(pool.power_kw))
        allowed = POWER_KW + COUNT_SHARE * floor_kw
        message = f"{name}: power per active instance below the floor of {floor_kw:g} kW"
        return worst(below, allowed, at_s, message)

    return _each_pool(evidence, law)


def natural_draw(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance draws more than its load makes it draw."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        above = np.where(pool.running, pool.each_kw - pool.natural_kw, 0.0)
        allowed = POWER_KW + COUNT_SHARE * pool.natural_kw
        message = f"{pool.problem.name}: power per active instance above its natural draw"
        return worst(above, allowed, at_s, message)

    return _each_pool(evidence, law)


def cap_frontier(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance serves more than its power allows; without active ones nothing is."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        most = capacity(pool.problem, pool.each_kw)
        above = np.where(pool.running, pool.each_load - most, pool.load)
        return worst(
            above, COUNT_SHARE, at_s, f"{pool.problem.name}: load above what the power allows"
        )

    return _each_pool(evidence, law)


def min_utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance is loaded less than the models cover."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        least = pool.problem.min_utilisation
        below = np.where(pool.running, least - pool.each_load, 0.0)
        message = f"{pool.problem.name}: utilisation below the lowest allowed, {least:g}"
        return worst(below, COUNT_SHARE, at_s, message)

    return _each_pool(evidence, law)


def max_utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """Headroom is kept below the capacity that the power allows."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        share = pool.problem.max_utilisation
        above = pool.each_load - share * capacity(pool.problem, pool.each_kw)
        return worst(
            np.where(pool.running, above, 0.0),
            COUNT_SHARE,
            at_s,
            f"{pool.problem.name}: load above {share:g} of the capacity that the power allows",
        )

    return _each_pool(evidence, law)


def utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """Stated utilisation and use of capacity follow from requests, counts and power."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        used = np.where(pool.running, pool.each_load / capacity(pool.problem, pool.each_kw), 0.0)
        name = pool.problem.name
        found = worst(
            np.abs(pool.utilisation - pool.each_load),
            COUNT_SHARE,
            at_s,
            f"{name}: utilisation times active instances is not the load served",
        )
        message = f"{name}: capacity_used is not load over capacity"
        return found + worst(np.abs(pool.capacity_used - used), COUNT_SHARE, at_s, message)

    return _each_pool(evidence, law)


def cap_set_point(evidence: Evidence, _: Replay) -> list[Finding]:
    """The limit set in the GPUs gives the planned power, and is left out only where none is needed.

    A limit in watts per GPU is the power of one active instance, carried inside by the losses.
    """

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of = pool.problem
        watts_per_kw = of.gpu_kw_per_kw * 1000.0 / of.gpus_per_instance
        capped = np.array([cap is not None for cap in pool.cap_w_per_gpu])
        stated = np.array([0.0 if cap is None else cap for cap in pool.cap_w_per_gpu])
        meant = np.where(pool.running, pool.each_kw * watts_per_kw, np.inf)
        found = worst(
            np.where(capped, np.abs(stated - meant), 0.0),
            CAP_W,
            at_s,
            f"{of.name}: cap_w_per_gpu does not give the planned power",
        )
        short = np.where(pool.running & ~capped, pool.natural_kw - pool.each_kw, 0.0)
        allowed = POWER_KW + NATURAL_DRAW_SHARE * pool.natural_kw
        message = f"{of.name}: no cap where the planned power is below the natural draw"
        return found + worst(short, allowed, at_s, message)

    return _each_pool(evidence, law)


# --- requests ---------------------------------------------------------------------------------


def requests(evidence: Evidence, _: Replay) -> list[Finding]:
    """What is offered is the problem's load, and is served or rejected, within the limits."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of, rate = pool.problem, pool.rates
        load = rate * np.array([[c.load] for c in of.classes])
        most = rate * np.array([[c.max_rejected] for c in of.classes])
        offered, served = pool.offered_req_per_s, pool.served_req_per_s
        rejected, put_off = pool.rejected_req_per_s, pool.deferred_req_per_s
        allowed = RATE_SHARE * rate
        found = []
        for amount, message in (
            (np.abs(offered - load), "offered requests are not the load of the problem"),
            (
                np.abs(offered - served - rejected - put_off),
                "offered is not served plus rejected plus deferred",
            ),
            (rejected - most, "more requests rejected than allowed"),
            (-np.minimum(served, rejected), "negative requests"),
        ):
            found += worst(
                (amount / allowed).max(axis=0) * RATE_SHARE,
                RATE_SHARE,
                at_s,
                f"{of.name}: {message}, in instance-equivalents",
            )
        return found

    return _each_pool(evidence, law)


def backlog(evidence: Evidence, _: Replay) -> list[Finding]:
    """What is put off waits, is worked off, and never waits beyond its deadline.

    Work is served in the order in which it came: it is in time as long as what waits at the end
    of an epoch came within the last deadline. A class that may not wait puts nothing off.
    """
    seconds = evidence.epoch_s

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        found = []
        for c, of in enumerate(pool.problem.classes):
            name = f"{pool.problem.name}.{of.name}"
            put_off, stated = pool.deferred_req_per_s[c], pool.backlog_requests[c]
            rate = of.requests_per_s_per_instance
            if of.deferral is None:
                found += worst(np.abs(put_off) + stated, 0.0, at_s, f"{name}: may not wait")
                continue
            start = of.deferral.backlog_at_start * rate
            waiting = start + np.cumsum(put_off * seconds)
            allowed = BACKLOG_REQUESTS + RATE_SHARE * (start + rate * of.load * seconds.sum())
            off = np.abs(stated - waiting)
            found += worst(off, allowed, at_s, f"{name}: backlog is not what was put off")
            found += worst(-waiting, allowed, at_s, f"{name}: more worked off than waits")
            ends = at_s + seconds
            latest = ends[:, None] - of.deferral.deadline_s
            came_s = np.minimum(ends[None, :], ends[:, None]) - np.maximum(at_s[None, :], latest)
            came = pool.offered_req_per_s[c] - pool.rejected_req_per_s[c]
            most = start + np.maximum(came_s, 0.0) @ came
            found += worst(waiting - most, allowed, at_s, f"{name}: waits beyond its deadline")
        return found

    return _each_pool(evidence, law)


def service(evidence: Evidence, _: Replay) -> list[Finding]:
    """The totals over the plan are the sums of the epochs."""
    found = []
    for pool in evidence.pools:
        stated_by_class = evidence.plan.service[pool.problem.name]
        for c, of in enumerate(pool.problem.classes):
            offered = float(pool.offered_req_per_s[c] @ evidence.epoch_s)
            allowed = RATE_SHARE * max(offered, 1.0)
            for what in ("offered", "served", "rejected"):
                total = float(getattr(pool, f"{what}_req_per_s")[c] @ evidence.epoch_s)
                stated = getattr(stated_by_class[of.name], what)
                message = (
                    f"{pool.problem.name}.{of.name}: {what} requests {stated:g}, not {total:g}"
                )
                found += worst(abs(stated - total), allowed, None, message)
            start = 0.0 if of.deferral is None else of.deferral.backlog_at_start
            ends = (start * of.requests_per_s_per_instance, float(pool.backlog_requests[c, -1]))
            stated_ends = (
                stated_by_class[of.name].backlog_at_start,
                stated_by_class[of.name].backlog_at_end,
            )
            for what, at_end, said in zip(("start", "end"), ends, stated_ends, strict=True):
                message = f"{pool.problem.name}.{of.name}: backlog at the {what} is {at_end:g}"
                found += worst(abs(said - at_end), BACKLOG_REQUESTS, None, message)
    return found


# --- power ------------------------------------------------------------------------------------


def compute_power(evidence: Evidence, replay: Replay) -> list[Finding]:
    """The compute power of each step is what the set-points give through the two channels."""
    allowed = POWER_KW + RATIO * np.abs(replay.compute_kw) + replay.compute_allowed_kw
    off = np.abs(evidence.compute_kw - replay.compute_kw)
    return worst(off, allowed, evidence.starts_s, "compute_kw is not the replayed mean of the step")
