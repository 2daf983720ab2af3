"""Back-off and set-aside of sick devices: pure functions of a clock, no input or output.

A device that fails is asked again after a wait that doubles with each failure. A success alone does
not forget them: a device that accepts a connection and closes it, or that answers every other time,
would be hammered. Failures are forgotten when it has answered for ``steady_s`` without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True)
class BackOff:
    """How long a device that fails is left alone."""

    first_s: float = 0.2
    """After the first failure."""
    longest_s: float = 30.0
    """At most."""
    aside_after: int = 3
    """Failures after which the device is set aside: plans no longer count on it."""
    steady_s: float = 10.0
    """How long it must answer until its failures are forgotten."""

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures."""
        if failures <= 0:
            return 0.0
        # 2.0 ** 1100 is an error, not infinity
        return min(self.first_s * 2.0 ** min(failures - 1, 60), self.longest_s)


@dataclass(frozen=True)
class Health:
    """What is remembered of a device."""

    failures: int = 0
    """Failures that are not forgotten yet."""
    failed_s: float = -inf
    """When it failed last."""
    well_since_s: float = inf
    """Since when it has answered without a failure."""
    why: str = ""
    """What its last failure was."""


def after_failure(health: Health, now_s: float, why: str) -> Health:
    """Return the health of a device that has just failed."""
    return Health(failures=health.failures + 1, failed_s=now_s, well_since_s=inf, why=why)


def after_success(health: Health, now_s: float, policy: BackOff) -> Health:
    """Return the health of a device that has just answered."""
    since = min(health.well_since_s, now_s)
    if now_s - since >= policy.steady_s or health.failures == 0:
        return Health(well_since_s=since)
    return replace(health, well_since_s=since)


def may_try(health: Health, now_s: float, policy: BackOff) -> bool:
    """Whether the device may be asked now: it answers, or the wait is over."""
    return health.well_since_s <= now_s or now_s >= retry_at_s(health, policy)


def retry_at_s(health: Health, policy: BackOff) -> float:
    """Return when a device that failed may be asked again."""
    return health.failed_s + policy.wait_s(health.failures)


def set_aside(health: Health, policy: BackOff) -> bool:
    """Whether plans should do without the device until its failures are forgotten."""
    return health.failures >= policy.aside_after
