"""What the meter shows of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from twin_cases import case

from ebplan.twin import FluidPlant, MeterModel
from ebplan.twin.disturbances import OtherLoadStep


def plant(*disturbances: OtherLoadStep, meter: MeterModel | None = None) -> FluidPlant:
    of = case("under_frequency")
    return FluidPlant(of.site, of.state, meter=meter, disturbances=disturbances, seed=11)


def test_a_perfect_meter_shows_the_mean_of_the_last_second() -> None:
    one = plant(OtherLoadStep(at_s=5.0, kw=3.0))
    before = one.step((), 4.9).grid_kw
    shown = [one.step((), 0.1).grid_kw for _ in range(14)]
    assert before is not None
    after = one.step((), 10.0).grid_kw
    assert shown[0] == pytest.approx(before)
    assert shown[5] == pytest.approx(0.5 * (before + after))  # half the second lies after the step
    assert shown[-1] == pytest.approx(after)


def test_gain_offset_and_noise() -> None:
    true_kw = plant().step((), 1.0).grid_kw
    assert true_kw is not None
    off = plant(meter=MeterModel(gain=1.02, offset_kw=0.1)).step((), 1.0).grid_kw
    assert off == pytest.approx(1.02 * true_kw + 0.1)
    noisy = plant(meter=MeterModel(noise_kw=0.05))
    shown = np.array([noisy.step((), 1.0).grid_kw for _ in range(4000)], dtype=float)
    assert shown.mean() == pytest.approx(true_kw, abs=0.005)
    assert shown.std() == pytest.approx(0.05, rel=0.1)


def test_it_is_silent_as_often_and_as_long_as_it_is_said() -> None:
    one = plant(meter=MeterModel(dropouts_per_h=30.0, dropout_s=12.0))
    silent = np.array([one.step((), 1.0).grid_kw is None for _ in range(40_000)])
    begins = int((silent[1:] & ~silent[:-1]).sum())
    assert begins == pytest.approx(40_000 / (120.0 + 12.0), rel=0.2)
    assert silent.mean() == pytest.approx(12.0 / 132.0, rel=0.25)


def test_while_it_is_silent_the_state_has_no_reading() -> None:
    one = plant(meter=MeterModel(dropouts_per_h=3600.0, dropout_s=1e6))
    for _ in range(60):
        m = one.step((), 1.0)
    assert m.grid_kw is None
    assert m.state().grid is None
