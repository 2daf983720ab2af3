"""Random margins for random problems."""

from __future__ import annotations

import numpy as np

from ebplan.problem import Margins, Problem


def random_margins(seed: int) -> Margins:
    """Return margins from nothing to a kilowatt, with prices of either order."""
    rng = np.random.default_rng([seed, 77])
    return Margins(
        confidence=0.9,
        z=float(rng.uniform(0.3, 2.5)),
        load_kw=float(rng.choice([0.0, 0.05, 0.3])),
        response_share=float(rng.choice([0.0, 0.05, 0.2])),
        power_per_kwh=float(rng.uniform(5.0, 400.0)),
        energy_per_kwh=float(rng.uniform(5.0, 400.0)),
    )


def with_margins(problem: Problem, margins: Margins | None) -> Problem:
    return problem.model_copy(update={"margins": margins})
