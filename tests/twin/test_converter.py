"""The converter and the cells against sums over many small pieces, written out again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_cases import case

from ebplan.adapters.commands import ArmDroop, HoldConnectionPoint
from ebplan.site import Battery
from ebplan.twin.converter import Converter

PIECES = 40_000


def battery() -> Battery:
    there = case("under_frequency").site.battery
    assert there is not None
    return there


def summed(
    of: Battery,
    soc: float,
    seconds: float,
    off_kw: np.ndarray,
    droop_kw: np.ndarray,
    reserve: float,
) -> tuple[float, float, float]:
    """Return stored, given and taken energy in kW s after small pieces; powers at their middles."""
    low, high = reserve - of.charge_limit_kw, of.discharge_limit_kw - reserve
    stored, given_kws, taken_kws = soc * of.energy_kwh * 3600.0, 0.0, 0.0
    least, most = (s * of.energy_kwh * 3600.0 for s in (of.soc_min, of.soc_max))
    each_s = seconds / len(off_kw)
    for kw in np.clip(off_kw, low, high) + droop_kw:
        if (kw > 0.0 and stored <= least) or (kw < 0.0 and stored >= most):
            continue
        loss = of.converter_loss_linear * abs(kw)
        loss += of.converter_loss_quadratic * kw**2 / of.converter_rated_kw
        eta = of.cell_efficiency
        stored -= each_s * ((kw + loss) / eta if kw > 0.0 else (kw + loss) * eta)
        given_kws += each_s * max(kw, 0.0)
        taken_kws += each_s * max(-kw, 0.0)
    return min(max(stored, least), most), given_kws, taken_kws


@given(
    level_kw=st.floats(-12.0, 12.0),
    amplitudes=st.lists(st.floats(-9.0, 9.0), min_size=0, max_size=2),
    shares=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
    reserve=st.sampled_from([0.0, 1.0, 3.0]),
    seconds=st.sampled_from([0.1, 2.0, 60.0]),
    margin_kws=st.sampled_from([0.5, 5.0, 1e4]),
)
@settings(max_examples=40, deadline=None)
def test_energy_is_that_of_many_small_pieces(
    level_kw: float,
    amplitudes: list[float],
    shares: tuple[float, float],
    reserve: float,
    seconds: float,
    margin_kws: float,
) -> None:
    of = battery()
    soc = of.soc_min + min(margin_kws / 3600.0 / of.energy_kwh, of.soc_max - of.soc_min)
    one = Converter(of, soc, delay_s=0.0)
    one.tell(ArmDroop(at_s=0.0, reserve_kw=reserve), 0.0)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=0.0), 0.0)
    decays = dict(zip((0.4, 8.0), amplitudes, strict=False))
    given_kws = one.advance(seconds, level_kw, decays, shares)
    t_s = (np.arange(PIECES) + 0.5) * seconds / PIECES
    off_kw = level_kw + sum(kw * np.exp(-t_s / tau) for tau, kw in decays.items())
    off_kw = np.broadcast_to(off_kw, t_s.shape)
    droop_kw = -reserve * (shares[0] + (shares[1] - shares[0]) * t_s / seconds)
    stored, out_kws, in_kws = summed(of, soc, seconds, off_kw, droop_kw, reserve)
    piece_kws = 2e-3 * 20.0 * seconds / 60.0 + 1e-4
    assert one.cells.energy_kws == pytest.approx(stored, abs=piece_kws)
    assert one.cells.out_kws == pytest.approx(out_kws, abs=piece_kws)
    assert one.cells.in_kws == pytest.approx(in_kws, abs=piece_kws)
    assert given_kws == pytest.approx(one.cells.out_kws - one.cells.in_kws, abs=1e-9)


def test_a_constant_power_is_carried_in_closed_form() -> None:
    of = battery()
    one = Converter(of, 0.6, delay_s=0.0)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=1.0), 0.0)
    assert one.advance(100.0, 3.0, {}) == pytest.approx(200.0)
    loss = (
        of.converter_loss_linear * 2.0 + of.converter_loss_quadratic * 4.0 / of.converter_rated_kw
    )
    gone_kwh = (2.0 + loss) / of.cell_efficiency * 100.0 / 3600.0
    assert one.cells.soc == pytest.approx(0.6 - gone_kwh / of.energy_kwh, rel=1e-12)


def test_an_empty_battery_gives_nothing_and_still_takes() -> None:
    of = battery()
    one = Converter(of, of.soc_min, delay_s=0.0)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=0.0), 0.0)
    assert one.advance(10.0, 5.0, {}) == 0.0
    assert one.advance(10.0, -5.0, {}) == pytest.approx(-50.0)
    assert one.cells.soc > of.soc_min


def test_it_stops_when_it_is_full() -> None:
    of = battery()
    one = Converter(of, of.soc_max - 1e-5, delay_s=0.0)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=0.0), 0.0)
    taken_kws = -one.advance(3600.0, -8.0, {})
    assert one.cells.soc == pytest.approx(of.soc_max, abs=1e-12)
    loss = (
        of.converter_loss_linear * 8.0 + of.converter_loss_quadratic * 64.0 / of.converter_rated_kw
    )
    stored_kws = taken_kws / 8.0 * (8.0 - loss) * of.cell_efficiency
    assert stored_kws == pytest.approx(1e-5 * of.energy_kwh * 3600.0, rel=1e-9)


def test_a_set_point_waits_for_the_delay_and_a_trip_stops_all() -> None:
    one = Converter(battery(), 0.6, delay_s=0.08)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=0.0), 5.0)
    assert one.next_event_s == pytest.approx(5.08)
    assert one.advance(0.08, 3.0, {}) == 0.0
    one.take_effect(5.08)
    assert one.advance(1.0, 3.0, {}) == pytest.approx(3.0)
    assert math.isinf(one.next_event_s)
    one.tripped = True
    assert one.advance(1.0, 3.0, {}) == 0.0


def test_the_armed_reserve_stays_free_of_the_draw_to_hold() -> None:
    of = battery()
    one = Converter(of, 0.6, delay_s=0.0)
    one.tell(ArmDroop(at_s=0.0, reserve_kw=1.5), 0.0)
    one.tell(HoldConnectionPoint(at_s=0.0, grid_kw=0.0), 0.0)
    assert one.advance(1.0, 100.0, {}) == pytest.approx(of.discharge_limit_kw - 1.5)
    full_release = one.advance(1.0, 100.0, {}, (-1.0, -1.0))
    assert full_release == pytest.approx(of.discharge_limit_kw)
