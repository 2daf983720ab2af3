"""The disturbance: load that no model explains, estimated so that no error stays.

    d <- d + g (measured - d),   g = 0.5

``measured`` is the meter, less what the plan says the pools draw, with what the battery gives added
back. A steady model error shows up in it whole, the next plan is posed with it, and the offset is
gone: offset-free control with an output disturbance (Pannocchia and Rawlings, AIChE J. 49, 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.5
"""Share of a new reading: noise is halved each cycle, a step is taken to 97 % in five."""


@dataclass
class Disturbance:
    """The estimate of the load that no pool explains."""

    kw: float | None = None

    def update(self, measured_kw: float | None) -> float | None:
        """Take a reading in; return the estimate. Without a reading it stays."""
        if measured_kw is not None:
            self.kw = measured_kw if self.kw is None else self.kw + GAIN * (measured_kw - self.kw)
        return self.kw

    def reset(self, kw: float) -> None:
        """Begin from what a new plan was posed with."""
        self.kw = kw
