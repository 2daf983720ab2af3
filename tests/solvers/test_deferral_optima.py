"""Optima of work that may wait, worked out on paper; the arithmetic stands next to each.

One instance at a quarter of its load. At work it draws 0.6 kW, capped at its floor 0.4 kW, which
still carries 0.9 x sqrt(0.4) = 0.569; drained it draws 0.2 kW. An hour of its load is 900 units.
"""

from __future__ import annotations

import pytest
import small_problems as small
from by_cause import approx, cost

from ebplan.problem import DeferralProblem, PoolProblem

TWO_HOURS = (0.0, 3600.0, 7200.0)
ENERGY = small.prices(energy_per_kwh=30.0)


def quarter(
    price: float, *, deadline_s: float = 3600.0, waiting: float = 0.0, **changes: object
) -> PoolProblem:
    """Return an instance at a quarter of its load, which may wait and may not be turned away."""
    deferral = DeferralProblem(
        deadline_s=deadline_s, price_per_work_h=price, backlog_at_start=waiting
    )
    return small.pool(
        **{
            "load_curve": small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
            "active_at_start": 1,
            "drained_at_start": 0,
            "classes": (small.requests(load=0.25, max_rejected=0.0, deferral=deferral),),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("price", "expected"),
    [(0.005, {"energy": -18.0, "delay": 4.5}), (0.008, {"energy": -12.0})],
)
def test_an_hour_is_put_off_and_worked_off_in_the_next(
    price: float, expected: dict[str, float]
) -> None:
    # At work for two hours at the floor: 0.2 kW below the baseline, 0.4 kWh at 30 saved. Drained
    # for the first and twice the load in the second: 0.4 + 0.2 kWh saved, but 900 units wait, each
    # an hour: 4.5 at 0.005, and 7.2 at 0.008, more than the 6 that it saves.
    problem = small.problem(
        edges_s=TWO_HOURS, epoch_steps=(0, 1), pools=(quarter(price),), prices=ENERGY
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("deadline_s", "expected"),
    [(3600.0, {"energy": -18.0, "delay": 0.9}), (3590.0, {"energy": -12.0})],
)
def test_a_deadline_shorter_than_the_hour_keeps_the_instance_at_work(
    deadline_s: float, expected: dict[str, float]
) -> None:
    # After an hour drained the first request has waited an hour. Ten seconds less and some must be
    # served in the first hour, and for the same reason in the second: no hour is free of work.
    pool = quarter(0.001, deadline_s=deadline_s)
    problem = small.problem(edges_s=TWO_HOURS, epoch_steps=(0, 1), pools=(pool,), prices=ENERGY)
    assert cost(problem) == approx(**expected)


def test_working_a_queue_off_early_is_a_credit() -> None:
    # 900 units wait; served in the first hour, besides its load, at the floor: 0.5 < 0.569. They
    # wait half an hour each instead of two hours and then to the deadline of one: 2.5 h less, at
    # 0.01 each.
    pool = quarter(0.01, waiting=900.0)
    problem = small.problem(edges_s=TWO_HOURS, epoch_steps=(0, 1), pools=(pool,), prices=ENERGY)
    assert cost(problem) == approx(energy=-12.0, delay=-22.5)


def test_a_queue_that_is_left_alone_costs_nothing() -> None:
    # Drained at the start and nothing comes: at work it would draw 0.2 kWh more an hour, for 6. All
    # 900 units done in the first hour are 2.5 h sooner: 2.25 at 0.001.
    pool = quarter(
        0.001,
        waiting=900.0,
        active_at_start=0,
        drained_at_start=1,
        classes=(small.requests(deferral=quarter(0.001, waiting=900.0).classes[0].deferral),),
    )
    problem = small.problem(edges_s=TWO_HOURS, epoch_steps=(0, 1), pools=(pool,), prices=ENERGY)
    assert cost(problem) == approx()


@pytest.mark.parametrize(
    ("waiting", "expected"), [(0.0, {"shortfall": 34.2}), (900.0, {"delay": -1.35})]
)
def test_an_absorb_works_a_queue_off(waiting: float, expected: dict[str, float]) -> None:
    # 0.38 kW asked for 0.9 h, at 100. Nothing comes, so a drained instance is put to work only by
    # what waits: 900 units in an hour are a quarter of its load, 0.4 kW more than drained. They
    # wait half an hour less on average, and not on to the deadline of an hour: 1.5 h at 0.001.
    deferral = quarter(0.001, waiting=waiting).classes[0].deferral
    pool = quarter(
        0.001,
        active_at_start=0,
        drained_at_start=1,
        classes=(small.requests(deferral=deferral),),
    )
    problem = small.problem(
        edges_s=(0.0, 360.0, 3600.0),
        absorb_kw=(0.0, 0.38),
        event_start_s=360.0,
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    assert cost(problem) == approx(**expected)
