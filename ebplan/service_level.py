"""Limits on latency, and what is known of the latency of a workload, as a site states them.

TTFT is the time to first token, from a request's arrival to its first token; ITL the inter-token
latency, the mean time between the tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive


class WorkloadLatency(Part):
    """Latency of one workload on an instance that is not capped."""

    prefill_s: Positive
    """Time to first token of a request that does not wait, in s."""
    itl_s: Positive | None = None
    """Mean inter-token latency with every service slot taken, in s; where it is absent it follows
    from the fleet model's service time and output tokens, if that knows them."""
    provenance: Literal["measured", "published", "assumed"]
    """Where the numbers come from."""


class LatencyLimits(Part):
    """Limits on the latency of a request class: hard where it is protected, else priced."""

    ttft_p95_s: Positive | None = None
    """Highest 95th percentile of the time to first token, in s."""
    itl_s: Positive | None = None
    """Highest mean inter-token latency, in s."""
    price_per_late_request: NonNegative | None = None
    """Money for a request that is late; for classes that are not protected."""

    @model_validator(mode="after")
    def _limits_something(self) -> LatencyLimits:
        if self.ttft_p95_s is None and self.itl_s is None:
            raise FieldFault(
                field="ttft_p95_s",
                value=None,
                allowed="a limit: ttft_p95_s, itl_s or both",
                remedy="state a limit, or leave limits out",
            )
        return self


def check_limits(
    classes: Iterable[tuple[str, str, bool, LatencyLimits | None]],
    latency: Mapping[str, WorkloadLatency],
) -> None:
    """Hold the limits of a pool's classes to what is known of their workloads.

    Args:
        classes: name, workload, whether it is protected, and limits of each class.
        latency: latency by workload.

    Raises:
        FieldFault: a limit on a latency that is not known; a price where the limit is hard, or
            none where it is not.
    """
    listed = list(classes)
    served = sorted({workload for _, workload, _, _ in listed})
    for workload in latency:
        if workload not in served:
            raise FieldFault(
                field=f"latency.{workload}",
                value=workload,
                allowed=f"workloads of the pool's classes: {', '.join(served)}",
                remedy="correct the name, or remove the entry",
            )
    for name, workload, protected, limits in listed:
        if limits is None:
            continue
        if workload not in latency:
            raise FieldFault(
                field=f"latency.{workload}",
                value=None,
                allowed=f"the latency of the workload of class {name}, which has limits",
                remedy="give prefill_s and where it comes from, or remove the limits",
            )
        price, field = limits.price_per_late_request, f"classes.{name}.limits"
        if protected and price is not None:
            raise FieldFault(
                field=f"{field}.price_per_late_request",
                value=price,
                allowed="no price: limits of protected classes are hard",
                remedy="remove the price, or set protected to false",
            )
        if not protected and price is None:
            raise FieldFault(
                field=f"{field}.price_per_late_request",
                value=None,
                allowed=">= 0: limits of classes that are not protected are priced",
                remedy="say what a late request costs, or protect the class",
            )
