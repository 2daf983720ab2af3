"""The fleet model: what the planner asks it, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ebplan.errors import InputError, RangeError
from ebplan.models.fit.artefacts import FLEET_NAME
from ebplan.models.fit.source import Source, read_source
from ebplan.models.fleet import FleetModel
from ebplan.models.library import load_fleet

MIXES = (
    {"short_input": 1.0},
    {"medium_input": 1.0},
    {"long_input": 1.0},
    {"short_input": 0.5, "medium_input": 0.3, "long_input": 0.2},
)


@pytest.fixture(scope="module")
def fleet() -> FleetModel:
    return load_fleet(FLEET_NAME)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source()


def test_model_and_fit_predict_the_same(fleet: FleetModel, source: Source) -> None:
    for run in source.all_runs:
        name = source.spec.workload_of(run.shape)
        power_kw, req_per_s = source.fitted.fit.predict(run.shape, run.users)
        rate = float(fleet.throughput_req_per_s(name, run.users))
        u = rate / fleet.instances_measured / fleet.capacity_req_per_s(name)
        curve = fleet.load_curve({name: 1.0})
        assert rate == pytest.approx(req_per_s, rel=1e-6)
        assert fleet.instances_measured * float(curve.power_kw(u)) == pytest.approx(
            power_kw, rel=1e-6
        )


def test_every_used_run_is_met(fleet: FleetModel, source: Source) -> None:
    """Within 2 % of power; within 1 % of throughput, and 6 % for the noisy long input."""
    for run in source.fitted.runs:
        name = source.spec.workload_of(run.shape)
        rate = float(fleet.throughput_req_per_s(name, run.users))
        u = rate / fleet.instances_measured / fleet.capacity_req_per_s(name)
        power_kw = fleet.instances_measured * float(fleet.load_curve({name: 1.0}).power_kw(u))
        assert power_kw == pytest.approx(run.power_kw, rel=0.02)
        assert rate == pytest.approx(run.req_per_s, rel=0.06 if name == "long_input" else 0.015)


@pytest.mark.parametrize("mix", MIXES)
def test_load_curve_is_increasing_concave_and_meets_its_ends(
    fleet: FleetModel, mix: dict[str, float]
) -> None:
    curve = fleet.load_curve(mix)
    power_kw = curve.power_kw(np.linspace(0.0, 1.0, 201))
    steps = np.diff(power_kw)
    assert (steps > 0.0).all()
    assert (np.diff(steps) <= 1e-12).all()
    assert power_kw[0] == pytest.approx(fleet.idle_kw)
    full_kw = sum(share * fleet.workloads[name].saturated_kw for name, share in mix.items())
    assert power_kw[-1] == pytest.approx(full_kw)


def test_a_blend_lies_between_its_workloads(fleet: FleetModel) -> None:
    u = np.linspace(0.05, 1.0, 20)
    low, high = (fleet.load_curve({n: 1.0}).power_kw(u) for n in ("short_input", "long_input"))
    blend = fleet.load_curve({"short_input": 0.5, "long_input": 0.5}).power_kw(u)
    assert (low < blend).all()
    assert (blend < high).all()


def test_one_request_is_one_over_the_limit(fleet: FleetModel) -> None:
    curve = fleet.load_curve({"short_input": 1.0})
    assert curve.one_request_utilisation == pytest.approx(1 / fleet.concurrency_limit_per_instance)
    assert fleet.concurrency_limit_per_instance == pytest.approx(24.0, rel=0.02)


@pytest.mark.parametrize("name", ["short_input", "medium_input", "long_input"])
def test_throughput_grows_to_capacity_and_stays(fleet: FleetModel, name: str) -> None:
    rate = fleet.throughput_req_per_s(name, np.linspace(1.0, 400.0, 400))
    assert rate.shape == (400,)
    assert (np.diff(rate) >= 0.0).all()
    assert rate[-1] == rate[128]
    assert rate[-1] == pytest.approx(4 * fleet.capacity_req_per_s(name), rel=1e-6)


@pytest.mark.parametrize(
    "ask",
    [
        lambda fleet: fleet.capacity_req_per_s("chat"),
        lambda fleet: fleet.throughput_req_per_s("chat", 8),
        lambda fleet: fleet.load_curve({"chat": 1.0}),
        lambda fleet: fleet.check_utilisation(0.5, workload="chat"),
    ],
)
def test_unknown_workloads_are_refused_and_the_known_named(
    fleet: FleetModel, ask: Callable[[FleetModel], object]
) -> None:
    with pytest.raises(InputError, match="allowed: short_input, medium_input, long_input"):
        ask(fleet)


@pytest.mark.parametrize(
    "mix",
    [
        {},
        {"short_input": 0.9},
        {"short_input": 1.5, "long_input": -0.5},
        {"short_input": math.nan},
    ],
)
def test_shares_that_are_none_are_refused(fleet: FleetModel, mix: dict[str, float]) -> None:
    with pytest.raises(InputError):
        fleet.load_curve(mix)


@pytest.mark.parametrize("u", [1 / 3, 0.5, 1.0])
def test_covered_utilisation_passes(fleet: FleetModel, u: float) -> None:
    fleet.check_utilisation(u)


@pytest.mark.parametrize("u", [-0.1, 0.0, 0.33, 1.01, math.nan])
def test_uncovered_utilisation_is_refused(fleet: FleetModel, u: float) -> None:
    with pytest.raises(RangeError, match="extrapolation"):
        fleet.check_utilisation(u)


def test_extrapolation_reaches_down_but_not_above_saturation(fleet: FleetModel) -> None:
    fleet.check_utilisation(0.0, allow_extrapolation=True)
    with pytest.raises(RangeError):
        fleet.check_utilisation(1.2, allow_extrapolation=True)


def test_a_workload_is_covered_by_its_own_used_runs_only(fleet: FleetModel) -> None:
    fleet.check_utilisation(0.5)
    with pytest.raises(RangeError):
        fleet.check_utilisation(0.5, workload="medium_input")


def test_labels_cover_all_shapes_once(fleet: FleetModel, source: Source) -> None:
    labels = [label for workload in fleet.workloads.values() for label in workload.labels]
    assert sorted(labels) == sorted({run.shape for run in source.all_runs})


def test_tokens_are_known_only_where_measured(fleet: FleetModel) -> None:
    tokens = {name: w.tokens_out_per_request for name, w in fleet.workloads.items()}
    assert tokens["medium_input"] == pytest.approx(31.5, abs=0.1)
    assert tokens["short_input"] is None
    assert tokens["long_input"] is None


def test_a_busy_instance_below_idle_is_refused(fleet: FleetModel) -> None:
    with pytest.raises(InputError, match="saturated_kw"):
        FleetModel.parse(fleet.model_dump() | {"idle_kw": 1.0})
