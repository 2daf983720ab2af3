"""Random curves of an instance, and what it can serve by the formulation's own lines."""

from __future__ import annotations

import numpy as np

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.lens import cap_lines, load_lines

Draw = np.random.Generator


def random_load_curve(rng: Draw) -> LoadCurve:
    return LoadCurve(
        idle_kw=float(rng.uniform(0.1, 0.4)),
        terms=tuple(
            LoadTerm(
                amplitude_kw=float(rng.uniform(0.2, 0.6)), exponent=float(rng.uniform(0.03, 0.6))
            )
            for _ in range(int(rng.integers(1, 3)))
        ),
        one_request_utilisation=float(rng.uniform(0.01, 0.1)),
        valid_from_utilisation=0.3,
    )


def random_cap_curve(rng: Draw, curve: LoadCurve, lowest: float, highest: float) -> CapCurve:
    """Return a cap curve whose floor an instance at its lowest load can still draw."""
    full_kw = float(curve.power_kw(highest))
    floor = float(rng.uniform(0.4, 0.95)) * float(curve.power_kw(lowest)) / full_kw
    elasticity = float(rng.choice([rng.uniform(0.2, 1.0), rng.uniform(1.0, 2.5)]))
    return CapCurve(
        full_kw=full_kw,
        elasticity=min(elasticity, 0.95 / (1.0 - floor)),
        floor_kw=floor * full_kw,
    )


def can_serve(pool: PoolProblem, utilisation: float) -> bool:
    """Return whether one instance can serve this load within the formulation's own lines."""
    drawn_kw = min(slope * utilisation + rest for slope, rest in load_lines(pool))
    capacity = min(slope * drawn_kw + rest for slope, rest in cap_lines(pool))
    lowest, highest = pool.min_utilisation, pool.max_utilisation * capacity - 1e-6
    return lowest <= utilisation <= highest and drawn_kw >= pool.cap_curve.floor_kw
