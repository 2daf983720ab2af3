"""What is sold beyond what there is: it pays nobody, and no other product lives off it."""

from __future__ import annotations

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study.decisions import empty_track
from ebplan.study.foresight import foresee, moment_of
from ebplan.study.ledger import settle
from ebplan.study.moment import vectors_of
from ebplan.study.numbers import ServiceNumbers, StudyNumbers
from ebplan.study.window import Shape, Window

STEPS = 4


def earned(*products: ServiceNumbers, cells_kwh: float = 2.0) -> float:
    """Return what products earn with a full battery of 2 kWh and 100 kW, which cannot trade."""
    cells = battery(cells_kwh, 100, start_kwh=cells_kwh)
    sites = group(STEPS, battery=cells, products=len(products))
    numbers = study([10] * STEPS, sites, services=products, terminal=10.0)
    ledger = settle(numbers, foresee(numbers, all_accepted(numbers)))
    return float(ledger.total - ledger.layer("inference").sum())


def contract(kw: float, **more: object) -> ServiceNumbers:
    given = {"sustain_s": 3600.0, "price": 0.0, "unavailable_times": 1.0, **more}
    return service(STEPS, name="yearly", contract_kw=kw, **given)


@pytest.mark.parametrize("times", [0.0, 1.0, 3.0])
def test_a_contract_costs_no_more_than_the_room_it_takes(times: float) -> None:
    # 2 kWh last 300 s at 24 kW; a contract of 1 kW for an hour takes 1 kWh, the room of 12 kW
    fcr = service(STEPS, unavailable_times=times)
    assert earned(fcr) == pytest.approx(24 * 3 * STEPS)
    assert earned(fcr, contract(1.0)) == pytest.approx(12 * 3 * STEPS)
    assert earned(fcr, contract(0.0)) == pytest.approx(24 * 3 * STEPS)


def vectors(numbers: StudyNumbers, accepted: np.ndarray) -> tuple[Window, dict[str, np.ndarray]]:
    shape = Shape(
        (numbers.hours,) * numbers.steps, tuple((0.0,) * numbers.steps for _ in numbers.services)
    )
    window = Window(shape, numbers.groups, numbers.services)
    moment = moment_of(numbers, empty_track(numbers), accepted, 0, numbers.steps)
    return window, vectors_of(window, moment)


def test_nothing_may_be_missing_for_a_bid_that_was_lost() -> None:
    products = (service(STEPS), service(STEPS, name="other"))
    cells = battery(2, 100, start_kwh=2)
    numbers = study(
        [10] * STEPS, group(STEPS, battery=cells, products=2), services=products, terminal=10.0
    )
    window, found = vectors(numbers, np.array([[0.0] * STEPS, [1.0] * STEPS]))
    columns = window.columns.groups[0]
    assert columns.uncovered_kwh is not None
    assert found["upper"][columns.uncovered_kwh].tolist() == [0.0] * STEPS
    assert found["upper"][columns.uncovered_kw].tolist() == [0.0] * STEPS


def test_no_more_may_be_missing_than_what_is_given_asks_for() -> None:
    products = (service(STEPS), contract(3.0))
    cells = battery(2, 100, start_kwh=2)
    numbers = study(
        [10] * STEPS, group(STEPS, battery=cells, products=2), services=products, terminal=10.0
    )
    window, found = vectors(numbers, all_accepted(numbers))
    columns = window.columns.groups[0]
    assert columns.uncovered_kwh is not None
    assert found["upper"][columns.uncovered_kwh] == pytest.approx([3.0] * STEPS)
    assert found["upper"][columns.uncovered_kw] == pytest.approx([3.0] * STEPS)
