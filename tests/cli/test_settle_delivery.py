"""``ebplan settle delivery``, ``prequalify`` and ``report`` on the examples."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan import cli
from ebplan.document import read_json
from ebplan.report.pack_summary import pack_words
from ebplan.settlement.delivery import Delivery
from ebplan.settlement.extract import Extracted
from ebplan.settlement.grid_report import GridReport
from ebplan.settlement.pack import Pack

pytestmark = pytest.mark.slow

SETTLE = Path(__file__).parents[2] / "examples" / "settle"
METER, EVENT, PLAN = (SETTLE / n for n in ("meter.csv", "meter_event.json", "meter_plan.json"))
PRODUCT = SETTLE / "both_ways.toml"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def settle(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.main, ["settle", *(str(a) for a in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def delivered(*more: object) -> Result:
    return settle("delivery", METER, "--event", EVENT, "--simulated", *more)


def test_a_delivery_is_printed_judged_written_and_drawn(tmp_path: Path) -> None:
    done = delivered(
        "--plan", PLAN, "--service", PRODUCT, "-o", "found.json", "--plot", "found.png"
    )
    assert done.exit_code == 0, done.output
    for told in (
        "pass by both_ways",
        "(SIMULATED)",
        "own meter",
        "attributed by the plan",
        "≤ 10 s",
    ):
        assert told in done.output
    found = Delivery.parse(read_json(tmp_path / "found.json"))
    assert found.verdict == "pass"
    assert (tmp_path / "found.png").stat().st_size > 10_000


def test_the_result_is_printed_as_json() -> None:
    found = Delivery.parse(delivered("--json").stdout.encode())
    assert found.service is None
    assert found.depth_kw is not None
    assert found.depth_kw.value == pytest.approx(1.0, abs=0.05)


def test_what_a_product_lacks_is_named_and_may_be_supplied() -> None:
    done = delivered("--service", "jp_rr")
    assert "no verdict by jp_rr: supply" in done.output
    assert "Supply tolerance.under: " in done.output
    some = ("tolerance.under=0.1", "tolerance.share_outside=0.05")
    sets = [part for fact in some for part in ("--set", fact)]
    assert "tolerance.under" not in delivered("--service", "jp_rr", *sets).output


def test_a_baseline_is_a_rule_or_a_file(tmp_path: Path) -> None:
    by_rule = Delivery.parse(delivered("--json", "--baseline", "last_value:1").stdout.encode())
    assert by_rule.baseline == "last_value:1"
    fixed = Delivery.parse(delivered("--json", "--baseline", "fixed:5.0").stdout.encode())
    assert (fixed.baseline_kw, fixed.baseline_error_kw) == (5.0, 0.0)
    (tmp_path / "base.csv").write_text(
        "begins_at,baseline_kw\n2026-06-01T12:00:00+09:00,4.9\n2026-06-01T12:15:00+09:00,4.9\n"
    )
    told = delivered("--json", "--baseline", "base.csv", "--baseline-error", "0.2")
    from_file = Delivery.parse(told.stdout.encode())
    assert (from_file.baseline, from_file.baseline_error_kw) == ("base.csv", 0.2)
    assert from_file.baseline_kw == pytest.approx(4.9)


def history(folder: Path) -> tuple[Path, Path]:
    """Write twelve days of 111 kW with 40 kW less from 17:00 to 19:00 on the last five workdays."""
    start, rows = datetime.fromisoformat("2026-06-01T00:00:00+09:00"), ["begins_at,grid_kw"]
    for i in range(12 * 48):
        at = start + timedelta(minutes=30 * i)
        called = at.day >= 8 and at.hour in (17, 18)
        rows.append(f"{at.isoformat()},{71.0 if called else 111.0 + 0.01 * (i % 2)}")
    (folder / "days.csv").write_text("\n".join(rows) + "\n")
    event = {
        "id": "friday",
        "type": "demand_response",
        "start": "2026-06-12T17:00:00+09:00",
        "duration_s": 7200.0,
        "target": {"delta_kw": -40.0},
    }
    (folder / "friday.json").write_text(json.dumps(event))
    return folder / "days.csv", folder / "friday.json"


def test_days_of_other_events_and_holidays_are_named(tmp_path: Path) -> None:
    meter, event = history(tmp_path)
    asked = ("delivery", meter, "--event", event, "--baseline", "high_4_of_5_unadjusted")

    def found(*more: object) -> float:
        return Delivery.parse(settle(*asked, "--json", *more).stdout.encode()).baseline_kw

    assert found() == pytest.approx(81.0, abs=0.1)
    gone = [part for day in (8, 9, 10, 11) for part in ("--exclude-day", f"2026-06-{day:02d}")]
    assert found(*gone) == pytest.approx(111.0, abs=0.1)
    (tmp_path / "off.txt").write_text("".join(f"2026-06-{day:02d}\n" for day in (8, 9, 10, 11)))
    assert found("--holidays", tmp_path / "off.txt") == pytest.approx(111.0, abs=0.1)
    told = settle(
        *("report", meter, "--event", event, "--resource", "x", "--baseline", "last_value"),
        *("--exclude-day", "yesterday"),
    )
    assert "--exclude-day: got 'yesterday'" in told.output


def test_without_an_event_it_is_extracted() -> None:
    done = settle("delivery", METER, "--simulated", "--plot", "found.png")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("SIMULATED: the draw fell from 5.0 kW by 1.0 kW")
    found = Extracted.parse(settle("delivery", METER, "--json").stdout.encode())
    assert found.direction == "release"
    assert found.hold_s.value == pytest.approx(300.0, abs=2.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--plan", PLAN), "--plan needs --event"),
        (("--exclude-day", "2026-06-01"), "--exclude-day needs --event"),
        (("--set", "sustain_s=3"), "name it with --service"),
        (("--event", EVENT, "--service", "nowhere"), "a built-in service"),
        (("--event", EVENT, "--baseline", "weather"), "weather"),
        (("--start", "noon"), "--start: got 'noon'"),
        (("--plot", "found.gif"), "found.gif"),
        (("-o", "nowhere/found.json"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[object, ...], told: str) -> None:
    done = settle("delivery", METER, *arguments)
    assert done.exit_code == 2
    assert told in done.output


def test_a_prequalification_is_simulated_and_goes_on_where_it_was(tmp_path: Path) -> None:
    asked = ("prequalify", SETTLE / "prequalification.toml", "-o", "pack", "--simulate")
    done = settle(*asked, "powerd-lab-phase-a")
    assert done.exit_code == 0, done.output
    # the initial delay passes within the errors of measurement alone
    assert "SIMULATED: powerd-lab-phase-a, both_ways: passed?" in done.output
    assert done.output.count(": pass? (made)") == 8
    folder = tmp_path / "pack"
    pack = Pack.parse(read_json(folder / "pack.json"))
    assert (pack.verdict, pack.simulated, pack.missing) == ("pass", True, ())
    summary = (folder / "README.md").read_text()
    assert "**SIMULATED.**" in summary
    assert "**passed?**, made of" in summary
    assert summary.count("**passed?** |") == 8
    assert "Allowed initial delay: 2 s asked" in summary
    for run in pack.runs:
        stem = f"{run.test}-{run.number}"
        assert f"]({stem}.png)" in summary
        assert (folder / f"{stem}.csv").read_text().startswith("begins_at,grid_kw")
    before = (folder / "pack.json").read_bytes()
    (folder / "ramp-absorb-2.png").unlink()
    again = settle(*asked, "powerd-lab-phase-a")
    assert again.output.count("(as it was)") == 7
    assert (folder / "pack.json").read_bytes() == before


def recorded(folder: Path, *, start: str = "2026-06-01T12:02:00+09:00", kw: float = 1.0) -> Path:
    for file in (METER, PRODUCT):
        shutil.copy(file, folder)
    path = folder / "pack.toml"
    path.write_text(
        'kind = "prequalification"\nresource = "site-1"\nservice = "both_ways.toml"\n'
        '[[tests]]\nname = "endurance"\nkind = "endurance"\ndirection = "release"\n'
        f"kw = {kw}\nhold_s = 285\n"
        f'[[tests.runs]]\nmeter = "meter.csv"\nstart = "{start}"\n'
    )
    return path


def test_recordings_are_measured_and_what_is_missing_is_told(tmp_path: Path) -> None:
    done = settle("prequalify", recorded(tmp_path), "-o", "pack")
    assert done.exit_code == 4
    assert "both_ways: no verdict" in done.output
    for told in ("ramp, release: 0 of 1", "ramp, absorb: 0 of 1", "endurance, absorb: 0 of 1"):
        assert f"missing: {told}" in done.output
    pack = Pack.parse(read_json(tmp_path / "pack" / "pack.json"))
    assert not pack.simulated
    assert pack.runs[0].delivery.share.value == pytest.approx(1.0, abs=0.05)


def test_a_run_that_fails_fails_the_pack(tmp_path: Path) -> None:
    done = settle("prequalify", recorded(tmp_path, kw=1.2), "-o", "pack")
    assert done.exit_code == 4
    assert "both_ways: FAILED" in done.output


def test_a_fail_is_certain_where_one_run_is_or_has_a_question_mark(tmp_path: Path) -> None:
    settle("prequalify", recorded(tmp_path, kw=1.2), "-o", "pack")
    pack = Pack.parse(read_json(tmp_path / "pack" / "pack.json"))
    assert (pack.certain, pack_words(pack)) == (True, "FAILED")
    run = pack.runs[0]
    unsure = tuple(c.model_copy(update={"certain": False}) for c in run.delivery.criteria)
    run = run.model_copy(update={"delivery": run.delivery.model_copy(update={"criteria": unsure})})
    assert pack_words(pack.model_copy(update={"runs": (run,)})) == "FAILED?"
    assert pack_words(run) == "FAILED?"


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "thesis.tex").write_text("mine")
    done = settle("prequalify", recorded(tmp_path), "-o", "pack")
    assert done.exit_code == 2
    assert "thesis.tex" in done.output
    assert sorted(p.name for p in (tmp_path / "pack").iterdir()) == ["thesis.tex"]


def test_a_prequalification_without_recordings_says_so(tmp_path: Path) -> None:
    done = settle("prequalify", SETTLE / "prequalification.toml", "-o", "pack")
    assert done.exit_code == 2
    assert "one recording or more, or --simulate SITE" in done.output
    done = settle(
        "prequalify", recorded(tmp_path), "-o", "pack", "--simulate", "powerd-lab-phase-a"
    )
    assert "[simulate]" in done.output


def test_a_report_tells_what_was_metered_planned_and_is_available() -> None:
    done = settle(
        *("report", METER, "--event", EVENT, "--plan", PLAN, "--site", "powerd-lab-phase-a"),
        *("--resource", "site-1", "--interval", "60"),
        *("--available", SETTLE / "available.json", "--at", "2026-06-01T12:05:00+09:00"),
        *("--assumed", "the example is simulated"),
    )
    assert done.exit_code == 0, done.output
    report = GridReport.parse(done.stdout.encode())
    assert report.intervals[4].delivered_kw == pytest.approx(-1.0, abs=0.05)
    assert report.intervals[4].planned_kw == pytest.approx(-1.0, abs=0.05)
    assert [len(i.available) for i in report.intervals] == [0] * 5 + [2] * 3
    assert report.intervals[4].soc is not None
    assert report.energy_capacity_kwh is not None


def test_what_no_interval_shows_as_available_is_said() -> None:
    asked = ("report", METER, "--event", EVENT, "--resource", "x", "--interval", "60")
    done = settle(*asked, "--available", SETTLE / "available.json")
    report = GridReport.parse(done.stdout.encode())
    assert len(report.available) == 2
    assert not any(one.available for one in report.intervals)
    assert "at the top of the report alone" in done.stderr
    earlier = settle(
        *asked, "--available", SETTLE / "available.json", "--at", "2026-06-01T12:05:00+09:00"
    )
    assert earlier.stderr == ""


def test_a_report_needs_no_errors_of_its_baseline(tmp_path: Path) -> None:
    meter, event = history(tmp_path)
    day = [row for row in meter.read_text().splitlines() if not row.startswith("2026-06-0")]
    alone = [row for row in day if not row.startswith(("2026-06-10", "2026-06-11"))]
    meter.write_text("\n".join(alone) + "\n")
    done = settle("report", meter, "--event", event, "--resource", "x")
    report = GridReport.parse(done.stdout.encode())
    assert report.intervals[2].delivered_kw == pytest.approx(-40.0, abs=0.1)


def test_a_report_of_a_plan_alone_is_of_what_is_planned() -> None:
    done = settle("report", "--plan", PLAN, "--resource", "site-1", "--interval", "60")
    report = GridReport.parse(done.stdout.encode())
    assert {i.flags for i in report.intervals} == {("planned",)}
    done = settle("report", METER, "--resource", "site-1")
    assert "METER needs --event" in done.output
    assert settle("report", "--resource", "site-1").exit_code == 2


@pytest.mark.parametrize(
    "kind",
    ["delivery", "extracted_event", "grid_report", "prequalification", "prequalification_pack"],
)
def test_their_schemas_are_printed(kind: str) -> None:
    done = CliRunner().invoke(cli.main, ["schema", kind])
    assert json.loads(done.output)["properties"]["kind"]["const"] == kind
