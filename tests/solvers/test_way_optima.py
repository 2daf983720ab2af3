"""Optima of a pool's further ways to run, worked out on paper; the arithmetic stands next to each.

An instance draws f(u) = 0.2 + 0.8 sqrt(u) kW, drained 0.2 kW; a cap of p kW leaves it sqrt(p).
"""

from __future__ import annotations

import pytest
import small_problems as small
from by_cause import approx, cost

from ebplan.models.curves import CapCurve
from ebplan.problem import (
    ClockLockProblem,
    LoweredProblem,
    PoolProblem,
    PrewarmProblem,
    PullForwardProblem,
    TierProblem,
)
from ebplan.site import Response

CURVE = small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5)
NOTICE = (0.0, 360.0, 3600.0)
"""A tenth of an hour before the event, or before the next decision."""
ENERGY = small.prices(energy_per_kwh=30.0)
SHORTFALL = small.prices(shortfall_per_kwh=100.0)


def at_work(instances: int = 1, load: float = 0.25, **changes: object) -> PoolProblem:
    """Return a pool of active instances whose requests may not be turned away."""
    return small.pool(
        **{
            "load_curve": CURVE,
            "active_at_start": instances,
            "drained_at_start": 0,
            "classes": (small.requests(load=load, max_rejected=0.0),),
            **changes,
        }
    )


# --- locked clocks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor_kw", "expected"),
    [
        (None, {}),
        (0.4, {"energy": -6.0, "clocking": 2.0}),
        (0.3, {"energy": -9.0, "clocking": 3.0}),
    ],
)
def test_a_clock_reaches_below_a_cap_floor_at_the_natural_draw(
    floor_kw: float | None, expected: dict[str, float]
) -> None:
    # At a quarter of its load it draws 0.6 kW, and no cap below 0.6 is allowed. A locked clock
    # reaches 0.4 (or 0.3) kW, where 0.9 sqrt(0.4) = 0.569 (or 0.493) is still more than 0.25:
    # 0.2 (0.3) kWh saved at 30, for 10 per kWh below the natural draw.
    lock = None
    if floor_kw is not None:
        curve = CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=floor_kw)
        lock = ClockLockProblem(cap_curve=curve, power_exponent=2.0, max_clock_mhz=1980.0)
    pool = at_work(
        min_utilisation=0.25,
        cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=0.6),
        clock_lock=lock,
        cap_depth_per_kwh=10.0,
    )
    assert cost(small.problem(pools=(pool,), prices=ENERGY)) == approx(**expected)


# --- a lower precision ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "swap_price", "expected"),
    [
        (1.0, 1.0, {"energy": -16.9706, "swapping": 1.0, "lowered": 3.6}),
        (1.0, 15.0, {}),
        (0.5, 1.0, {"energy": -4.9706, "swapping": 1.0, "lowered": 1.8}),
        (0.4, 1.0, {}),
    ],
)
def test_a_lower_precision_frees_an_instance(
    share: float, swap_price: float, expected: dict[str, float]
) -> None:
    # A load of 1 on two instances: 0.2 + 0.8 x 0.70711 = 0.76569 kW each, and one is drained, 0.2.
    # With the other weights it serves twice as much: everything, at half its own load, 0.76569 kW,
    # and both others are drained: 1.16569 instead of 1.73137 kW, 0.56569 kWh at 30. It serves for
    # 0.001 a second. With half of it eligible one stays, at 0.5, and it is at 0.25, 0.6 kW:
    # 1.56569 kW. Less than 0.5, a quarter of its own load, it does not serve.
    lowered = LoweredProblem(eligible_share=share, price_per_instance_s=0.001)
    pool = at_work(
        2,
        drained_at_start=1,
        min_utilisation=0.25,
        may_cap=False,
        classes=(small.requests(load=1.0, max_rejected=0.0, lowered=lowered),),
        tier=TierProblem(
            name="fp8",
            capacity_factor=2.0,
            load_curve=CURVE,
            cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=0.4),
            swap_s=0.0,
            swap_price_per_instance=swap_price,
        ),
    )
    assert cost(small.problem(pools=(pool,), prices=ENERGY)) == approx(**expected)


# --- pre-warm -------------------------------------------------------------------------------


def prewarm(**changes: float) -> PrewarmProblem:
    """Return a pre-warm that is there at once, lasts, and costs nothing."""
    numbers = {
        "lead_s": 0.0,
        "expires_s": 7200.0,
        "power_kw": 0.0,
        "price": 0.0,
        "drain_per_instance": 0.0,
        "wake_s": 0.0,
    }
    return PrewarmProblem(**(numbers | changes))


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (0.5, {"energy": -5.7264, "draining": 1.0, "prewarming": 0.5}),
        (1.0, {"energy": -7.0294, "draining": 3.0}),
    ],
)
def test_a_prewarm_pays_where_a_cold_drain_is_dearer(
    price: float, expected: dict[str, float]
) -> None:
    # Two at a quarter of their load draw 1.2 kW; one at a half and one drained 0.96569, 0.23431
    # less. Drained cold at once: 0.23431 kWh at 30, for 3. Drained warm a tenth of an hour later:
    # 0.21088 kWh, for 1, after 0.02 kWh of speculative work at 30 and its price.
    pool = at_work(
        2,
        0.5,
        may_cap=False,
        drain_per_instance=3.0,
        prewarm=prewarm(lead_s=360.0, power_kw=0.2, price=price, drain_per_instance=1.0),
    )
    problem = small.problem(edges_s=NOTICE, epoch_steps=(0, 1), pools=(pool,), prices=ENERGY)
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("warm_wake_s", "expected"),
    [
        (1440.0, {"waking": 0.1, "prewarming": 1.0}),
        (1900.0, {"waking": 0.1, "shortfall": 10.0}),
    ],
)
def test_a_warm_wake_is_in_time_where_the_cold_one_is_late(
    warm_wake_s: float, expected: dict[str, float]
) -> None:
    # 0.3 kW more asked in the second half hour, at 100. One at half its load and one asleep draw
    # 0.76569 + 0.1 kW; two at a quarter 1.2, enough. Cold it takes 2000 s: on its way it draws 0.1
    # kW more than asleep, so 0.2 kW miss for half an hour.
    pool = at_work(
        1,
        0.5,
        asleep_at_start=1,
        may_cap=False,
        wake_s=2000.0,
        wake_per_instance=0.1,
        prewarm=prewarm(price=1.0, wake_s=warm_wake_s),
    )
    problem = small.problem(
        edges_s=(0.0, 1440.0, 1800.0, 3600.0),
        epoch_steps=(0, 1, 2),
        absorb_kw=(0.0, 0.0, 0.3),
        event_start_s=1800.0,
        pools=(pool,),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx(**expected)


# --- work ahead, and how power rises --------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "expected"),
    [(0.0, {"shortfall": 18.0}), (900.0, {"shortfall": 3.0883, "pull_forward": -0.5})],
)
def test_an_absorb_does_work_that_is_not_due(available: float, expected: dict[str, float]) -> None:
    # 0.2 kW more asked for 0.9 h, at 100. 900 units that are not due are a quarter of an instance
    # for an hour: at half its load it draws 0.76569 instead of 0.6 kW, 0.03431 kW miss. An hour of
    # an instance done now is worth 2.
    ahead = PullForwardProblem(available=available, value_per_work_h=2.0)
    pool = at_work(
        min_utilisation=0.25,
        classes=(small.requests(load=0.25, max_rejected=0.0, pull_forward=ahead),),
    )
    problem = small.problem(
        edges_s=NOTICE,
        absorb_kw=(0.0, 0.2),
        event_start_s=360.0,
        pools=(pool,),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(("delay_s", "expected"), [(None, {}), (1800.0, {"shortfall": 9.0})])
def test_an_absorb_waits_for_power_to_rise(
    delay_s: float | None, expected: dict[str, float]
) -> None:
    # A drained instance goes back to work at the start: two at a quarter draw 0.23431 kW more than
    # one at a half. 0.2 kW are asked from 360 s on; what rises after 1800 s misses until 1980 s,
    # where the next step begins: 0.2 kW x 0.45 h at 100.
    rise = None if delay_s is None else Response(delay_s=delay_s, time_constant_s=1e-3)
    pool = at_work(1, 0.5, drained_at_start=1, rise_response=rise)
    problem = small.problem(
        edges_s=(0.0, 360.0, 1980.0, 3600.0),
        absorb_kw=(0.0, 0.2, 0.2),
        event_start_s=360.0,
        pools=(pool,),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize("delay_s", [None, 1800.0])
def test_a_release_counts_with_the_way_down(delay_s: float | None) -> None:
    # Two at a quarter to one at a half, as fast as ever: 0.23431 kW less, 0.2 asked.
    rise = None if delay_s is None else Response(delay_s=delay_s, time_constant_s=1e-3)
    problem = small.problem(
        edges_s=(0.0, 360.0, 1980.0, 3600.0),
        release_kw=(0.0, 0.2, 0.2),
        event_start_s=360.0,
        pools=(at_work(2, 0.5, rise_response=rise),),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx()
