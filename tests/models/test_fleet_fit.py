"""The fleet map: fit quality, the rule for outliers, and what a bad table says."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.models.fit.build import Description, fleet_model
from ebplan.models.fit.fleet_map import (
    EXPONENT_SPREAD,
    fit_fleet,
    fit_map,
    leave_one_out,
    little_in_flight,
)
from ebplan.models.fit.fleet_runs import FleetSpec, Run, parse_runs, read_runs
from ebplan.models.fit.source import DATA, SPEC, Source, read_source
from ebplan.models.fleet import FleetModel

pytestmark = pytest.mark.slow

HEAD = "shape,concurrent_users,fleet_power_w,req_per_s\n"
ORIGINALS = {
    "fleet_map": "e52673b24d442dc00317fc9ced905b704c535f2ba83b5d341308fd59c9f15998",
    "powercap_snapshot": "52741cdb5853f3c085eea50f5ba311c323636f138750022efc4fff6253a72479",
}
"""SHA-256 of the whitepaper's tables as they were published to us."""
USERS = (16, 32, 64, 128, 256)
CLEAN_SPEC = FleetSpec(
    workloads={"a": ("a",), "b": ("b",)},
    smooth=frozenset(),
    instances=2,
    gpus_per_instance=1,
    idle_w_per_gpu=100.0,
)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source()


def clean_runs(noise: float = 0.002, seed: int = 1) -> list[Run]:
    """Runs made by the model itself: limit 90, service times 1 and 2 s, exponents .1 and .15."""
    rng = np.random.default_rng(seed)
    runs = []
    for shape, time_s, peak_kw, exponent in (("a", 1.0, 1.0, 0.10), ("b", 2.0, 0.8, 0.15)):
        for users in USERS:
            u = min(users, 90.0) / 90.0
            wiggle = 1.0 + noise * rng.standard_normal(2)
            power_kw = (0.2 + (peak_kw - 0.2) * u**exponent) * wiggle[0]
            runs.append(Run(shape, float(users), power_kw, min(users, 90.0) / time_s * wiggle[1]))
    return runs


def test_left_out_runs_are_predicted_within_the_stated_limits(source: Source) -> None:
    power, throughput = np.abs(source.fitted.deleted_errors).mean(axis=0)
    assert power <= 0.01
    assert throughput <= 0.02


def test_leave_one_out_really_refits(source: Source) -> None:
    runs = list(source.fitted.runs)
    i = next(i for i, run in enumerate(runs) if run.name == "long_in_short_out/32")
    power_kw, req_per_s = fit_fleet(runs[:i] + runs[i + 1 :], SPEC).predict(runs[i].shape, 32)
    expected = (power_kw / runs[i].power_kw - 1.0, req_per_s / runs[i].req_per_s - 1.0)
    assert source.fitted.deleted_errors[i] == pytest.approx(expected)
    assert not np.allclose(source.fitted.fit.relative_errors(runs)[i], expected, rtol=1e-2)


def test_the_rule_finds_the_one_run_off_its_line(source: Source) -> None:
    assert [outlier.run.name for outlier in source.fitted.outliers] == ["medium_in_short_out/32"]


def test_the_outlier_would_spoil_the_fit(source: Source) -> None:
    with_it = np.abs(leave_one_out(source.all_runs, SPEC)[:, 1]).mean()
    assert with_it > 2.0 * np.abs(source.fitted.deleted_errors[:, 1]).mean()


def test_littles_law_agrees_with_the_fitted_limit(source: Source) -> None:
    limit = source.fitted.fit.throughput.limit * SPEC.instances
    flights = little_in_flight(source.fitted.runs, SPEC, limit)
    assert flights == pytest.approx([limit] * len(flights), rel=0.02)
    assert source.snapshot.running == pytest.approx(limit, rel=0.02)


def test_text_and_table_are_compared_on_import(source: Source) -> None:
    highest_w = max(run.power_kw for run in source.all_runs) * 1e3
    assert highest_w > source.said["fleet_power_high"]
    assert min(run.power_kw for run in source.all_runs) * 1e3 == pytest.approx(
        source.said["fleet_power_low"]
    )


def test_known_parameters_come_back() -> None:
    fit = fit_fleet(clean_runs(noise=0.0), CLEAN_SPEC)
    assert fit.throughput.limit == pytest.approx(45.0, rel=1e-6)
    assert fit.throughput.roofs["a"].service_time_s == pytest.approx(1.0, rel=1e-6)
    assert fit.throughput.roofs["b"].service_time_s == pytest.approx(2.0, rel=1e-6)
    # Partial pooling draws the exponents together by a small part of their spread.
    assert fit.power["a"].exponent == pytest.approx(0.10, abs=0.1 * EXPONENT_SPREAD)
    assert fit.power["b"].exponent == pytest.approx(0.15, abs=0.1 * EXPONENT_SPREAD)


@pytest.mark.parametrize("seed", range(5))
def test_clean_runs_are_left_alone(seed: int) -> None:
    assert fit_map(clean_runs(seed=seed), CLEAN_SPEC).outliers == ()


@pytest.mark.parametrize("victim", range(2 * len(USERS)))
def test_a_planted_throughput_outlier_is_found(victim: int) -> None:
    runs = clean_runs()
    runs[victim] = runs[victim]._replace(req_per_s=0.7 * runs[victim].req_per_s)
    assert [o.run for o in fit_map(runs, CLEAN_SPEC).outliers] == [runs[victim]]


@pytest.mark.parametrize("victim", [1, 2, 3, 4, 6, 7, 8, 9])
def test_a_planted_power_outlier_is_found(victim: int) -> None:
    runs = clean_runs()
    runs[victim] = runs[victim]._replace(power_kw=1.12 * runs[victim].power_kw)
    assert [o.run for o in fit_map(runs, CLEAN_SPEC).outliers] == [runs[victim]]


def test_two_planted_outliers_are_found() -> None:
    runs = clean_runs()
    for victim in (1, 8):
        runs[victim] = runs[victim]._replace(req_per_s=0.7 * runs[victim].req_per_s)
    assert {o.run for o in fit_map(runs, CLEAN_SPEC).outliers} == {runs[1], runs[8]}


def test_the_order_of_the_runs_does_not_matter(source: Source) -> None:
    again = fit_map(source.all_runs[::-1], SPEC)
    assert [o.run for o in again.outliers] == [o.run for o in source.fitted.outliers]
    assert again.deleted_errors[::-1] == pytest.approx(source.fitted.deleted_errors, abs=1e-6)


def test_any_table_of_runs_becomes_a_fleet_model(tmp_path: Path) -> None:
    lines = (f"{r.shape},{r.users},{1e3 * r.power_kw},{r.req_per_s}\n" for r in clean_runs())
    (tmp_path / "runs.csv").write_text(HEAD + "".join(lines))
    runs, table = read_runs(tmp_path / "runs.csv")
    about = Description(
        name="mine",
        title="My fleet",
        hardware="2 GPUs",
        model="a model",
        source="my own runs",
        measurement_point="node",
        measurement_note="Server input, by the management controller.",
        tokens_out_per_request={"a": 100.0},
    )
    model = fleet_model(about, fit_map(runs, CLEAN_SPEC), [table])
    assert model.measurement_point == "node"
    assert model.workloads["a"].tokens_provenance == "measured"
    assert model.capacity_req_per_s("a") == pytest.approx(45.0, rel=0.01)
    assert FleetModel.parse(model.to_json().encode()) == model


def test_runs_that_never_saturate_are_refused() -> None:
    runs = [Run(s, float(c), 0.5 + 0.001 * c, c / 2.0) for s in "ab" for c in (8, 16, 32)]
    with pytest.raises(InputError, match="higher concurrency"):
        fit_fleet(runs, CLEAN_SPEC)


def test_a_wrong_grouping_is_refused() -> None:
    spec = replace(CLEAN_SPEC, workloads={"both": ("a", "b")})
    with pytest.raises(InputError, match=r"grouping|usable runs"):
        fit_map(clean_runs(), spec)


def test_power_below_the_assumed_idle_power_is_refused() -> None:
    with pytest.raises(InputError, match="idle power"):
        fit_map(clean_runs(), replace(CLEAN_SPEC, idle_w_per_gpu=900.0))


def test_a_shape_without_workload_is_refused() -> None:
    with pytest.raises(InputError, match="assign the shape"):
        fit_map([*clean_runs(), Run("c", 1.0, 1.0, 1.0)], CLEAN_SPEC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "a,32,nan,1\n", "line 2.fleet_power_w: got 'nan'"),
        (HEAD + "a,32,inf,1\n", "line 2.fleet_power_w: got 'inf'"),
        (HEAD + "a,32,-5,1\n", "line 2.fleet_power_w: got '-5'"),
        (HEAD + "a,32,500,0\n", "line 2.req_per_s: got '0'"),
        (HEAD + "a,32,500,many\n", "line 2.req_per_s: got 'many'"),
        (HEAD + "a,32,500,\n", "line 2.req_per_s: got 'nothing'"),
        (HEAD + ",32,500,1\n", "line 2.shape: got 'nothing'"),
        (HEAD + "a,32,500\n", "line 2: got 'a,32,500'; allowed: 4 cells"),
        (HEAD + "a,32,500,1\n\na,32.0,501,1\n", "it is on line 2 already"),
        (HEAD, "got 'no rows'"),
        ("", "add the column shape"),
        ("shape,concurrent_users,req_per_s\na,1,1\n", "add the column fleet_power_w"),
        (HEAD.replace("shape", "shape,shape", 1) + "a,a,1,1,1\n", "repeated column"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_runs(text, file="runs.csv")
    assert str(caught.value).startswith("runs.csv: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_watts_become_kilowatts_at_the_door_and_layout_does_not_matter() -> None:
    runs, table = parse_runs(HEAD + "a,32,500,1\n", file="runs.csv")
    again, other = parse_runs(HEAD.replace(",", ", ") + "a, 32 ,500,1\r\n\r\n", file="runs.csv")
    assert runs == again == (Run("a", 32.0, 0.5, 1.0),)
    assert table.sha256 == other.sha256


@pytest.mark.parametrize("name", ORIGINALS)
def test_packaged_tables_are_the_originals(name: str) -> None:
    packaged = (DATA / f"whitepaper_h200nvl_llama70b_{name}.csv").read_bytes()
    assert sha256(packaged).hexdigest() == ORIGINALS[name]
