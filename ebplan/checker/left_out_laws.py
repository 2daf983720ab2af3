"""The law of what is left out: a switch that is off in the problem is off in the plan."""

from __future__ import annotations

import numpy as np

from ebplan.checker.evidence import Evidence, Finding, worst
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import RATE_SHARE


def left_out(evidence: Evidence, _: Replay) -> list[Finding]:
    """Active instances stay in their range, nothing is capped or put off that may not be.

    That an uncapped instance draws what its load makes it draw is the law of cap_set_point.
    """
    found = []
    at_s = evidence.epoch_starts_s
    for pool in evidence.pools:
        of = pool.problem
        most = of.instances if of.most_active is None else of.most_active
        outside = np.maximum(of.fewest_active - pool.active, pool.active - most)
        message = f"{of.name}: active instances outside {of.fewest_active} to {most}"
        found += worst(outside, 0.0, at_s, message)
        for way in pool.ways:
            if not of.may_cap and way.locked is None:
                capped = np.array([cap is not None for cap in way.set_points], dtype=float)
                found += worst(capped, 0.0, at_s, f"{way.name}: instances may not be capped")
        for requests, put_off in zip(of.classes, pool.deferred_req_per_s, strict=True):
            if requests.deferral is not None and not requests.deferral.may_put_off:
                share = put_off / requests.requests_per_s_per_instance
                message = f"{of.name}.{requests.name}: nothing may be put off"
                found += worst(share, RATE_SHARE, at_s, message)
    return found
