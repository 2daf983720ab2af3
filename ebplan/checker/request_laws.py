"""Laws of the requests: what is offered is served, turned away, put off, or done ahead, once."""

from __future__ import annotations

import numpy as np

from ebplan.checker.evidence import Evidence, Finding, FloatArray, PoolEvidence, each_pool, worst
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import BACKLOG_REQUESTS, RATE_SHARE


def requests(evidence: Evidence, _: Replay) -> list[Finding]:
    """What is offered is the problem's load, and is served or rejected, within the limits."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        of, rate = pool.problem, pool.rates
        load = rate * np.array([[c.load] for c in of.classes])
        most = rate * np.array([[c.max_rejected] for c in of.classes])
        offered, served = pool.offered_req_per_s, pool.served_req_per_s
        rejected, put_off = pool.rejected_req_per_s, pool.deferred_req_per_s
        pulled, lowered = pool.pulled_req_per_s, pool.lowered_req_per_s
        allowed = RATE_SHARE * rate
        found = []
        for amount, message in (
            (np.abs(offered - load), "offered requests are not the load of the problem"),
            (
                np.abs(offered - served - rejected - put_off + pulled),
                "offered is not served plus rejected plus deferred less pulled",
            ),
            (rejected - most, "more requests rejected than allowed"),
            (-np.min([served, rejected, pulled, lowered], axis=0), "negative requests"),
        ):
            found += worst(
                (amount / allowed).max(axis=0) * RATE_SHARE,
                RATE_SHARE,
                at_s,
                f"{of.name}: {message}, in instance-equivalents",
            )
        return found

    return each_pool(evidence, law)


def pull_forward(evidence: Evidence, _: Replay) -> list[Finding]:
    """No more is done ahead than there is to do ahead; a class without such work does none."""
    seconds = evidence.epoch_s
    found = []
    for pool in evidence.pools:
        ahead = pool.pulled_req_per_s / pool.rates @ seconds
        for c, of in enumerate(pool.problem.classes):
            name = f"{pool.problem.name}.{of.name}"
            most = 0.0 if of.pull_forward is None else of.pull_forward.available
            message = f"{name}: {ahead[c]:g} done ahead, of {most:g} instance-equivalent seconds"
            allowed = 0.0 if of.pull_forward is None else RATE_SHARE * float(seconds.sum())
            found += worst(ahead[c] - most, allowed, None, message)
    return found


def lowered(evidence: Evidence, _: Replay) -> list[Finding]:
    """The lower precision serves only what may be: a share of what is served of each class."""

    def law(pool: PoolEvidence, at_s: FloatArray) -> list[Finding]:
        found = []
        for c, of in enumerate(pool.problem.classes):
            name = f"{pool.problem.name}.{of.name}"
            share = 0.0 if of.lowered is None else of.lowered.eligible_share
            above = pool.lowered_req_per_s[c] - share * pool.served_req_per_s[c]
            allowed = 0.0 if of.lowered is None else RATE_SHARE
            message = f"{name}: more than {share:g} of what is served, at the lower precision"
            found += worst(above / of.requests_per_s_per_instance, allowed, at_s, message)
        return found

    return each_pool(evidence, law)


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

    return each_pool(evidence, law)


def service(evidence: Evidence, _: Replay) -> list[Finding]:
    """The totals over the plan are the sums of the epochs."""
    found = []
    for pool in evidence.pools:
        stated_by_class = evidence.plan.service[pool.problem.name]
        for c, of in enumerate(pool.problem.classes):
            offered = float(pool.offered_req_per_s[c] @ evidence.epoch_s)
            allowed = RATE_SHARE * max(offered, 1.0)
            for what in ("offered", "served", "rejected", "pulled", "lowered"):
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
