"""The disturbance: load that no model explains, estimated so that no error stays.

    d <- d + g (measured - d),   g = 0.5 where more of it hurts, 0.002 where less of it helps

``measured`` is the meter, less what the plan says the pools draw, with what the battery gives added
back. A steady model error shows up in it whole, the next plan is posed with it, and the offset is
gone: offset-free control with an output disturbance (Pannocchia and Rawlings, AIChE J. 49, 2003).

Inside an event the estimate follows what hurts at once and what helps slowly. The error of a model
depends on what is done: an instance that draws 8 % more than its model draws exactly its cap under
a cap. Followed both ways alike, the estimate falls once the cap is set, the next plan lifts it, and
the two take turns; so what has been seen is believed for minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.5
"""Share of a new reading: noise is halved each cycle, a step is taken to 97 % in five."""
SLOW_GAIN = 0.002
"""Share of a reading that helps, inside an event: believed after some eight minutes."""


@dataclass
class Disturbance:
    """The estimate of the load that no pool explains."""

    kw: float | None = None

    def update(self, measured_kw: float | None, *, hurts: int = 0) -> float | None:
        """Take a reading in; return the estimate. Without a reading it stays.

        Args:
            measured_kw: the reading.
            hurts: 1 where more load hurts (release), -1 where less does (absorb), 0 for neither.
        """
        if measured_kw is not None:
            if self.kw is None:
                self.kw = measured_kw
            else:
                helps = hurts * (measured_kw - self.kw) < 0.0
                self.kw += (SLOW_GAIN if helps else GAIN) * (measured_kw - self.kw)
        return self.kw

    def reset(self, kw: float) -> None:
        """Begin from what a new plan was posed with."""
        self.kw = kw
