"""What is sold beyond what there is: it pays nobody, and no other product lives off it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.errors import InputError, NoPlanError
from ebplan.study import invariants
from ebplan.study.contracts import check_contracts, planned
from ebplan.study.decisions import empty_track
from ebplan.study.foresight import foresee, moment_of
from ebplan.study.invariants import StudyBroken, hold
from ebplan.study.kpi import kpis
from ebplan.study.ledger import absent_kw, settle
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
        (numbers.hours,) * numbers.steps,
        *(tuple((0.0,) * numbers.steps for _ in numbers.services) for _ in range(3)),
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


def absent(numbers: StudyNumbers) -> list[float]:
    track = foresee(numbers, all_accepted(numbers))
    return [float(v) for v in absent_kw(numbers, numbers.groups[0], track.groups[0]).sum(axis=0)]


def test_what_the_meter_cannot_show_is_absent() -> None:
    # a site that draws 20 kW and may export 5 releases 25 kW, however large its battery
    cells = battery(500, 100, start_kwh=500)
    site = replace(group(1, baseline_kw=20.0, battery=cells, products=1), export_kw=5.0)
    sold = service(1, price=3.0, contract_kw=40.0, unavailable_times=2.0)
    numbers = study([10], site, services=(sold,), terminal=10.0)
    assert absent(numbers) == pytest.approx([15.0])
    ledger = settle(numbers, foresee(numbers, all_accepted(numbers)))
    assert ledger.of["penalty", "fcr.unavailable"].sum() == pytest.approx(-15 * 3 * 2)


def test_compute_that_is_too_slow_is_absent_without_a_battery() -> None:
    # 40 kW of compute, of which 10 kW are there in 10 s; nothing bridges the other 20
    site = group(1, slices=((40.0, 50.0),), products=1, alone_kw=10.0)
    sold = service(1, contract_kw=30.0, unavailable_times=1.0)
    assert absent(study([10], site, services=(sold,))) == pytest.approx([20.0])
    slow = service(1, contract_kw=30.0, activation_s=300.0, unavailable_times=1.0)
    assert absent(study([10], site, services=(slow,))) == pytest.approx([0.0])


def test_cycles_are_those_of_the_batteries_there_are() -> None:
    # 50 of 50 kWh go out once; the group without a battery has no share in it
    cells = battery(50, 100, start_kwh=50)
    numbers = study([30], group(1, battery=cells), replace(group(1), name="other"))
    track = foresee(numbers, all_accepted(numbers))
    found = {k.name: k.value for k in kpis(numbers, track, settle(numbers, track), "JPY")}
    assert found["equivalent_cycles"] == pytest.approx(1.0)


def test_a_contract_above_all_there_is_is_refused() -> None:
    # 200 kW drawn, 100 kW exported, 100 kW of battery
    site = replace(group(1, battery=battery(50, 100), products=1), export_kw=100.0)
    check_contracts(study([10], site, services=(service(1, contract_kw=400.0),)))
    with pytest.raises(InputError, match=r"services\.fcr\.contract_kw.*up to 400 kW"):
        check_contracts(study([10], site, services=(service(1, contract_kw=401.0),)))


def test_a_contract_above_what_compute_can_release_is_refused_without_a_battery() -> None:
    site = group(1, slices=((40.0, 50.0),), products=1)
    with pytest.raises(InputError, match=r"contract_kw.*up to 40 kW"):
        check_contracts(study([10], site, services=(service(1, contract_kw=41.0),)))


def test_a_contract_that_nobody_can_hold_is_named() -> None:
    # two of 30 kW where compute has 40
    site = group(1, slices=((40.0, 50.0),), products=2)
    both = tuple(service(1, name=name, contract_kw=30.0) for name in ("one", "two"))
    numbers = study([10], site, services=both)
    check_contracts(numbers)
    with pytest.raises(InputError, match=r"services\.one\.contract_kw"):
        planned(numbers, lambda of: foresee(of, all_accepted(of)))
    # without a contract the fault is not the contract's
    broken = replace(site, baseline_kw=np.array([20_000.0]))
    with pytest.raises(NoPlanError):
        planned(study([10], broken), lambda of: foresee(of, all_accepted(of)))
    with pytest.raises(NoPlanError):
        planned(study([10], broken, services=both), lambda of: foresee(of, all_accepted(of)))


def test_a_track_beyond_its_connection_is_broken() -> None:
    # 200 kW drawn and 100 kW charged, where 10 000 kW may be drawn; then only 250
    site = group(1, battery=battery(50, 100), products=1)
    numbers = study([-10], site, services=(service(1),))
    track = foresee(numbers, all_accepted(numbers))
    hold(numbers, track, settle(numbers, track))
    narrow = replace(numbers, groups=(replace(site, import_kw=250.0),))
    with pytest.raises(StudyBroken, match=r"the connection point of site .* 50 apart"):
        hold(narrow, track, settle(narrow, track))


def test_an_award_beyond_the_meter_is_broken_unless_it_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = group(1, baseline_kw=20.0, battery=battery(500, 100, start_kwh=500), products=1)
    sold = service(1, contract_kw=40.0)
    numbers = study([10], replace(site, export_kw=5.0), services=(sold,), terminal=10.0)
    track = foresee(numbers, all_accepted(numbers))
    ledger = settle(numbers, track)
    hold(numbers, track, ledger)
    monkeypatch.setattr(invariants, "absent_kw", lambda *_: np.zeros((1, 1)))
    with pytest.raises(StudyBroken, match=r"what the meter of site shows .* 15 apart"):
        hold(numbers, track, ledger)
