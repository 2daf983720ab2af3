"""`ebplan fit` and `ebplan models`, and a plan made with a model of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan import cli
from ebplan.case import load_case
from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.fleet import FleetModel
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.site import Site

ROOT = Path(__file__).parents[2]
FIT = ROOT / "examples" / "fit"
SERVING, FLEET = FIT / "h200_decode.toml", FIT / "h200_fleet.toml"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ebplan(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_fit_writes_artefact_and_card_and_never_over_another(tmp_path: Path) -> None:
    target = tmp_path / "h200-decode.json"
    done = ebplan("fit", SERVING, "-o", target)
    assert done.exit_code == 0
    assert "bf16 (measured); fp8 (measured)" in done.output
    assert target.with_suffix(".md").read_text().startswith("# Decode of a Llama")
    before = target.read_bytes()
    again = ebplan("fit", SERVING, "-o", target)
    assert again.exit_code == 2
    assert "a file that is not there yet" in again.output
    assert ebplan("fit", SERVING, "-o", target, "--force").exit_code == 0
    assert target.read_bytes() == before


def test_a_model_is_written_under_its_own_name(tmp_path: Path) -> None:
    done = ebplan("fit", SERVING, "-o", tmp_path / "other.json")
    assert done.exit_code == 2
    assert "h200-decode.json in any folder" in done.output


def test_the_schema_of_a_spec_has_the_options_of_every_fit() -> None:
    import json

    shown = json.loads(ebplan("schema", "fit").output)
    assert "configurations" in shown["x-options-by-fit"]["serving"]["properties"]


def test_a_bad_table_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("phase,precision,batch,tokens_per_s\n")
    done = ebplan(
        "fit", SERVING, "--data", tmp_path / "runs.csv", "-o", tmp_path / "h200-decode.json"
    )
    assert done.exit_code == 2
    assert "add the column energy_counter_power_w" in done.output
    assert not (tmp_path / "h200-decode.json").exists()


def test_models_lists_shows_and_draws(tmp_path: Path) -> None:
    listed = ebplan("models")
    assert all(name in listed.output for name in library.names())
    card = ebplan("models", "llm-serving")
    assert "known before measuring" in card.output
    ebplan("fit", SERVING, "-o", tmp_path / "h200-decode.json")
    drawn = ebplan("models", tmp_path / "h200-decode.json", "--plot", tmp_path / "m.png")
    assert drawn.exit_code == 0
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"
    other = ebplan("models", "llm-serving", "--plot", tmp_path / "w.png")
    assert other.exit_code == 2
    assert "leave --plot out" in other.output
    unknown = ebplan("models", "nothing")
    assert unknown.exit_code == 2
    assert "llm-serving" in unknown.output


def test_a_plan_is_made_with_a_model_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    assert ebplan("fit", FLEET, "-o", folder / "h200-fleet.json").exit_code == 0
    monkeypatch.setenv(library.FOLDERS, str(folder))
    assert isinstance(library.load_fleet("h200-fleet"), FleetModel)
    case = load_case(ROOT / "examples" / "under_frequency.json")
    ((name, pool),) = case.site.pools.items()
    classes = {key: c.model_copy(update={"workload": "chat"}) for key, c in pool.classes.items()}
    changes = {"fleet_model": "h200-fleet", "classes": classes, "cap_range_w_per_gpu": (200, 700)}
    mine = pool.model_copy(update=changes)
    site = Site.model_validate(case.site.model_copy(update={"pools": {name: mine}}))
    plan = solve_problem(pose(case.event, site, case.state))
    assert plan.check is not None
    assert plan.check.ok


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("llm-serving", "{}", "names that no other artefact has"),
        ("odd", '{"kind": "weather"}', "name an artefact written by ebplan fit"),
        ("odd", '{"kind": []}', "name an artefact written by ebplan fit"),
        ("odd", "{", "correct the syntax there"),
    ],
)
def test_a_broken_file_of_ones_own_is_named_and_hides_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    (tmp_path / f"{name}.json").write_text(text)
    monkeypatch.setenv(library.FOLDERS, str(tmp_path))
    with pytest.raises(InputError, match=said) as error:
        library.load(name)
    assert error.value.file == str(tmp_path / f"{name}.json")
    listed = ebplan("models")
    assert listed.exit_code == 0
    assert all(other in listed.stdout for other in library.names() if other != name)
    (line,) = listed.stderr.splitlines()
    assert f"{name}.json" in line
    assert said in line
    assert ebplan("models", name).exit_code == 2
    assert library.load_cap("h200nvl-llama31-70b-bf16-tp2-cap")
    with pytest.raises(InputError, match="got 'gpt'; allowed: h200nvl"):
        library.load_cap("gpt")


def test_a_name_in_two_folders_and_a_link_to_nothing_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.json").write_text("{}")
    (tmp_path / "a" / "gone.json").symlink_to(tmp_path / "nowhere.json")
    monkeypatch.setenv(library.FOLDERS, f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    with pytest.raises(InputError, match="names that no other artefact has"):
        library.load("mine")
    assert len(ebplan("models").stderr.splitlines()) == 2


def test_a_plan_needs_only_the_models_that_its_site_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.json").write_text('{"kind": "weather"}')
    monkeypatch.setenv(library.FOLDERS, str(tmp_path))
    case = load_case(ROOT / "examples" / "under_frequency.json")
    assert pose(case.event, case.site, case.state).pools
    ((name, pool),) = case.site.pools.items()
    mine = pool.model_copy(update={"cap_model": "mine"})
    site = case.site.model_copy(update={"pools": {name: mine}})
    with pytest.raises(InputError, match=r"mine\.json: kind: got 'weather'"):
        pose(case.event, site, case.state)


def test_a_folder_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.FOLDERS, "no-such-folder")
    with pytest.raises(InputError, match="EBPLAN_MODELS: got 'no-such-folder'"):
        library.names()
