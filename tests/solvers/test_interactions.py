"""What must be worth nothing is worth nothing: no credit where no watt is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small_problems as small

from ebplan.models.curves import CapCurve
from ebplan.problem import ClockLockProblem, LoweredProblem, PoolProblem, TierProblem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate

PRICES = small.prices(energy_per_kwh=100.0)

SHAPES = [(1, 0.3, 0.1), (2, 0.6, 0.4), (3, 0.75, 0.7), (6, 0.5, 0.3)]
"""Instances at work, load of each, and exponent of the load curve."""
over_shapes = pytest.mark.parametrize(("instances", "each", "exponent"), SHAPES)


def at_work(instances: int, each: float, exponent: float, **changes: Any) -> PoolProblem:
    """Return a pool at work, none of whose requests may be turned away."""
    curve = small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=exponent)
    return small.pool(
        **{
            "load_curve": curve,
            "cap_curve": CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=0.3),
            "active_at_start": instances,
            "drained_at_start": 0,
            "classes": (small.requests(load=instances * each, max_rejected=0.0),),
            **changes,
        }
    )


def lowest(pool: PoolProblem) -> float:
    """Return the lowest cost of an hour in which a kW less is worth 100."""
    problem = small.problem(pools=(pool,), prices=PRICES)
    return highs.solve(formulate(problem).program, gap=1e-7).objective


def down_to(floor_kw: float) -> CapCurve:
    """Return caps that reach down to a power."""
    return CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=floor_kw)


def clocks_down_to(floor_kw: float) -> ClockLockProblem:
    """Return locked clocks that reach down to a power, as good as a cap on the way."""
    return ClockLockProblem(cap_curve=down_to(floor_kw), power_exponent=2.0, max_clock_mhz=1980.0)


# --- caps and clocks ------------------------------------------------------------------------


@over_shapes
def test_a_cap_above_the_natural_draw_is_worth_nothing(
    instances: int, each: float, exponent: float
) -> None:
    # All are needed, and no cap below what each draws anyway is allowed.
    pool = at_work(instances, each, exponent, min_utilisation=each, fewest_active=instances)
    natural_kw = float(pool.load_curve.power_kw(each))
    above = pool.model_copy(update={"cap_curve": down_to(natural_kw)})
    below = pool.model_copy(update={"cap_curve": down_to(0.95 * natural_kw)})
    never = lowest(above.model_copy(update={"may_cap": False}))
    assert lowest(above) == pytest.approx(never, rel=1e-4)
    assert lowest(below) < never - 0.1


@over_shapes
def test_a_clock_above_the_natural_draw_is_worth_nothing(
    instances: int, each: float, exponent: float
) -> None:
    pool = at_work(instances, each, exponent, min_utilisation=each, fewest_active=instances)
    natural_kw = float(pool.load_curve.power_kw(each))
    capped = pool.model_copy(update={"cap_curve": down_to(natural_kw)})
    above, below = (
        capped.model_copy(update={"clock_lock": clocks_down_to(share * natural_kw)})
        for share in (1.0, 0.95)
    )
    assert lowest(above) == pytest.approx(lowest(capped), rel=1e-6)
    assert lowest(below) < lowest(capped) - 0.1


# --- precision and sleep --------------------------------------------------------------------


@pytest.mark.parametrize("instances", [1, 2, 4])
def test_a_lower_precision_that_frees_no_instance_saves_no_watt(instances: int) -> None:
    # Saturated: the same draw with other weights, and all are needed, whatever they hold.
    lowered = LoweredProblem(eligible_share=1.0, price_per_instance_s=0.0)
    load = small.requests(load=float(instances), max_rejected=0.0)
    pool = at_work(
        instances,
        1.0,
        0.3,
        drained_at_start=1,
        classes=(load,),
        max_utilisation=1.0,
        may_cap=False,
    )

    def with_tier(capacity_factor: float) -> PoolProblem:
        tier = TierProblem(
            name="fp8",
            capacity_factor=capacity_factor,
            load_curve=pool.load_curve,
            cap_curve=pool.cap_curve,
            swap_s=0.0,
            swap_price_per_instance=0.0,
        )
        classes = (load.model_copy(update={"lowered": lowered}),)
        return pool.model_copy(update={"tier": tier, "classes": classes})

    assert lowest(with_tier(1.0)) == pytest.approx(lowest(pool), abs=1e-4)
    assert lowest(with_tier(2.0)) < lowest(pool) - 0.1


@over_shapes
def test_no_credit_for_sleep_that_draws_as_much(
    instances: int, each: float, exponent: float
) -> None:
    pool = at_work(
        instances, each, exponent, drained_at_start=2, asleep_kw=0.2, most_active=instances
    )
    sleepy = pool.model_copy(update={"may_sleep": True})
    assert lowest(sleepy) == pytest.approx(lowest(pool), rel=1e-6)
    assert lowest(sleepy.model_copy(update={"asleep_kw": 0.1})) < lowest(pool) - 0.1


# --- admission ------------------------------------------------------------------------------


@over_shapes
def test_turning_requests_away_saves_what_the_load_curve_says(
    instances: int, each: float, exponent: float
) -> None:
    # 15 % turned away for nothing and nobody drained: N (f(u) - f(0.85 u)), at 100.
    load = instances * each
    classes = (small.requests(load=load, max_rejected=0.15 * load),)
    pool = at_work(
        instances, each, exponent, classes=classes, may_cap=False, fewest_active=instances
    )
    kept = pool.model_copy(update={"classes": (small.requests(load=load, max_rejected=0.0),)})
    before_kw, after_kw = pool.load_curve.power_kw(np.array([each, 0.85 * each]))
    saved = lowest(kept) - lowest(pool)
    # The lines are within 0.15 % of the curve.
    within = 100.0 * instances * 2.0 * 1.5e-3 * before_kw
    assert saved == pytest.approx(100.0 * instances * (before_kw - after_kw), abs=within)


@pytest.mark.parametrize("exponent", [0.1, 0.3, 0.5])
def test_turning_requests_away_is_deep_only_where_an_instance_is_drained(exponent: float) -> None:
    # Two at a half; of 1 a share of 15 % turned away leaves what one may serve.
    pool = at_work(
        2,
        0.5,
        exponent,
        classes=(small.requests(load=1.0, max_rejected=0.15),),
        max_utilisation=0.9,
        may_cap=False,
    )
    both = pool.model_copy(update={"fewest_active": 2})
    half_kw, most_kw = pool.load_curve.power_kw(np.array([0.5, 0.85]))
    less_kw = float(pool.load_curve.power_kw(0.425))
    saved_kw = -np.array([lowest(pool), lowest(both)]) / 100.0
    assert saved_kw[0] == pytest.approx(2.0 * half_kw - most_kw - 0.2, abs=0.01)
    assert saved_kw[1] == pytest.approx(2.0 * (half_kw - less_kw), abs=0.01)
    assert saved_kw[0] > 3.0 * saved_kw[1]
