"""A pool of the site: identical serving instances, their request classes, timing and prices.

Powers are those of a GPU at the measurement point of the fitted models, times are seconds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.service_level import LatencyLimits, WorkloadLatency, check_limits
from ebplan.ways import AdmissibleTier, ClockLock, PrecisionTier, Prewarm, PullForward

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Pools and classes are named in dotted paths and row labels: letters, digits, ``_``, ``-``."""

DESCRIBED_MODES = ("active", "drained", "asleep")


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
    def _modes_are_described(self) -> Pool:
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
        return self

    @model_validator(mode="after")
    def _slower_is_slower(self) -> Pool:
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
        return self

    @model_validator(mode="after")
    def _caps_are_a_range(self) -> Pool:
        low, high = self.cap_range_w_per_gpu
        if low >= high:
            raise FieldFault(
                field="cap_range_w_per_gpu",
                value=self.cap_range_w_per_gpu,
                allowed="[lowest, highest] with lowest < highest",
                remedy="swap or correct the limits",
            )
        return self
