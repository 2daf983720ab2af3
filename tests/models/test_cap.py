"""Power caps: the natural-draw rule, the interval, and its range."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import InputError, RangeError
from ebplan.models.cap import CapModel, capped_power_kw
from ebplan.models.fit.artefacts import CAP_NAME, FLEET_NAME
from ebplan.models.fit.powercap_snapshot import Snapshot, read_snapshot
from ebplan.models.fit.source import DATA, SNAPSHOT_RUN
from ebplan.models.fleet import FleetModel
from ebplan.models.library import load_cap, load_fleet

SNAPSHOT_USERS = float(SNAPSHOT_RUN.rpartition("/")[2])
GPU = "instance,gpu,power_w,cap_w,instance_power_w,running_requests,tok_per_s,req_per_s\n"


@pytest.fixture(scope="module")
def cap() -> CapModel:
    return load_cap(CAP_NAME)


@pytest.fixture(scope="module")
def fleet() -> FleetModel:
    return load_fleet(FLEET_NAME)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return read_snapshot(DATA / "whitepaper_h200nvl_llama70b_powercap_snapshot.csv")[0]


@pytest.fixture(scope="module")
def natural_kw(fleet: FleetModel) -> float:
    """Uncapped power per instance at the load of the snapshot, from the fleet map alone."""
    rate = float(fleet.throughput_req_per_s("medium_input", SNAPSHOT_USERS))
    full = fleet.capacity_req_per_s("medium_input") * fleet.instances_measured
    return float(fleet.load_curve({"medium_input": 1.0}).power_kw(rate / full))


def test_snapshot_power_is_min_of_cap_and_natural_draw(
    snapshot: Snapshot, fleet: FleetModel, natural_kw: float
) -> None:
    predicted_kw = snapshot.predicted_power_kw(natural_kw / fleet.gpus_per_instance)
    assert predicted_kw == pytest.approx(3.614, rel=0.015)
    assert snapshot.power_kw == pytest.approx(3.614)


def test_snapshot_throughput_lies_in_the_interval(
    snapshot: Snapshot, fleet: FleetModel, cap: CapModel, natural_kw: float
) -> None:
    uncapped = float(fleet.throughput_req_per_s("medium_input", SNAPSHOT_USERS))
    low, high = cap.interval(snapshot.power_kw, fleet.instances_measured * natural_kw)
    assert low * uncapped <= snapshot.req_per_s <= high * uncapped
    # An interval that holds everything would say nothing.
    assert high - low < 0.12


def test_snapshot_throughput_is_predicted_from_the_caps_alone(
    snapshot: Snapshot, fleet: FleetModel, cap: CapModel, natural_kw: float
) -> None:
    uncapped = float(fleet.throughput_req_per_s("medium_input", SNAPSHOT_USERS))
    power_kw = snapshot.predicted_power_kw(natural_kw / fleet.gpus_per_instance)
    low, high = cap.interval(power_kw, fleet.instances_measured * natural_kw)
    assert low * uncapped <= snapshot.req_per_s <= high * uncapped


def test_elasticities_are_the_two_readings(cap: CapModel) -> None:
    assert cap.elasticity_low == pytest.approx(0.5, abs=0.05)
    assert cap.elasticity_high == pytest.approx(1.1, abs=0.05)


def test_the_planner_gets_the_cautious_end(cap: CapModel) -> None:
    curve = cap.curve(0.98, 0.80)
    low, high = cap.interval(0.85, 0.98)
    assert curve.elasticity == cap.elasticity_high
    assert low < float(curve.capacity(0.85)) < high


@pytest.mark.parametrize("full_kw", [0.98, 1.0, 1.12])
def test_curve_is_increasing_and_concave(cap: CapModel, full_kw: float) -> None:
    p = np.linspace(0.8, full_kw, 50)
    steps = np.diff(cap.curve(full_kw, 0.8).capacity(p))
    assert (steps > 0.0).all()
    assert (np.diff(steps) <= 1e-12).all()
    assert float(cap.curve(full_kw, 0.8).capacity(full_kw)) == pytest.approx(1.0)


def test_a_cap_above_the_natural_draw_does_nothing(cap: CapModel) -> None:
    assert float(capped_power_kw(1.2, 0.98)) == 0.98
    assert cap.interval(1.2, 0.98) == cap.interval(0.98, 0.98)


def test_the_interval_never_goes_below_zero(cap: CapModel) -> None:
    assert cap.interval(0.001, 1.0)[0] == 0.0


@pytest.mark.parametrize("watts", [399.0, 501.0, math.nan])
def test_caps_outside_the_snapshot_are_refused(cap: CapModel, watts: float) -> None:
    with pytest.raises(RangeError, match=r"allowed: 0\.4\.\.0\.5"):
        cap.check_cap(watts / 1e3)


def test_extrapolation_must_be_asked_for(cap: CapModel) -> None:
    with pytest.raises(RangeError):
        cap.curve(0.98, 0.4)
    assert cap.curve(0.98, 0.4, allow_extrapolation=True).floor_kw == 0.4
    with pytest.raises(RangeError):
        cap.check_cap(math.nan, allow_extrapolation=True)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("i,0,400,450,800,9,90,\n", "line 2.req_per_s"),
        ("i,0,400,450,800,9,90,3\ni,0,400,450,800,9,90,3\n", "each GPU once"),
        ("i,0,400,450,800,9,90,3\ni,1,400,450,800,9,90,4\n", "the same instance values"),
    ],
)
def test_a_bad_snapshot_is_refused(tmp_path: Path, lines: str, says: str) -> None:
    path = tmp_path / "snapshot.csv"
    path.write_text(GPU + lines)
    with pytest.raises(InputError, match=says):
        read_snapshot(path)


def test_readings_in_the_wrong_order_are_refused(cap: CapModel) -> None:
    data = cap.model_dump() | {"elasticity_low": 1.2}
    with pytest.raises(InputError, match="exchange the two"):
        CapModel.parse(data)
