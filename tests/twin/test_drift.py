"""A plant that is not what it was: draw, capacity, caps and cells change under way."""

from __future__ import annotations

import pytest
from twin_cases import POOL, case

from ebplan.adapters.commands import CapPower, HoldConnectionPoint
from ebplan.twin import FluidPlant, Measurements, MeterModel
from ebplan.twin.disturbances import BatteryDrift, Disturbance, LoadStep, PoolDrift

AT = {"at_s": 10.0, "pool": POOL}
MORE_THAN_FULL = (
    LoadStep(at_s=0.0, pool=POOL, request_class="interactive", req_per_s=80.0),
    LoadStep(at_s=0.0, pool=POOL, request_class="batch", req_per_s=20.0),
)


def plant(*upsets: Disturbance, meter: MeterModel | None = None) -> FluidPlant:
    of = case("under_frequency")
    return FluidPlant(of.site, of.state, disturbances=upsets, pool_meter=meter, seed=5)


def before_and_after(one: FluidPlant) -> tuple[Measurements, Measurements]:
    """Measure a second before second 10, and one long after."""
    one.step((), 8.0)
    before = one.step((), 1.0)
    one.step((), 90.0)
    return before, one.step((), 1.0)


@pytest.mark.parametrize("number", ["power", "busy_power", "idle_power"])
def test_the_draw_changes_at_once_by_what_is_said(number: str) -> None:
    drift = PoolDrift.model_validate({**AT, "number": number, "factor": 1.08})
    one, other = plant(drift), plant()
    before, after = before_and_after(one)
    quiet, _ = before_and_after(other)
    idle_kw = 4 * 0.259488  # of the model, at the connection point
    busy_kw = quiet.pool_kw[POOL] - idle_kw
    grown = {"power": idle_kw + busy_kw, "busy_power": busy_kw, "idle_power": idle_kw}[number]
    assert before.pool_kw == quiet.pool_kw
    assert after.pool_kw[POOL] - before.pool_kw[POOL] == pytest.approx(0.08 * grown, rel=1e-6)
    again = plant(drift)
    again.step((), 10.0)
    assert again.step((), 1.0).pool_kw[POOL] == pytest.approx(after.pool_kw[POOL], rel=1e-9)


def test_instances_serve_less() -> None:
    drift = PoolDrift.model_validate({**AT, "number": "capacity", "factor": 0.9})
    before, after = before_and_after(plant(*MORE_THAN_FULL, drift))
    served = (sum(m.pools[POOL].serving_req_per_s.values()) for m in (before, after))
    was, now = served
    assert now == pytest.approx(0.9 * was)


def test_caps_take_less() -> None:
    drift = PoolDrift.model_validate({**AT, "number": "cap_delivery", "factor": 0.8})
    one = plant(drift)
    natural_kw = one.step((), 1.0).pool_kw[POOL]
    one.step([CapPower(at_s=0.0, pool=POOL, w_per_gpu=450.0)], 8.0)
    capped_kw = one.step((), 0.5).pool_kw[POOL]
    one.step((), 20.0)
    later_kw = one.step((), 1.0).pool_kw[POOL]
    assert capped_kw < natural_kw - 0.15
    assert natural_kw - later_kw == pytest.approx(0.8 * (natural_kw - capped_kw), rel=1e-6)


def test_cells_lose_more() -> None:
    def lost(factor: float) -> float:
        one = plant(BatteryDrift(at_s=0.0, factor=factor))
        began = one.step((), 1.0)
        assert began.soc is not None
        m = one.step([HoldConnectionPoint(at_s=0.0, grid_kw=1.0)], 100.0)
        assert m.soc is not None
        return (began.soc - m.soc) / m.registers.battery_out_kwh

    assert lost(0.97) == pytest.approx(lost(1.0) / 0.97, rel=1e-6)


def test_cells_hold_less_and_stay_as_full() -> None:
    def lost(factor: float) -> float:
        one = plant(BatteryDrift(at_s=1.0, number="energy", factor=factor))
        before, began = one.step((), 0.5), one.step((), 0.5)
        assert before.soc is not None
        assert began.soc == pytest.approx(before.soc)
        m = one.step([HoldConnectionPoint(at_s=0.0, grid_kw=1.0)], 100.0)
        assert m.soc is not None
        return (before.soc - m.soc) / m.registers.battery_out_kwh

    assert lost(0.94) == pytest.approx(lost(1.0) / 0.94, rel=1e-6)


@pytest.mark.parametrize("grid_kw", [1.0, 9.0])
def test_what_leaves_the_cells_is_measured_where_there_is_a_meter(grid_kw: float) -> None:
    of = case("under_frequency")
    assert of.site.battery is not None
    fade = BatteryDrift(at_s=10.0, number="energy", factor=0.9)
    one = FluidPlant(of.site, of.state, disturbances=(fade,), cells_meter=MeterModel(), seed=5)
    one.step([HoldConnectionPoint(at_s=0.0, grid_kw=grid_kw)], 9.5)
    before, after = one.step((), 1.0), one.step((), 1.0)
    # energy that fades leaves no cells
    assert before.cells_meter_kw == pytest.approx(after.cells_meter_kw or 0.0, rel=1e-3)
    last = one.step((), 1.0)
    assert after.soc is not None
    assert last.soc is not None
    held_kwh = 0.9 * of.site.battery.energy_kwh
    assert last.cells_meter_kw == pytest.approx((after.soc - last.soc) * held_kwh * 3600.0)
    assert last.state().cells_kw == last.cells_meter_kw
    assert plant().step((), 1.0).state().cells_kw is None


def test_a_pool_has_its_own_meter() -> None:
    meter = MeterModel(noise_share=0.01)
    noisy, true = plant(meter=meter), plant()
    shown = [noisy.step((), 1.0) for _ in range(400)]
    true_kw = true.step((), 1.0).pool_kw[POOL]
    off = [(m.pool_meter_kw[POOL] or 0.0) / true_kw - 1.0 for m in shown]
    assert sum(off) / 400 == pytest.approx(0.0, abs=0.002)
    assert sum(e * e for e in off) / 400 == pytest.approx(0.01**2, rel=0.2)
    assert max(m.pool_kw[POOL] for m in shown) == pytest.approx(true_kw)
    state = shown[0].state().pools[POOL]
    assert state.power_kw == shown[0].pool_meter_kw[POOL]
    assert state.served_req_per_s == pytest.approx(state.load_req_per_s)
    silent = plant(meter=MeterModel(dropouts_per_h=1e6, dropout_s=1e6))
    silent.step((), 5.0)
    assert silent.step((), 1.0).state().pools[POOL].power_kw is None


def test_meter_and_battery_belong_to_the_same_second() -> None:
    one = plant()
    one.step((), 5.0)
    one.step([HoldConnectionPoint(at_s=0.0, grid_kw=1.0)], 0.3)
    last = one.step((), 0.7)
    state = last.state()
    assert state.grid is not None
    other_kw = last.registers.grid_kwh * 3600.0 / 6.0  # five seconds at rest, one with the battery
    assert other_kw > 1.0
    assert last.battery_kw > state.battery_kw > 0.0
    assert state.grid.kw + state.battery_kw == pytest.approx(one_draw_kw(), rel=1e-9)


def one_draw_kw() -> float:
    drawn = plant().step((), 1.0).grid_kw
    assert drawn is not None
    return drawn
