"""The problem: everything the solver is told, in numbers, frozen and savable.

All input handling has ended when a problem exists. Powers are kW at the connection point, times
are seconds from plan start, money is in ``currency``, work is in *instance-equivalents* (1 = one
uncapped instance at saturation). The saved file is the bug report: ``ebplan solve problem.json``
solves it again.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive, Timestamp
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.latency import ClassLatency, Queue
from ebplan.models.latency_bounds import latency_bounds
from ebplan.site import CongestionStep, Response
from ebplan.timegrid import TimeGrid
from ebplan.wear import CalendarLine, DepthSegment

Asks = Literal["one_way", "both_ways", "nothing"]
"""A change of the draw in one direction; to follow a target within a band, both ways; or nothing,
so that prices and limits decide."""


class ArrivalCount(Part):
    """Instances in transit when the plan starts."""

    to: Literal["asleep", "awake", "tier"]
    """Where they arrive; in the pool's own precision but for ``tier``."""
    count: int = Field(ge=1)
    """How many."""
    at_s: NonNegative
    """When they arrive."""


class DeferralProblem(Part):
    """Work of a class that may wait; work is instance-equivalents times seconds."""

    deadline_s: Positive
    """Longest wait."""
    price_per_work_h: NonNegative
    """Money for one unit of work waiting an hour."""
    backlog_at_start: NonNegative = 0.0
    """Work waiting when the plan starts."""
    may_put_off: bool = True
    """Whether more may be put off; what waits at the start may be worked off in any case."""


class PullForwardProblem(Part):
    """Work of a class that is not due yet and may be done now."""

    available: NonNegative
    """Work that may be done ahead, in instance-equivalents times seconds."""
    value_per_work_h: NonNegative
    """Money that an hour of one instance-equivalent is worth done now instead of later."""


class LoweredProblem(Part):
    """Requests of a class that a lower precision may serve."""

    eligible_share: Fraction
    """Share of the served requests for which the quality has been verified."""
    price_per_instance_s: NonNegative
    """Money per second for one instance-equivalent of load served at the lower precision."""


class ClassProblem(Part):
    """Load of one request class."""

    name: str
    """Name of the class."""
    load: NonNegative
    """Offered load in instance-equivalents."""
    requests_per_s_per_instance: Positive
    """Requests per second that one instance-equivalent serves."""
    value_per_instance_s: NonNegative
    """Money lost per second for one instance-equivalent of rejected load."""
    max_rejected: NonNegative
    """Load that may be rejected, in instance-equivalents."""
    deferral: DeferralProblem | None = None
    """How its requests may wait; None where they may not."""
    pull_forward: PullForwardProblem | None = None
    """Its work that may be done ahead; None where there is none."""
    lowered: LoweredProblem | None = None
    """What of it a lower precision may serve; None where nothing."""
    latency: ClassLatency | None = None
    """Its latency and the limits on it; None where no model knows it."""

    @model_validator(mode="after")
    def _rejects_at_most_the_load(self) -> ClassProblem:
        if self.max_rejected > self.load:
            raise FieldFault(
                field="max_rejected",
                value=self.max_rejected,
                allowed=f"<= load = {self.load}",
                remedy="correct the limit",
            )
        return self


class ClockLockProblem(Part):
    """Instances under a locked SM clock: the same weights, another way down from the natural draw.

    A locked clock lowers the draw also where it lies below every power limit that binds.
    """

    cap_curve: CapCurve
    """Capacity of one instance against the power that the clock leaves it."""
    power_exponent: Positive
    """Power grows with the clock to this exponent: what the set-point is read off with."""
    max_clock_mhz: Positive
    """Clock at full power."""


class TierProblem(Part):
    """A lower precision: the same instances with other weights loaded.

    It draws no less when saturated; it serves more, so that instances are freed.
    """

    name: str
    """Name of the precision."""
    capacity_factor: float = Field(ge=1.0)
    """Instance-equivalents that one saturated instance serves."""
    load_curve: LoadCurve
    """Uncapped power of one instance against its utilisation."""
    cap_curve: CapCurve
    """Capacity of one instance, as a share of its own, against its power."""
    swap_s: NonNegative
    """From drained in one precision to drained in the other."""
    swap_price_per_instance: NonNegative
    """Effort and risk of one swap."""
    active_at_start: int = Field(default=0, ge=0)
    """Instances that take requests in it when the plan starts."""
    drained_at_start: int = Field(default=0, ge=0)
    """Instances that hold its weights without load when the plan starts."""
    load_at_start: NonNegative = 0.0
    """Instance-equivalents it serves when the plan starts."""

    @property
    def utilisation_at_start(self) -> float:
        """Load per active instance when the plan starts, of its own capacity; 0 without any."""
        if not self.active_at_start:
            return 0.0
        return min(self.load_at_start / self.capacity_factor / self.active_at_start, 1.0)


class PrewarmProblem(Part):
    """Working memory (KV cache) of protected requests loaded ahead where they will be served."""

    lead_s: NonNegative
    """From the command until it is warm."""
    expires_s: Positive
    """How long it stays warm."""
    power_kw: NonNegative
    """Draw of the speculative work during the lead."""
    price: NonNegative
    """Speculative work that may be wasted, per pre-warm of the pool."""
    drain_per_instance: NonNegative
    """Price of draining an instance while warm, instead of the pool's."""
    wake_s: NonNegative
    """From asleep to drained while warm, instead of the pool's."""
    warm_until_s: NonNegative = 0.0
    """Until when what was warmed before the plan stays warm."""


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


class ValueSegment(Part):
    """Value of the energy left, one segment of it."""

    width_kwh: NonNegative
    """Energy in the segment."""
    price_per_kwh: NonNegative
    """Value of a kWh in it."""


class BatteryProblem(Part):
    """Battery and converter; powers at the converter's AC side."""

    energy_kwh: Positive
    """Energy between SoC 0 and 1."""
    start_kwh: NonNegative
    """Energy above SoC 0 when the plan starts."""
    min_kwh: NonNegative
    """Lowest energy, a physical limit."""
    max_kwh: Positive
    """Highest energy, a physical limit."""
    reserve_kwh: NonNegative
    """Energy to keep; going below, or further below, is priced."""
    discharge_limit_kw: NonNegative
    """Converter limit less the droop reserve."""
    charge_limit_kw: NonNegative
    """Converter limit less the droop reserve."""
    droop_reserve_kw: NonNegative
    """Converter power kept free, both ways, for the armed droop."""
    rated_kw: Positive
    """Rated power that the loss curve refers to."""
    loss_linear: Fraction
    """Loss growing with power, as a share of it."""
    loss_quadratic: Fraction
    """Loss growing with power squared, as a share of rated power at rated power."""
    cell_efficiency: float = Field(gt=0.5, le=1.0)
    """One-way efficiency of the cells."""
    delay_s: NonNegative
    """Response time of the converter."""
    wear_per_kwh: NonNegative
    """Cycle wear per kWh taken out of the cells, however deep."""
    depth_segments: tuple[DepthSegment, ...] = ()
    """Cycle wear by depth, besides; from shallow to deep, prices not falling."""
    calendar: tuple[CalendarLine, ...] = ()
    """Calendar wear against the energy stored: the highest of the lines."""
    terminal: tuple[ValueSegment, ...] = Field(min_length=1)
    """Segments from empty upwards, prices not rising."""

    @property
    def kept_kwh(self) -> float:
        """Energy below which a dip is priced: the reserve, or what there is of it."""
        return min(self.reserve_kwh, self.start_kwh)

    @model_validator(mode="after")
    def _rated_for_its_limits(self) -> BatteryProblem:
        most = max(self.discharge_limit_kw, self.charge_limit_kw)
        if most > self.rated_kw:
            raise FieldFault(
                field="rated_kw",
                value=self.rated_kw,
                allowed=f">= the converter's limits, {most:g}",
                remedy="raise the rating or lower the limits",
            )
        return self

    @model_validator(mode="after")
    def _deeper_wears_no_less(self) -> BatteryProblem:
        begins = [segment.from_kwh for segment in self.depth_segments]
        prices = [segment.price_per_kwh for segment in self.depth_segments]
        if begins != sorted({0.0, *begins} if begins else ()) or prices != sorted(prices):
            raise FieldFault(
                field="depth_segments",
                value=f"prices {prices} from {begins} kWh",
                allowed="the first from 0 kWh, each from deeper than the last, prices not falling",
                remedy="sort the segments; a price that falls with depth is no convex wear",
            )
        return self

    @model_validator(mode="after")
    def _value_is_concave(self) -> BatteryProblem:
        prices = [segment.price_per_kwh for segment in self.terminal]
        covered = sum(segment.width_kwh for segment in self.terminal)
        if prices != sorted(prices, reverse=True) or covered < self.max_kwh - 1e-9:
            raise FieldFault(
                field="terminal",
                value=f"prices {prices} over {covered:g} kWh",
                allowed=f"prices not rising, segments covering max_kwh = {self.max_kwh:g}",
                remedy="give the first kWh the highest value, and cover the whole battery",
            )
        return self

    @model_validator(mode="after")
    def _within_limits(self) -> BatteryProblem:
        if not self.min_kwh <= self.start_kwh <= self.max_kwh:
            raise FieldFault(
                field="start_kwh",
                value=self.start_kwh,
                allowed=f"{self.min_kwh} to {self.max_kwh} kWh (soc_min to soc_max)",
                remedy="correct state.soc or the SoC limits of the site",
            )
        return self


class Prices(Part):
    """Money per kWh for what happens at the connection point."""

    energy_per_kwh: float | tuple[float, ...]
    """Energy drawn: one price, or one per step, shape (T,); below 0 drawing is paid."""
    shortfall_per_kwh: NonNegative
    """Payment forgone and penalty for each kWh not delivered."""
    firmness_per_kwh: NonNegative
    """Surcharge that makes a shortfall dearer than every mechanism: the target is firm."""
    early_shortfall_premium: Fraction = 0.0
    """Share by which the surcharge is higher at the start of the event than at its end."""
    reserve_per_kwh: NonNegative
    """For each kWh of the deepest dip below the battery reserve."""
    handoff_excess_per_kwh: NonNegative
    """For battery energy beyond the hand-off share."""
    overrun_per_kwh: NonNegative
    """For energy drawn above the import or rebound limit."""
    soc_missing_per_kwh: NonNegative = 0.0
    """For each kWh below the energy to be restored by the end of the recovery."""


class Problem(Document):
    """One planning problem; see the module's docstring for units."""

    kind: Literal["problem"] = "problem"
    event_id: str
    """Identifier of the event."""
    start: Timestamp
    """Wall time of plan second 0."""
    currency: str
    """ISO 4217 code of every money value."""
    grid: TimeGrid
    """Steps and epochs."""
    event_start_s: NonNegative
    """Start of the event."""
    event_end_s: Positive
    """End of the event."""
    target_kw: tuple[float, ...]
    """Asked change against the baseline per step: all <= 0 releases, all >= 0 absorbs; (T,).
    Where the site follows a target ``both_ways`` it may have either sign."""
    baseline_kw: tuple[float, ...]
    """Baseline at the connection point per step, shape (T,)."""
    other_kw: tuple[float, ...]
    """Load that is not planned per step, shape (T,)."""
    import_limit_kw: tuple[float, ...]
    """Draw allowed per step: the contract, and after the event the rebound limit; shape (T,)."""
    export_limit_kw: NonNegative
    """Feed-in allowed."""
    handoff_from_s: NonNegative | None
    """From when the battery should be free; None where it need not be."""
    handoff_kw: NonNegative
    """Battery power still allowed then."""
    pools: tuple[PoolProblem, ...] = Field(min_length=1)
    """Pools of serving instances."""
    battery: BatteryProblem | None
    """The battery, if there is one."""
    prices: Prices
    """What happens at the connection point, in money."""
    asks: Asks = "one_way"
    """What is asked inside the event."""
    tolerance_kw: NonNegative = 0.0
    """How far the draw may lie from a target that is followed ``both_ways``."""
    restore_kwh: NonNegative | None = None
    """Energy to be in the battery again at the end of the recovery; None where none is asked."""
    caveats: tuple[str, ...] = ()
    """Where models are used outside what their data cover, in sentences."""
    without: tuple[str, ...] = ()
    """Mechanisms that were left out on purpose; their switches are in the pools and the battery."""

    @model_validator(mode="after")
    def _shapes(self) -> Problem:
        steps = self.grid.n_steps
        for field in ("target_kw", "baseline_kw", "other_kw", "import_limit_kw"):
            if len(getattr(self, field)) != steps:
                raise FieldFault(
                    field=field,
                    value=f"{len(getattr(self, field))} values",
                    allowed=f"{steps}, one per step",
                    remedy="give one value per step",
                )
        energy = self.prices.energy_per_kwh
        if isinstance(energy, tuple) and len(energy) != steps:
            raise FieldFault(
                field="prices.energy_per_kwh",
                value=f"{len(energy)} values",
                allowed=f"one number, or {steps}, one per step",
                remedy="give one value per step",
            )
        return self

    @model_validator(mode="after")
    def _asks_what_it_says(self) -> Problem:
        lowest, highest = min(self.target_kw), max(self.target_kw)
        allowed = None
        if self.asks == "one_way" and lowest < 0.0 < highest:
            allowed = "one direction: all <= 0 (release) or all >= 0 (absorb)"
        if self.asks == "nothing" and (lowest, highest) != (0.0, 0.0):
            allowed = "0 at every step where nothing is asked"
        if allowed is not None:
            raise FieldFault(
                field="target_kw",
                value=f"{lowest:g} to {highest:g}",
                allowed=allowed,
                remedy="plan each direction as an event of its own, or say asks: both_ways",
            )
        if self.asks != "one_way" and self.handoff_from_s is not None:
            raise FieldFault(
                field="handoff_from_s",
                value=self.handoff_from_s,
                allowed="none where the event does not ask in one direction",
                remedy="leave the hand-off out",
            )
        return self

    @model_validator(mode="after")
    def _can_be_restored(self) -> Problem:
        highest = 0.0 if self.battery is None else self.battery.max_kwh
        if self.restore_kwh is not None and self.restore_kwh > highest:
            raise FieldFault(
                field="restore_kwh",
                value=self.restore_kwh,
                allowed=f"<= {highest:g}, what the battery can hold",
                remedy="ask for less, or for nothing where there is no battery",
            )
        return self

    @property
    def tracks(self) -> bool:
        """Whether the draw follows a target both ways."""
        return self.asks == "both_ways"

    @property
    def energy_prices_per_kwh(self) -> NDArray[np.float64]:
        """Price of energy drawn in each step, shape (T,)."""
        return np.broadcast_to(np.array(self.prices.energy_per_kwh), (self.grid.n_steps,))

    @property
    def direction(self) -> int:
        """1 where the event absorbs, -1 where it releases, asks both ways or nothing."""
        if self.asks != "one_way":
            return -1
        return 1 if max(self.target_kw) > 0.0 else -1

    @property
    def firmness_weight(self) -> NDArray[np.float64]:
        """Weight of the firmness surcharge per step, falling to 1 at the event's end, (T,)."""
        left = (self.event_end_s - self.grid.starts_s) / (self.event_end_s - self.event_start_s)
        return 1.0 + self.prices.early_shortfall_premium * np.clip(left, 0.0, 1.0)

    @property
    def in_event(self) -> NDArray[np.bool_]:
        """Steps in which a response is asked, shape (T,); a band is held where 0 is asked, too."""
        if self.tracks:
            starts = self.grid.starts_s
            began = starts >= self.event_start_s - 1e-9
            return np.asarray(began & (starts < self.event_end_s - 1e-9))
        return np.asarray(np.array(self.target_kw) != 0.0)

    @property
    def after_event(self) -> NDArray[np.bool_]:
        """Steps after the end of the event, shape (T,)."""
        return self.grid.starts_s >= self.event_end_s - 1e-9
