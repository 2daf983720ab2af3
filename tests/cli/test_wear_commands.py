"""Ageing from check-ups to a plan, by the command line: fit rest, fit cycles, compose, solve."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ebplan import cli
from ebplan.document import read_json
from ebplan.models import library
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.wear import WearModel
from ebplan.plan import Plan
from ebplan.problem import Problem

ROOT = Path(__file__).parents[2]
FIT = ROOT / "examples" / "fit"
SITE = ROOT / "ebplan" / "sites" / "powerd-lab-phase-a.json"
EVENT = ROOT / "examples" / "price_window.json"
HOURS_PER_YEAR = 8766.0


def ebplan(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def done(*arguments: object) -> str:
    result = ebplan(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def spec(folder: Path, example: str, **changes: str) -> Path:
    """Return a copy of an example spec with texts replaced, tables by their full path."""
    text = (
        (FIT / f"{example}.toml").read_text().replace("synthetic_cells_", f"{FIT}/synthetic_cells_")
    )
    for old, new in changes.items():
        before = next(line for line in text.splitlines() if line.split(" = ")[0] == old)
        text = text.replace(before, new)
    path = folder / f"{example}.toml"
    path.write_text(text)
    return path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with both fits, made by the examples, and named to ebplan."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(library.FOLDERS, str(folder))
    for part in ("rest", "cycles"):
        done("fit", FIT / f"cells_{part}.toml", "-o", folder / f"cells-{part}.json")
    return folder


def solved(folder: Path, wear: dict[str, Any], name: str = "plan") -> tuple[Plan, Problem]:
    """Return plan and problem of an event at a site whose battery has this wear."""
    site = json.loads(SITE.read_text())
    del site["battery"]["wear_per_kwh"]
    site["battery"]["wear"] = wear
    (folder / f"{name}.site.json").write_text(json.dumps(site))
    event = json.loads(EVENT.read_text()) | {"site": f"{name}.site.json"}
    (folder / f"{name}.event.json").write_text(json.dumps(event))
    plan_file = folder / f"{name}.json"
    done("solve", folder / f"{name}.event.json", "-o", plan_file)
    problem = Problem.parse(read_json(folder / f"{name}.problem.json"))
    return Plan.parse(read_json(plan_file)), problem


def discharged_kwh(plan: Plan) -> float:
    return sum(max(s.battery_kw, 0.0) * s.duration_s / 3600.0 for s in plan.steps)


def test_the_tables_are_what_their_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(FIT / "synthetic_cells.py"))["main"](tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (FIT / path.name).read_text()


def test_fitted_ageing_prices_a_plan(models: Path, tmp_path: Path) -> None:
    said = done("fit", FIT / "cells_wear.toml", "-o", models / "cells-wear.json")
    assert "life lost by 1,000 cycles of depth 1 at 1 C" in said
    assert "price of new cells" in (models / "cells-wear.md").read_text()
    done("models", "cells-wear")
    rest, cycles = library.load("cells-rest"), library.load("cells-cycles")
    assert isinstance(rest, CalendarAgeing)
    assert isinstance(cycles, CycleAgeing)
    plan, problem = solved(tmp_path, {"temperature_c": 25.0, "model": "cells-wear"})
    assert plan.check is not None
    assert plan.check.ok
    assert plan.cost["wear"] > 0.0
    assert problem.battery is not None
    # the deepest cycle within reach, by the fitted law of cycling and the price of the artefact:
    # 0.8 C, a life that ends at a loss of 20 %, 30,000 per kWh
    battery, segments = problem.battery, problem.battery.depth_segments
    step = segments[1].from_kwh
    depth = step * len(segments) / battery.energy_kwh
    rate = cycles.c_rate_constant + 0.8 * cycles.c_rate_slope
    life = depth * (rate * depth**cycles.depth_exponent / 0.2) ** 2
    priced = sum(s.price_per_kwh * step for s in segments)
    assert priced == pytest.approx(30_000.0 * battery.energy_kwh * life, rel=1e-5)
    # at rest, half full: the fitted law of rest, up to what making it convex moves it
    year = (rest.calendar_rate / 0.2) ** 2 * HOURS_PER_YEAR * 3600.0
    half = 0.5 * battery.energy_kwh
    hour = max(line.price_per_kwh_h * half + line.price_per_h for line in battery.calendar)
    assert hour == pytest.approx(30_000.0 * battery.energy_kwh * year / HOURS_PER_YEAR, rel=0.25)


def test_wear_in_the_plan_goes_with_the_fitted_numbers(models: Path, tmp_path: Path) -> None:
    done("fit", FIT / "cells_wear.toml", "-o", models / "cells-wear.json")
    tender = spec(
        tmp_path, "cells_wear", name='name = "tender"', end_of_life_loss="end_of_life_loss = 0.02"
    )
    done("fit", tender, "-o", models / "tender.json")
    wear = {"temperature_c": 25.0}
    plan, problem = solved(tmp_path, wear | {"model": "cells-wear"}, "usual")
    less, dearer = solved(tmp_path, wear | {"model": "tender"}, "tender")
    dear, twice = solved(
        tmp_path, wear | {"model": "cells-wear", "replacement_per_kwh": 60_000.0}, "twice"
    )
    assert problem.battery is not None
    assert dearer.battery is not None
    assert twice.battery is not None
    prices, tenth, double = (
        [s.price_per_kwh for s in p.battery.depth_segments]
        + [b.price_per_h for b in p.battery.calendar]
        for p in (problem, dearer, twice)
        if p.battery is not None
    )
    # life goes with the inverse square of the loss at its end; the site's price goes first
    assert tenth == pytest.approx([100.0 * price for price in prices])
    assert double == pytest.approx([2.0 * price for price in prices])
    assert discharged_kwh(less) < 0.5 * discharged_kwh(plan)
    assert plan.cost["wear"] < dear.cost["wear"] <= 2.0 * plan.cost["wear"] + 1e-6


def test_rest_left_in_the_cycles_is_refused_or_makes_the_plan_dearer(
    models: Path, tmp_path: Path
) -> None:
    both = spec(tmp_path, "cells_cycles", calendar="", name='name = "cells-both"')
    done("fit", both, "-o", models / "cells-both.json")
    wear = spec(tmp_path, "cells_wear", cycles='cycles = "cells-both"')
    refused = ebplan("fit", wear, "-o", models / "cells-wear.json")
    assert refused.exit_code == 2
    assert "cells_wear.toml: cells-both.rest" in refused.output
    assert "rest_counted_twice = true" in refused.output
    wear.write_text(wear.read_text() + "rest_counted_twice = true\n")
    done("fit", wear, "-o", models / "cells-wear.json")
    assert "Loss at rest is inside" in (models / "cells-wear.md").read_text()
    twice, once = library.load_wear("cells-wear"), library.load("cells-cycles")
    assert isinstance(once, CycleAgeing)
    assert twice.c_rate_constant > 1.5 * once.c_rate_constant


def test_artefacts_are_named_by_file_too(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(library.FOLDERS)
    cycles = spec(tmp_path, "cells_cycles", calendar='calendar = "models/cells-rest.json"')
    target = models / "cells-cycles.json"
    named = target.read_bytes()
    done("fit", cycles, "-o", target, "--force")
    assert target.read_bytes() == named
    wear = spec(
        tmp_path,
        "cells_wear",
        calendar='calendar = "models/cells-rest.json"',
        cycles='cycles = "models/cells-cycles.json"',
    )
    done("fit", wear, "-o", tmp_path / "cells-wear.json")
    made = WearModel.parse((tmp_path / "cells-wear.json").read_bytes())
    assert made.replacement is not None
    assert str(tmp_path) not in (tmp_path / "cells-wear.json").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("cells_wear", {"calendar": 'calendar = "no-such"'}, "options.calendar: got 'no-such'"),
        ("cells_wear", {"calendar": 'calendar = "no.json"'}, "no.json"),
        ("cells_wear", {"cycles": 'cycles = "cells-rest"'}, "of kind calendar_ageing"),
        ("cells_wear", {"currency": ""}, "given together with replacement_per_kwh"),
        ("cells_wear", {"end_of_life_loss": "end_of_life_loss = 20"}, "options.end_of_life_loss"),
        ("cells_wear", {"fit": 'fit = "wear"\ndata = "runs.csv"'}, "data"),
        ("cells_wear", {"fit": 'fit = "waer"'}, "waer"),
        ("cells_cycles", {"calendar": 'calendar = "no-such"'}, "options.calendar: got 'no-such'"),
        ("cells_cycles", {"calendar": 'calendar = "llm-serving"'}, "of kind fleet_prior"),
        ("cells_cycles", {"soc": ""}, "columns.soc"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    models: Path, tmp_path: Path, name: str, changes: dict[str, str], said: str
) -> None:
    path = spec(tmp_path, name, **changes)
    refused = ebplan("fit", path, "-o", tmp_path / f"{name.replace('_', '-')}.json")
    assert refused.exit_code == 2
    assert said in refused.output
    assert len(refused.output.strip().splitlines()) == 1


def test_a_table_is_no_use_where_none_is_read(models: Path, tmp_path: Path) -> None:
    refused = ebplan("fit", FIT / "cells_wear.toml", "--data", FIT / "synthetic_cells_cycled.csv")
    assert refused.exit_code == 2
    assert "--data" in refused.output


@pytest.mark.parametrize(
    ("changes", "wear", "said"),
    [
        ({"currency": 'currency = "EUR"'}, {}, "site.currency: got 'JPY'; allowed: EUR"),
        ({"currency": "", "replacement_per_kwh": ""}, {}, "replacement_per_kwh: got nothing"),
        ({}, {"temperature_c": 35.0}, "23 to 27 degrees Celsius"),
    ],
)
def test_a_site_that_the_artefact_does_not_fit_is_refused(
    models: Path, tmp_path: Path, changes: dict[str, str], wear: dict[str, float], said: str
) -> None:
    done("fit", spec(tmp_path, "cells_wear", **changes), "-o", models / "cells-wear.json")
    site = json.loads(SITE.read_text())
    del site["battery"]["wear_per_kwh"]
    site["battery"]["wear"] = {"temperature_c": 25.0, "model": "cells-wear"} | wear
    (tmp_path / "site.json").write_text(json.dumps(site))
    event = json.loads(EVENT.read_text()) | {"site": "site.json"}
    (tmp_path / "event.json").write_text(json.dumps(event))
    refused = ebplan("solve", tmp_path / "event.json")
    assert refused.exit_code == 2
    assert said in refused.output
