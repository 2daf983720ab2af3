"""``ebplan portfolio`` from its file to its tables."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ebplan.cli import main
from ebplan.document import read_data
from ebplan.portfolio.check import violations
from ebplan.portfolio.results import plain
from ebplan.portfolio.run import load_portfolio, run_portfolio
from ebplan.portfolio.share import joint, portfolio
from ebplan.report.portfolio_table import print_portfolio
from ebplan.study import asked
from ebplan.study.frontier import Frontier, Segment

EXAMPLES = Path(__file__).parents[2] / "examples"


def made_up(question: asked.Question) -> Frontier:
    """Two slices, wider under more load; the planner itself takes seconds for each."""
    load = question.load["llama70b"]["interactive"] / 22.8
    slices = [
        Segment(kw=0.4 * load, price_per_kwh=20.0, levers={}, rejected_per_kwh=0.0),
        Segment(kw=0.8 * load, price_per_kwh=90.0, levers={}, rejected_per_kwh=10.0),
    ]
    return Frontier(4.6 + 0.3 * load, tuple(slices), dict.fromkeys(question.activations_s, 0.1))


@pytest.fixture(autouse=True)
def _answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "ask", made_up)


def write(folder: Path, sites: dict[str, Any] | None = None, **more: Any) -> Path:
    """Write the example with other values; return its path."""
    study = {**read_data(EXAMPLES / "portfolio_sites.toml"), **(sites or {})}
    (folder / "sites.json").write_text(json.dumps(study, default=str))
    plain = {**read_data(EXAMPLES / "portfolio.toml"), "study": "sites.json", **more}
    path = folder / "portfolio.json"
    path.write_text(json.dumps(plain))
    return path


def call(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["portfolio", str(path), *options])


def test_from_file_to_tables(tmp_path: Path) -> None:
    output = tmp_path / "results"
    result = call(EXAMPLES / "portfolio.toml", "-o", str(output), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads((output / "portfolio.json").read_text())
    assert found["bound"] <= found["objective"] + 1e-6 * abs(found["objective"])
    assert found["gap"] <= 1e-4
    paid, earned = (sum(one[k] for one in found[of]) for of, k in MONEY)
    assert paid - earned == pytest.approx(found["objective"])
    (award,) = found["awards"]
    assert award["given"]
    assert sum(one["share"] for one in award["carried"]) == pytest.approx(1.0)
    total: dict[Any, float] = {}
    for row in pq.read_table(output / "holdings.parquet").to_pylist():
        total[row["start"]] = total.get(row["start"], 0.0) + row["battery_kw"] + row["compute_kw"]
    given = read_data(EXAMPLES / "portfolio.toml")["awards"][0]["kw"]["by_hour"]
    assert list(total.values()) == pytest.approx(np.repeat(given, 2).tolist(), abs=1e-3)
    groups = pq.read_table(output / "groups.parquet").to_pylist()
    regions = pq.read_table(output / "regions.parquet").to_pylist()
    for row in regions:
        named = next(r for r in found["regions"] if r["region"] == row["region"])["groups"]
        drawn = [g["grid_kw"] for g in groups if g["group"] in named and g["start"] == row["start"]]
        assert sum(drawn) == pytest.approx(row["draw_kw"])
        assert row["draw_kw"] <= row["import_limit_kw"] + 1e-6
        assert row["lowest_called_kw"] >= -row["export_limit_kw"] - 1e-6
    # the limits bind somewhere, and a kW more is worth something exactly there
    priced = [row for row in regions if row["import_price_per_kw"] > 1e-6]
    assert priced
    for row in priced:
        assert row["draw_kw"] == pytest.approx(row["import_limit_kw"])


MONEY = (("groups", "paid"), ("awards", "earned"))


def test_it_is_as_good_as_one_program_over_all() -> None:
    path = EXAMPLES / "portfolio.toml"
    outcome = run_portfolio(load_portfolio(path), path)
    of = portfolio(outcome.built.numbers, outcome.award_kw, regions=outcome.regions)
    assert outcome.shared.objective == pytest.approx(joint(of), rel=1e-6)


def test_what_is_not_given_is_chosen(tmp_path: Path) -> None:
    found = json.loads(call(write(tmp_path, awards=[], regions=[]), "--json").stdout)
    (award,) = found["awards"]
    assert not award["given"]
    assert award["mean_kw"] > 0.0
    assert found["regions"] == []


def test_a_contract_is_given_and_the_check_holds_the_sharing_to_it(tmp_path: Path) -> None:
    (stated,) = read_data(EXAMPLES / "portfolio_sites.toml")["services"]
    yearly = {**stated, "service": "jp_capacity_dr", "contract_kw": 1000.0, "price_per_kw": 1.0}
    path = write(tmp_path, sites={"services": [yearly]}, awards=[], regions=[])
    outcome = run_portfolio(load_portfolio(path), path)
    (service,) = outcome.built.numbers.services
    assert 0.0 < service.held.sum() < service.held.size
    assert outcome.award_kw[0] == pytest.approx(1000.0 * service.held)
    assert plain(outcome)["awards"][0]["given"]
    # half of it, shared without a fault
    parts = [
        replace(
            g,
            battery_award_kw=0.5 * g.battery_award_kw,
            compute_award_kw=0.5 * g.compute_award_kw,
        )
        for g in outcome.shared.plan.groups
    ]
    plan = replace(
        outcome.shared.plan, award_kw=0.5 * outcome.shared.plan.award_kw, groups=tuple(parts)
    )
    half = replace(outcome.shared, plan=plan)
    said = violations(outcome.built.numbers, outcome.award_kw, outcome.regions, half)
    assert "jp_capacity_dr: the parts to release are not the award by 500" in said


def test_the_terminal_shows_it_in_80_columns(tmp_path: Path) -> None:
    names = ["a-region-with-a-rather-long-name-of-its-own", "another-one-that-is-long-as-well"]
    regions = read_data(EXAMPLES / "portfolio.toml")["regions"]
    path = write(tmp_path, regions=[{**r, "name": n} for r, n in zip(regions, names, strict=True)])
    shown = StringIO()
    print_portfolio(run_portfolio(load_portfolio(path), path), Console(file=shown, width=80))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("east-hall-1") and "%" in line for line in lines)


def test_a_limit_that_cannot_be_held_is_refused_in_one_line(tmp_path: Path) -> None:
    region = {"name": "all", "groups": ["east-hall-3", "west-hall-3"]}
    # neither hall has a battery: 70 benches of 4.9 kW, of which compute can take 1.2 kW each
    limits = [{**region, "import_limit_kw": 200, "export_limit_kw": 0}]
    result = call(write(tmp_path, regions=limits))
    assert result.exit_code == 4
    assert "region all draws more than 200 kW by" in result.stderr
    assert " at 2026-10-05 " in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_is_missing_for_an_award_is_shown(tmp_path: Path) -> None:
    result = call(write(tmp_path, awards=[{"service": "jp_fcr", "kw": 9000}], regions=[]))
    assert result.exit_code == 0, result.output
    assert "SHORTFALL for given awards, power to release, kW:" in result.stdout


def test_interrupted_it_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = write(tmp_path), tmp_path / "results"

    def interrupt(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ebplan.portfolio.run.share", interrupt)
        result = call(path, "-o", str(output))
    assert result.exit_code == 130
    assert result.stderr == f"interrupted; answers are kept in {output / 'frontiers'}\n"
    assert not (output / "portfolio.json").exists()
    monkeypatch.setattr(asked, "ask", lambda _: pytest.fail("asked once more"))
    assert call(path, "-o", str(output)).exit_code == 0


def test_who_absorbs_is_shown_too(tmp_path: Path) -> None:
    sites = read_data(EXAMPLES / "portfolio_sites.toml")["portfolio"]
    study = read_data(EXAMPLES / "study_fcr.toml")
    share = {"share": {"by_hour": [1.0] * 24}, "levels": 1}
    loads = [{**g["load"], **share} for g in sites]
    plain = {**study, "portfolio": [{**g, "load": v} for g, v in zip(sites, loads, strict=True)]}
    path = write(tmp_path, sites=plain, awards=[], days=1)
    result = call(path)
    assert result.exit_code == 0, result.output
    assert "absorbs kW" in result.stdout
    awards = json.loads(call(path, "--json").stdout)["awards"]
    absorbing = [award for award in awards if award["absorbs"]]
    assert sum(one["absorb_kw_mean"] for award in absorbing for one in award["carried"]) > 0.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"days": 0}, "portfolio.json: days: got 0"),
        ({"study": "nowhere.toml"}, "nowhere.toml: (file): got"),
        ({"regions": [{"name": "x"}]}, "portfolio.json: regions.0.groups"),
        (
            {
                "regions": [
                    {"name": "x", "groups": ["b"], "import_limit_kw": 9, "export_limit_kw": 0}
                ]
            },
            "portfolio.json: regions.x.groups: got 'b'; allowed: groups of the portfolio",
        ),
        ({"awards": [{"service": "nothing", "kw": 5}]}, "awards.service: got 'nothing'"),
        ({"awards": [{"service": "jp_fcr", "kw": -5}]}, "awards.jp_fcr.kw: got -5.0"),
        ({"awards": [{"service": "jp_fcr", "kw": 5}] * 2}, "awards: got ['jp_fcr', 'jp_fcr']"),
        (
            {"sites": {"currency": "EUR"}},
            "sites.json: services.jp_fcr: got 'JPY'; allowed: a product paid in EUR",
        ),
        (
            {"sites": {"period": {"start": "2026-10-05", "days": 90, "time_zone": "Asia/Tokyo"}}},
            "portfolio.json: days: got 90; allowed: at most 31",
        ),
    ],
)
def test_bad_portfolios_are_refused_in_one_line(
    more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    result = call(write(tmp_path, **more))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
