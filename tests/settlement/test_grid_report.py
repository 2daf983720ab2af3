"""Reports to the grid: what was metered, planned and is missing, interval by interval."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from responses import BASE_KW, BEFORE_S, START, response

from ebplan import Plan, Planner, load_case
from ebplan.errors import InputError
from ebplan.settlement.grid_report import Available, GridReport, build_report
from ebplan.settlement.reference import reference
from ebplan.settlement.series import MeterSeries
from ebplan.state import State

EXAMPLES = Path(__file__).parents[2] / "examples"
RELEASE = Available(direction="release", kw=15.0, duration_s=3600.0, confidence=0.95)
ABSORB = Available(
    direction="absorb",
    kw=5.0,
    duration_s=600.0,
    confidence=0.99,
    end=START + timedelta(minutes=10),
)


@cache
def plan_and_state() -> tuple[Plan, State]:
    case = load_case(EXAMPLES / "demand_response.json")
    return Planner(case.site).plan(case.event, case.state), case.state


def metered(
    *,
    without: slice | NDArray[np.intp] | None = None,
    available: tuple[Available, ...] = (),
    assumed: tuple[str, ...] = (),
) -> GridReport:
    meter = response()
    if without is not None:
        keep = np.ones(len(meter), dtype=bool)
        keep[without] = False
        meter = MeterSeries(
            start=meter.moment(float(meter.time_s[keep][0])),
            interval_s=1.0,
            time_s=meter.time_s[keep] - meter.time_s[keep][0],
            values={"grid_kw": meter.grid_kw[keep]},
        )
    return build_report(
        resource="by-hand",
        at=START,
        interval_s=300.0,
        meter=meter,
        baseline=reference(meter, meter.seconds(START)),
        available=available,
        assumed=assumed,
    )


def test_what_was_metered_is_told_on_the_clock() -> None:
    report = metered()
    assert [i.start.minute for i in report.intervals[:3]] == [50, 55, 0]
    assert len(report.intervals) == 8
    assert report.intervals[0].delivered_kw == pytest.approx(0.0, abs=1e-9)
    assert report.intervals[3].delivered_kw == pytest.approx(-20.0)
    assert report.intervals[3].baseline_kw == pytest.approx(BASE_KW)
    assert {i.flags for i in report.intervals} == {("metered",)}
    change_kwh = sum(i.delivered_kw or 0.0 for i in report.intervals) * 300.0 / 3600.0
    assert change_kwh == pytest.approx(-20.0 * (1200.0 - 15.0) / 3600.0)


def test_what_was_not_metered_is_flagged() -> None:
    report = metered(without=slice(610, 1250))
    flags = [i.flags for i in report.intervals]
    assert flags == [
        ("metered",),
        ("metered",),
        ("partly_metered",),
        ("missing",),
        ("partly_metered",),
        ("metered",),
        ("metered",),
        ("metered",),
    ]
    assert report.intervals[3].delivered_kw is None


def test_an_interval_that_the_series_begins_or_ends_in_is_partly_metered() -> None:
    end = len(response())
    report = metered(without=np.r_[0:100, end - 100 : end])
    flags = [i.flags for i in report.intervals]
    assert flags == [("partly_metered",), *[("metered",)] * 6, ("partly_metered",)]
    assert report.intervals[-1].grid_kw == pytest.approx(BASE_KW)


def test_what_is_available_counts_from_the_report_on() -> None:
    report = metered(available=(RELEASE, ABSORB))
    told = [[one.direction for one in i.available] for i in report.intervals]
    assert told == [[], [], *[["release", "absorb"]] * 2, *[["release"]] * 4]


def test_what_is_planned_is_told_with_what_is_stored() -> None:
    plan, state = plan_and_state()
    report = build_report(
        resource="bench",
        at=state.at,
        interval_s=1800.0,
        plan=plan,
        state=state,
        available=(RELEASE,),
        capacity_kwh=6.0,
    )
    inside = report.intervals[1]
    assert inside.flags == ("planned",)
    assert inside.planned_kw == pytest.approx(-1.6, abs=0.05)
    assert inside.delivered_kw is None
    assert inside.soc is not None
    assert inside.energy_kwh == pytest.approx(6.0 * inside.soc)
    assert report.baseline_rule == "as planned"


def test_a_report_is_read_back_and_its_schema_is_json(tmp_path: Path) -> None:
    report = metered(available=(RELEASE, ABSORB), assumed=("the battery rests",))
    assert GridReport.parse(report.to_json().encode()) == report
    assert json.loads(json.dumps(GridReport.model_json_schema()))["title"] == "GridReport"


def test_what_does_not_fit_is_refused() -> None:
    plan, _ = plan_and_state()
    with pytest.raises(InputError, match="a plan, or both"):
        build_report(resource="x", at=START, interval_s=60.0)
    meter = response()
    inner = MeterSeries(
        start=meter.start,
        interval_s=1.0,
        time_s=meter.time_s,
        values=meter.values,
        measurement_point="ac",
    )
    with pytest.raises(InputError, match="not mixed"):
        build_report(
            resource="x",
            at=START,
            interval_s=60.0,
            meter=inner,
            baseline=reference(inner, BEFORE_S),
            plan=plan,
        )
    told = json.loads(metered().to_json())
    del told["intervals"][2]
    with pytest.raises(InputError, match=r"intervals\.2\.start"):
        GridReport.parse(told)
    with pytest.raises(InputError, match="start"):
        Available.parse(
            {
                "direction": "release",
                "kw": 1.0,
                "duration_s": 1.0,
                "confidence": 0.9,
                "start": "2026-06-01T12:00:00+09:00",
                "end": "2026-06-01T11:00:00+09:00",
            }
        )
