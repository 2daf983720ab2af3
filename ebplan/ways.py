"""What a pool may be allowed besides routing, sleeping and capping: each part is optional.

Locked clocks, a lower precision, pre-warming of the KV cache, and work done ahead of time.
"""

from __future__ import annotations

from pydantic import model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive


class ClockLock(Part):
    """Locking the SM clock of active instances: a way down where no power limit binds."""

    clock_model: str
    """Name of the clock model."""
    clock_range_mhz: tuple[Positive, Positive]
    """Clocks that the planner may lock, lowest and highest."""

    @model_validator(mode="after")
    def _ordered(self) -> ClockLock:
        low, high = self.clock_range_mhz
        if low >= high:
            raise FieldFault(
                field="clock_range_mhz",
                value=self.clock_range_mhz,
                allowed="[lowest, highest] with lowest < highest",
                remedy="swap or correct the clocks",
            )
        return self


class PrecisionTier(Part):
    """A lower precision that instances of the pool can load."""

    tier_model: str
    """Name of the tier model."""
    swap_s: NonNegative
    """From drained in one precision to drained in the other."""
    swap_price_per_instance: NonNegative
    """Effort and risk of one swap."""


class Prewarm(Part):
    """Loading the working memory of protected requests before an event that is expected."""

    lead_s: NonNegative
    """From the command until it is warm."""
    expires_s: Positive
    """How long it stays warm."""
    kw_per_gpu: NonNegative
    """Draw of the speculative work on each GPU of the pool while it lasts, at the fleet model's
    measurement point."""
    price: NonNegative
    """Speculative work that may be wasted, per pre-warm of the pool."""
    drain_per_instance: NonNegative
    """Price of draining an instance while warm, instead of ``prices.drain_per_instance``."""
    wake_s: NonNegative
    """Wake time while warm, instead of ``sleep.wake_s``."""


class AdmissibleTier(Part):
    """What of a request class a lower precision may serve."""

    quality_score: Fraction
    """Verified quality relative to the pool's own precision; 1 is equal."""
    eligible_share: Fraction
    """Share of the requests for which it was verified."""
    price_per_request: NonNegative
    """Money for a request served at the lower precision."""


class PullForward(Part):
    """Requests of the class that are queued for later may be served ahead."""

    value_per_request: NonNegative
    """What a request served now saves later, energy included."""
