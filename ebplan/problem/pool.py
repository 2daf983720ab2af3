"""A pool of serving instances: curves, counts, prices.

Powers are kW at the connection point, counts are instances.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.latency import Queue
from ebplan.models.latency_bounds import latency_bounds
from ebplan.problem.classes import ClassProblem
from ebplan.problem.ways import ClockLockProblem, PrewarmProblem, TierProblem
from ebplan.site import CongestionStep, Response
from ebplan.state import PoolCorrection, Settling


class ArrivalCount(Part):
    """Instances in transit when the plan starts."""

    to: Literal["asleep", "awake", "tier"]
    """Where they arrive; in the pool's own precision but for ``tier``."""
    count: int = Field(ge=1)
    """How many."""
    at_s: NonNegative
    """When they arrive."""


class PoolProblem(Part):
    """One pool: curves, counts, prices."""

    name: str
    """Name of the pool."""
    instances: int = Field(ge=1)
    """Number of instances."""
    load_curve: LoadCurve
    """Uncapped power of one instance against utilisation."""
    cap_curve: CapCurve
    """Capacity of one instance against its power."""
    drained_kw: Positive
    """Power of one drained instance, also while it falls asleep or wakes."""
    asleep_kw: Positive
    """Power of one sleeping instance."""
    may_sleep: bool
    """Whether the planner may put instances to sleep."""
    min_utilisation: float = Field(gt=0.0, le=1.0)
    """Lowest utilisation of an active instance."""
    max_utilisation: Fraction
    """Highest utilisation of the capacity that the power allows."""
    route_response: Response
    """Power after a change of counts."""
    cap_response: Response
    """Power after a change of cap or load, downwards."""
    rise_response: Response | None = None
    """The same upwards; as downwards where absent."""
    sleep_s: NonNegative
    """From drained to asleep."""
    wake_s: NonNegative
    """From asleep to drained."""
    min_asleep_s: NonNegative
    """Minimum time asleep."""
    min_awake_s: NonNegative
    """Minimum time awake after a wake."""
    active_at_start: int = Field(ge=0)
    """Instances that take requests when the plan starts."""
    drained_at_start: int = Field(ge=0)
    """Instances awake without load when the plan starts."""
    asleep_at_start: int = Field(ge=0)
    """Instances asleep when the plan starts."""
    usually_active: int | None = Field(default=None, ge=0)
    """Instances of its own precision that take requests when nothing is asked: prices count from
    there. As many as at the start if absent."""
    settling: tuple[Settling, ...] = ()
    """Power still on its way when the plan starts."""
    arrivals: tuple[ArrivalCount, ...] = ()
    """In transit at the start."""
    classes: tuple[ClassProblem, ...] = Field(min_length=1)
    """Request classes served."""
    congestion: tuple[CongestionStep, ...] = ()
    """Price of slower answers by utilisation of the capacity that the power allows."""
    cap_depth_per_kwh: NonNegative
    """Price of a kWh that a cap takes below the natural draw."""
    readiness_per_instance_h: NonNegative
    """Price of an instance-hour less active than at the start."""
    drain_per_instance: NonNegative
    """Price of draining an instance."""
    wake_per_instance: NonNegative
    """Price of waking an instance."""
    clock_lock: ClockLockProblem | None = None
    """Locked SM clocks, where they are allowed."""
    tier: TierProblem | None = None
    """A lower precision, where there is one."""
    prewarm: PrewarmProblem | None = None
    """Pre-warming of the KV cache, where it is possible."""
    gpus_per_instance: int = Field(ge=1)
    """GPUs of one instance."""
    gpu_kw_per_kw: float = Field(gt=0.0, le=1.0)
    """GPU power per kW of the pool's power at the connection point: what a cap is set in."""
    queue: Queue | None = None
    """Waiting for a service slot; None where no latency is known."""
    may_cap: bool = True
    """Whether active instances may be capped; without, they draw what their load makes them."""
    fewest_active: int = Field(default=0, ge=0)
    """Fewest instances that take requests, in every epoch."""
    most_active: int | None = Field(default=None, ge=0)
    """Most instances that take requests, in every epoch; None where all may."""
    correction: PoolCorrection | None = None
    """What of the curves above is not the fitted models' but was found by tracking; left out of the
    file where None. Its ``cap_delivery`` says how much deeper a cap is set than it is to take."""

    @model_serializer(mode="wrap")
    def _only_a_correction_that_is(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave no correction unsaid: the digest of a problem without one stays what it was."""
        plain: dict[str, Any] = write(self)
        if plain.get("correction", 0) is None:
            del plain["correction"]
        return plain

    @model_validator(mode="after")
    def _physical(self) -> PoolProblem:
        fast, slow = self.cap_response, self.route_response
        rise = self.rise_response or fast
        if rise.delay_s < fast.delay_s or rise.time_constant_s < fast.time_constant_s:
            raise FieldFault(
                field="rise_response",
                value=f"delay {rise.delay_s:g} s, time constant {rise.time_constant_s:g} s",
                allowed=f">= those of cap_response: {fast.delay_s:g} s, {fast.time_constant_s:g} s",
                remedy="a release counts with the way down, which is taken to be the faster one",
            )
        if slow.delay_s < fast.delay_s or slow.time_constant_s < fast.time_constant_s:
            raise FieldFault(
                field="route_response",
                value=f"delay {slow.delay_s:g} s, time constant {slow.time_constant_s:g} s",
                allowed=f">= those of cap_response: {fast.delay_s:g} s, {fast.time_constant_s:g} s",
                remedy="a drained instance settles no faster than a capped one: correct either",
            )
        lowest_kw = float(self.load_curve.power_kw(self.min_utilisation))
        if self.cap_curve.floor_kw > lowest_kw * (1.0 + 1e-9):
            raise FieldFault(
                field="cap_curve.floor_kw",
                value=self.cap_curve.floor_kw,
                allowed=f"<= {lowest_kw:.4f}, the draw at min_utilisation",
                remedy="lower the cap floor, or raise min_utilisation",
            )
        return self

    @model_validator(mode="after")
    def _limits_can_be_kept(self) -> PoolProblem:
        if self.queue is None and any(c.latency is not None for c in self.classes):
            raise FieldFault(
                field="queue",
                value=None,
                allowed="the service slots of an instance, where a class has a latency",
                remedy="give slots and service_s",
            )
        latency_bounds(self)
        return self

    @model_validator(mode="after")
    def _everyone_is_somewhere(self) -> PoolProblem:
        there = self.active_at_start + self.drained_at_start + self.asleep_at_start
        there += self.in_tier_at_start
        there += sum(arrival.count for arrival in self.arrivals)
        if there != self.instances:
            raise FieldFault(
                field="instances",
                value=self.instances,
                allowed=f"{there}, the sum of active, drained, asleep and in transit",
                remedy="correct the counts",
            )
        return self

    @model_validator(mode="after")
    def _warm_is_no_dearer(self) -> PoolProblem:
        warm = self.prewarm
        if warm is not None and (
            warm.drain_per_instance > self.drain_per_instance or warm.wake_s > self.wake_s
        ):
            raise FieldFault(
                field="prewarm",
                value=f"drain {warm.drain_per_instance:g}, wake {warm.wake_s:g} s",
                allowed=f"<= those of the pool: {self.drain_per_instance:g}, {self.wake_s:g} s",
                remedy="a warm cache makes no drain dearer and no wake slower: correct either",
            )
        return self

    @model_validator(mode="after")
    def _lowered_needs_a_tier(self) -> PoolProblem:
        if self.tier is None and any(arrival.to == "tier" for arrival in self.arrivals):
            raise FieldFault(
                field="arrivals",
                value="tier",
                allowed="asleep or awake: the pool has no tier",
                remedy="give the pool its tier, or correct where they arrive",
            )
        if self.tier is None and any(c.lowered is not None for c in self.classes):
            raise FieldFault(
                field="classes",
                value="lowered",
                allowed="only in a pool with a tier",
                remedy="give the pool its tier, or leave lowered out",
            )
        if self.tier is not None and self.tier.load_at_start > self.load * (1.0 + 1e-9):
            raise FieldFault(
                field="tier.load_at_start",
                value=self.tier.load_at_start,
                allowed=f"<= {self.load:g}, the load of the pool",
                remedy="correct the load of the tier",
            )
        return self

    @model_validator(mode="after")
    def _active_range(self) -> PoolProblem:
        if not self.fewest_active <= self.highest_active <= self.instances:
            raise FieldFault(
                field="most_active",
                value=self.most_active,
                allowed=f"fewest_active = {self.fewest_active} to instances = {self.instances}",
                remedy="correct either limit",
            )
        return self

    @property
    def cap_delivery(self) -> float:
        """Share of the power that a cap is meant to take and does take."""
        return 1.0 if self.correction is None else self.correction.cap_delivery

    @property
    def in_tier_at_start(self) -> int:
        """Instances that hold the lower precision's weights when the plan starts."""
        return self.tier.active_at_start + self.tier.drained_at_start if self.tier else 0

    @property
    def load_in_tier_at_start(self) -> float:
        """Instance-equivalents that the lower precision serves when the plan starts."""
        return self.tier.load_at_start if self.tier else 0.0

    @property
    def serving_at_start(self) -> int:
        """Instances that take requests when the plan starts, in any precision."""
        return self.active_at_start + (self.tier.active_at_start if self.tier else 0)

    @property
    def usual_active(self) -> int:
        """Instances of its own precision that take requests when nothing is asked."""
        return self.active_at_start if self.usually_active is None else self.usually_active

    @property
    def usual_serving(self) -> int:
        """Instances that take requests when nothing is asked, in any precision."""
        return self.usual_active + self.serving_at_start - self.active_at_start

    @property
    def usual_utilisation(self) -> float:
        """Load per instance that is usually active, at most 1; 1 where none is."""
        if not self.usual_active:
            return 1.0
        return min((self.load - self.load_in_tier_at_start) / self.usual_active, 1.0)

    @property
    def highest_active(self) -> int:
        """Most instances that may take requests."""
        return self.instances if self.most_active is None else self.most_active

    @property
    def load(self) -> float:
        """Offered load of all classes in instance-equivalents."""
        return sum(c.load for c in self.classes)

    @property
    def most_served(self) -> float:
        """Instance-equivalents that all instances together can serve."""
        return self.instances * (self.tier.capacity_factor if self.tier else 1.0)

    @property
    def full_kw(self) -> float:
        """Uncapped power of one instance at saturation."""
        return self.load_curve.full_kw

    @property
    def highest_kw(self) -> float:
        """Bound on the settled draw: every instance saturated, and a pre-warm at work."""
        tier_kw = self.tier.load_curve.full_kw if self.tier else 0.0
        working_kw = self.prewarm.power_kw if self.prewarm else 0.0
        return self.instances * max(self.full_kw, tier_kw) + working_kw

    @property
    def utilisation_at_start(self) -> float:
        """Load per active instance when the plan starts, at most 1; 1 without active ones.

        What a lower precision serves is not theirs.
        """
        if not self.active_at_start:
            return 1.0
        return min((self.load - self.load_in_tier_at_start) / self.active_at_start, 1.0)

    def power_at_start_kw(self) -> float:
        """Return the settled power of the pool when the plan starts."""
        idle = self.instances - self.serving_at_start - self.asleep_at_start
        power_kw = idle * self.drained_kw + self.asleep_at_start * self.asleep_kw
        if self.active_at_start:
            each_kw = float(self.load_curve.power_kw(self.utilisation_at_start))
            power_kw += self.active_at_start * each_kw
        if self.tier and self.tier.active_at_start:
            each_kw = float(self.tier.load_curve.power_kw(self.tier.utilisation_at_start))
            power_kw += self.tier.active_at_start * each_kw
        return power_kw
