"""The site: pools of serving instances, battery and converter, connection point, prices.

What nobody has measured is an assumption, and a site says so: ``assumptions`` names the fields
whose values are assumed, and why.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.service_level import LatencyLimits, WorkloadLatency, check_limits
from ebplan.ways import AdmissibleTier, ClockLock, PrecisionTier, Prewarm, PullForward
from ebplan.wear import Wear

MeasurementPoint = Literal["gpu", "node", "ac", "connection_point"]
MEASUREMENT_POINTS: tuple[MeasurementPoint, ...] = ("gpu", "node", "ac", "connection_point")
"""From the inside out; a loss stage leads from one to the next."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Pools and classes are named in dotted paths and row labels: letters, digits, ``_``, ``-``."""

DESCRIBED_MODES = ("active", "drained", "asleep")


class LossStage(Part):
    """What is added between two measurement points: ``outer = inner * factor + offset_kw``."""

    inner: MeasurementPoint
    """Measurement point inside."""
    outer: MeasurementPoint
    """Measurement point outside."""
    factor: float = Field(ge=1.0, le=3.0)
    """Losses that grow with the load."""
    offset_kw: NonNegative = 0.0
    """Losses that do not, once for the site."""


class Assumption(Part):
    """A field of this file whose value nobody measured."""

    field: str
    """Dotted path of the field."""
    why: str
    """Why this value."""


class Response(Part):
    """How power follows a command: dead time, then first order."""

    delay_s: NonNegative
    """Dead time in seconds."""
    time_constant_s: Positive
    """Time constant in seconds (63 % after it, 90 % after 2.3 of them)."""


class SleepTiming(Part):
    """Sleep and wake of an instance, and how long it must stay."""

    sleep_s: NonNegative
    """From the command until the instance is asleep."""
    wake_s: NonNegative
    """From the command until the instance can be loaded."""
    min_asleep_s: NonNegative
    """Minimum time asleep."""
    min_awake_s: NonNegative
    """Minimum time awake after a wake."""
    wake_failure_probability: float = Field(default=0.0, ge=0.0, le=0.5)
    """How often a wake has to be tried again: the plan reckons with the tries it may take."""


class CongestionStep(Part):
    """Price of slowed requests above a utilisation (of the capacity the power allows)."""

    above_utilisation: Fraction
    """Utilisation from which the price counts."""
    price_per_instance_h: NonNegative
    """Money per hour for each instance-equivalent of load above it."""


class MechanismPrices(Part):
    """What using a mechanism costs, in the site's currency."""

    congestion: tuple[CongestionStep, ...] = ()
    """Slower answers at high utilisation."""
    cap_depth_per_kwh: NonNegative
    """Slower tokens: per kWh that a cap takes below the natural draw."""
    readiness_per_instance_h: NonNegative
    """Lost headroom: per hour that an instance is not active though it was at the start."""
    drain_per_instance: NonNegative
    """Cache lost and requests moved when an instance is drained."""
    wake_per_instance: NonNegative
    """Effort and risk of one wake."""


class Deferral(Part):
    """Requests that may wait: put off in an event, worked off when there is room."""

    deadline_s: Positive
    """Longest wait."""
    price_per_request_h: NonNegative
    """Money for a request waiting an hour."""


class RequestClass(Part):
    """Requests of one kind and value served by a pool."""

    workload: str
    """Workload of the fleet model that these requests look like."""
    protected: bool
    """Protected requests are never rejected while an instance can serve them."""
    value_per_request: NonNegative
    """Money lost when a request is rejected."""
    deferral: Deferral | None = None
    """How its requests may wait; they may not where this is absent."""
    pull_forward: PullForward | None = None
    """What serving queued requests ahead is worth; none are where this is absent."""
    tiers: dict[Name, AdmissibleTier] = Field(default_factory=dict)
    """Lower precisions that may serve it, by the precision's name."""
    min_quality_score: Fraction = 1.0
    """Lowest verified quality that it accepts, relative to the pool's own precision."""
    limits: LatencyLimits | None = None
    """Limits on its latency; none where this is absent."""

    @model_validator(mode="after")
    def _quality_is_verified(self) -> RequestClass:
        for name, tier in self.tiers.items():
            if self.protected and tier.quality_score < self.min_quality_score:
                raise FieldFault(
                    field=f"tiers.{name}.quality_score",
                    value=tier.quality_score,
                    allowed=f">= min_quality_score = {self.min_quality_score:g}: the class is "
                    "protected",
                    remedy="leave the tier out, or accept a lower score",
                )
            if tier.quality_score < self.min_quality_score and tier.price_per_request == 0.0:
                raise FieldFault(
                    field=f"tiers.{name}.price_per_request",
                    value=tier.price_per_request,
                    allowed="> 0 where the quality lies below min_quality_score",
                    remedy="price the lower quality, or leave the tier out",
                )
        return self


class Pool(Part):
    """Identical serving instances: same model, same GPUs per instance."""

    fleet_model: str
    """Name of the fitted fleet model."""
    cap_model: str
    """Name of the cap model."""
    instances: int = Field(ge=1)
    """Number of instances."""
    modes: tuple[str, ...] = DESCRIBED_MODES
    """Operating modes the planner may use."""
    asleep_kw_per_gpu: Positive | None = None
    """Power asleep at the fleet model's measurement point; needed where ``asleep`` is a mode."""
    asleep_measured: bool = False
    """Whether it was measured; if not, sleep is not credited with less than idle."""
    cap_range_w_per_gpu: tuple[Positive, Positive]
    """Power limits that the GPU accepts."""
    max_utilisation: float = Field(gt=0.0, le=1.0)
    """Highest utilisation planned for; the rest is headroom for bursts."""
    allow_extrapolation: bool = False
    """Let the planner go outside the range the fitted models cover; each use is reported."""
    route_response: Response
    """Power after routing load to or from an instance."""
    cap_response: Response
    """Power after a cap or a change of load."""
    rise_response: Response | None = None
    """The same upwards, where it is slower."""
    sleep: SleepTiming
    """Sleep and wake timing."""
    prices: MechanismPrices
    """What each mechanism costs."""
    classes: dict[Name, RequestClass] = Field(min_length=1)
    """Request classes served."""
    clock_lock: ClockLock | None = None
    """Locked SM clocks; none where this is absent."""
    tier: PrecisionTier | None = None
    """A lower precision; none where this is absent."""
    prewarm: Prewarm | None = None
    """Pre-warming of the KV cache; none where this is absent."""
    latency: dict[str, WorkloadLatency] = Field(default_factory=dict)
    """Latency of workloads by name; needed where a class has limits."""

    @model_validator(mode="after")
    def _latency_is_known_where_limited(self) -> Pool:
        check_limits(
            ((k, c.workload, c.protected, c.limits) for k, c in self.classes.items()), self.latency
        )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Pool:
        for mode in self.modes:
            if mode not in DESCRIBED_MODES:
                raise FieldFault(
                    field="modes",
                    value=mode,
                    allowed=", ".join(DESCRIBED_MODES),
                    remedy="remove the mode: no model describes it",
                )
        for mode in ("active", "drained"):
            if mode not in self.modes:
                raise FieldFault(
                    field="modes",
                    value=self.modes,
                    allowed="active and drained, asleep if wanted",
                    remedy=f"add {mode!r}",
                )
        if "asleep" in self.modes and self.asleep_kw_per_gpu is None:
            raise FieldFault(
                field="asleep_kw_per_gpu",
                value=None,
                allowed="> 0 where 'asleep' is a mode",
                remedy="give the measured or assumed power, or remove 'asleep' from modes",
            )
        fast, slow = self.cap_response, self.route_response
        if slow.delay_s < fast.delay_s or slow.time_constant_s < fast.time_constant_s:
            raise FieldFault(
                field="route_response",
                value=f"delay {slow.delay_s:g} s, time constant {slow.time_constant_s:g} s",
                allowed=f">= those of cap_response: {fast.delay_s:g} s, {fast.time_constant_s:g} s",
                remedy="a drained instance settles no faster than a capped one: correct either",
            )
        rise = self.rise_response or fast
        if rise.delay_s < fast.delay_s or rise.time_constant_s < fast.time_constant_s:
            raise FieldFault(
                field="rise_response",
                value=f"delay {rise.delay_s:g} s, time constant {rise.time_constant_s:g} s",
                allowed=f">= those of cap_response: {fast.delay_s:g} s, {fast.time_constant_s:g} s",
                remedy="leave it out where power rises as fast as it falls",
            )
        low, high = self.cap_range_w_per_gpu
        if low >= high:
            raise FieldFault(
                field="cap_range_w_per_gpu",
                value=self.cap_range_w_per_gpu,
                allowed="[lowest, highest] with lowest < highest",
                remedy="swap or correct the limits",
            )
        return self


class TerminalValue(Part):
    """Value of energy left in the battery, segment by segment from empty to full."""

    up_to_soc: Fraction
    """Upper end of the segment."""
    price_per_kwh: NonNegative
    """Value of a kWh within it."""


class Battery(Part):
    """Battery behind a bidirectional isolated converter. ``battery_kw > 0`` is discharge."""

    energy_kwh: Positive
    """Usable energy between SoC 0 and 1."""
    discharge_limit_kw: NonNegative
    """Largest discharge at the converter's AC side."""
    charge_limit_kw: NonNegative
    """Largest charge at the converter's AC side."""
    converter_rated_kw: Positive
    """Rated power that the loss curve refers to."""
    converter_loss_linear: Fraction
    """Loss growing with power, as a share of it."""
    converter_loss_quadratic: Fraction
    """Loss growing with power squared, as a share of rated power at rated power."""
    cell_efficiency: float = Field(gt=0.5, le=1.0)
    """One-way efficiency of the cells."""
    converter_delay_s: NonNegative
    """From the frequency or set-point change until the converter's power has followed."""
    soc_min: Fraction
    """Lowest SoC, a physical limit."""
    soc_max: Fraction
    """Highest SoC, a physical limit."""
    reserve_soc: Fraction
    """SoC kept for repeated events and for compute that delivers less than planned."""
    droop_reserve_kw: NonNegative
    """Converter power kept free, both ways, for the droop armed in the converter."""
    wear_per_kwh: NonNegative | None = None
    """Cycle wear per kWh taken out of the cells, however deep; the short form of ``wear``."""
    wear: Wear | None = None
    """Cycle wear by depth, and calendar wear."""
    terminal_value: tuple[TerminalValue, ...] = Field(min_length=1)
    """Value of the energy left at the end, falling with SoC (concave)."""

    @model_validator(mode="after")
    def _consistent(self) -> Battery:
        if not self.soc_min <= self.reserve_soc <= self.soc_max:
            raise FieldFault(
                field="reserve_soc",
                value=self.reserve_soc,
                allowed=f"soc_min = {self.soc_min} to soc_max = {self.soc_max}",
                remedy="correct the SoC limits",
            )
        if (self.wear_per_kwh is None) == (self.wear is None):
            raise FieldFault(
                field="wear_per_kwh",
                value=self.wear_per_kwh,
                allowed="one of wear_per_kwh (flat) and wear (by depth, and calendar)",
                remedy="give one of the two",
            )
        points = self.wear.calendar if self.wear else ()
        if points and not points[0].soc <= self.soc_min <= self.soc_max <= points[-1].soc:
            raise FieldFault(
                field="wear.calendar",
                value=f"soc {points[0].soc:g} to {points[-1].soc:g}",
                allowed=f"points from soc_min = {self.soc_min} to soc_max = {self.soc_max}",
                remedy="add the points at the ends",
            )
        most = max(self.discharge_limit_kw, self.charge_limit_kw)
        if most > self.converter_rated_kw:
            raise FieldFault(
                field="converter_rated_kw",
                value=self.converter_rated_kw,
                allowed=f">= the converter's limits, {most:g}",
                remedy="raise the rating or lower the limits",
            )
        limit = min(self.discharge_limit_kw, self.charge_limit_kw)
        if self.droop_reserve_kw > limit:
            raise FieldFault(
                field="droop_reserve_kw",
                value=self.droop_reserve_kw,
                allowed=f"<= the smaller converter limit, {limit}",
                remedy="lower the reserve",
            )
        ends = [segment.up_to_soc for segment in self.terminal_value]
        prices = [segment.price_per_kwh for segment in self.terminal_value]
        if ends != sorted(set(ends)) or ends[-1] < self.soc_max:
            raise FieldFault(
                field="terminal_value",
                value=ends,
                allowed=f"up_to_soc increasing, the last >= soc_max = {self.soc_max}",
                remedy="sort the segments and cover the whole range",
            )
        if prices != sorted(prices, reverse=True):
            raise FieldFault(
                field="terminal_value",
                value=prices,
                allowed="price_per_kwh not rising with SoC",
                remedy="give the first kWh the highest value",
            )
        return self


class ConnectionPoint(Part):
    """Where the site meets the grid."""

    import_limit_kw: Positive
    """Contracted draw."""
    export_limit_kw: NonNegative
    """Contracted feed-in; 0 where none is allowed."""
    other_load_kw: NonNegative
    """Load that is not planned (cooling, network), used where no meter reading is given."""


class Planning(Part):
    """What the planner is told about time and priority."""

    max_horizon_s: Positive = 14_400.0
    """Longest event plus recovery that is planned."""
    handoff_excess_per_kwh: NonNegative
    """Price of the battery still carrying the response after the hand-off time."""


class Site(Document):
    """Everything about a site that does not change from event to event."""

    kind: Literal["site"] = "site"
    name: str
    """Name of the site."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """ISO 4217 code of every money value in this file."""
    energy_price_per_kwh: float
    """Price of energy drawn at the connection point."""
    connection_point: ConnectionPoint
    """The meter the event is judged at."""
    losses: tuple[LossStage, ...] = ()
    """Loss stages from the fitted models' measurement point to the connection point."""
    pools: dict[Name, Pool] = Field(min_length=1)
    """Pools by name."""
    battery: Battery | None = None
    """The battery, if there is one."""
    planning: Planning
    """Horizon and priority."""
    assumptions: tuple[Assumption, ...] = ()
    """Fields whose values nobody measured."""

    @model_validator(mode="after")
    def _assumptions_name_fields(self) -> Site:
        plain = self.model_dump(mode="json", exclude={"assumptions"})
        for i, assumption in enumerate(self.assumptions):
            if not _has_path(plain, assumption.field):
                raise FieldFault(
                    field=f"assumptions.{i}.field",
                    value=assumption.field,
                    allowed="the dotted path of a field in this file",
                    remedy="correct the path",
                )
        return self

    def loss_to_connection_point(self, inner: MeasurementPoint) -> tuple[float, float]:
        """Return ``(factor, offset_kw)`` that carry a power measured at ``inner`` outside.

        Raises:
            FieldFault: a stage on the way is not declared, so the powers cannot be mixed.
        """
        factor, offset_kw = 1.0, 0.0
        at = inner
        while at != "connection_point":
            stage = next((s for s in self.losses if s.inner == at), None)
            if stage is None:
                raise FieldFault(
                    field="losses",
                    value=f"no stage from {at!r}",
                    allowed=f"a chain of stages from {inner!r} to 'connection_point'",
                    remedy="declare the loss stage; powers of different measurement points are "
                    "not mixed",
                )
            factor, offset_kw = factor * stage.factor, offset_kw * stage.factor + stage.offset_kw
            at = stage.outer
        return factor, offset_kw

    @model_validator(mode="after")
    def _losses_lead_outward(self) -> Site:
        order = MEASUREMENT_POINTS.index
        inner = [stage.inner for stage in self.losses]
        for i, stage in enumerate(self.losses):
            if order(stage.outer) <= order(stage.inner) or inner.count(stage.inner) > 1:
                raise FieldFault(
                    field=f"losses.{i}",
                    value=f"{stage.inner} -> {stage.outer}",
                    allowed="one stage from each point, leading outward: gpu, node, ac, "
                    "connection_point",
                    remedy="correct inner and outer",
                )
        return self


def _has_path(plain: Any, dotted: str) -> bool:
    """Tell whether nested dicts and lists have the dotted path."""
    for key in dotted.split("."):
        if isinstance(plain, dict) and key in plain:
            plain = plain[key]
        elif isinstance(plain, list) and key.isdigit() and int(key) < len(plain):
            plain = plain[int(key)]
        else:
            return False
    return True
