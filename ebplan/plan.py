"""The plan: what happens when, what it costs, what falls short and why, and the proof.

Signs: ``grid_kw > 0`` is drawn from the grid, ``battery_kw > 0`` is discharge, a
``target_kw < 0`` releases. Contributions in ``mechanisms`` carry the sign of the change of the
draw: a mechanism that lowers it by 0.4 kW stands as -0.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ebplan.document import Document, NonNegative, Part, Timestamp
from ebplan.site import MeasurementPoint

PlanStatus = Literal["optimal", "gap", "rounded", "merit_order", "carried", "armed"]
"""How the plan was found: proven to 0.1 %, with a larger gap, or by a rung without proof."""

PRIORITY_CAUSES = ("firmness", "reserve", "margin", "recovery")
"""Costs that order what is given up last; nobody pays them."""


def money_gap(objective: float, bound: float, cost: Mapping[str, float]) -> float:
    """Return (objective - bound) / |money|, at least 0; money leaves the surcharges out.

    A distance of a millionth counts as nothing.
    """
    money = sum(cost.values()) - sum(cost.get(cause, 0.0) for cause in PRIORITY_CAUSES)
    apart = max(objective - bound, 0.0)
    return 0.0 if apart <= 1e-6 else apart / max(abs(money), 1e-9)


class Step(Part):
    """One step of the plan; powers are means over it."""

    t_s: NonNegative
    """Start, seconds from plan start."""
    duration_s: float = Field(gt=0.0)
    """Length in seconds."""
    target_kw: float
    """Asked change against the baseline."""
    baseline_kw: float
    """What the site would have drawn without the event."""
    grid_kw: float
    """Draw at the connection point: the set-point the converter holds."""
    compute_kw: float
    """Draw of all pools."""
    battery_kw: float
    """Expected battery power; the converter tracks ``grid_kw``, not this."""
    soc: float | None
    """State of charge at the end of the step."""
    mechanisms: dict[str, float]
    """Change of the draw by mechanism; the sum is ``grid_kw - baseline_kw``."""
    shortfall_kw: NonNegative
    """Part of the target that is not met."""


class ClassEpoch(Part):
    """One request class in one epoch."""

    offered_req_per_s: NonNegative
    """Requests that come."""
    served_req_per_s: NonNegative
    """Requests that are served."""
    rejected_req_per_s: NonNegative
    """Requests that are turned away."""
    deferred_req_per_s: float = 0.0
    """Requests put off (> 0), or served from the backlog (< 0)."""
    backlog_requests: NonNegative = 0.0
    """Requests waiting at the end of the epoch."""
    pulled_req_per_s: NonNegative = 0.0
    """Requests not due yet that are served ahead."""
    lowered_req_per_s: NonNegative = 0.0
    """Requests that the lower precision serves."""
    ttft_p95_s: NonNegative | None = None
    """95th percentile of the time to first token of what is served; None where it is unknown, and
    at full capacity, where the queue only grows."""
    itl_s: NonNegative | None = None
    """Mean inter-token latency of what is served; None where it is unknown."""
    late_req_per_s: NonNegative = 0.0
    """Requests beyond a priced limit on their latency."""


class ClockLockEpoch(Part):
    """Instances under a locked SM clock in one epoch."""

    active: int = Field(ge=0)
    """Instances that take requests."""
    utilisation: NonNegative
    """Load per active instance, 1 = uncapped saturation; 0 without active instances."""
    capacity_used: NonNegative
    """Load as a share of the capacity that the clock leaves; 0 without active instances."""
    power_kw: NonNegative
    """Settled power of the active instances at the connection point."""
    clock_mhz: NonNegative | None
    """Clock for each GPU of an active instance; None where none needs to be locked."""


class TierEpoch(Part):
    """Instances in the lower precision in one epoch."""

    active: int = Field(ge=0)
    """Instances that take requests."""
    drained: int = Field(ge=0)
    """Instances that hold its weights without load."""
    to_tier: int = Field(ge=0)
    """Commands to load its weights given at this epoch."""
    to_own: int = Field(ge=0)
    """Commands to load the pool's own weights again given at this epoch."""
    utilisation: NonNegative
    """Load per active instance, 1 = saturation in this precision; 0 without active instances."""
    capacity_used: NonNegative
    """Load as a share of the capacity that the power allows; 0 without active instances."""
    power_kw: NonNegative
    """Settled power of the active instances at the connection point."""
    cap_w_per_gpu: float | None
    """Power limit for each GPU of an active instance; None where no cap is needed."""


class PoolEpoch(Part):
    """What a pool is told at one epoch; counts hold from its start."""

    t_s: NonNegative
    """Start, seconds from plan start."""
    active: int = Field(ge=0)
    """Instances that take requests in the pool's own precision, at an unlocked clock."""
    drained: int = Field(ge=0)
    """Instances awake without load, in the pool's own precision."""
    asleep: int = Field(ge=0)
    """Instances asleep."""
    in_transit: int = Field(ge=0)
    """Instances falling asleep, waking or changing weights."""
    put_to_sleep: int = Field(ge=0)
    """Sleep commands given at this epoch."""
    woken: int = Field(ge=0)
    """Wake commands given at this epoch."""
    utilisation: NonNegative
    """Load per active instance, 1 = uncapped saturation; 0 without active instances."""
    capacity_used: NonNegative
    """Load as a share of the capacity that the power allows; 0 without active instances."""
    power_kw: NonNegative
    """Settled power of the active instances at the connection point."""
    cap_w_per_gpu: float | None
    """Power limit for each GPU of an active instance; None where no cap is needed."""
    clock_lock: ClockLockEpoch | None = None
    """Instances under a locked clock; None where the pool has none."""
    tier: TierEpoch | None = None
    """Instances in the lower precision; None where the pool has none."""
    prewarm: bool = False
    """Whether a pre-warm is commanded at this epoch."""
    woken_warm: int = Field(default=0, ge=0)
    """Those of ``woken`` that are woken while warm."""
    classes: dict[str, ClassEpoch]
    """Request classes by name."""


class Shortfall(Part):
    """An interval in which the target is not met."""

    from_s: NonNegative
    """Start, seconds from plan start."""
    to_s: NonNegative
    """End."""
    max_kw: NonNegative
    """Largest shortfall within."""
    energy_kwh: NonNegative
    """Energy not delivered."""
    reason: str
    """What limited the response."""


class Converter(Part):
    """What the converter is told: hold a draw, with droop armed."""

    mode: Literal["hold_connection_point"] = "hold_connection_point"
    """It tracks the residual at the connection point within milliseconds."""
    droop_reserve_kw: NonNegative
    """Power kept free both ways for the armed droop."""
    reserve_kwh: NonNegative
    """Energy kept."""
    delay_s: NonNegative
    """Its response time."""


class HandOffResult(Part):
    """When compute has taken over."""

    complete_s: float | None
    """From when on |battery| <= 10 % of |target|, the target being met, until the end; None if
    never."""
    asked_s: float | None
    """When it was asked for."""


class MarginResult(Part):
    """What is held back against load and response that differ from the plan."""

    confidence: float = Field(ge=0.5, lt=1.0)
    """Probability with which the response is kept where all of the margin is held."""
    power_kw: NonNegative
    """Most that is asked for in a step."""
    held_kw: tuple[NonNegative, ...]
    """Power kept free beyond what is planned, by step, shape (T,)."""
    energy_kwh: NonNegative
    """Energy in the cells (to absorb: room) that the power held may take."""
    missing_kw: NonNegative
    """Most power that is asked for in a step and not held."""
    missing_kwh: NonNegative
    """Part of the energy that is not there."""


class ClassService(Part):
    """Requests of a class over the whole plan."""

    offered: NonNegative
    """Requests that come."""
    served: NonNegative
    """Requests that are served."""
    rejected: NonNegative
    """Requests that are turned away."""
    backlog_at_start: NonNegative = 0.0
    """Requests waiting when the plan starts."""
    backlog_at_end: NonNegative = 0.0
    """Requests waiting when it ends."""
    pulled: NonNegative = 0.0
    """Requests not due yet that are served ahead."""
    lowered: NonNegative = 0.0
    """Requests that the lower precision serves."""
    late_requests: NonNegative = 0.0
    """Requests beyond a priced limit on their latency."""


class Violation(Part):
    """One law a plan breaks."""

    law: str
    """Which one."""
    at_s: float | None
    """Where it is broken worst."""
    amount: float
    """By how much."""
    allowed: float
    """The tolerance."""
    message: str
    """In words."""


class CheckResult(Part):
    """The verdict of the independent checker."""

    ok: bool
    """Whether every law holds."""
    violations: tuple[Violation, ...] = ()
    """The laws that do not."""


Rung = Literal["exact", "rounded", "merit_order", "carried", "armed"]
"""What answered: the search for the optimum, whole numbers from the linear relaxation, the
escalation rule, a plan carried on under a new state, or one computed in advance."""


WarningKind = Literal[
    "solver_lost",
    "solver_silent",
    "not_finite",
    "numerical",
    "check_failed",
    "no_time",
    "repaired",
]


class PlanWarning(Part):
    """Something that went wrong on the way to a plan, which came all the same."""

    kind: WarningKind
    """The solver process died; it did not answer; it answered what is no plan; its relaxation or
    bound cannot be right; a point failed the check and was not used; the deadline left no time to
    ask it; the measured state was repaired."""
    message: str
    """In words."""
    problem_file: str | None = None
    """Where the problem was saved; ``ebplan solve`` solves it again."""


class Answer(Part):
    """How a plan that was asked for by a deadline came about; a replay needs no more."""

    rung: Rung
    """What answered."""
    index: int = Field(default=0, ge=0)
    """Which of the points that the rung found, counted from 0."""
    watched_s: tuple[float, ...] = ()
    """Instants inside steps that were watched for peaks of the draw."""
    work: tuple[int, ...] = ()
    """Where it was planned by pools: rounds of prices, and tries of whole numbers."""
    clock: Literal["seconds", "work"] = "seconds"
    """What limited the search: time, or work that is the same on every machine."""
    hot_from: str | None = None
    """Hash of the problem whose basis the solver started from; None where it started cold."""
    deadline_s: float | None = None
    """Time that was given."""
    took_s: float | None = None
    """Time that was used; None where work is counted."""
    structure: tuple[str, ...] = ()
    """What made the solver's model a new one since the plan before."""
    warnings: tuple[PlanWarning, ...] = ()
    """What went wrong on the way."""


class Plan(Document):
    """A plan for one event."""

    kind: Literal["plan"] = "plan"
    event_id: str
    """Identifier of the event."""
    start: Timestamp
    """Wall time of plan second 0."""
    currency: str
    """ISO 4217 code of every money value."""
    measurement_point: MeasurementPoint = "connection_point"
    """Where every power of the plan is seen."""
    status: PlanStatus
    """How the plan was found."""
    objective: float
    """Money the response costs against doing nothing."""
    bound: float | None
    """No plan on this grid costs less."""
    gap: float | None
    """(objective - bound) / |money|: what is not proven, as a share of the money."""
    cost: dict[str, float]
    """By cause; the sum is ``objective``."""
    shortfall: tuple[Shortfall, ...]
    """Where the target is not met, and why."""
    check: CheckResult
    """Verdict of the independent checker."""
    handoff: HandOffResult
    """When compute has taken over."""
    steps: tuple[Step, ...] = Field(min_length=1)
    """Powers over time."""
    pools: dict[str, tuple[PoolEpoch, ...]]
    """What each pool does, by epoch."""
    converter: Converter | None
    """What the converter is told; None without a battery."""
    service: dict[str, dict[str, ClassService]]
    """By pool and request class."""
    explanation: tuple[str, ...]
    """Who carries it, what binds, what more would cost, in sentences."""
    without: tuple[str, ...] = ()
    """Mechanisms that the problem leaves out on purpose."""
    problem_hash: str
    """SHA-256 of the problem this plan answers."""
    answer: Answer | None = None
    """How it came about; left out of the file where no deadline was given."""
    margin: MarginResult | None = None
    """What is held back; left out of the file where the problem asks for no margins."""

    @model_serializer(mode="wrap")
    def _only_what_is_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = write(self)
        for optional in ("margin", "answer"):
            if plain.get(optional, 0) is None:
                del plain[optional]
        return plain

    @property
    def shortfall_kwh(self) -> float:
        """Energy of the target that is not delivered."""
        return sum(interval.energy_kwh for interval in self.shortfall)

    @property
    def money(self) -> float:
        """The objective without the surcharges that only set priorities."""
        return self.objective - sum(self.cost.get(cause, 0.0) for cause in PRIORITY_CAUSES)
