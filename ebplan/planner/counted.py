"""Loads whose requests are counted: what they are, and whether they have changed.

A rate of l requests a second that is counted over T seconds has a relative noise of 1 / sqrt(l T),
at random arrivals: five per cent for 7 req/s and a minute. Held against a plan as it was read, it
leaves any tolerance every few seconds though nothing has changed, and each plan that is then made
takes the noise for the load. So where the counter itself is read

    load        the mean count, fading with a memory of some minutes; after a change the mean since
    changed     a test for shifts beyond the tolerance (``change``), false at a stated rate

Counts that scatter more than random arrivals do (bursts, batches) are allowed for: nats are divided
by their index of dispersion, the variance of the counts over their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ebplan.planner.change import ShiftTest, shifts_of_rate
from ebplan.planner.expectation import Tolerance
from ebplan.problem import PoolProblem
from ebplan.state import PoolState, State

MEMORY_S = 300.0
"""A count fades with this time constant; assumed: loads keep for some minutes."""
FIRST_S = 30.0
"""What a rate that was told first counts for, in seconds of counting; assumed."""
SIZES_SPREAD = 1.0
"""Standard deviation of the work of a request as a share of its mean; assumed, as where it is
distributed exponentially."""
OUTSIDE = 1e-9

Key = tuple[str, str]
"""Pool and class."""


@dataclass
class CountedLoad:
    """The load of one class."""

    _came: float
    _seconds: float
    _dispersion: float = 1.0
    _test: ShiftTest | None = None
    _tested: float = math.nan
    """Load that the test holds readings against."""

    @property
    def req_per_s(self) -> float:
        """The load."""
        return self._came / self._seconds

    def count(self, came: float, seconds: float) -> None:
        """Take a count in."""
        expected = self.req_per_s * seconds
        if expected > 0.0:
            weight = -math.expm1(-seconds / MEMORY_S)
            scatter = (came - expected) ** 2 / expected
            self._dispersion += weight * (scatter - self._dispersion)
        keeps = math.exp(-seconds / MEMORY_S)
        self._came, self._seconds = keeps * self._came + came, keeps * self._seconds + seconds

    def has_changed(
        self, came: float, seconds: float, planned: float, tolerance: Tolerance
    ) -> bool:
        """Take a count into the test against what was planned; tell whether it is sure to differ.

        Then the load is what came since it changed.
        """
        allowed = max(tolerance.load_share * planned, tolerance.load_req_per_s)
        if planned != self._tested or self._test is None:
            null = max(planned, tolerance.load_req_per_s)
            # the sums of a shift rise from half of it on: at the tolerance
            shifts = shifts_of_rate(null, 2.0 * allowed)
            self._test, self._tested = ShiftTest(shifts, tolerance.false_alarm_s), planned
        found = self._test.add(came, seconds, spread=max(self._dispersion, 1.0))
        if found is None:
            return False
        self._came, self._seconds = found.mean * found.lasted_s, found.lasted_s
        self._test = None
        return abs(self.req_per_s - planned) > allowed - OUTSIDE


@dataclass
class CountedLoads:
    """The loads of a site, as far as they are counted."""

    tolerance: Tolerance
    changed: tuple[Key, ...] = ()
    """Loads that are sure to differ from what was planned, by the last reading that was new."""
    _at: datetime | None = None
    _counters: dict[Key, float] = field(default_factory=dict)
    _loads: dict[Key, CountedLoad] = field(default_factory=dict)

    def see(self, measured: State, planned: Mapping[str, Mapping[str, float]]) -> State:
        """Take a state in, once; return it with the loads that the counts tell.

        Args:
            measured: what was read.
            planned: loads that the plan being followed was made for, by pool and class.
        """
        seconds = 0.0 if self._at is None else (measured.at - self._at).total_seconds()
        if seconds < 0.0:
            self._counters, self._loads, seconds = {}, {}, 0.0
        if seconds > 0.0 or self._at is None:
            self.changed = tuple(self._count(measured, seconds, planned))
            self._at = measured.at
        pools = {name: self._told(name, told) for name, told in measured.pools.items()}
        return measured.model_copy(update={"pools": pools})

    def _count(
        self, measured: State, seconds: float, planned: Mapping[str, Mapping[str, float]]
    ) -> Iterable[Key]:
        counters = {
            (name, key): counter
            for name, told in measured.pools.items()
            for key, counter in told.arrived_requests.items()
            if key in told.load_req_per_s
        }
        for (name, key), counter in counters.items():
            load = self._loads.get((name, key))
            if load is None:
                told = measured.pools[name].load_req_per_s[key]
                self._loads[name, key] = CountedLoad(told * FIRST_S, FIRST_S)
                continue
            came = counter - self._counters.get((name, key), math.inf)
            if came < 0.0:
                continue  # not read before, or it began anew
            load.count(came, seconds)
            expected = planned.get(name, {}).get(key)
            if expected is not None and load.has_changed(came, seconds, expected, self.tolerance):
                yield name, key
        self._counters = counters

    def _told(self, name: str, told: PoolState) -> PoolState:
        loads = {
            key: self._loads[name, key].req_per_s
            for key in told.arrived_requests
            if (name, key) in self._loads
        }
        if not loads:
            return told
        return told.model_copy(update={"load_req_per_s": {**told.load_req_per_s, **loads}})

    def noise_kw2_s(self, pool: PoolProblem) -> float:
        """Return how much the draw of a pool scatters because its requests come at random."""
        counted = [key for name, key in self._loads if name == pool.name]
        return counting_noise_kw2_s(pool, counted) if counted else 0.0


def counting_noise_kw2_s(pool: PoolProblem, counted: Iterable[str]) -> float:
    """Return how much the draw of a pool scatters because its requests come at random.

    The variance of the energy drawn, per second, in kW^2 s: work that comes at random in pieces,
    times the square of what a unit of it draws.

        s2 = sum over classes of  slope^2  l / r^2  (1 + v^2)

    with ``l`` the rate, ``r`` the rate an instance serves and ``v`` how sizes spread.

    Args:
        pool: the pool, as planned.
        counted: classes that are counted; others come as a flow.
    """
    active = pool.active_at_start
    if active == 0:
        return 0.0
    each = min(sum(c.load for c in pool.classes) / active, 1.0)
    low, high = max(each - 0.05, 0.0), min(each + 0.05, 1.0)
    curve = pool.load_curve
    slope_kw = float(curve.power_kw(high) - curve.power_kw(low)) / (high - low)
    names = set(counted)
    come = sum(c.load / c.requests_per_s_per_instance for c in pool.classes if c.name in names)
    return slope_kw**2 * come * (1.0 + SIZES_SPREAD**2)
