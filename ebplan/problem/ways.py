"""Ways to run instances besides the pool's own: a locked clock, a lower precision, pre-warming."""

from __future__ import annotations

from pydantic import Field

from ebplan.document import NonNegative, Part, Positive
from ebplan.models.curves import CapCurve, LoadCurve


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
