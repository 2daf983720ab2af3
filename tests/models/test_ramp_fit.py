"""Ramps: constants come back, what cannot be resolved is a bound, dips are left out by one rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import measured

from ebplan.errors import InputError, RangeError
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.ramp import RampOptions, find_steps
from ebplan.models.fit.ramp_table import fit_ramp
from ebplan.models.fit.series import correlation_time, dips
from ebplan.models.ramp import RampModel, reached, reached_on_average

OPTIONS = RampOptions(name="cap", title="Cap", hardware="one GPU")
DELAY_S, CONSTANT_S = 0.3, 0.8
HIGH_KW, LOW_KW = 0.4, 0.25


def series(
    folder: Path,
    *,
    interval_s: float = 0.05,
    window_s: float = 0.0,
    delay_s: float = DELAY_S,
    constant_s: float = CONSTANT_S,
    noise: float = 0.01,
    idle_from_s: tuple[float, ...] = (),
    changes_s: tuple[float, ...] = (10.0, 25.0),
    seed: int = 1,
) -> Measurements:
    """A command that goes down and up by turns, power after it, and dips of the workload."""
    rng = np.random.default_rng(seed)
    time = np.arange(0.0, changes_s[-1] + 15.0, interval_s)
    command, power = np.full(len(time), HIGH_KW), np.full(len(time), HIGH_KW)
    for k, at in enumerate(changes_s):
        to = LOW_KW if k % 2 == 0 else HIGH_KW
        command[time >= at] = to
        step = to - (HIGH_KW if k % 2 == 0 else LOW_KW)
        power += step * reached_on_average(time - at, delay_s, constant_s, window_s)
    power *= 1.0 + noise * rng.standard_normal(len(time))
    for begin in idle_from_s:
        idle = (time >= begin) & (time < begin + 0.7)
        power[idle] = 0.08 + 0.001 * rng.random(int(idle.sum()))
    return measured(folder, {"time": time, "power": power, "command": command})


def test_constants_come_back_within_their_intervals(tmp_path: Path) -> None:
    inside = np.zeros(2)
    runs = 20
    for seed in range(runs):
        model = fit_ramp(series(tmp_path, seed=seed), OPTIONS)
        for side in (model.down, model.up):
            assert side is not None
            assert not side.upper_bound
            inside[0] += side.delay_low_s <= DELAY_S <= side.delay_high_s
            inside[1] += side.time_constant_low_s <= CONSTANT_S <= side.time_constant_high_s
    assert (inside / (2 * runs) >= 0.8).all()
    assert side.delay_high_s - side.delay_low_s < 0.2
    assert side.time_constant_high_s / side.time_constant_low_s < 1.2


def test_the_response_serves_a_pool_and_the_model_round_trips(tmp_path: Path) -> None:
    model = fit_ramp(series(tmp_path), OPTIONS)
    assert RampModel.parse(model.to_json().encode()) == model
    assert model.response_down.delay_s == pytest.approx(DELAY_S, abs=0.06)
    assert model.response_up.time_constant_s == pytest.approx(CONSTANT_S, rel=0.1)


def test_a_step_of_another_record_lies_in_the_interval(tmp_path: Path) -> None:
    model = fit_ramp(series(tmp_path, seed=1), OPTIONS)
    new = find_steps(series(tmp_path, seed=2), OPTIONS).steps
    for step in new:
        told = model.step(step.before_kw, step.after_kw, step.since_s, allow_extrapolation=True)
        assert told.holds(step.power_kw).mean() >= 0.85
        assert (told.low <= told.mean).all()
        assert (told.mean <= told.high).all()


def test_a_step_that_nobody_measured_is_refused(tmp_path: Path) -> None:
    model = fit_ramp(series(tmp_path), OPTIONS)
    assert model.step_kw is not None
    low_kw, high_kw = model.step_kw
    since_s = np.array([0.0, 1.0])
    assert model.step(1.0, 1.0 + 0.5 * (low_kw + high_kw), since_s).mean is not None
    for height_kw in (0.5 * low_kw, 2.0 * high_kw, float("nan")):
        with pytest.raises(RangeError, match="kW either way"):
            model.step(1.0, 1.0 + height_kw, since_s)
    assert model.step(1.0, 1.0 + 2.0 * high_kw, since_s, allow_extrapolation=True)
    old = {k: v for k, v in model.model_dump(mode="json").items() if k != "step_kw"}
    assert RampModel.parse(old).step(1.0, 1.0 + 2.0 * high_kw, since_s)


@pytest.mark.parametrize(("delay_s", "constant_s"), [(0.0, 0.02), (0.5, 0.01), (0.1, 0.2)])
def test_what_two_readings_cannot_resolve_is_a_bound(
    tmp_path: Path, delay_s: float, constant_s: float
) -> None:
    model = fit_ramp(
        series(tmp_path, interval_s=1.0, delay_s=delay_s, constant_s=constant_s), OPTIONS
    )
    side = model.down
    assert side is not None
    assert side.upper_bound
    assert side.delay_low_s == side.time_constant_low_s == 0.0
    assert side.settle_s >= delay_s + 2.3 * constant_s
    assert "upper bound" in model.card.findings[0].title
    # The bound's response is nowhere ahead of the truth.
    since = np.linspace(0.0, 10.0, 500)
    bound = reached(since, side.response.delay_s, side.response.time_constant_s)
    assert (bound <= reached(since, delay_s, constant_s) + 0.101).all()


def test_what_the_sensors_window_hides_is_a_bound(tmp_path: Path) -> None:
    data = series(tmp_path, window_s=1.0, delay_s=0.05, constant_s=0.1)
    known = fit_ramp(data, OPTIONS.model_copy(update={"sensor_window_s": 1.0}))
    assert known.down is not None
    assert known.down.upper_bound
    assert known.down.resolution_s == 1.0


def test_a_known_window_is_taken_off_a_slow_ramp(tmp_path: Path) -> None:
    data = series(tmp_path, window_s=1.0, delay_s=0.4, constant_s=1.2, noise=0.004)
    blind = fit_ramp(data, OPTIONS).down
    known = fit_ramp(data, OPTIONS.model_copy(update={"sensor_window_s": 1.0})).down
    assert blind is not None
    assert known is not None
    assert known.response.delay_s + known.response.time_constant_s == pytest.approx(1.6, abs=0.1)
    assert blind.response.delay_s + blind.response.time_constant_s > 1.9


def test_dips_are_left_out_and_named(tmp_path: Path) -> None:
    clean = fit_ramp(series(tmp_path, idle_from_s=()), OPTIONS)
    dipped = fit_ramp(series(tmp_path, idle_from_s=(3.0, 14.0, 31.0)), OPTIONS)
    assert clean.card.excluded == ()
    assert "dips of the workload" in dipped.card.excluded[0].reason
    for one, other in ((clean.down, dipped.down), (clean.up, dipped.up)):
        assert one is not None
        assert other is not None
        assert other.response.time_constant_s == pytest.approx(
            one.response.time_constant_s, rel=0.1
        )


@given(high=st.floats(0.2, 1.0), share=st.floats(0.1, 0.95), constant=st.floats(0.01, 1.0))
def test_no_step_is_taken_for_a_dip(high: float, share: float, constant: float) -> None:
    """However deep a commanded step is, and however slowly it is made, down or up."""
    time = np.arange(0.0, 30.0, 0.1)
    down = high * (1.0 - (1.0 - share) * reached(time - 10.0, 0.2, constant))
    up = high * (share + (1.0 - share) * reached(time - 10.0, 0.2, constant))
    starts = np.array([0, 100])
    assert not dips(time, down, starts).any()
    assert not dips(time, up, starts).any()


def test_several_steps_predict_each_other(tmp_path: Path) -> None:
    data = series(tmp_path, changes_s=(10.0, 25.0, 40.0, 55.0))
    model = fit_ramp(data, OPTIONS)
    assert model.down is not None
    assert model.down.steps == 2
    named = {s.name: s.value for s in model.card.leave_one_out}
    assert named["step down from the others, until the first dip"] < 0.05


def test_a_command_that_power_does_not_follow_is_named(tmp_path: Path) -> None:
    time = np.arange(0.0, 40.0, 0.1)
    power = 0.2 + 0.001 * np.random.default_rng(1).random(len(time))
    command = np.where(time < 20.0, 0.4, 0.3)
    with pytest.raises(InputError, match="power does not follow"):
        fit_ramp(measured(tmp_path, {"time": time, "power": power, "command": command}), OPTIONS)


def test_a_command_that_never_changes_is_refused(tmp_path: Path) -> None:
    time = np.arange(0.0, 5.0, 0.1)
    power = 0.2 + 0.01 * np.random.default_rng(1).random(len(time))
    columns = {"time": time, "power": power, "command": np.full(len(time), 0.3)}
    with pytest.raises(InputError, match="a command that changes"):
        fit_ramp(measured(tmp_path, columns), OPTIONS)


def test_a_direction_without_a_step_is_refused(tmp_path: Path) -> None:
    model = fit_ramp(series(tmp_path, changes_s=(10.0,)), OPTIONS)
    assert model.up is None
    with pytest.raises(InputError, match="measure a step up"):
        _ = model.response_up


@given(
    delay=st.floats(0.0, 2.0),
    constant=st.floats(0.01, 3.0),
    window=st.just(0.0) | st.floats(1e-3, 2.0),
)
def test_an_averaged_ramp_rises_to_one_and_lags(
    delay: float, constant: float, window: float
) -> None:
    since = np.linspace(-1.0, 60.0, 600)
    shown = reached_on_average(since, delay, constant, window)
    assert (np.diff(shown) >= -1e-9).all()
    assert (shown <= reached(since, delay, constant) + 1e-9).all()
    assert shown[0] == 0.0
    assert shown[-1] == pytest.approx(1.0, abs=1e-6)


def test_repeated_readings_count_once() -> None:
    rng = np.random.default_rng(1)
    white = rng.standard_normal(4000)
    assert correlation_time(white) < 1.5
    assert correlation_time(np.repeat(white[:400], 10)) == pytest.approx(10.0, rel=0.3)
    assert correlation_time(np.ones(50)) == 50.0


@pytest.mark.parametrize(("interval_s", "factor"), [(0.05, 1e3), (0.05, 1e-3), (0.01, 1e3)])
def test_a_time_base_in_another_unit_is_refused(
    tmp_path: Path, interval_s: float, factor: float
) -> None:
    data = series(tmp_path, interval_s=interval_s)
    slipped = {**data.values, "time": factor * data.values["time"]}
    with pytest.raises(InputError, match=r"columns\.time: .*ms or s"):
        fit_ramp(replace(data, values=slipped), OPTIONS)
