"""Standby powers: means, intervals that know repeats, and what they replace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measured import measured

from ebplan.errors import InputError
from ebplan.models.fit.standby import StandbyOptions, fit_standby
from ebplan.models.standby import StandbyModel

OPTIONS = StandbyOptions(name="standby", title="Standby", hardware="one GPU")


def columns(
    rng: np.random.Generator, *, repeats: int = 1, readings: int = 60, **levels: float
) -> dict[str, list[object]]:
    """Readings around a level in each mode, each repeated as a slow sensor does."""
    mode, power = [], []
    for name, level in levels.items():
        values = level + 0.001 * rng.standard_normal(readings)
        mode += [name] * readings * repeats
        power += np.repeat(values, repeats).tolist()
    return {"mode": mode, "power": power}


def test_intervals_hold_the_truth_in_nine_of_ten_even_where_readings_repeat(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    for repeats in (1, 8):
        held = 0
        for _ in range(100):
            data = measured(tmp_path, columns(rng, repeats=repeats, idle=0.1))
            idle = fit_standby(data, OPTIONS).idle
            assert idle is not None
            held += idle.low_kw_per_gpu <= 0.1 <= idle.high_kw_per_gpu
        assert 80 <= held <= 99


def test_repeating_readings_does_not_narrow_the_interval(tmp_path: Path) -> None:
    once, often = (
        fit_standby(
            measured(tmp_path, columns(np.random.default_rng(2), repeats=n, idle=0.1)), OPTIONS
        ).idle
        for n in (1, 20)
    )
    assert once is not None
    assert often is not None
    assert often.readings == 20 * once.readings
    assert often.independent_readings == pytest.approx(once.independent_readings, rel=0.5)
    width = [s.high_kw_per_gpu - s.low_kw_per_gpu for s in (once, often)]
    assert width[1] == pytest.approx(width[0], rel=0.4)


def test_it_says_what_it_replaces(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = measured(tmp_path, columns(rng, idle=0.09, loaded_idle=0.12, asleep=0.07))
    model = fit_standby(data, OPTIONS)
    assert StandbyModel.parse(model.to_json().encode()) == model
    assert model.idle_w_per_gpu == pytest.approx(120.0, abs=1.0)
    assert model.asleep is not None
    assert model.pool_fields == {
        "asleep_kw_per_gpu": model.asleep.high_kw_per_gpu,
        "asleep_measured": True,
    }
    assert "the intervals lie apart" in model.card.findings[0].text


def test_sleep_that_saves_nothing_is_said_to(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    data = measured(tmp_path, columns(rng, idle=0.1, asleep=0.1))
    model = fit_standby(data, OPTIONS)
    assert model.idle_w_per_gpu == pytest.approx(100.0, abs=1.0)
    assert "saves nothing" in model.card.findings[0].title


def test_without_sleep_nothing_is_claimed_of_it(tmp_path: Path) -> None:
    model = fit_standby(measured(tmp_path, columns(np.random.default_rng(5), idle=0.1)), OPTIONS)
    assert model.pool_fields == {}
    assert model.card.findings == ()


def test_power_of_several_gpus_is_taken_per_gpu(tmp_path: Path) -> None:
    data = measured(tmp_path, columns(np.random.default_rng(6), idle=0.8))
    model = fit_standby(data, OPTIONS.model_copy(update={"gpus_per_row": 8}))
    assert model.idle_w_per_gpu == pytest.approx(100.0, abs=1.0)


@pytest.mark.parametrize(
    ("mode", "power", "told"),
    [
        (["idle"] * 6 + ["off"], [0.1] * 7, "loaded_idle"),
        (["idle"] * 3, [0.1, 0.11, 0.1], "at least 5"),
        (["idle"] * 30, [0.1] * 30, "repeat or drift"),
        (["idle"] * 6, [0.001, 0.3, 0.001, 0.3, 0.001, 0.0011], "not steady"),
    ],
)
def test_tables_that_do_not_say_it_are_refused(
    tmp_path: Path, mode: list[str], power: list[float], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        fit_standby(measured(tmp_path, {"mode": mode, "power": power}), OPTIONS)


def test_a_model_that_says_nothing_is_refused(tmp_path: Path) -> None:
    model = fit_standby(measured(tmp_path, columns(np.random.default_rng(7), idle=0.1)), OPTIONS)
    with pytest.raises(InputError, match="at least one of"):
        StandbyModel.parse(model.model_dump(mode="json") | {"idle": None})


@pytest.mark.parametrize("mode", ["idle", "asleep"])
def test_exchanged_modes_are_refused(tmp_path: Path, mode: str) -> None:
    levels = {"loaded_idle": 0.08, mode: 0.12}
    data = measured(tmp_path, columns(np.random.default_rng(8), **levels))
    with pytest.raises(InputError, match=f"exchange the labels {mode} and loaded_idle"):
        fit_standby(data, OPTIONS)
    # the same level within what is known of it is no contradiction
    same = columns(np.random.default_rng(9), loaded_idle=0.1, **{mode: 0.1})
    assert fit_standby(measured(tmp_path, same), OPTIONS).loaded_idle


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_watts_in_another_unit_are_refused(tmp_path: Path, factor: float) -> None:
    rows = columns(np.random.default_rng(10), idle=0.1)
    rows["power"] = [factor * float(str(kw)) for kw in rows["power"]]
    with pytest.raises(InputError, match=r"columns\.power: .*W or kW"):
        fit_standby(measured(tmp_path, rows), OPTIONS)
