"""What a pool of the site cannot be, put right before it is posed.

| measured                                     | counts as                                 |
|----------------------------------------------|-------------------------------------------|
| fewer instances than the site has            | the rest are lost                         |
| more                                         | they are there                            |
| more usually active than are left            | as many as are left                       |
| load of a class of which nothing is said     | 0                                         |
| load, backlog, queue of a class that cannot  | left out                                  |
| a lower precision in a pool without          | drained; on the way there: on its way     |
| lower precision serving more than it may     | not at work                               |
| power on its way, slower than any response   | left out                                  |
| warmth in a pool without pre-warm            | cold                                      |
"""

from __future__ import annotations

from ebplan.site import Pool
from ebplan.state import PoolState

SLOWER = 3.0
"""A response this many times slower than the pool's slowest is not one of its."""


def as_the_pool_is(
    name: str, pool: Pool, told: PoolState, notes: list[str]
) -> tuple[Pool, PoolState]:
    """Return the pool and its state without contradictions; say what was put right in ``notes``."""
    told = _without_unknown_tier(name, pool, told, notes)
    pool, told = _counted(name, pool, told, notes)
    told = _classes_match(name, pool, told, notes)
    told = _tier_serves_what_it_may(name, pool, told, notes)
    told = _settles_as_it_can(name, pool, told, notes)
    if told.warm_remaining_s > 0.0 and pool.prewarm is None:
        notes.append(f"pool {name} has no pre-warm; it counts as cold")
        told = told.model_copy(update={"warm_remaining_s": 0.0})
    return pool, told


def _settles_as_it_can(name: str, pool: Pool, told: PoolState, notes: list[str]) -> PoolState:
    """Leave out power on its way that stays longer than anything the pool was told could."""
    answers = (pool.route_response, pool.cap_response, pool.rise_response)
    slowest_s = max(r.delay_s + r.time_constant_s for r in answers if r is not None)
    kept = tuple(
        part for part in told.settling if part.delay_s + part.time_constant_s <= SLOWER * slowest_s
    )
    if len(kept) < len(told.settling):
        notes.append(f"power on its way in pool {name} would stay for longer than it answers")
    return told.model_copy(update={"settling": kept})


def _without_unknown_tier(name: str, pool: Pool, told: PoolState, notes: list[str]) -> PoolState:
    moving = any(t.to == "tier" for t in told.in_transit)
    held = told.tier.active + told.tier.drained if told.tier else 0
    if pool.tier is not None or not (held or moving):
        return told
    notes.append(f"pool {name} has no lower precision; its instances count as drained")
    transit = tuple(
        t.model_copy(update={"to": "awake"}) if t.to == "tier" else t for t in told.in_transit
    )
    changes = {"tier": None, "drained": told.drained + held, "in_transit": transit}
    return told.model_copy(update=changes)


def _counted(name: str, pool: Pool, told: PoolState, notes: list[str]) -> tuple[Pool, PoolState]:
    """Let the counts add up: who is not accounted for is lost; who is too many is there."""
    apart = pool.instances - told.total
    if apart > 0:
        notes.append(f"{apart} of {pool.instances} instances of pool {name} are not accounted for")
        told = told.model_copy(update={"lost": told.lost + apart})
    elif apart < 0:
        notes.append(f"pool {name} has {told.total} instances, {-apart} more than the site says")
        pool = pool.model_copy(update={"instances": told.total})
    here = told.total - told.lost
    if told.usually_active is not None and told.usually_active > here:
        told = told.model_copy(update={"usually_active": here})
    return pool, told


def _classes_match(name: str, pool: Pool, told: PoolState, notes: list[str]) -> PoolState:
    """Leave what is said of the pool's classes; a class of which nothing is said has no load."""
    loads = {key: told.load_req_per_s.get(key, 0.0) for key in pool.classes}
    if set(loads) != set(told.load_req_per_s):
        notes.append(f"the request classes of pool {name} are not those of the site")
    may_wait = {key for key, c in pool.classes.items() if c.deferral is not None}
    backlog = {key: n for key, n in told.backlog_requests.items() if key in may_wait}
    if any(n > 0.0 for key, n in told.backlog_requests.items() if key not in may_wait):
        notes.append(f"requests of pool {name} wait that may not; they count as served")
    ahead = {key for key, c in pool.classes.items() if c.pull_forward is not None}
    queued = {key: n for key, n in told.queued_requests.items() if key in ahead}
    if any(n > 0.0 for key, n in told.queued_requests.items() if key not in ahead):
        notes.append(f"requests of pool {name} are queued that may not be served ahead")
    changes = {"load_req_per_s": loads, "backlog_requests": backlog, "queued_requests": queued}
    return told.model_copy(update=changes)


def _tier_serves_what_it_may(name: str, pool: Pool, told: PoolState, notes: list[str]) -> PoolState:
    """Let a lower precision serve nothing where it is said to serve what it cannot."""
    if told.tier is None or not told.tier.load_req_per_s:
        return told
    if told.tier.active and all(_may_serve(pool, told, key) for key in told.tier.load_req_per_s):
        return told
    if any(told.tier.load_req_per_s.values()):
        notes.append(f"the lower precision of pool {name} cannot serve what it is said to")
    tier = told.tier.model_copy(update={"load_req_per_s": {}})
    return told.model_copy(update={"tier": tier})


def _may_serve(pool: Pool, told: PoolState, key: str) -> bool:
    assert told.tier is not None
    if key not in pool.classes:
        return False
    shares = (tier.eligible_share for tier in pool.classes[key].tiers.values())
    most = max(shares, default=0.0) * told.load_req_per_s[key]
    return told.tier.load_req_per_s[key] <= most
