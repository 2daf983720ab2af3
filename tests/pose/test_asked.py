"""What each kind of event asks: curves and traces, price windows, import limits, recovery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebplan import Case, InputError, load_case
from ebplan.document import read_json
from ebplan.frequency import FrequencyResponse, ResponseCurve
from ebplan.pose import pose
from ebplan.problem import Problem

EXAMPLES = Path(__file__).parents[2] / "examples"
GB_CONTAINMENT = {
    "shape": "knee",
    "dead_band_hz": 0.015,
    "knee_hz": 0.2,
    "knee_fraction": 0.05,
    "full_hz": 0.5,
}


def posed(name: str = "under_frequency", **event: Any) -> Problem:
    """Pose an example with fields of its event changed; None takes one out."""
    case = load_case(EXAMPLES / f"{name}.json").model_dump(mode="json")
    fields = {**case["event"], **event}
    case["event"] = {name: value for name, value in fields.items() if value is not None}
    new = Case.parse(case)
    return pose(new.event, new.site, new.state)


# --- curves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "shares"),
    [
        # the published points of Dynamic Containment, and half way between two of them
        (GB_CONTAINMENT, {0.015: 0.0, 0.1075: 0.025, 0.2: 0.05, 0.35: 0.525, 0.5: 1.0, 0.8: 1.0}),
        (
            {"shape": "droop", "dead_band_hz": 0.02, "full_hz": 0.22},
            {0.0: 0.0, 0.02: 0.0, 0.07: 0.25, 0.22: 1.0, 0.5: 1.0},
        ),
        ({"shape": "threshold", "full_hz": 0.3}, {0.29: 0.0, 0.3: 1.0, 0.31: 1.0}),
    ],
    ids=["knee", "droop", "threshold"],
)
def test_a_curve_grows_alike_both_ways(curve: dict[str, Any], shares: dict[float, float]) -> None:
    of = ResponseCurve(**curve)
    deviation, share = np.array(list(shares)), np.array(list(shares.values()))
    assert of.share(deviation) == pytest.approx(share)
    assert of.share(-deviation) == pytest.approx(-share)


def response(curve: dict[str, Any], trace: list[tuple[float, float]]) -> FrequencyResponse:
    return FrequencyResponse(
        release_capacity_kw=2.0,
        absorb_capacity_kw=1.0,
        curve=ResponseCurve(**curve),
        nominal_hz=50.0,
        trace=tuple(trace),
    )


def test_the_target_of_a_step_is_the_mean_of_what_is_asked_inside_it() -> None:
    # From 50 Hz down by 0.2 Hz in 10 s: nothing for a second, then up to half of 2 kW. The mean of
    # the last 9 s is a quarter of it, of 10 s 0.45.
    curve = {"shape": "droop", "dead_band_hz": 0.02, "full_hz": 0.38}
    of = response(curve, [(0.0, 50.0), (10.0, 49.8), (20.0, 50.2)])
    assert of.target_kw(np.array([0.0, 1.0, 10.0])) == pytest.approx([0.0, -0.5])
    assert of.target_kw(np.array([0.0, 10.0])) == pytest.approx([-0.45])
    # up through nominal: a release of the first half, an absorption of the second, of 1 kW
    assert of.target_kw(np.array([10.0, 20.0])) == pytest.approx([-0.225 + 0.1125])


def test_a_threshold_asks_for_all_of_it_for_as_long_as_it_is_crossed() -> None:
    # Down to 49.6 Hz and back in 20 s: beyond 0.3 Hz for 5 s of 20.
    of = response({"shape": "threshold", "full_hz": 0.3}, [(0, 50.0), (10, 49.6), (20, 50.0)])
    assert of.target_kw(np.array([0.0, 20.0])) == pytest.approx([-0.5])
    assert of.target_kw(np.array([0.0, 7.5, 12.5, 20.0])) == pytest.approx([0.0, -2.0, 0.0])


def test_a_trace_finer_than_the_steps_is_averaged() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(0.0, 30.05, 0.1)
    hz = 50.0 + 0.2 * rng.standard_normal(len(times))
    of = response(GB_CONTAINMENT, list(zip(times.tolist(), hz.tolist(), strict=True)))
    fine = np.linspace(0.0, 30.0, 300_001)
    share = of.curve.share(np.interp(0.5 * (fine[:-1] + fine[1:]), times, hz - 50.0))
    exact = np.where(share < 0.0, 2.0, 1.0) * share
    means = of.target_kw(np.array([0.0, 10.0, 20.0, 30.0]))
    assert means == pytest.approx(exact.reshape(3, -1).mean(axis=1), abs=1e-6)


# --- frequency response -----------------------------------------------------------------------


def test_under_frequency_asks_for_less_and_over_frequency_for_more() -> None:
    problem = posed("fcr_tracking")
    assert problem.tracks
    assert min(problem.target_kw) < -1.0
    assert max(problem.target_kw) > 0.5
    assert not np.array(problem.target_kw)[~problem.in_event].any()
    inside = np.array(problem.grid.edges_s)
    inside = inside[(inside >= 0.0) & (inside <= 300.0)]
    assert np.diff(inside).max() <= 1.5 * 300.0 / 90


def test_a_trace_may_lie_in_a_file_beside_the_event(tmp_path: Path) -> None:
    data = read_json(EXAMPLES / "fcr_tracking.json")
    frequency = data["event"]["target"]["frequency"]
    rows = "".join(f"{t},{hz}\n" for t, hz in frequency.pop("trace"))
    frequency["trace_file"] = "trace.csv"
    (tmp_path / "trace.csv").write_text(f"t_s,hz\n{rows}")
    (tmp_path / "event.json").write_text(json.dumps(data))
    assert load_case(tmp_path / "event.json") == load_case(EXAMPLES / "fcr_tracking.json")


def test_a_trace_that_nobody_read_is_refused() -> None:
    data = read_json(EXAMPLES / "fcr_tracking.json")
    frequency = {**data["event"]["target"]["frequency"], "trace_file": "trace.csv"}
    del frequency["trace"]
    with pytest.raises(InputError, match="load_case"):
        posed("fcr_tracking", target={"frequency": frequency})


def test_around_a_frequency_response_the_rebound_limit_holds() -> None:
    problem = posed("fcr_tracking", start="2026-06-01T12:05:00+09:00")
    limit, inside = np.array(problem.import_limit_kw), problem.in_event
    assert limit[inside] == pytest.approx(8.0)
    assert limit[~inside] == pytest.approx(problem.baseline_kw[0] + 0.5)


# --- prices -----------------------------------------------------------------------------------


def test_prices_hold_inside_the_window_and_the_site_s_own_outside() -> None:
    start = "2026-06-01T12:10:00+09:00"
    problem = posed("price_window", start=start)
    price, starts = problem.energy_prices_per_kwh, problem.grid.starts_s - 600.0
    for from_s, to_s, expected in (
        (-600.0, 0.0, 20.0),
        (0.0, 1800.0, 12.0),
        (1800.0, 3600.0, -5.0),
        (5400.0, 7200.0, 45.0),
        (7200.0, 9e9, 20.0),
    ):
        held = (starts >= from_s - 1e-6) & (starts < to_s - 1e-6)
        assert held.any()
        assert price[held] == pytest.approx(expected)
    assert problem.asks == "nothing"
    assert {600.0, 2400.0, 4200.0, 6000.0} <= set(problem.grid.epoch_starts_s.tolist())
    assert problem.import_limit_kw == (8.0,) * problem.grid.n_steps


def test_one_price_may_hold_throughout() -> None:
    problem = posed("price_window", price_steps=None, price_per_kwh=-7.0)
    inside = problem.grid.starts_s < 7200.0
    assert problem.energy_prices_per_kwh[inside] == pytest.approx(-7.0)
    assert problem.energy_prices_per_kwh[~inside] == pytest.approx(20.0)


# --- import limits, recovery ------------------------------------------------------------------


def test_an_import_limit_below_the_draw_is_a_release_down_to_it() -> None:
    limit = {"import_limit_kw": 4.0}
    problem = posed(type="import_limit", target=limit, handoff=None)
    asked = problem.in_event
    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    assert problem.asks == "one_way"
    assert aim[asked][-1] == pytest.approx(4.0)


@pytest.mark.parametrize("limit_kw", [5.5, 7.0])
def test_an_import_limit_above_the_draw_holds_inside_the_event(limit_kw: float) -> None:
    problem = posed(
        type="import_limit", target={"import_limit_kw": limit_kw}, handoff=None, response=None
    )
    inside = (problem.grid.starts_s >= problem.event_start_s) & (
        problem.grid.starts_s < problem.event_end_s
    )
    limit = np.array(problem.import_limit_kw)
    assert problem.asks == "nothing"
    assert not any(problem.target_kw)
    assert limit[inside] == pytest.approx(limit_kw)
    assert limit[~inside] == pytest.approx(8.0)


def test_a_limit_above_the_draw_says_which_fields_have_no_effect() -> None:
    limit = {"type": "import_limit", "target": {"import_limit_kw": 6.0}}
    told = posed(**limit, response={"initial_delay_s": 2, "full_activation_s": 5}).caveats[0]
    assert "limit of 6.00 kW" in told
    assert told.endswith(
        "the hand-off, the initial delay, the time to full activation, the penalty."
    )
    binding = {"type": "import_limit", "target": {"import_limit_kw": 4.0}}
    for silent in (
        posed(**limit, handoff=None, response=None, penalty_per_kwh=None),
        posed(**binding),
    ):
        assert not any("without effect" in caveat for caveat in silent.caveats)


def test_what_is_to_be_restored_comes_after_the_requests_and_the_target() -> None:
    shape = {"recovery_s": 600, "restore_soc": 0.6}
    problem, without = posed(response=shape), posed(response={"recovery_s": 600})
    prices = problem.prices
    assert problem.restore_kwh == pytest.approx(6.0)
    pool = problem.pools[0]
    assert prices.soc_missing_per_kwh > pool.cap_depth_per_kwh + 20.0
    assert prices.soc_missing_per_kwh < prices.reserve_per_kwh
    # what 1 kWh less of batch requests costs at the flattest of the load curve
    slope_kw = (pool.full_kw - float(pool.load_curve.power_kw(0.95))) / 0.05
    least_s = min(requests.value_per_instance_s for requests in pool.classes)
    assert prices.soc_missing_per_kwh < least_s * 3600.0 / slope_kw
    firm = prices.firmness_per_kwh + prices.shortfall_per_kwh
    assert firm > prices.soc_missing_per_kwh + prices.reserve_per_kwh
    assert prices.overrun_per_kwh > firm
    assert without.restore_kwh is None
    assert without.prices.soc_missing_per_kwh == 0.0
    assert without.prices.reserve_per_kwh == pytest.approx(prices.reserve_per_kwh)


@pytest.mark.parametrize("soc", [0.05, 0.97])
def test_what_the_battery_cannot_have_is_not_restored(soc: float) -> None:
    with pytest.raises(InputError, match=r"event.response.restore_soc: .* 0.1 to 0.95"):
        posed(response={"recovery_s": 600, "restore_soc": soc})
