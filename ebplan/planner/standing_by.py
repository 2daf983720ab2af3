"""Instances that stand by between calls: the room in which compute can absorb.

A fleet that serves with everything it has can draw little more. Left to the money, the plan between
calls puts a drained instance to work whenever shorter answers are worth more than its watts, and
the next call to absorb falls to the battery alone. So a site may keep instances of a pool without
load:

    A_k <= max(N - kept, ceil(load / u_high), fewest active)

They serve all the same where the load does not fit the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from ebplan.errors import InputError
from ebplan.problem import PoolProblem, Problem
from ebplan.site import Site
from ebplan.solvers.leave_out import servable

SAME = 1e-9


def check_standing_by(site: Site, drained: Mapping[str, int]) -> None:
    """Refuse instances that no pool of the site has, or all that one has.

    Raises:
        InputError: for the first of them.
    """
    for name, count in drained.items():
        if name not in site.pools:
            raise InputError(
                field="restoration.drained",
                value=name,
                allowed=", ".join(site.pools),
                remedy="name a pool of the site",
            )
        if count >= site.pools[name].instances:
            raise InputError(
                field=f"restoration.drained.{name}",
                value=count,
                allowed=f"0 to {site.pools[name].instances - 1}: one of the pool's "
                f"{site.pools[name].instances} instances serves at least",
                remedy="keep fewer",
            )


def with_standing_by(problem: Problem, drained: Mapping[str, int]) -> Problem:
    """Return the problem with these instances of each pool kept without load, where it fits."""
    if not any(drained.values()):
        return problem
    pools = tuple(_kept_back(pool, drained.get(pool.name, 0)) for pool in problem.pools)
    return problem.model_copy(update={"pools": pools})


def _kept_back(pool: PoolProblem, count: int) -> PoolProblem:
    _, high = servable(pool)
    needed = ceil(pool.load / high - SAME)
    most = max(pool.instances - count, needed, pool.fewest_active)
    return pool if most >= pool.highest_active else pool.model_copy(update={"most_active": most})
