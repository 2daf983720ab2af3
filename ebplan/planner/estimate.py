"""The disturbance: load that no model explains, estimated so that no error stays.

    d <- d + g (measured - d),   g = 0.5 where more of it hurts, 0.002 where less of it helps

``measured`` is the meter, less what the plan says the pools draw, with what the battery gives added
back. A steady model error shows up in it whole, the next plan is posed with it, and the offset is
gone: offset-free control with an output disturbance (Pannocchia and Rawlings, AIChE J. 49, 2003).

Inside an event the estimate follows what hurts at once and what helps slowly. The error of a model
depends on what is done: an instance that draws 8 % more than its model draws exactly its cap under
a cap. Followed both ways alike, the estimate falls once the cap is set, the next plan lifts it, and
the two take turns; so what has been seen is believed for minutes.

Where requests come at random the draw scatters with them (``counted.counting_noise_kw2_s``). Then
the estimate is the mean over minutes, an offset is believed once a test says that it is no noise
(``change``), and the estimate is the mean since it came. What helps is still believed slowly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from ebplan.planner.change import ShiftTest, shifts_of_mean

GAIN = 0.5
"""Share of a new reading: noise is halved each cycle, a step is taken to 97 % in five."""
SLOW_GAIN = 0.002
"""Share of a reading that helps, inside an event: believed after some eight minutes."""
MEMORY_S = 300.0
"""Time constant of the mean over noisy readings; assumed: what models miss keeps for minutes."""
READ_S = 2.0
"""A reading says nothing of more than so many seconds before it."""


@dataclass(frozen=True)
class Noise:
    """What the draw scatters by, and what difference from a plan counts."""

    kw2_s: float
    """Variance of the energy, per second."""
    up_kw: float
    """More load than planned that counts."""
    down_kw: float
    """Less load than planned that counts."""
    run_s: float
    """How long until noise alone passes for an offset, on average."""


@dataclass
class Disturbance:
    """The estimate of the load that no pool explains."""

    kw: float | None = None
    sure: bool = True
    """Whether a difference from what the plan was posed with is more than noise."""
    _noise: Noise | None = None
    _test: ShiftTest | None = None
    _planned_kw: float = 0.0
    _at: datetime | None = None
    _age_s: float = 0.0
    """Seconds that the estimate is a mean of."""

    def update(
        self, measured_kw: float | None, *, hurts: int = 0, at: datetime | None = None
    ) -> float | None:
        """Take a reading in; return the estimate. Without a reading it stays.

        Args:
            measured_kw: the reading.
            hurts: 1 where more load hurts (release), -1 where less does (absorb), 0 for neither.
            at: when it was read; told where readings are noisy.
        """
        before, self._at = self._at, at
        if measured_kw is None:
            return self.kw
        if self.kw is None:
            self.kw = measured_kw
        elif self._noise is None:
            helps = hurts * (measured_kw - self.kw) < 0.0
            self.kw += (SLOW_GAIN if helps else GAIN) * (measured_kw - self.kw)
        elif before is not None and at is not None and at > before:
            seconds = min((at - before).total_seconds(), READ_S)
            self._average(measured_kw, seconds, hurts)
        return self.kw

    def _average(self, measured_kw: float, seconds: float, hurts: int) -> None:
        assert self.kw is not None
        assert self._noise is not None
        if self._test is None:
            shifts = shifts_of_mean(
                2.0 * self._noise.up_kw, 2.0 * self._noise.down_kw, self._noise.kw2_s
            )
            self._test = ShiftTest(shifts, self._noise.run_s)
        found = self._test.add((measured_kw - self._planned_kw) * seconds, seconds)
        self._age_s += seconds
        helps = hurts * (measured_kw - self.kw) < 0.0
        gain = -math.expm1(-seconds / min(self._age_s, MEMORY_S))
        self.kw += (SLOW_GAIN * seconds if helps else gain) * (measured_kw - self.kw)
        if found is not None and hurts * found.mean >= 0.0:
            self.kw, self._age_s = self._planned_kw + found.mean, found.lasted_s
        # what helps is believed slowly: the estimate itself is the mean over minutes
        self.sure = found is not None or hurts * (self.kw - self._planned_kw) < 0.0

    def reset(self, kw: float, noise: Noise | None = None) -> None:
        """Begin from what a new plan was posed with.

        Args:
            kw: the load beside the pools that it was posed with.
            noise: what readings scatter by; nothing if absent.
        """
        self.kw, self._planned_kw = kw, kw
        self._noise, self._test, self.sure = noise, None, noise is None
