"""Request classes of a pool: their load, and what may be done with it besides serving it now.

Work is instance-equivalents times seconds.
"""

from __future__ import annotations

from pydantic import model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.models.latency import ClassLatency


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
