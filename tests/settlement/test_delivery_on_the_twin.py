"""What is settled on the fluid plant is what the plant did; shares of mechanisms add up."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan.case import load_case
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.settlement.by_rule import baseline_of
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.simulate import metered, simulate
from ebplan.twin import FluidPlant, LoadNoise

WHOLE = ("metered", "rest")
"""What adds up to the whole; pools and mechanisms are parts of compute."""
EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def simulated(name: str, noise_kw: float = 0.0) -> tuple[MeterSeries, Plan, Event]:
    case = load_case(EXAMPLES / f"{name}.json")
    meter, plan = simulate(case.site, case.state, case.event, noise_kw=noise_kw)
    return meter, plan, case.event.model_copy(update={"start": plan.start})


def settled(name: str, *, with_plan: bool = True, noise_kw: float = 0.0) -> Delivery:
    meter, plan, event = simulated(name, noise_kw)
    base = baseline_of(meter, meter, event, None)
    return measure_delivery(meter, event, base, plan=plan if with_plan else None)


@pytest.mark.parametrize("name", ["under_frequency", "surplus_absorb"])
def test_what_is_settled_is_what_the_plant_did(name: str) -> None:
    meter, plan, event = simulated(name)
    found = settled(name)
    inside = (meter.time_s >= 120.0) & (meter.time_s < 120.0 + event.duration_s - 1e-6)
    sign = -1.0 if found.direction == "release" else 1.0
    level_kw = plan.steps[0].baseline_kw
    drawn_kwh = meter.grid_kw[inside].sum() / 3600.0
    assert found.baseline_kw == pytest.approx(level_kw, rel=1e-3)
    assert found.energy_kwh.value == pytest.approx(
        sign * (drawn_kwh - level_kw * event.duration_s / 3600.0), rel=1e-3
    )
    assert found.share.value == pytest.approx(1.0, abs=0.02)
    assert meter.battery_kw is not None
    battery = next(s for s in found.shares if s.name == "battery")
    assert battery.how == "metered"
    given = -sign * meter.battery_kw[inside].sum() / 3600.0
    assert battery.energy_kwh.value == pytest.approx(given, abs=1e-3)
    assert found.simulated
    assert found.notes[0].startswith("Simulated")


@pytest.mark.parametrize("name", ["under_frequency", "surplus_absorb"])
def test_shares_add_up_to_the_whole(name: str) -> None:
    found = settled(name)
    metered_kwh = [s.energy_kwh.value or 0.0 for s in found.shares if s.how in WHOLE]
    assert sum(metered_kwh) == pytest.approx(found.energy_kwh.value, abs=1e-9)
    attributed = [s.energy_kwh.value or 0.0 for s in found.shares if s.how == "attributed"]
    compute = next(s for s in found.shares if s.name == "compute")
    assert len(attributed) >= 1
    assert sum(attributed) == pytest.approx(compute.energy_kwh.value, abs=1e-9)
    assert any("attributed" in note for note in found.notes)


@settings(max_examples=40, deadline=None)
@given(kws=st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=3), battery=st.booleans())
def test_whatever_was_planned_shares_add_up(kws: list[float], battery: bool) -> None:
    """Also where mechanisms oppose one another, or the plan moved nothing at all."""
    meter, plan, event = simulated("under_frequency")
    told = dict(zip(("consolidation", "power_cap", "battery"), kws, strict=True))
    steps = tuple(step.model_copy(update={"mechanisms": told}) for step in plan.steps)
    other = plan.model_copy(update={"steps": steps})
    if not battery:
        columns = {"grid_kw": meter.grid_kw}
        meter = MeterSeries(
            start=meter.start,
            interval_s=meter.interval_s,
            time_s=meter.time_s,
            values=columns,
        )
    found = measure_delivery(meter, event, baseline_of(meter, meter, event, None), plan=other)
    by_meter = [s.energy_kwh.value or 0.0 for s in found.shares if s.how in WHOLE]
    by_plan = [s.energy_kwh.value or 0.0 for s in found.shares if s.how == "attributed"]
    whole = found.energy_kwh.value or 0.0
    if battery:
        assert sum(by_meter) == pytest.approx(whole, abs=1e-9)
        whole = by_meter[1]
    if by_plan:
        assert sum(by_plan) == pytest.approx(whole, abs=1e-9)


def test_without_a_plan_nothing_is_attributed() -> None:
    assert [s.name for s in settled("under_frequency", with_plan=False).shares] == [
        "battery",
        "compute",
        "pool llama70b",
    ]


def test_a_pool_with_a_meter_has_a_share_of_its_own() -> None:
    meter, _, event = simulated("under_frequency")
    found = settled("under_frequency")
    pool = next(s for s in found.shares if s.how == "pool_meter")
    inside = (meter.time_s >= 120.0) & (meter.time_s < 120.0 + event.duration_s - 1e-6)
    usual_kw = meter.pools_kw["llama70b"][meter.time_s < 120.0].mean()
    saved_kwh = (usual_kw - meter.pools_kw["llama70b"][inside]).sum() / 3600.0
    assert saved_kwh > 0.01
    assert pool.energy_kwh.value == pytest.approx(saved_kwh, rel=1e-6)


def test_without_a_battery_meter_the_plan_tells_the_battery_too() -> None:
    meter, plan, event = simulated("under_frequency")
    alone = MeterSeries(
        start=meter.start,
        interval_s=meter.interval_s,
        time_s=meter.time_s,
        values={"grid_kw": meter.grid_kw},
    )
    found = measure_delivery(alone, event, baseline_of(alone, alone, event, None), plan=plan)
    assert {s.how for s in found.shares} == {"attributed"}
    assert "battery" in [s.name for s in found.shares]
    assert sum(s.energy_kwh.value or 0.0 for s in found.shares) == pytest.approx(
        found.energy_kwh.value, abs=1e-9
    )


def test_a_noisy_meter_gives_intervals_that_hold_the_truth() -> None:
    exact = settled("under_frequency").energy_kwh.value
    noisy = settled("under_frequency", noise_kw=0.05).energy_kwh
    assert exact is not None
    assert noisy.low is not None
    assert noisy.high is not None
    assert noisy.low <= exact <= noisy.high
    assert noisy.high - noisy.low < 0.1 * exact


def test_a_plan_of_another_day_is_refused() -> None:
    meter, plan, event = simulated("under_frequency")
    other = plan.model_copy(update={"start": plan.start.replace(year=2025)})
    with pytest.raises(InputError, match="the plan that was carried out"):
        measure_delivery(meter, event, baseline_of(meter, meter, event, None), plan=other)


def test_a_plant_is_metered_at_the_ends_of_intervals_only() -> None:
    case = load_case(EXAMPLES / "under_frequency.json")
    plant = FluidPlant(case.site, case.state, load_noise=LoadNoise(std=0.05, every_s=1.0))
    measured = [plant.step((), dt_s) for dt_s in (0.3, 0.7, 0.5, 0.5, 1.0)]
    series = metered(measured, 1.0, exact=True)
    assert len(series) == 3
    assert series.energy_kwh() == pytest.approx(measured[-1].registers.grid_kwh)
    assert np.ptp(series.grid_kw) > 0.0
