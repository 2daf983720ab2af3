"""What is wrong with a command line, a document of another kind and a misspelt name: one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan import cli
from ebplan.kinds import MARKS, NAMED_BY, READ_BY

EXAMPLES = Path(__file__).parents[2] / "examples"
EVENT, STUDY = EXAMPLES / "under_frequency.json", EXAMPLES / "study_week.toml"


def ebplan(*arguments: object) -> Result:
    """Run the command line in this process; nothing but an exit may come out of it."""
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments: object) -> str:
    result = ebplan(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("solve", EVENT, "--deadline", "abc"),
            "ebplan solve: --deadline: got 'abc'; allowed: a number >= 0.001; "
            "remedy: correct the value",
        ),
        (
            ("offer", EVENT, "--confidence", "2"),
            "ebplan offer: --confidence: got 2.0; allowed: a number >= 0.5 and <= 0.999; "
            "remedy: correct the value",
        ),
        (
            ("offer", EVENT, "--direction", "relese"),
            "ebplan offer: --direction: got 'relese'; allowed: release, absorb; "
            "remedy: did you mean 'release'?",
        ),
        (
            ("solve",),
            "ebplan solve: FILE: got nothing; allowed: a path; "
            "remedy: give it: ebplan solve [OPTIONS] FILE",
        ),
        (
            ("solve", EVENT, "--deadine", "3"),
            "ebplan solve: no such option '--deadine'. Did you mean '--deadline'? "
            "(`ebplan solve --help`)",
        ),
        (
            ("twin", "upp"),
            "ebplan twin: no such command 'upp'. Did you mean 'up'? (`ebplan twin --help`)",
        ),
        (
            ("study", STUDY, "--sizes", "big"),
            "ebplan study: --sizes: got 'big'; allowed: numbers >= 0, e.g. 0,0.5,1,2; "
            "remedy: correct the value, or see `ebplan study --help`",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[object, ...], line: str) -> None:
    # words of click differ a little between its versions; what is ours does not
    def plain(text: str) -> str:
        return text.replace('"', "'").replace(": --", " '--").lower()

    assert plain(refused(*arguments))[:60] == plain(line)[:60]
    if "no such" not in line:
        assert refused(*arguments) == line


def test_the_help_is_still_the_help() -> None:
    assert "Commands:" in CliRunner().invoke(cli.main, ["--help"]).stdout
    assert "Commands:" in ebplan("twin").output


def test_what_ctrl_c_ends_says_so_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_problem", pressed)
    result = ebplan("solve", EVENT)
    assert (result.exit_code, result.stderr) == (130, "error: interrupted\n")


@pytest.mark.parametrize("command", ["solve", "hosting", "replay", "run", "fit", "listen", "check"])
def test_a_study_is_no_document_of_another_command(command: str) -> None:
    line = refused(command, STUDY)
    assert line.startswith(f"{STUDY}: kind: got 'study'; allowed: '")
    assert line.endswith(f"; use this one with: ebplan study {STUDY}")


@pytest.mark.parametrize(
    ("command", "file", "says"),
    [
        ("solve", "study_sweep.toml", "use this one with: ebplan sweep "),
        ("study", "study_sweep.toml", "use this one with: ebplan sweep "),
        ("study", "under_frequency.json", "use this one with: ebplan solve "),
        ("run", "under_frequency.json", "use this one with: ebplan solve "),
        ("run", "deploy/devices.toml", "use this one with: ebplan doctor "),
        ("listen", "deploy/run.toml", "use this one with: ebplan run "),
        ("commission", "deploy/event_sources.toml", "ebplan listen "),
        ("offer", "hosting.toml", "use this one with: ebplan hosting "),
        ("models", "under_frequency.json", "use this one with: ebplan solve "),
        ("settle baseline x.csv --event", "study_week.toml", "ebplan study "),
        ("listen", "settle/both_ways.toml", "kind; --service names it"),
    ],
)
def test_the_command_for_a_document_is_named(command: str, file: str, says: str) -> None:
    path = EXAMPLES / file
    line = refused(*command.split(), path)
    assert line.startswith(f"{path}: kind: got '")
    assert says in line


def test_a_document_that_does_not_say_its_kind_is_known_by_its_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(STUDY.read_text().replace('kind = "study"', ""))
    line = refused("hosting", file)
    assert "got 'nothing, but what makes a study: period, portfolio'; allowed: 'hosting'" in line
    assert line.endswith(f"use this one with: ebplan study {file}")


def test_the_table_of_kinds_is_that_of_the_documents_and_commands() -> None:
    from importlib import import_module

    for kind, where in cli.SCHEMAS.items():
        module, name = where.split(":")
        document = getattr(import_module(module), name)
        assert document.model_fields["kind"].default == kind
        assert MARKS.get(kind, set()) <= document.model_fields.keys()
    results = {
        *("baseline", "delivery", "extracted_event", "prequalification_pack", "grid_report"),
        *("replay_summary", "site_report"),
    }
    assert {*READ_BY, *NAMED_BY} == {*cli.SCHEMAS, "fit", "twin"} - results
    for command in READ_BY.values():
        assert CliRunner().invoke(cli.main, [*command.split(), "--help"]).exit_code == 0


def misspelt(folder: Path, example: str, right: str, wrong: str) -> Path:
    file = folder / Path(example).name
    text = (EXAMPLES / example).read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    return file


@pytest.mark.parametrize(
    ("command", "example", "right", "wrong", "field"),
    [
        ("solve", "under_frequency.json", "powerd-lab-phase-a", "powerd-lab-phase-b", "site"),
        ("study", "study_week.toml", "powerd-lab-phase-a", "powerd-lab-fase-a", "portfolio.bench"),
        ("study", "study_week.toml", '"jp_fcr"', '"jp_fcrr"', "services.0.service"),
        ("study", "study_week.toml", '"jp_jepx_spot"', '"jp_jepx_spt"', "market.day_ahead"),
        ("hosting", "hosting.toml", "powerd-lab-phase-a", "powerd-lab-fase-a", "site"),
        ("run", "deploy/run.toml", "powerd-lab-phase-a", "powerd-lab-fase-a", "site"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_ones(
    tmp_path: Path, command: str, example: str, right: str, wrong: str, field: str
) -> None:
    file = misspelt(tmp_path, example, right, wrong)
    line = refused(command, file)
    assert line.startswith(f"{file}: {field}")
    assert f"got '{wrong.strip(chr(34))}'" in line
    assert "did you mean " in line
    assert repr(right.strip('"')) in line.split("did you mean ")[1]


def test_the_list_of_names_is_where_the_error_says() -> None:
    line = refused("offer", EXAMPLES / "offers" / "phase_a.json", "--service", "jp_fc")
    assert line.startswith("--service: got 'jp_fc'; allowed: a built-in service (")
    assert "did you mean 'jp_fcr'" in line
    assert "`python -m ebplan.services`" in line
    assert "`ebplan models`" in refused("models", "h200nvl")
