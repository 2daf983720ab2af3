"""A plan as commands in time order, free of any vendor: what adapters carry out.

At one instant commands stand in the order in which they are safe: capacity that comes is added
before load moves, load moves before instances sleep, and the converter is told first of all,
because it bridges whatever the others still need to settle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.plan import ClassEpoch, Plan, PoolEpoch


class ArmDroop(Part):
    """Keep converter power free, both ways, for the droop armed in the converter."""

    command: Literal["arm_droop"] = "arm_droop"
    at_s: NonNegative
    reserve_kw: NonNegative


class HoldConnectionPoint(Part):
    """Let the converter hold this draw at the connection point from ``at_s`` on.

    It is the time at which the draw holds: send the set-point the converter's delay earlier, or let
    the armed droop answer.
    """

    command: Literal["hold_connection_point"] = "hold_connection_point"
    at_s: NonNegative
    grid_kw: float


class RestConverter(Part):
    """Let the converter hold nothing from ``at_s`` on; its droop stays armed.

    Sent outside the event where the plan rests the battery: a draw held there would make it pay for
    every watt that the models miss.
    """

    command: Literal["rest_converter"] = "rest_converter"
    at_s: NonNegative


class Wake(Part):
    """Wake sleeping instances; verify them before traffic returns."""

    command: Literal["wake"] = "wake"
    at_s: NonNegative
    pool: str
    count: int


class Route(Part):
    """Route requests to this many instances of the pool and drain the other awake ones."""

    command: Literal["route"] = "route"
    at_s: NonNegative
    pool: str
    active: int
    drained: int


class LimitAdmission(Part):
    """Admit at most this rate of a request class; None lifts the limit."""

    command: Literal["limit_admission"] = "limit_admission"
    at_s: NonNegative
    pool: str
    request_class: str
    req_per_s: NonNegative | None


class PaceBacklog(Part):
    """Put this rate of a class's requests into the backlog, or (< 0) serve it from there."""

    command: Literal["pace_backlog"] = "pace_backlog"
    at_s: NonNegative
    pool: str
    request_class: str
    req_per_s: float


class CapPower(Part):
    """Limit each GPU of the pool's active instances; None restores the requested limit."""

    command: Literal["cap_power"] = "cap_power"
    at_s: NonNegative
    pool: str
    w_per_gpu: float | None


class LockClock(Part):
    """Route requests to this many instances at this SM clock; None unlocks the clock."""

    command: Literal["lock_clock"] = "lock_clock"
    at_s: NonNegative
    pool: str
    active: int
    clock_mhz: float | None


class LoadWeights(Part):
    """Load the weights of the lower precision, or the pool's own again, on drained instances."""

    command: Literal["load_weights"] = "load_weights"
    at_s: NonNegative
    pool: str
    precision: Literal["lower", "own"]
    count: int


class RouteLower(Part):
    """Route this rate of each class to this many instances of the lower precision."""

    command: Literal["route_lower"] = "route_lower"
    at_s: NonNegative
    pool: str
    active: int
    drained: int
    req_per_s: dict[str, float]
    w_per_gpu: float | None


class WarmCache(Part):
    """Load the working memory of protected requests on the replicas that will serve them."""

    command: Literal["warm_cache"] = "warm_cache"
    at_s: NonNegative
    pool: str


class ServeAhead(Part):
    """Serve queued requests that are not due yet at this rate."""

    command: Literal["serve_ahead"] = "serve_ahead"
    at_s: NonNegative
    pool: str
    request_class: str
    req_per_s: NonNegative


class Sleep(Part):
    """Put drained instances to sleep, once nothing is in flight on them."""

    command: Literal["sleep"] = "sleep"
    at_s: NonNegative
    pool: str
    count: int


Command = Annotated[
    ArmDroop
    | HoldConnectionPoint
    | RestConverter
    | Wake
    | WarmCache
    | Route
    | RouteLower
    | LockClock
    | LimitAdmission
    | PaceBacklog
    | ServeAhead
    | CapPower
    | LoadWeights
    | Sleep,
    Field(discriminator="command"),
]

_ORDER = (
    "arm_droop",
    "hold_connection_point",
    "rest_converter",
    "wake",
    "warm_cache",
    "route_lower",
    "route",
    "lock_clock",
    "limit_admission",
    "pace_backlog",
    "serve_ahead",
    "cap_power",
    "load_weights",
    "sleep",
)
SAME_DRAW_KW = 1e-3
"""A new draw is sent when it differs by more than a watt."""


def commands(plan: Plan) -> tuple[Command, ...]:
    """Return the commands of a plan, sorted by time and then by the safe order.

    The first instant states everything; later ones only what changes.
    """
    listed = [*_converter(plan)]
    for pool, epochs in plan.pools.items():
        before: PoolEpoch | None = None
        for epoch in epochs:
            listed.extend(_fleet(pool, before, epoch))
            before = epoch
    return tuple(sorted(listed, key=lambda c: (c.at_s, _ORDER.index(c.command))))


def _converter(plan: Plan) -> Iterator[Command]:
    if plan.converter is None:
        return
    yield ArmDroop(at_s=0.0, reserve_kw=plan.converter.droop_reserve_kw)
    held: float | None = None
    resting = False
    asked = [i for i, step in enumerate(plan.steps) if step.target_kw != 0.0]
    for i, step in enumerate(plan.steps):
        outside = not asked or not asked[0] <= i <= asked[-1]
        if outside and abs(step.battery_kw) <= SAME_DRAW_KW:
            if not resting:
                yield RestConverter(at_s=step.t_s)
            held, resting = None, True
        elif held is None or abs(step.grid_kw - held) > SAME_DRAW_KW:
            held, resting = step.grid_kw, False
            yield HoldConnectionPoint(at_s=step.t_s, grid_kw=held)


def _fleet(pool: str, before: PoolEpoch | None, now: PoolEpoch) -> Iterator[Command]:
    if now.woken:
        yield Wake(at_s=now.t_s, pool=pool, count=now.woken)
    if now.put_to_sleep:
        yield Sleep(at_s=now.t_s, pool=pool, count=now.put_to_sleep)
    if before is None or (now.active, now.drained) != (before.active, before.drained):
        yield Route(at_s=now.t_s, pool=pool, active=now.active, drained=now.drained)
    if before is None or now.cap_w_per_gpu != before.cap_w_per_gpu:
        yield CapPower(at_s=now.t_s, pool=pool, w_per_gpu=now.cap_w_per_gpu)
    if now.prewarm:
        yield WarmCache(at_s=now.t_s, pool=pool)
    yield from _clock(pool, before, now)
    yield from _precision(pool, before, now)
    for name, requests in now.classes.items():
        earlier = None if before is None else before.classes[name]
        admitted = _admitted(requests)
        if earlier is None or admitted != _admitted(earlier):
            yield LimitAdmission(at_s=now.t_s, pool=pool, request_class=name, req_per_s=admitted)
        put_off = requests.deferred_req_per_s
        if put_off != (0.0 if earlier is None else earlier.deferred_req_per_s):
            yield PaceBacklog(at_s=now.t_s, pool=pool, request_class=name, req_per_s=put_off)
        ahead = requests.pulled_req_per_s
        if ahead != (0.0 if earlier is None else earlier.pulled_req_per_s):
            yield ServeAhead(at_s=now.t_s, pool=pool, request_class=name, req_per_s=ahead)


def _clock(pool: str, before: PoolEpoch | None, now: PoolEpoch) -> Iterator[Command]:
    lock = now.clock_lock
    if lock is None:
        return
    was: tuple[int, float | None] = (0, None)
    if before is not None and before.clock_lock is not None:
        was = (before.clock_lock.active, before.clock_lock.clock_mhz)
    if (lock.active, lock.clock_mhz) != was:
        yield LockClock(at_s=now.t_s, pool=pool, active=lock.active, clock_mhz=lock.clock_mhz)


def _precision(pool: str, before: PoolEpoch | None, now: PoolEpoch) -> Iterator[Command]:
    tier = now.tier
    if tier is None:
        return
    for precision, count in (("lower", tier.to_tier), ("own", tier.to_own)):
        if count:
            yield LoadWeights(at_s=now.t_s, pool=pool, precision=precision, count=count)
    rates = {name: c.lowered_req_per_s for name, c in now.classes.items() if c.lowered_req_per_s}
    told = (tier.active, tier.drained, rates, tier.cap_w_per_gpu)
    if before is not None and before.tier is not None:
        was = before.tier
        earlier = {n: c.lowered_req_per_s for n, c in before.classes.items() if c.lowered_req_per_s}
        if told == (was.active, was.drained, earlier, was.cap_w_per_gpu):
            return
    yield RouteLower(
        at_s=now.t_s,
        pool=pool,
        active=tier.active,
        drained=tier.drained,
        req_per_s=rates,
        w_per_gpu=tier.cap_w_per_gpu,
    )


def _admitted(requests: ClassEpoch) -> float | None:
    """Return the rate admitted to service or backlog; None where nothing is turned away."""
    turned_away = requests.rejected_req_per_s
    if turned_away <= 0.0:
        return None
    # a class that is turned away whole is so to the solver's tolerance
    return max(requests.offered_req_per_s - turned_away, 0.0)
