"""Awards that a portfolio shares: as good as one program over all, by prices and profiles alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from portfolio_cases import STEPS, drawn, many, regional, two_sites
from study_cases import battery, group, service, study

from ebplan.errors import InputError, NoPlanError
from ebplan.portfolio.check import called_kw, violations
from ebplan.portfolio.excess import CannotHold
from ebplan.portfolio.one_way import one_way
from ebplan.portfolio.processes import Processes
from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import joint, portfolio, share
from ebplan.study.numbers import StudyNumbers


def test_the_cheaper_site_carries_first() -> None:
    numbers = two_sites()
    found = share(portfolio(numbers, np.full((1, STEPS), 80.0)))
    carried = [plan.compute_award_kw[0].sum(axis=1) for plan in found.plan.groups]
    assert carried[0] == pytest.approx(np.full(STEPS, 60.0), abs=1e-4)
    assert carried[1] == pytest.approx(np.full(STEPS, 20.0), abs=1e-4)
    # half an hour, half of the time: 8 steps of 0.25 h
    assert found.objective == pytest.approx(STEPS * 0.25 * (60.0 * 1.0 + 20.0 * 3.0))
    # a kW more is carried by the dear one
    assert found.price_per_kw[0] == pytest.approx(np.full(STEPS, 0.25 * 3.0), rel=1e-4)


def test_more_than_all_can_carry_is_refused() -> None:
    with pytest.raises(CannotHold, match="award of fcr is not carried by 1 kW in step 0, in 8"):
        share(portfolio(two_sites(), np.full((1, STEPS), 121.0)))


@pytest.mark.parametrize("count", [3, 20])
def test_as_good_as_one_program_over_all(count: int) -> None:
    numbers = many(count, seed=count)
    # above a dozen, more than a pilot samples: prices have to be found
    of = portfolio(numbers, np.full((1, STEPS), 40.0 * count))
    found, best = share(of, gap=1e-4), joint(of)
    size = abs(best)
    assert found.bound <= best + 1e-7 * size
    assert best - 1e-7 * size <= found.objective <= best + 2e-4 * size
    assert found.gap <= 1.01e-4


def test_the_plan_keeps_the_award_and_adds_up() -> None:
    numbers = many(15, seed=1)
    award = np.linspace(100.0, 600.0, STEPS)[None, :]
    found = share(portfolio(numbers, award))
    groups = found.plan.groups
    carried = sum(g.battery_award_kw + g.compute_award_kw.sum(axis=2) for g in groups)
    assert carried == pytest.approx(award, abs=1e-3)
    assert found.plan.position_kw == pytest.approx(sum(g.grid_kw for g in groups), abs=1e-6)
    for plan, numbers_of in zip(groups, numbers.groups, strict=True):
        released = plan.release_kw.sum(axis=1) + plan.discharge_kw - plan.charge_kw
        assert plan.grid_kw == pytest.approx(numbers_of.baseline_kw - released, abs=1e-5)


def both_ways(numbers: StudyNumbers) -> StudyNumbers:
    """Return the portfolio with a product whose award asks for absorbing as well."""
    absorbing = replace(
        numbers.services[0], absorbs=True, room_s=1800.0, absorption=np.full(STEPS, 0.1)
    )
    return replace(numbers, services=(absorbing,))


def test_an_award_for_both_directions_is_shared_twice() -> None:
    numbers = both_ways(many(14, seed=4, price=20.0))
    names = tuple(group.name for group in numbers.groups)
    near = Region("substation", names, import_kw=200.0 * len(names), export_kw=1e4)
    of = portfolio(numbers, regions=(near,))
    found, best = share(of), joint(of)
    assert found.objective == pytest.approx(best, rel=2e-4)
    carried, absorbed = (
        sum(held(g) for g in found.plan.groups)
        for held in (
            lambda g: g.battery_award_kw + g.compute_award_kw.sum(axis=2),
            lambda g: g.absorb_award_kw,
        )
    )
    assert found.plan.award_kw.max() > 10.0
    assert violations(numbers, np.full((1, STEPS), np.nan), (near,), found) == []
    assert carried == pytest.approx(found.plan.award_kw, abs=1e-3)
    assert absorbed == pytest.approx(found.plan.award_kw, abs=1e-3)
    draw = sum(g.grid_kw for g in found.plan.groups) + absorbed[0]
    assert draw.max() <= near.import_kw + 1e-3
    # a kW more of what is given costs its price, both ways together, and earns 20 in each step
    fixed, more = (
        share(portfolio(numbers, found.plan.award_kw - less, regions=(near,)), gap=1e-6)
        for less in (1.0, 0.9)
    )
    rise = 0.1 * float((fixed.price_per_kw - 20.0).sum())
    assert more.objective - fixed.objective == pytest.approx(rise, rel=0.02)


def test_what_is_held_may_be_chosen() -> None:
    of = portfolio(many(14, seed=3, price=20.0))
    found, best = share(of), joint(of)
    assert found.objective == pytest.approx(best, rel=2e-4)
    assert found.plan.award_kw.max() > 0.0


def test_other_processes_answer_the_same() -> None:
    of = portfolio(many(14, seed=2), np.full((1, STEPS), 500.0))
    with Processes(2) as ask:
        spread = share(of, ask=ask)
    assert spread.objective == pytest.approx(share(of).objective, rel=1e-12)


def test_a_shared_limit_takes_the_release_that_is_cheapest_behind_it() -> None:
    numbers = two_sites()
    # 200 kW each: behind a limit of 320 kW 80 kW are released, at 1 as far as that goes, then at 3
    region = Region("substation", ("cheap", "dear"), import_kw=320.0, export_kw=0.0)
    found = share(portfolio(numbers, np.zeros((1, STEPS)), regions=[region]))
    # half an hour each
    assert found.objective == pytest.approx(STEPS * 0.5 * (60.0 * 1.0 + 20.0 * 3.0))
    assert found.import_price_per_kw[0] == pytest.approx(np.full(STEPS, 0.5 * 3.0))
    assert found.export_price_per_kw[0] == pytest.approx(np.zeros(STEPS))


def test_what_a_call_would_feed_in_is_limited_too() -> None:
    # at 200 kW each of the batteries could give 100 kW; all three may feed in 20 kW together
    own = battery(50.0, 100.0, start_kwh=50.0)
    sites = [
        replace(group(STEPS, baseline_kw=20.0, battery=own, products=1), name=name)
        for name in ("a", "b", "c")
    ]
    called = service(STEPS, price=10.0)
    numbers = study([0.0] * STEPS, *sites, services=(called,))
    region = Region("feeder", ("a", "b"), import_kw=1000.0, export_kw=20.0)
    found = share(portfolio(numbers, regions=[region]))
    held = [plan.battery_award_kw[0] for plan in found.plan.groups]
    # 40 kW of draw and 20 kW fed in; energy is free, so draw may be raised by charging as well
    below = drawn(found, numbers, region.groups) - held[0] - held[1]
    assert (below >= -20.0 - 1e-6).all()
    assert found.plan.award_kw.max() > 0.0
    assert found.objective == pytest.approx(joint(portfolio(numbers, regions=[region])))


@pytest.mark.parametrize(("count", "regions"), [(6, 2), (20, 3)])
def test_with_shared_limits_as_good_as_one_program_over_all(count: int, regions: int) -> None:
    numbers, award_kw = many(count, seed=count), 30.0 * count
    limits = regional(numbers, regions, 0.9, award_kw)
    of = portfolio(numbers, np.full((1, STEPS), award_kw), regions=limits)
    found, best = share(of, gap=1e-4), joint(of)
    size = abs(best)
    assert found.bound <= best + 1e-7 * size
    assert best - 1e-7 * size <= found.objective <= best + 2e-4 * size
    assert found.gap <= 1.01e-4
    assert violations(numbers, np.full((1, STEPS), award_kw), limits, found) == []
    for limit in limits:
        assert drawn(found, numbers, limit.groups).max() <= limit.import_kw + 1e-5
    # each binds somewhere, and a kW more would save money there
    assert (found.import_price_per_kw.max(axis=1) > 0.0).all()
    assert (found.import_price_per_kw > -1e-6).all()


def test_the_price_of_a_shared_limit_is_what_one_kw_more_saves() -> None:
    numbers = many(5, seed=5)
    award = np.full((1, STEPS), 150.0)
    (limit,) = regional(numbers, 1, 0.9, 150.0)
    wider = replace(limit, import_kw=limit.import_kw + 1.0)
    tight, wide = (portfolio(numbers, award, regions=[r]) for r in (limit, wider))
    saved = joint(tight) - joint(wide)
    # what the first kW saves is more than what the next do
    first = float(share(tight, gap=1e-9).import_price_per_kw.sum())
    last = float(share(wide, gap=1e-9).import_price_per_kw.sum())
    assert last - 1e-6 <= saved <= first + 1e-6
    assert saved > 0.0


@pytest.mark.parametrize("count", [3, 15])
def test_a_shared_limit_that_cannot_be_held_is_refused_by_name(count: int) -> None:
    numbers = many(count, seed=1)
    (limit,) = regional(numbers, 1, 0.4, 30.0 * count)
    of = portfolio(numbers, np.full((1, STEPS), 30.0 * count), regions=[limit])
    with pytest.raises(CannotHold, match="region r0 draws more than") as refused:
        share(of)
    least = sum(one.kw.sum() for one in refused.value.found)
    raised = replace(
        limit, import_kw=limit.import_kw + max(o.kw.max() for o in refused.value.found)
    )
    assert least > 0.0
    share(portfolio(numbers, np.full((1, STEPS), 30.0 * count), regions=[raised]))


def test_a_site_that_cannot_keep_its_own_limit_is_named() -> None:
    numbers = two_sites()
    small = replace(numbers.groups[1], import_kw=100.0)
    numbers = replace(numbers, groups=(numbers.groups[0], small))
    with pytest.raises(NoPlanError, match="group dear cannot keep the limits of its own"):
        share(portfolio(numbers, np.zeros((1, STEPS))))


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([Region("north", ("cheap", "nobody"), 100.0, 0.0)], r"regions.north.groups: got 'nobody'"),
        ([Region("north", ("cheap", "cheap"), 100.0, 0.0)], "each once"),
        ([Region("north", ("cheap",), 100.0, 0.0)] * 2, "each name once"),
    ],
)
def test_regions_that_are_not_of_the_portfolio_are_refused(
    regions: list[Region], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        portfolio(two_sites(), regions=regions)


def test_a_region_may_be_called_as_a_site_is() -> None:
    region = Region("cheap", ("cheap",), import_kw=170.0, export_kw=0.0)
    found = share(portfolio(two_sites(), np.zeros((1, STEPS)), regions=[region]))
    assert found.import_price_per_kw[0] == pytest.approx(np.full(STEPS, 0.5 * 1.0))


def test_mixed_answers_charge_or_discharge_and_cost_less() -> None:
    # at this gap some battery's mix of answers does both in one step, and loses energy between them
    numbers = many(14, seed=14, efficiency=0.92)
    award = np.full((1, STEPS), 30.0 * 14)
    limits = regional(numbers, 3, 0.95, 30.0 * 14)
    of = portfolio(numbers, award, regions=limits)
    found = share(of, gap=1e-3)
    assert violations(numbers, award, limits, found) == []
    assert found.objective >= found.bound


def test_what_goes_both_ways_is_taken_out_as_far_as_there_is_room() -> None:
    own = battery(50.0, 100.0, start_kwh=25.0, efficiency=0.9)
    one = replace(group(STEPS, battery=own, products=1), name="a")
    numbers = study([1.0] * STEPS, one, services=(service(STEPS, activation_s=60.0),))
    region = Region("feeder", ("a",), import_kw=1000.0, export_kw=0.0)
    of = portfolio(numbers, np.zeros((1, STEPS)), regions=[region])
    columns = of.window.columns.groups[0]
    assert columns.charge is not None
    assert columns.discharge is not None
    x = np.zeros(of.program.n_columns)
    x[columns.charge], x[columns.discharge] = 81.0, 81.0
    x[columns.grid] = 200.0
    # a fifth of the burnt energy has room: the rest would feed in, or be more than the converter's
    lost = 0.9 * 81.0 * (1.0 / 0.9 - 0.9)
    x[columns.grid[1]] = 0.2 * lost
    one_way(of.window, of.program, x)
    assert x[columns.charge[0]] == pytest.approx(0.0)
    assert x[columns.discharge[0]] == pytest.approx(81.0 - 0.81 * 81.0)
    assert x[columns.grid[0]] == pytest.approx(200.0 - lost)
    assert x[columns.grid[1]] == pytest.approx(0.0)
    assert x[columns.charge[1]] == pytest.approx(0.8 * 81.0)
    stored = 0.9 * x[columns.charge] - x[columns.discharge] / 0.9
    assert stored == pytest.approx(np.full(STEPS, 0.9 * 81.0 - 81.0 / 0.9))


def test_the_check_finds_what_is_changed() -> None:
    numbers = many(4, seed=4, efficiency=0.9)
    award, limits = np.full((1, STEPS), 150.0), regional(many(4, seed=4), 2, 0.95, 120.0)
    of = portfolio(numbers, award, regions=limits)
    found = share(of)
    assert violations(numbers, award, limits, found) == []
    first = found.plan.groups[0]
    for field, law in (
        ("grid_kw", "draw is not baseline"),
        ("charge_kw", "energy is not"),
        ("energy_kwh", "does not begin as full"),
        ("release_kw", "draw is not baseline"),
        ("battery_award_kw", "the parts to release are not the award"),
        ("compute_award_kw", "the parts to release are not the award"),
    ):
        changed = replace(first, **{field: getattr(first, field) + 1.0})
        plan = replace(found.plan, groups=(changed, *found.plan.groups[1:]))
        said = violations(numbers, award, limits, replace(found, plan=plan))
        assert any(law in one for one in said), (field, said)
    tighter = [replace(limit, import_kw=limit.import_kw - 1.0) for limit in limits]
    said = violations(numbers, award, tighter, found)
    assert [one for one in said if "above its import limit by 1" in one] == said
    assert len(said) == 2
    assert violations(numbers, award + 1.0, limits, found) == [
        "fcr: the parts to release are not the award by 1"
    ]


def test_what_is_paid_less_what_is_earned_is_the_objective() -> None:
    numbers = many(5, seed=2)
    found = share(portfolio(numbers, np.full((1, STEPS), 100.0)))
    assert found.paid.sum() - found.earned.sum() == pytest.approx(found.objective)


def test_what_is_missing_for_an_award_is_said() -> None:
    # a full battery of 100 kW, which cannot charge to give more: 30 of 130 kW are missing
    own = battery(500.0, 100.0, start_kwh=500.0)
    one = replace(group(STEPS, battery=own, products=1), name="a")
    numbers = study([1.0] * STEPS, one, services=(service(STEPS),))
    award = np.full((1, STEPS), 130.0)
    found = share(portfolio(numbers, award))
    assert found.missing_kw.sum() == pytest.approx(30.0 * STEPS)
    assert found.missing_kwh.max() == 0.0
    assert violations(numbers, award, [], found) == []


def test_what_is_missing_is_not_called_behind_a_shared_limit() -> None:
    own = battery(500.0, 100.0, start_kwh=250.0)
    one = replace(group(STEPS, baseline_kw=20.0, battery=own, products=1), name="a")
    up = service(STEPS, name="up")
    down = service(STEPS, name="down", releases=False, absorbs=True, room_s=300.0)
    for product, lacking, way in ((up, "missing_kw", -1.0), (down, "unabsorbed_kw", 1.0)):
        numbers = study([0.0] * STEPS, one, services=(product,))
        award = np.full((1, STEPS), 230.0)
        region = Region("feeder", ("a",), import_kw=120.0, export_kw=80.0)
        found = share(portfolio(numbers, award, regions=[region]))
        # the battery does nothing or gives back what it holds: the limit is kept either way
        assert getattr(found, lacking)[0].min() >= 30.0 - 1e-6
        draw, lowest, highest = called_kw(numbers, region, found)
        called = 230.0 - getattr(found, lacking)[0]
        assert (lowest if way < 0.0 else highest) == pytest.approx(draw + way * called)
        assert lowest.min() >= -80.0 - 1e-6
        assert highest.max() <= 120.0 + 1e-6
        assert violations(numbers, award, [region], found) == []


def test_where_burning_energy_pays_a_sharing_without_it_is_found() -> None:
    # full, 20 kW of draw, nothing may be fed in: burning would raise the draw, and so the award
    own = battery(50.0, 100.0, start_kwh=50.0, efficiency=0.9)
    one = replace(group(STEPS, baseline_kw=20.0, battery=own, products=1), name="a")
    numbers = study([1.0] * STEPS, one, services=(service(STEPS, price=10.0),))
    of, said = portfolio(numbers), list[int]()
    found = share(of, told=lambda rounds, _: said.append(rounds))
    assert found.rounds == len(said) > 1
    (plan,) = found.plan.groups
    assert np.minimum(plan.charge_kw, plan.discharge_kw).max() <= 1e-6
    assert violations(numbers, np.full((1, STEPS), np.nan), [], found) == []
    # never below what may burn, and at least as good as to hold what the draw allows
    assert joint(of) - 1e-6 <= found.bound + 1e-6 <= found.objective
    assert found.objective <= STEPS * 20.0 * (0.5 * 1.0 - 10.0) + 1e-6


def test_where_none_is_found_without_burning_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = battery(50.0, 100.0, start_kwh=50.0, efficiency=0.9)
    one = replace(group(STEPS, baseline_kw=20.0, battery=own, products=1), name="a")
    numbers = study([1.0] * STEPS, one, services=(service(STEPS, price=10.0),))
    monkeypatch.setattr("ebplan.portfolio.share.ROUNDS", 0)
    with pytest.raises(NoPlanError, match="burning energy pays here; widen an export limit"):
        share(portfolio(numbers))
