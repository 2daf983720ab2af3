"""Many pools that differ: those of a site in turn, with other loads, with and without their ways.

Which of them have their lower precision or locked clocks, and how much each is loaded, is drawn,
the same for the same seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.scaling import scaled_battery, scaled_connection_point, scaled_event
from ebplan.case import Case
from ebplan.pose import pose
from ebplan.site import Pool
from ebplan.state import PoolState, TierState

LOADS = (0.75, 1.1)
"""Load of a pool against that of the one it is made from."""
WITH_TIER, WITH_CLOCK_LOCK = 0.6, 0.6
"""Shares of the pools that keep theirs."""
IN_TIER = 0.25
"""Share of the instances of such a pool that hold the lower precision's weights at the start."""


def mixed(case: Case, *, instances: int, pools: int, seed: int = 0) -> Case:
    """Return the case with ``pools`` pools of ``instances`` each, made from its pools in turn.

    Everything else that has a size grows with what the pools draw at the start.
    """
    rng = np.random.default_rng(seed)
    drawn_kw = {
        p.name: p.power_at_start_kw() for p in pose(case.event, case.site, case.state).pools
    }
    made, states, whole_kw = {}, {}, 0.0
    for i in range(pools):
        kind = list(case.site.pools)[i % len(case.site.pools)]
        factor = instances / case.site.pools[kind].instances
        load = factor * float(rng.uniform(*LOADS))
        keeps = rng.random() < WITH_TIER, rng.random() < WITH_CLOCK_LOCK
        pool = _pool(case.site.pools[kind], instances, *keeps)
        made[f"{kind}-{i}"] = pool
        states[f"{kind}-{i}"] = _state(case.state.pools[kind], pool, factor, load)
        whole_kw += factor * drawn_kw[kind]
    whole = whole_kw / sum(drawn_kw.values())
    site = case.site
    changes: dict[str, Any] = {
        "pools": made,
        "losses": tuple(
            stage.model_copy(update={"offset_kw": stage.offset_kw * whole}) for stage in site.losses
        ),
        "battery": None if site.battery is None else scaled_battery(site.battery, whole),
        "connection_point": scaled_connection_point(site.connection_point, whole),
    }
    return case.model_copy(
        update={
            "event": scaled_event(case.event, whole, None),
            "site": site.model_copy(update=changes),
            "state": case.state.model_copy(update={"pools": states}),
        }
    )


def _pool(pool: Pool, instances: int, keeps_tier: bool, keeps_lock: bool) -> Pool:
    changes: dict[str, Any] = {"instances": instances}
    if not keeps_tier:
        changes["tier"] = None
        changes["classes"] = {
            name: requests.model_copy(update={"tiers": {}})
            for name, requests in pool.classes.items()
        }
    if not keeps_lock:
        changes["clock_lock"] = None
    return pool.model_copy(update=changes)


def _state(state: PoolState, pool: Pool, factor: float, load: float) -> PoolState:
    """Return who is where: as many are active as before in proportion, or hold the tier."""
    in_tier = round(IN_TIER * pool.instances) if pool.tier is not None else 0
    drained = pool.instances - round(state.active * factor) if pool.tier is None else 0
    return PoolState(
        active=pool.instances - in_tier - drained,
        drained=drained,
        tier=None if pool.tier is None else TierState(drained=in_tier),
        load_req_per_s={name: rate * load for name, rate in state.load_req_per_s.items()},
    )
