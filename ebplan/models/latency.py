"""Latency against utilisation and caps: a queue for service slots, and slower tokens under a cap.

An instance has ``c`` service slots (the fleet model's concurrency limit). A request that finds
them taken waits for one, first come first served, whatever its class; it then prefills and gives
its first token, and further tokens one by one.

Waiting. Sakasegawa (1977, Ann. Inst. Statist. Math. 29 A, 67-75) approximates the mean wait of an
M/M/c queue by

    W = tau / c * x^e / (1 - x),        e = sqrt(2 (c + 1)) - 1

for service time ``tau`` and utilisation ``x``. In an M/M/c queue the wait of those who wait is
exponential with mean ``tau / (c (1 - x))``, so ``x^e`` stands for the share who wait, and the wait
that one request in twenty exceeds is

    W95(x) = tau / (c (1 - x)) * max(0, ln(x^e / 0.05)).

Slowing. A cap at the share ``k`` of the natural draw leaves the share ``z(k)`` of the speed, with
the elasticity ``g`` of the cap curve: ``z = min(k^g, 1 + g (k - 1), 1)``. Prefill, tokens and
service take ``1 / z`` times as long:

    TTFT = (prefill + W95(x)) / z,      ITL = itl / z.

Poisson arrivals, exponential service and equal slowing of prefill and decode are assumed. A mixed
pool is taken to be as slow as the slowest workload with load in it.
"""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive

LATE_SHARE = 0.05
"""Share of the requests that may wait longer: limits hold for the 95th percentile."""
_HALVINGS = 60


class Queue(Part):
    """Waiting for a service slot of one instance."""

    slots: float = Field(ge=1.0)
    """Requests in service at saturation."""
    service_s: Positive
    """Time a request spends in service, uncapped, with every slot taken, in s."""

    @property
    def exponent(self) -> float:
        """Sakasegawa's exponent ``e``: the share who wait is ``x^e``."""
        return math.sqrt(2.0 * (self.slots + 1.0)) - 1.0

    def mean_wait_s(self, utilisation: float) -> float:
        """Return the mean wait for a slot in s; infinite from utilisation 1 on."""
        if utilisation >= 1.0:
            return math.inf
        waits = math.pow(max(utilisation, 0.0), self.exponent)
        return self.service_s / self.slots * waits / (1.0 - utilisation)

    def wait_p95_s(self, utilisation: float) -> float:
        """Return the wait that one request in twenty exceeds in s; infinite from 1 on."""
        if utilisation >= 1.0:
            return math.inf
        if utilisation <= self.free_below:
            return 0.0
        longer = math.log(math.pow(utilisation, self.exponent) / LATE_SHARE)
        return self.service_s / (self.slots * (1.0 - utilisation)) * longer

    @property
    def free_below(self) -> float:
        """Utilisation up to which no more than one request in twenty waits."""
        return math.pow(LATE_SHARE, 1.0 / self.exponent)

    def utilisation_within(self, wait_s: float) -> float:
        """Return the highest utilisation at which the 95th percentile waits ``wait_s`` at most."""
        low, high = self.free_below, 1.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.wait_p95_s(middle) <= wait_s else (low, middle)
        return low


class ClassLatency(Part):
    """Latency of a request class, and its limits."""

    prefill_s: Positive
    """Time to first token of a request that does not wait, uncapped, in s."""
    itl_s: Positive | None = None
    """Mean inter-token latency, uncapped, with every slot taken, in s; None where unknown."""
    ttft_p95_limit_s: Positive | None = None
    """Highest 95th percentile of the time to first token, in s."""
    itl_limit_s: Positive | None = None
    """Highest mean inter-token latency, in s."""
    late_per_instance_s: NonNegative | None = None
    """Money per second for one instance-equivalent of late load; None where limits are hard."""

    @model_validator(mode="after")
    def _limits_what_is_known(self) -> ClassLatency:
        if self.itl_limit_s is not None and self.itl_s is None:
            raise FieldFault(
                field="itl_s",
                value=None,
                allowed="> 0 where itl_limit_s is given",
                remedy="give the inter-token latency, or remove the limit",
            )
        if self.late_per_instance_s is not None and not self.has_limits:
            raise FieldFault(
                field="late_per_instance_s",
                value=self.late_per_instance_s,
                allowed="no price without a limit",
                remedy="give a limit, or remove the price",
            )
        return self

    @property
    def has_limits(self) -> bool:
        """Whether there is any limit."""
        return self.ttft_p95_limit_s is not None or self.itl_limit_s is not None

    @property
    def is_hard(self) -> bool:
        """Whether its limits are hard."""
        return self.has_limits and self.late_per_instance_s is None


def speed(power_share: float, elasticity: float) -> float:
    """Return the share ``z`` of the speed that a share of the natural draw leaves, 0 to 1."""
    if power_share <= 0.0:
        return 0.0
    steeper = 1.0 + elasticity * (power_share - 1.0)
    return max(min(math.pow(power_share, elasticity), steeper, 1.0), 0.0)


def power_share(speed: float, elasticity: float) -> float:
    """Return the least share of the natural draw that leaves a share of the speed."""
    return max(math.pow(speed, 1.0 / elasticity), 1.0 + (speed - 1.0) / elasticity)


def speed_per_power_share(power_share: float, elasticity: float) -> float:
    """Return dz/dk at a share ``k`` of the natural draw."""
    return elasticity * math.pow(power_share, min(elasticity, 1.0) - 1.0)
