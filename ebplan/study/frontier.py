"""What compute can release at one load, and what each kW of it costs: asked of the planner itself.

A half-hour of compute in a year-long study is a promise of the real-time program without its
battery: the same lens, counts, transitions and prices (``ebplan/offers/firm.py``), checked by the
same checker. For each load the largest promise and some below it are planned; the lower convex hull
of their cost over kW is the frontier. One site moves in lumps of whole instances; many sites that
share an answer come as close to the hull as one is small among them.

What energy is saved is not part of the price: a study pays for energy itself. How fast compute
comes is not either, and is asked apart: the promise that is whole within a product's own activation
time, without a battery to bridge it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event, ResponseShape, Target
from ebplan.offers.firm import Firm, Kept, levels
from ebplan.pose import pose
from ebplan.pose.known import TooLittleLoad
from ebplan.site import Response, Site
from ebplan.solvers.leave_out import leave_out
from ebplan.solvers.program import FloatArray
from ebplan.state import PoolState, State

BRIDGED_S = 300.0
"""Compute has settled well before: what it can release when a battery bridges the beginning."""
RECOVERY_S = 600.0
"""Seconds after the release that are planned with it."""
POINTS = 8
"""Promises planned for each load."""
NOT_LOST = ("energy", "firmness")
"""Causes that are no loss of compute: energy is paid by the study, firmness is rounding."""
LEAST_KW = 1e-4
SETTLED_CONSTANTS = 3.0
"""Time constants after which 95 % of a first-order response are there."""
SAME_PRICE = 0.01
"""Corners at which the price rises by less than this share are left out."""
_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""No model knows the time of day."""

LoadByPool = Mapping[str, Mapping[str, float]]
"""Requests per second by pool and class."""


@dataclass(frozen=True)
class Segment:
    """A slice of the frontier, between two of its corners."""

    kw: float
    """Its width."""
    price_per_kwh: float
    """Lost value for each kWh released with it."""
    levers: Mapping[str, float]
    """Share of it by mechanism."""
    rejected_per_kwh: float
    """Requests turned away for each kWh."""


@dataclass(frozen=True)
class Frontier:
    """What one site can release at one load."""

    baseline_kw: float
    """Draw of the site at that load when nothing is asked, battery apart."""
    segments: tuple[Segment, ...]
    """From cheap to dear: prices do not fall."""
    alone_kw: Mapping[float, float]
    """Largest release that is whole within an activation time, in seconds, without a battery."""

    @property
    def most_kw(self) -> float:
        """Largest release once compute has settled."""
        return sum(segment.kw for segment in self.segments)


def frontier(
    site: Site,
    load: LoadByPool,
    *,
    hold_s: float = 1800.0,
    activations_s: Iterable[float] = (),
    without: Iterable[str] = (),
    points: int = POINTS,
) -> Frontier:
    """Return the frontier of a site at a load.

    Args:
        site: the site; its battery is left out.
        load: requests per second.
        hold_s: how long a release is held.
        activations_s: activation times of products that compute might carry alone.
        without: mechanisms left out, by name.
        points: promises to plan.

    Raises:
        InputError: a mechanism is unknown, or the load leaves the range of the site's models.
    """
    bare = site.model_copy(update={"battery": None})
    state = _at_rest(bare, load)
    left = tuple(without)
    firm = _asked(bare, state, hold_s, BRIDGED_S, left)
    most, _ = firm.most(quick=True)
    baseline_kw = firm.problem.baseline_kw[0]
    segments: tuple[Segment, ...] = ()
    if most is not None and most.kw > LEAST_KW:
        kept = [k for kw in levels(most.kw, points) if (k := firm.cheapest(kw)) is not None]
        segments = _segments(kept or [most], firm.stated().cheapest(0.0).objective)
    alone = {}
    for activation_s in sorted(set(activations_s)):
        if activation_s >= BRIDGED_S:
            alone[activation_s] = sum(s.kw for s in segments)
            continue
        found, _ = _asked(bare, state, hold_s, activation_s, left).most(quick=True)
        alone[activation_s] = 0.0 if found is None else found.kw
    return Frontier(baseline_kw=baseline_kw, segments=segments, alone_kw=alone)


def bridge_s(site: Site) -> float:
    """Return the seconds of full response that a battery gives while compute settles.

    The integral of what a first-order response with dead time has not reached yet: delay and time
    constant of the slowest, consolidation.
    """
    return max(r.delay_s + r.time_constant_s for r in _slowest(site))


def settled_s(site: Site) -> float:
    """Return the seconds from a command until 95 % of the slowest response are there."""
    return max(r.delay_s + SETTLED_CONSTANTS * r.time_constant_s for r in _slowest(site))


def _slowest(site: Site) -> list[Response]:
    return [pool.route_response for pool in site.pools.values()]


def _at_rest(site: Site, load: LoadByPool) -> State:
    """Return the state in which as many instances serve as the models cover at this load."""
    pools = {}
    for name, pool in site.pools.items():
        requests = dict(load[name])
        active = pool.instances
        for _ in range(2):
            pools[name] = PoolState(
                active=active, drained=pool.instances - active, load_req_per_s=requests
            )
            try:
                pose(
                    _event(1.0, 1800.0, BRIDGED_S),
                    site.model_copy(update={"pools": {name: pool}}),
                    State(at=_AT, pools={name: pools[name]}),
                )
                break
            except TooLittleLoad as error:
                active = error.busy
                if active < 1:
                    raise
    return State(at=_AT, pools=pools)


def _event(kw: float, hold_s: float, activation_s: float) -> Event:
    return Event(
        id="study",
        type="demand_response",
        start=_AT,
        duration_s=hold_s,
        target=Target(delta_kw=-kw),
        response=ResponseShape(
            initial_delay_s=min(0.5, activation_s),
            full_activation_s=activation_s,
            recovery_s=RECOVERY_S,
            rebound_limit_kw=0.5,
        ),
    )


def _asked(
    site: Site, state: State, hold_s: float, activation_s: float, without: tuple[str, ...]
) -> Firm:
    planning = site.planning.model_copy(
        update={"max_horizon_s": hold_s + RECOVERY_S, "uncertainty": None}
    )
    posed = site.model_copy(update={"planning": planning})
    problem = pose(_event(1.0, hold_s, activation_s), posed, state)
    return Firm(leave_out(problem, without))


def _segments(kept: Sequence[Kept], resting: float) -> tuple[Segment, ...]:
    """Return the lower convex hull of the cost of promises, from nothing to the largest."""
    names = sorted({n for k in kept for step in k.plan.steps for n in step.mechanisms})
    kw = np.array([0.0, *(k.kw for k in kept)])
    rows = [_per_h(k, names, resting) for k in kept]
    per_h = np.vstack([np.zeros(2 + len(names)), *rows])
    segments = []
    for a, b in _hull(kw, np.maximum.accumulate(per_h[:, 0])):
        wide = kw[b] - kw[a]
        money, rejected, *moved = (per_h[b] - per_h[a]) / wide
        shares = np.maximum(moved, 0.0)
        total = float(shares.sum()) or 1.0
        segments.append(
            Segment(
                kw=float(wide),
                price_per_kwh=max(float(money), 0.0),
                levers={
                    n: float(s / total) for n, s in zip(names, shares, strict=True) if s > 1e-3
                },
                rejected_per_kwh=max(float(rejected), 0.0),
            )
        )
    return tuple(segments)


def _per_h(kept: Kept, names: Sequence[str], resting: float) -> list[float]:
    """Return lost value, requests turned away (both per hour held), and kW by mechanism."""
    plan = kept.plan
    delivered_h = sum(abs(s.target_kw) * s.duration_s for s in plan.steps) / kept.kw / 3600.0
    other = sum(plan.cost.get(cause, 0.0) for cause in NOT_LOST)
    lost = plan.objective - other - resting
    rejected = sum(one.rejected for classes in plan.service.values() for one in classes.values())
    whole = [s for s in plan.steps if abs(s.target_kw) >= kept.kw * (1.0 - 1e-9)]
    seconds = sum(s.duration_s for s in whole)
    means = [
        -sum(s.mechanisms.get(name, 0.0) * s.duration_s for s in whole) / seconds for name in names
    ]
    return [lost / delivered_h, rejected / delivered_h, *means]


def _hull(x: FloatArray, y: FloatArray) -> list[tuple[int, int]]:
    """Return the edges of the lower convex hull of points in order of x, the first included."""
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            before, after = (y[b] - y[a]) / (x[b] - x[a]), (y[i] - y[a]) / (x[i] - x[a])
            if after - before > SAME_PRICE * abs(after):
                break
            kept.pop()
        kept.append(i)
    return list(pairwise(kept))


def check_load(site: Site, load: LoadByPool) -> None:
    """Refuse a load that does not speak of exactly the site's pools and classes.

    Raises:
        InputError: a pool or class is missing or unknown.
    """
    wanted = {name: sorted(pool.classes) for name, pool in site.pools.items()}
    given = {name: sorted(classes) for name, classes in load.items()}
    if wanted != given:
        raise InputError(
            field="portfolio.load",
            value=given,
            allowed=f"requests per second of each pool and class of the site: {wanted}",
            remedy="give each of them, and no other",
        )
