"""``ebplan settle baseline`` on the example history."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan import cli
from ebplan.settlement.baseline_report import BaselineReport
from ebplan.settlement.delivery import Delivery
from ebplan.settlement.grid_report import GridReport
from ebplan.settlement.meter_file import read_meter

SETTLE = Path(__file__).parents[2] / "examples" / "settle"
HISTORY, EVENT = SETTLE / "history.csv", SETTLE / "event.json"
WHEN = ("--start", "2026-06-25T17:00:00+09:00", "--duration", 7200)


def baseline(*arguments: object) -> Result:
    words = ["settle", "baseline", *(str(argument) for argument in arguments)]
    result = CliRunner().invoke(cli.main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_table_has_every_rule_its_errors_and_the_nearest() -> None:
    done = baseline(HISTORY, "--event", EVENT, "--notice", "3h")
    assert done.exit_code == 0
    for rule in ("last_value:30", "high_4_of_5", "high_4_of_5_unadjusted", "regression"):
        assert rule in done.output
    assert "the nearest rule" in " ".join(done.output.split())
    assert "18:30" in done.output


def test_json_is_the_report_and_start_and_duration_are_the_event() -> None:
    by_event = baseline(HISTORY, "--event", EVENT, "--json").output
    by_time = baseline(HISTORY, *WHEN, "--json").output
    assert by_event == by_time
    report = BaselineReport.parse(by_event.encode())
    assert report.best == report.rule == "regression:requests_per_s,time_of_day"
    assert len(report.baseline_kw) == 4
    assert {one.errors.days for one in report.results if one.errors} == {19}


def test_the_event_released_what_it_was_made_to() -> None:
    """The example released 150 kW: within three errors of the mean over an event."""
    report = BaselineReport.parse(baseline(HISTORY, *WHEN, "--json").output.encode())
    meter = read_meter(HISTORY).between(*(report.baseline().start, report.baseline().end))
    for one in report.results:
        assert one.errors is not None
        assert one.mean_kw is not None
        released_kw = one.mean_kw - float(meter.grid_kw.mean())
        assert abs(released_kw - 150.0) < 3.0 * one.errors.level_rmse_kw


def test_one_rule_is_taken_and_says_its_days() -> None:
    done = baseline(HISTORY, *WHEN, "--rule", "high_4_of_5", "--exclude-day", "2026-06-24")
    assert "from the days 2026-06-22, 2026-06-19" in done.output
    assert "without 2026-06-24: named as left out" in done.output


def test_csv_reaches_around_the_event_and_the_figure_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, figure = tmp_path / "baseline.csv", tmp_path / "baseline.png"
    done = baseline(HISTORY, *WHEN, "--around", "1h", "-o", table, "--plot", figure)
    assert done.exit_code == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "begins_at,baseline_kw"
    assert len(lines) == 1 + 8
    assert lines[1].startswith("2026-06-25T16:00:00+09:00,")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_is_written_goes_on_to_a_delivery_and_a_report(tmp_path: Path) -> None:
    """The chain of docs/baselines.md."""
    table = tmp_path / "baseline.csv"
    done = baseline(HISTORY, "--event", EVENT, "--notice", "3h", "-o", table)
    assert done.exit_code == 0
    assert len(table.read_text().splitlines()) == 1 + 8
    asked = (HISTORY, "--event", EVENT, "--baseline", table)
    words = ["settle", "delivery", *map(str, asked), "--baseline-error", "15.4", "--json"]
    found = Delivery.parse(CliRunner().invoke(cli.main, words).stdout.encode())
    assert found.depth_kw is not None
    assert found.depth_kw.low is not None
    assert found.depth_kw.high is not None
    assert found.depth_kw.low < 150.0 < found.depth_kw.high
    words = ["settle", "report", *map(str, asked), "--resource", "site-1"]
    report = GridReport.parse(CliRunner().invoke(cli.main, words).stdout.encode())
    inside = [i.delivered_kw for i in report.intervals[2:6]]
    assert sum(kw or 0.0 for kw in inside) / 4.0 == pytest.approx(-(found.depth_kw.value or 0.0))


def test_where_nothing_is_known_after_the_event_its_baseline_is_written_alone(
    tmp_path: Path,
) -> None:
    rows = HISTORY.read_text().splitlines()
    last = next(i for i, row in enumerate(rows) if row.startswith("2026-06-25T19:00"))
    (tmp_path / "cut.csv").write_text("\n".join(rows[:last]) + "\n")
    table = tmp_path / "baseline.csv"
    done = baseline(tmp_path / "cut.csv", "--event", EVENT, "--rule", "regression", "-o", table)
    assert done.exit_code == 0
    assert "the event alone" in done.stderr
    assert len(table.read_text().splitlines()) == 1 + 4


def test_a_history_in_another_unit_is_named(tmp_path: Path) -> None:
    head, *rows = HISTORY.read_text().splitlines()
    parts = [row.split(",") for row in rows]
    small = [f"{at},{float(kw) / 1000.0},{load}" for at, kw, load in parts]
    (tmp_path / "mw.csv").write_text("\n".join([head, *small]) + "\n")
    done = baseline(tmp_path / "mw.csv", "--event", EVENT)
    assert done.exit_code == 2
    assert 'unit = "MW"' in done.output


@pytest.mark.parametrize("length", ["2h", "120min", "7200s", "7200"])
def test_a_duration_has_the_units_of_an_offer(length: str) -> None:
    done = baseline(HISTORY, WHEN[0], WHEN[1], "--duration", length, "--json")
    assert BaselineReport.parse(done.output.encode()).duration_s == 7200.0


@pytest.mark.parametrize("length", ["two", "-1h", "nan", "1d", ""])
def test_what_is_no_duration_is_refused(length: str) -> None:
    done = baseline(HISTORY, WHEN[0], WHEN[1], "--duration", length)
    assert done.exit_code == 2
    assert "allowed: a duration, e.g. 10s, 30min, 4h" in done.output


def test_an_event_to_come_is_drawn_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    when = ("--start", "2026-06-29T17:00:00+09:00", "--duration", 5400)
    figure = tmp_path / "baseline.svg"
    rule = ("--rule", "high_4_of_5_unadjusted", "--rule", "fixed:800")
    assert baseline(HISTORY, *when, *rule, "--plot", figure).exit_code == 0
    done = baseline(HISTORY, *when)
    assert "high_4_of_5: no baseline: a gap between 2026-06-29 12:00:00" in " ".join(
        done.output.split()
    )
    assert "the nearest of those with a baseline" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "either --event, or --start and --duration"),
        (("--start", "2026-06-25T17:00:00+09:00"), "go together"),
        (("--start", "noon", "--duration", 60), "ISO 8601"),
        (("--start", "2026-06-25T17:00:00", "--duration", 60), "add the UTC offset"),
        ((*WHEN, "--rule", "median"), "last_value[:MINUTES]"),
        ((*WHEN, "--rule", "regression", "--column", "heat"), "grid_kw, requests_per_s"),
        ((*WHEN, "--exclude-day", "24 June"), "YYYY-MM-DD"),
        ((*WHEN, "--zone", "Tokio"), "Asia/Tokyo"),
        ((*WHEN, "--plot", "baseline.gif"), ".png"),
        ((*WHEN, "--event", EVENT), "either --event, or --start and --duration"),
        (("--event", HISTORY), "JSON"),
        (
            ("--start", "2026-06-25T08:00:00+00:00", "--duration", 7200, "--rule", "high_4_of_5"),
            "--zone",
        ),
    ],
)
def test_what_cannot_be_settled_is_one_line(arguments: tuple[object, ...], told: str) -> None:
    done = baseline(HISTORY, *arguments)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_the_history_is_what_its_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("make_history", SETTLE / "make_history.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert HISTORY.read_text().splitlines() == module.rows()


def test_the_report_has_a_schema() -> None:
    done = CliRunner().invoke(cli.main, ["schema", "baseline"])
    assert "adjustment_kw" in json.loads(done.output)["properties"]
