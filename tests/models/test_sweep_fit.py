"""Sweeps of caps and clocks: parameters come back, intervals hold, faults are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from measured import measured

from ebplan.errors import InputError, RangeError
from ebplan.models.board import BoardLaw, log_power, log_rate
from ebplan.models.cap import CapModel
from ebplan.models.clock import ClockModel
from ebplan.models.fit.board import (
    Readings,
    Repeatability,
    WorkloadPrior,
    fit_board,
    not_binding,
    pool_workloads,
)
from ebplan.models.fit.cap_sweep import CapSweepOptions, fit_cap_sweep
from ebplan.models.fit.clock_table import ClockTableOptions, fit_clock_table
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.sweep import SweepOptions, leave_one_clock_out, leave_one_out

pytestmark = pytest.mark.slow

REPEATS = Repeatability(rate=0.01, power=0.02)
CAPS = np.array([0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6])
CLOCKS = np.array([900.0, 1100.0, 1300.0, 1500.0])
DRAW_KW = 0.42
POWER = np.array([-0.02, np.log(1.0), np.log(12.0), np.log(2.3), -1.2])
RATE = np.array([np.log(80.0), -1.1, -0.6])
CAP = CapSweepOptions(name="caps", title="Caps", hardware="one GPU")
CLOCK = ClockTableOptions(name="clocks", title="Clocks", hardware="one GPU")


def simulated(
    rng: np.random.Generator, caps: np.ndarray, clocks: np.ndarray | None = None
) -> Readings:
    """Readings of the law with known parameters, throughput to 1 %, power to 1.5 %."""
    share = np.ones(len(caps)) if clocks is None else clocks / CLOCKS[-1]
    theta = POWER[:3] if clocks is None else POWER
    true = np.exp(log_power(theta, caps / DRAW_KW, share))
    power = DRAW_KW * true * np.exp(0.015 * rng.standard_normal(len(caps)))
    rate = np.exp(log_rate(RATE, true) + 0.01 * rng.standard_normal(len(caps)))
    return Readings(cap=caps, clock=clocks, power=power, rate=rate)


def table(folder: Path, readings: Sequence[Readings], names: Sequence[str]) -> Measurements:
    """The readings of some workloads as a table."""
    columns: dict[str, list[object]] = {
        "workload": [n for n, r in zip(names, readings, strict=True) for _ in r.cap],
        "cap": [v for r in readings for v in r.cap.tolist()],
        "power": [v for r in readings for v in r.power.tolist()],
        "throughput": [v for r in readings for v in r.rate.tolist()],
    }
    if readings[0].clock is not None:
        columns["clock"] = [v for r in readings if r.clock is not None for v in r.clock.tolist()]
    return measured(folder, columns)


def fitted(readings: Readings) -> BoardLaw:
    return fit_board(readings, prior=WorkloadPrior(), repeatability=REPEATS).law


def test_parameters_come_back_within_their_intervals() -> None:
    """Static and limited share, in nine of ten simulated sweeps or thereabouts."""
    rng = np.random.default_rng(7)
    inside = np.zeros(2)
    runs = 60
    for _ in range(runs):
        law = fitted(simulated(rng, CAPS)).rate_law
        half = law.quantile(0.9) * np.sqrt(np.diag(law.covariance))
        inside += np.abs(np.array(law.theta) - RATE)[1:] <= half[1:]
    # The shares are of the highest power measured, which noise moves too.
    assert (inside / runs >= 0.8).all()


def test_intervals_hold_nine_of_ten_new_readings() -> None:
    rng = np.random.default_rng(11)
    caps = np.array([0.175, 0.28, 0.45])
    held, power_held, widths = [], [], []
    for _ in range(80):
        law, new = fitted(simulated(rng, CAPS)), simulated(rng, caps)
        held.append(law.throughput(caps).holds(new.rate))
        power_held.append(law.power(caps).holds(new.power))
        widths.append(law.throughput(caps).high / law.throughput(caps).low)
    assert np.mean(held) >= 0.88
    assert np.mean(power_held) >= 0.85
    # An interval that holds everything would say nothing: readings scatter by 1 % and 1.5 %.
    assert np.median(widths) < 1.12


def test_one_curve_serves_cap_and_clock() -> None:
    caps, clocks = (grid.ravel() for grid in np.meshgrid(CAPS, CLOCKS))
    law = fitted(simulated(np.random.default_rng(3), caps, clocks))
    assert law.power_law.theta[3] == pytest.approx(np.log(2.3), abs=0.1)
    truth = DRAW_KW * np.exp(log_power(POWER, np.array([np.inf]), CLOCKS[:1] / CLOCKS[-1]))
    assert law.power(None, CLOCKS[0]).mean == pytest.approx(truth, rel=0.02)


def test_one_bad_reading_is_left_out_and_named(tmp_path: Path) -> None:
    readings = simulated(np.random.default_rng(5), np.repeat(CAPS, 2))
    readings.rate[7] *= 0.6
    model = fit_cap_sweep(table(tmp_path, [readings], ["chat"]), CAP)
    assert [e.run for e in model.card.excluded] == ["line 9"]
    clean = fitted(simulated(np.random.default_rng(5), np.repeat(CAPS, 2)))
    assert model.laws["chat"].rate_law.theta == pytest.approx(clean.rate_law.theta, abs=0.1)


def test_caps_that_do_nothing_are_named_and_binding_ones_are_not() -> None:
    free = not_binding(simulated(np.random.default_rng(2), CAPS), REPEATS)
    assert CAPS[free].tolist() == [0.5, 0.6]


def test_a_highest_cap_that_may_still_bind_counts_as_binding() -> None:
    assert not not_binding(simulated(np.random.default_rng(2), CAPS[:5]), REPEATS).any()


def test_a_table_that_repeats_badly_shows_it_by_itself() -> None:
    """Throughput that falls as the cap rises is no effect of the cap."""
    rng = np.random.default_rng(4)
    rate = 50.0 * np.exp(0.06 * rng.standard_normal(len(CAPS)))
    readings = Readings(cap=CAPS, clock=None, power=np.full(len(CAPS), 0.1), rate=rate)
    assert not_binding(readings, REPEATS).all()


def test_caps_that_do_nothing_do_not_enter_the_elasticity(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    readings = simulated(rng, np.concatenate([CAPS, np.linspace(0.6, 0.9, 10)]))
    short = fit_cap_sweep(table(tmp_path, [simulated(rng, CAPS)], ["chat"]), CAP)
    long = fit_cap_sweep(table(tmp_path, [readings], ["chat"]), CAP)
    assert long.elasticity_high == pytest.approx(short.elasticity_high, rel=0.1)
    assert "600" in long.card.findings[0].text


def test_the_planner_gets_a_curve_below_every_workload(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    data = table(tmp_path, [simulated(rng, CAPS), simulated(rng, CAPS)], ["chat", "batch"])
    model = fit_cap_sweep(data, CAP)
    assert CapModel.parse(model.to_json().encode()) == model
    for law in model.laws.values():
        full = law.reference_kw_per_gpu
        power = np.linspace(law.lowest_kw_per_gpu, 0.995 * full, 50)
        planned = model.curve(full, 0.15).capacity(power)
        assert (planned <= law.capacity(power).low + 1e-9).all()
    gentle = fit_cap_sweep(data, CAP.model_copy(update={"lowest_cap_kw_per_gpu": 0.25}))
    assert gentle.elasticity_high < model.elasticity_high
    with pytest.raises(RangeError):
        gentle.curve(0.42, 0.2)


def test_power_of_several_gpus_is_taken_per_gpu(tmp_path: Path) -> None:
    readings = simulated(np.random.default_rng(9), CAPS)
    columns = {
        "cap": readings.cap,
        "power": 4.0 * readings.power,
        "throughput": readings.rate,
        "gpus": np.full(len(CAPS), 4),
    }
    model = fit_cap_sweep(measured(tmp_path, columns), CAP)
    assert model.laws["all"].reference_kw_per_gpu == pytest.approx(readings.power.max())
    mixed = {**columns, "gpus": [4, 4, 4, 4, 4, 4, 4, 8]}
    with pytest.raises(InputError, match="one number of GPUs"):
        fit_cap_sweep(measured(tmp_path, mixed), CAP)


def test_a_sweep_in_which_no_cap_binds_is_refused(tmp_path: Path) -> None:
    readings = simulated(np.random.default_rng(1), np.linspace(0.8, 1.2, 6))
    with pytest.raises(InputError, match="no cap binds"):
        fit_cap_sweep(table(tmp_path, [readings], ["chat"]), CAP)


def test_a_workload_in_which_no_cap_binds_is_named_and_gives_no_elasticity(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    busy, small = simulated(rng, CAPS), simulated(rng, CAPS)
    small = Readings(CAPS, None, np.full(len(CAPS), 0.08), 5.0 + 0.01 * rng.random(len(CAPS)))
    alone = fit_cap_sweep(table(tmp_path, [busy], ["chat"]), CAP)
    both = fit_cap_sweep(table(tmp_path, [busy, small], ["chat", "tiny"]), CAP)
    assert (both.elasticity_low, both.elasticity_high) == (
        alone.elasticity_low,
        alone.elasticity_high,
    )
    assert "No cap binds in tiny" in both.card.findings[1].text
    assert both.throughput("tiny", 0.3).mean == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize("floor", [0.1, 0.6, 0.7])
def test_a_floor_outside_the_sweep_is_refused(tmp_path: Path, floor: float) -> None:
    data = table(tmp_path, [simulated(np.random.default_rng(1), CAPS)], ["chat"])
    with pytest.raises(InputError, match="lowest_cap_kw_per_gpu"):
        fit_cap_sweep(data, CAP.model_copy(update={"lowest_cap_kw_per_gpu": floor}))


def test_a_clock_model_comes_out_of_clocks_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    clocks = np.repeat(CLOCKS, 2)
    readings = simulated(rng, np.full(len(clocks), 1e3), clocks)
    data = measured(
        tmp_path, {"clock": clocks, "power": readings.power, "throughput": readings.rate}
    )
    model = fit_clock_table(data, CLOCK)
    assert ClockModel.parse(model.to_json().encode()) == model
    assert (model.valid_from_clock_mhz, model.max_clock_mhz) == (900.0, 1500.0)
    new = simulated(rng, np.array([1e3]), np.array([1000.0]))
    assert model.throughput("all", 1000.0).holds(new.rate).all()
    assert model.power("all", 1000.0).holds(new.power).all()
    # The planner's clock reaches no deeper than the law, and no higher.
    law = model.laws["all"]
    share = law.power(None, 900.0).mean / law.power(None, 1500.0).mean
    assert model.curve(1.0, 900.0).floor_kw >= share
    with pytest.raises(RangeError):
        model.throughput("all", 800.0)


@pytest.mark.parametrize(
    ("clocks", "options", "told"),
    [
        ([1500.0] * 6, CLOCK, "at least two clocks"),
        (
            [900.0, 900.0, 1100.0, 1100.0, 1500.0, 1500.0],
            CLOCK.model_copy(update={"lowest_clock_mhz": 1600.0}),
            "lowest_clock_mhz",
        ),
    ],
)
def test_clocks_that_say_nothing_are_refused(
    tmp_path: Path, clocks: list[float], options: ClockTableOptions, told: str
) -> None:
    readings = simulated(np.random.default_rng(1), np.full(6, 1e3), np.array(clocks))
    columns = {"clock": clocks, "power": readings.power, "throughput": readings.rate}
    with pytest.raises(InputError, match=told):
        fit_clock_table(measured(tmp_path, columns), options)


def test_readings_held_out_are_told_apart() -> None:
    options = SweepOptions(name="x", title="x", hardware="x")
    readings = simulated(np.random.default_rng(13), CAPS)
    held = list(leave_one_out("chat", readings, options))
    assert [h.kind for h in held] == ["end", *["inside"] * 5, "free", "free"]
    inside = [abs(h.rate_error) for h in held if h.kind == "inside"]
    assert np.median(inside) < 0.02
    caps, clocks = (grid.ravel() for grid in np.meshgrid(CAPS, CLOCKS))
    grid = simulated(np.random.default_rng(13), caps, clocks)
    kinds = {h.clock_mhz: h.kind for h in leave_one_clock_out("chat", grid, options)}
    assert list(kinds.values()) == ["end", "inside", "inside", "end"]


def test_a_prior_pooled_from_like_workloads_helps_a_new_one() -> None:
    rng = np.random.default_rng(14)
    laws = [fitted(simulated(rng, CAPS)) for _ in range(6)]
    prior = pool_workloads(laws)
    assert prior.workloads == 6
    new = simulated(rng, CAPS)
    one = new.where(CAPS == 0.6)
    wide, near = (
        fit_board(one, prior=p, repeatability=REPEATS).law.throughput(
            CAPS[:5], allow_extrapolation=True
        )
        for p in (WorkloadPrior(), prior)
    )
    truth = np.exp(log_rate(RATE, np.exp(log_power(POWER[:3], CAPS[:5] / DRAW_KW, np.ones(5)))))
    assert np.abs(near.mean / truth - 1).max() < np.abs(wide.mean / truth - 1).max()
    assert (near.high / near.low < wide.high / wide.low).all()
    with pytest.raises(ValueError, match="at least 3"):
        pool_workloads(laws[:2])
    with pytest.raises(InputError, match="positive definite"):
        WorkloadPrior.parse({"covariance": [[1.0, 2.0], [2.0, 1.0]]})


def test_caps_of_a_fleet_are_of_its_instances(tmp_path: Path) -> None:
    data = table(tmp_path, [simulated(np.random.default_rng(11), CAPS)], ["work"])
    fleet = "h200nvl-llama31-70b-bf16-tp2"
    of_fleet = CAP.model_copy(update={"fleet": fleet})
    with pytest.raises(InputError, match=f"gpus_per_instance: got 1; allowed: 2, as .*{fleet}"):
        fit_cap_sweep(data, of_fleet)
    model = fit_cap_sweep(data, of_fleet.model_copy(update={"gpus_per_instance": 2}))
    assert (model.fleet, model.gpus_per_instance) == (fleet, 2)
