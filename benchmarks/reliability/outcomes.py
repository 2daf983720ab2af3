"""How often promises were kept, and whether that is often enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np

from benchmarks.reliability.promises import CONFIDENCES, SCENARIOS

ONE_SIDED = 0.99


@dataclass(frozen=True)
class Outcome:
    """How often a promise was kept."""

    subject: str
    confidence: float
    scenario: str
    calls: int
    kept: int
    computed: float
    """Probability that the offer states."""
    kw: float
    continuous: bool

    def is_often_enough(self, tested: int) -> bool:
        """Tell whether it was kept at least as often as stated, one of so many tested at once."""
        return at_most(self.kept, self.calls, self.confidence) > (1.0 - ONE_SIDED) / tested

    @property
    def excess_points(self) -> float:
        """How much more often it was kept than stated, in points."""
        return 100.0 * (self.kept / self.calls - self.confidence)


def at_most(kept: int, calls: int, confidence: float) -> float:
    """Return the probability of at most so many kept calls where each is kept so surely."""
    k = np.arange(kept + 1)
    logs = np.array([lgamma(calls + 1) - lgamma(i + 1) - lgamma(calls - i + 1) for i in k])
    return float(np.exp(logs + k * log(confidence) + (calls - k) * log(1.0 - confidence)).sum())


@dataclass(frozen=True)
class Together:
    """The promises of one confidence with a continuous margin in one scenario, taken together."""

    scenario: str
    confidence: float
    calls: int
    kept: int

    @property
    def is_often_enough(self) -> bool:
        """Whether they are kept at least as often as stated, by the one-sided test."""
        return at_most(self.kept, self.calls, self.confidence) > 1.0 - ONE_SIDED

    @property
    def excess_points(self) -> float:
        """How much more often than stated they are kept, in points."""
        return 100.0 * (self.kept / self.calls - self.confidence)


def together(outcomes: Sequence[Outcome]) -> list[Together]:
    """Return the promises of each scenario and confidence together; none where there are none."""
    found = []
    for scenario in SCENARIOS:
        for confidence in CONFIDENCES:
            cell = (scenario.name, confidence, True)
            own = [o for o in outcomes if (o.scenario, o.confidence, o.continuous) == cell]
            if own:
                calls, kept = sum(o.calls for o in own), sum(o.kept for o in own)
                found.append(Together(scenario.name, confidence, calls, kept))
    return found
