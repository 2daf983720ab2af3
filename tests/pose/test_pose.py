"""Posing: powers at the connection point, loads in instance-equivalents, order of last resort."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import Case, InputError, load_case
from ebplan.models import library
from ebplan.models.cap import CapModel
from ebplan.pose import pose
from ebplan.problem import Problem

EITHER_WAY = "demand_response"
"""A type of event that may ask for less draw or for more."""
EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"
POOL = "llama70b"


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(EXAMPLE)


def changed(case: Case, **paths: Any) -> Problem:
    """Pose the example with fields changed; ``a__b`` names the path a.b."""
    data = case.model_dump(mode="json")
    for path, value in paths.items():
        *parents, last = path.split("__")
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    new = Case.parse(data)
    return pose(new.event, new.site, new.state)


def test_powers_are_carried_to_the_connection_point(case: Case) -> None:
    """GPU -> node (+0.8 kW) -> AC (x 1.06) -> connection point (x 1.02)."""
    problem = changed(case)
    fleet = library.load_fleet("h200nvl-llama31-70b-bf16-tp2")
    factor = 1.06 * 1.02
    pool = problem.pools[0]
    assert pool.drained_kw == pytest.approx(fleet.idle_kw * factor)
    assert pool.full_kw == pytest.approx(fleet.load_curve({"short_input": 1.0}).full_kw * factor)
    assert problem.other_kw[0] == pytest.approx(0.8 * factor)
    assert pool.gpu_kw_per_kw == pytest.approx(1.0 / factor)


def test_baseline_is_what_the_models_say_the_site_draws(case: Case) -> None:
    problem = changed(case)
    pool = problem.pools[0]
    each = (28.0 + 7.0) / 4 / pool.classes[0].requests_per_s_per_instance
    expected = problem.other_kw[0] + 4 * float(pool.load_curve.power_kw(each))
    assert problem.baseline_kw[0] == pytest.approx(expected)


def test_the_meter_settles_what_the_models_do_not_explain(case: Case) -> None:
    metered = {"kw": 5.6, "measurement_point": "connection_point"}
    problem = changed(case, state__grid=metered)
    pools_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    assert problem.baseline_kw[0] == pytest.approx(5.6)
    assert problem.other_kw[0] == pytest.approx(5.6 - pools_kw)


def test_a_meter_below_what_the_models_say_is_refused(case: Case) -> None:
    metered = {"kw": 2.0, "measurement_point": "connection_point"}
    with pytest.raises(InputError, match=r"state\.grid\.kw: got 2\.0"):
        changed(case, state__grid=metered)


def test_target_in_all_three_forms_is_one(case: Case) -> None:
    base = changed(case).baseline_kw[0]
    asked = [
        min(changed(case, event__target=target).target_kw)
        for target in (
            {"delta_kw": -0.5},
            {"fraction_of_baseline": -0.5 / base},
            {"import_limit_kw": base - 0.5},
        )
    ]
    assert asked == pytest.approx([-0.5] * 3)


def test_a_rising_target_asks_the_deepest_value_of_each_step(case: Case) -> None:
    shape = {"initial_delay_s": 10.0, "full_activation_s": 50.0, "recovery_s": 60.0}
    problem = changed(case, event__response=shape)
    ends = np.array(problem.grid.edges_s[1:])
    asked = problem.in_event
    expected = -np.clip((ends - 10.0) / 40.0, 0.0, 1.0)
    assert np.array(problem.target_kw)[asked] == pytest.approx(expected[asked])
    assert problem.grid.starts_s[asked][0] == 10.0
    assert problem.grid.starts_s[asked][-1] < 300.0


def test_an_absorb_is_a_target_above_nothing(case: Case) -> None:
    base = changed(case).baseline_kw[0]
    for target in ({"delta_kw": 0.5}, {"fraction_of_baseline": 0.5 / base}):
        problem = changed(case, event__type=EITHER_WAY, event__target=target)
        assert max(problem.target_kw) == pytest.approx(0.5)
        assert min(problem.target_kw) == 0.0
        assert problem.direction == 1
        assert np.array(problem.target_kw)[problem.in_event] == pytest.approx(0.5)


def test_an_import_limit_never_asks_for_more_draw(case: Case) -> None:
    base = changed(case).baseline_kw[0]
    problem = changed(case, event__target={"import_limit_kw": base + 0.5})
    assert not any(problem.target_kw)
    assert problem.handoff_from_s is None
    assert problem.import_limit_kw[0] == pytest.approx(base + 0.5)


def test_the_hand_off_share_of_an_absorb_is_a_power(case: Case) -> None:
    handoff = {"by_s": 60.0, "battery_fraction": 0.2}
    for delta_kw in (-0.5, 0.5):
        target = {"delta_kw": delta_kw}
        problem = changed(
            case, event__type=EITHER_WAY, event__target=target, event__handoff=handoff
        )
        assert problem.handoff_kw == pytest.approx(0.1)


def test_only_a_release_has_a_rebound_to_limit(case: Case) -> None:
    contract_kw = case.site.connection_point.import_limit_kw
    shape = {"recovery_s": 60.0, "rebound_limit_kw": 0.1}
    limits = {}
    for delta_kw in (-0.5, 0.5):
        target = {"delta_kw": delta_kw}
        problem = changed(case, event__type=EITHER_WAY, event__target=target, event__response=shape)
        limits[delta_kw] = np.array(problem.import_limit_kw)[problem.after_event]
        assert np.array(problem.import_limit_kw)[problem.in_event] == pytest.approx(contract_kw)
    assert limits[-0.5] == pytest.approx(changed(case).baseline_kw[0] + 0.1)
    assert limits[0.5] == pytest.approx(contract_kw)


def test_an_instance_without_requests_is_drained(case: Case) -> None:
    pool = changed(case, state__pools__llama70b__load_req_per_s={"interactive": 0, "batch": 0})
    assert (pool.pools[0].active_at_start, pool.pools[0].drained_at_start) == (0, 4)


def test_protected_requests_are_rejected_only_where_nobody_can_serve_them(case: Case) -> None:
    problem = changed(case)
    assert [c.max_rejected for c in problem.pools[0].classes] == [
        0.0,
        problem.pools[0].classes[1].load,
    ]
    # One instance awake serves 0.95 of the 2.2 offered: the rest must go, batch before interactive.
    pools = {POOL: {"active": 1, "asleep": 3, "load_req_per_s": {"interactive": 28, "batch": 7}}}
    pool = changed(case, state__pools=pools).pools[0]
    interactive, batch = pool.classes
    assert batch.max_rejected == pytest.approx(batch.load)
    assert interactive.max_rejected == pytest.approx(pool.load - 0.95 - batch.load)


def test_caveats_name_a_cap_model_of_another_workload(case: Case) -> None:
    (caveat,) = changed(case).caveats
    assert "medium_input" in caveat
    assert "short_input" in caveat


def with_cap_model(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> CapModel:
    """Put a changed copy of the example's cap model into a folder of one's own, as ``mine``."""
    model = library.load_cap("h200nvl-llama31-70b-bf16-tp2-cap")
    model = model.model_copy(update={"name": "mine", **changes})
    (folder / "mine.json").write_text(model.to_json())
    monkeypatch.setenv(library.FOLDERS, str(folder))
    return model


def test_a_cap_model_that_begins_above_the_lightest_draw_says_what_would_do(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cap_model(tmp_path, monkeypatch, valid_from_kw_per_gpu=0.5)
    mine = {f"site__pools__{POOL}__cap_model": "mine"}
    with pytest.raises(InputError, match=r"got 'mine: caps from 500 W.*begins at 458 W") as error:
        changed(case, **mine)
    assert error.value.field == f"site.pools.{POOL}.cap_model"
    # what it says would do, does
    with_cap_model(tmp_path, monkeypatch, valid_from_kw_per_gpu=0.457)
    assert changed(case, **mine).pools
    with_cap_model(tmp_path, monkeypatch, valid_from_kw_per_gpu=0.5)
    assert changed(case, **mine, **{f"site__pools__{POOL}__allow_extrapolation": True}).pools


def test_a_cap_model_of_other_instances_is_said_and_of_the_same_fleet_refused(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {f"site__pools__{POOL}__cap_model": "mine"}
    with_cap_model(tmp_path, monkeypatch, gpus_per_instance=1)
    with pytest.raises(InputError, match="got 'mine: 1 GPUs per instance'; allowed: 2, as h200nvl"):
        changed(case, **mine)
    with_cap_model(tmp_path, monkeypatch, gpus_per_instance=1, fleet="another")
    found = changed(case, **mine).caveats
    assert any("instances of 1 GPU and is used for instances of 2 GPUs" in said for said in found)


prices = st.floats(0.0, 1e4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    penalty=prices,
    value=prices,
    cap=prices,
    handoff=prices,
    drain=prices,
    readiness=prices,
    efficiency=st.floats(0.55, 1.0),
)
def test_last_resorts_are_dearer_than_every_mechanism(
    penalty: float,
    value: float,
    cap: float,
    handoff: float,
    drain: float,
    readiness: float,
    efficiency: float,
) -> None:
    """Shortfall above the reserve that delivers as much, above each mechanism, per kWh."""
    problem = changed(
        load_case(EXAMPLE),
        event__penalty_per_kwh=penalty,
        site__pools__llama70b__classes__interactive__value_per_request=value,
        site__pools__llama70b__prices__cap_depth_per_kwh=cap,
        site__pools__llama70b__prices__drain_per_instance=drain,
        site__pools__llama70b__prices__readiness_per_instance_h=readiness,
        site__planning__handoff_excess_per_kwh=handoff,
        site__battery__cell_efficiency=efficiency,
    )
    pool, battery, asked = problem.pools[0], problem.battery, problem.prices
    assert battery is not None
    flattest_kw = float(np.diff(pool.load_curve.power_kw(np.array([0.99, 1.0])))[0]) / 0.01
    dearest_class = max(c.value_per_instance_s for c in pool.classes)
    # The secant over the last twentieth of the load is slightly steeper than the last hundredth.
    rejecting = 0.97 * dearest_class * 3600.0 / flattest_kw
    freed_kw = pool.full_kw - pool.drained_kw
    event_h = (problem.event_end_s - problem.event_start_s) / 3600.0
    one_instance = (drain / event_h + readiness) / freed_kw
    assert asked.reserve_per_kwh >= max(rejecting, cap, handoff, one_instance)
    # At full power a kWh of the reserve delivers least.
    rated = battery.loss_linear + 2.0 * battery.loss_quadratic
    delivered = battery.cell_efficiency / (1.0 + rated)
    shortfall = asked.shortfall_per_kwh + asked.firmness_per_kwh
    assert shortfall * delivered >= asked.reserve_per_kwh
    # The contract at the connection point comes before even the earliest shortfall.
    assert asked.overrun_per_kwh >= shortfall * (1.0 + asked.early_shortfall_premium)
