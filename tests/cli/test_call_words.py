"""What is said of a message of the grid, also where nothing comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan import cli
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox, Taken
from ebplan.errors import InputError
from ebplan.planner import Planner
from ebplan.report.call_words import call_words

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2] / "examples"


def heard(start: datetime, **changes: Any) -> list[str]:
    said: list[Taken] = []
    inbox = Inbox(now=lambda: NOW, listen=said.append)
    call = {
        "source": "desk",
        "uid": "dr-17",
        "received": NOW.isoformat(),
        "events": [
            {
                "id": "dr-17",
                "type": "demand_response",
                "start": start.isoformat(),
                "duration_s": 300.0,
                "target": {"delta_kw": -1.0},
            }
        ],
    }
    inbox.take(GridEvent.parse(call | changes))
    return [call_words(taken) for taken in said]


def test_a_call_that_comes_too_late_is_said_to_be() -> None:
    (line,) = heard(NOW - timedelta(hours=1))
    assert line.startswith(
        "over      desk dr-17: demand_response 2026-06-01T11:00:00+00:00 for 300 s"
    )
    assert line.endswith("(it was over before it was heard; nothing is done)")


def test_a_call_in_time_needs_no_excuse() -> None:
    (line,) = heard(NOW + timedelta(hours=1))
    assert line.startswith("new       desk dr-17: ")
    assert line.endswith("delta_kw -1")


def test_what_a_sender_writes_is_one_line() -> None:
    (line,) = heard(NOW, uid="a\nb")
    assert "\n" not in line


def test_a_run_says_at_once_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The solver is no part of this: it is not started."""

    def silent(_planner: Planner, **_: Any) -> Planner:
        raise InputError(field="solver", value="none", allowed="some", remedy="start it")

    monkeypatch.setattr(Planner, "start", silent)
    (tmp_path / "devices.json").write_text('{"kind": "devices", "name": "bench"}')
    (tmp_path / "run.toml").write_text('site = "powerd-lab-phase-a"\ndevices = "devices.json"\n')
    result = CliRunner().invoke(cli.main, ["run", str(tmp_path / "run.toml"), "--plain"])
    assert result.stdout == "POWERD Lab Tokyo, Phase A: starting 2 solver processes ...\n"
    assert result.stderr.startswith("error: ")


def test_the_size_of_batteries_needs_a_place_for_its_table() -> None:
    study = str(EXAMPLES / "study_week.toml")
    result = CliRunner().invoke(cli.main, ["study", study, "--sizes", "0,1"])
    assert result.exit_code == 2
    assert "--sizes writes a table: say where with -o" in result.stderr
    assert result.stdout == ""


def test_ending_a_simulated_site_twice_says_there_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["twin", "down", "--folder", str(tmp_path / "t")])
    assert result.exit_code == 0
    assert result.stdout == f"nothing to end: no simulated site in {tmp_path / 't'}\n"


def test_a_site_whose_users_only_arrive_says_so(tmp_path: Path) -> None:
    import json

    from ebplan.twin.live.control import users_arrive

    def told(seconds: float, answers: dict[str, Any] | None) -> bool:
        (tmp_path / "twin-state.json").write_text(json.dumps({"plant": {"seconds": seconds}}))
        if answers is not None:
            (tmp_path / "traffic.json").write_text(json.dumps({"answers": answers}))
        return users_arrive(tmp_path)

    assert told(1.0, None)
    assert told(2.0, {"batch": {"failed": 3}})
    assert not told(3.0, {"batch": {"200": 1}})
    assert not told(100.0, {}), "there may be no users at all"
