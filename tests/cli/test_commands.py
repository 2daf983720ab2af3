"""What each command prints, writes and returns."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from ebplan import __version__, cli
from ebplan.case import load_case
from ebplan.document import read_json
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import CheckResult, Plan, Violation
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers.formulation import formulate

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ebplan(*arguments: object) -> Result:
    """Run the command line in this process; nothing but an exit may come out of it."""
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def posed() -> Problem:
    case = load_case(EXAMPLE)
    return pose(case.event, case.site, case.state)


class Solved:
    """The example, solved once with every output."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "plan.json"
        self.problem_file = folder / "plan.problem.json"
        self.saved_problem = folder / "saved.json"
        self.plot = folder / "plan.png"
        self.result = ebplan(
            *("solve", EXAMPLE, "--json", "-o", self.file, "--plot", self.plot),
            *("--save-problem", self.saved_problem),
        )
        self.plan = Plan.parse(read_json(self.file), file=str(self.file))


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Solved:
    return Solved(tmp_path_factory.mktemp("solved"))


# --- solve ----------------------------------------------------------------------------------


def test_solve_prints_a_report() -> None:
    result = ebplan("solve", EXAMPLE)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "no plan costs less than" in result.stdout
    assert "every law holds" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_json_is_the_plan_and_nothing_else(solved: Solved) -> None:
    assert solved.result.exit_code == 0
    assert solved.result.stderr == ""
    assert solved.result.stdout == solved.plan.to_json() + "\n"
    assert solved.file.read_text() == solved.plan.to_json()
    assert solved.plan.check.ok
    assert solved.plan.status == "optimal"


def test_output_writes_the_plan_and_its_problem(solved: Solved) -> None:
    names = sorted(entry.name for entry in solved.file.parent.iterdir())
    assert names == ["plan.json", "plan.png", "plan.problem.json", "saved.json"]
    problem = Problem.parse(read_json(solved.problem_file))
    assert problem == posed()
    assert problem.digest() == solved.plan.problem_hash
    assert solved.saved_problem.read_bytes() == solved.problem_file.read_bytes()


def test_plot_writes_a_figure(solved: Solved) -> None:
    assert solved.plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len(solved.plot.read_bytes()) > 10_000


def test_a_saved_problem_solves_to_the_same_plan(solved: Solved) -> None:
    again = Plan.parse(json.loads(ebplan("solve", solved.problem_file, "--json").stdout))
    assert again.problem_hash == solved.plan.problem_hash
    assert again.objective == pytest.approx(solved.plan.objective, rel=OPTIMAL_GAP)
    assert again.status == solved.plan.status


def test_merit_order_is_never_called_optimal(solved: Solved) -> None:
    result = ebplan("solve", EXAMPLE, "--solver", "merit-order", "--json")
    plan = Plan.parse(json.loads(result.stdout))
    assert plan.status == "merit_order"
    assert plan.bound is None
    assert plan.gap is None
    assert plan.check.ok
    assert solved.plan.bound is not None
    assert plan.objective >= solved.plan.bound


def test_a_time_limit_still_gives_a_checked_plan() -> None:
    result = ebplan("solve", EXAMPLE, "--time-limit", "0.001", "--json")
    assert result.exit_code == 0
    assert Plan.parse(json.loads(result.stdout)).check.ok


def test_commands_are_one_json_object_a_line() -> None:
    result = ebplan("solve", EXAMPLE, "--commands")
    assert result.exit_code == 0
    commands = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(command["command"] for command in commands)
    times = [command["at_s"] for command in commands]
    assert times == sorted(times)


def refuse_to_solve(*_: object, **__: object) -> None:
    raise AssertionError("solved")


def test_save_lp_writes_the_model_and_does_not_solve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebplan.planner.solve_problem", refuse_to_solve)
    file = tmp_path / "model.lp"
    result = ebplan("solve", EXAMPLE, "--save-lp", file)
    assert (result.exit_code, result.output) == (0, "")
    text = file.read_text()
    for group in formulate(posed()).program.rows:
        assert f" {group.name}(0):" in text or f" {group.name}:" in text, group.name


def test_print_model_names_every_constraint_and_does_not_solve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ebplan.planner.solve_problem", refuse_to_solve)
    program = formulate(posed()).program
    result = ebplan("solve", EXAMPLE, "--print-model")
    assert result.exit_code == 0
    for group in (*program.rows, *program.columns):
        assert re.search(rf"^{re.escape(group.name)}\b", result.stdout, re.MULTILINE), group.name
    for cause in program.cost_of:
        assert cause in result.stdout
    every_row = ebplan("solve", EXAMPLE, "--print-model=rows").stdout
    assert len(re.findall(r"^    \[\d+\] ", every_row, re.MULTILINE)) == program.n_rows


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--solver", "cvxpy:ABACUS"), "--solver: got 'cvxpy:ABACUS'; allowed: cvxpy:"),
        (("--solver", "abacus"), "--solver: got 'abacus'; allowed: highs"),
        (("-o", "nowhere/plan.json"), "(output): got 'No such file or directory'"),
        (("--save-problem", "nowhere/p.json"), "(output): got 'No such file or directory'"),
        (("--plot", "nowhere/plan.png"), "(output): got 'No such file or directory'"),
        (("--plot", "plan.bmp"), "plan.bmp: (figure): got 'plan.bmp'; allowed: a name that ends"),
        (
            ("--plot", "plan.bmp", "-o", "plan.json"),
            "plan.bmp: (figure): got 'plan.bmp'; allowed: a name that ends",
        ),
        (("-o", "."), "(output): got 'Is a directory'"),
        (("-o", "folder"), "folder: (output): got 'Is a directory'"),
        (("--save-lp", "folder"), "folder: (output): got 'Is a directory'"),
        (("--save-lp", "nowhere/model.lp"), "(output): got 'No such file or directory'"),
    ],
)
def test_an_option_that_cannot_be_met_is_one_line_and_no_file(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    if "cvxpy" in says:
        pytest.importorskip("cvxpy")
    (tmp_path / "folder").mkdir()
    result = ebplan("solve", EXAMPLE, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert says in line
    assert [entry.name for entry in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("solve",),
        ("solve", EXAMPLE, "--time-limit", "0"),
        ("solve", EXAMPLE, "--time-limit", "soon"),
        ("solve", EXAMPLE, "--print-model=sideways"),
        ("solve", EXAMPLE, "--quickly"),
        ("schema", "weather"),
        ("forecast",),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments: tuple[object, ...]) -> None:
    result = ebplan(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ebplan")
    assert len(result.stderr.splitlines()) == 1


def failing_check(problem: Problem, plan: Plan) -> CheckResult:
    broken = Violation(law="balance", at_s=1.0, amount=2.0, allowed=0.0, message="it is off")
    return CheckResult(ok=False, violations=(broken,))


def test_without_a_checked_plan_the_problem_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebplan.planner.one_shot.check_plan", failing_check)
    result = ebplan("solve", EXAMPLE, "-o", "plan.json", "--json")
    assert result.exit_code == 4
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "it is off" in line
    (left,) = tmp_path.iterdir()
    assert left.name in line
    assert Problem.parse(read_json(left)) == posed()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["--debug", "solve", str(tmp_path / "none.json")])
    assert type(result.exception).__name__ == "InputError"


# --- check ----------------------------------------------------------------------------------


def test_check_finds_the_problem_beside_the_plan(solved: Solved) -> None:
    result = ebplan("check", solved.file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{solved.file}: every law holds\n"


@pytest.mark.parametrize("problem", ["event", "problem"])
def test_check_takes_an_event_or_a_problem(solved: Solved, problem: str) -> None:
    answered = EXAMPLE if problem == "event" else solved.saved_problem
    result = ebplan("check", solved.file, "--problem", answered, "--json")
    assert result.exit_code == 0
    assert CheckResult.parse(json.loads(result.stdout)) == CheckResult(ok=True)


def test_check_refuses_the_plan_of_another_problem(solved: Solved) -> None:
    other = EXAMPLE.with_name("curtailment_3h.json")
    result = ebplan("check", solved.file, "--problem", other)
    assert result.exit_code == 4
    assert "problem_hash: " in result.stdout


# --- schema, doctor, help -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["event", "site", "state", "plan", "problem"])
def test_schema_prints_json_schema(kind: str) -> None:
    result = ebplan("schema", kind)
    assert (result.exit_code, result.stderr) == (0, "")
    schema: dict[str, Any] = json.loads(result.stdout)
    assert schema["properties"]["kind"]["const"] == kind
    assert schema["additionalProperties"] is False


def test_doctor_prints_versions() -> None:
    result = ebplan("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"ebplan {__version__}, Python ")
    for name in ("highspy", "numpy", "pydantic"):
        assert re.search(rf"^  {name} +\d", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag: str) -> None:
    result = ebplan(flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert isinstance(cli.main, click.Group)
    for name, command in cli.main.commands.items():
        assert re.search(rf"^  {name} ", result.stdout, re.MULTILINE)
        about = ebplan(name, flag)
        assert about.exit_code == 0
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in about.stdout


def test_version() -> None:
    assert ebplan("--version").stdout == f"ebplan, version {__version__}\n"


# --- what mechanisms are worth --------------------------------------------------------------


def test_without_says_what_the_mechanism_is_worth_and_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    result = ebplan("solve", EXAMPLE, "--without", "consolidation", "-o", file)
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert re.search(r"Without consolidation the plan costs [\d.]+ JPY instead of 5\.\d+,", words)
    assert ebplan("check", file).exit_code == 0
    plan = Plan.parse(read_json(file))
    assert plan.without == ("consolidation",)
    assert Problem.parse(read_json(tmp_path / "plan.problem.json")).without == ("consolidation",)


def test_an_unknown_mechanism_is_bad_input() -> None:
    result = ebplan("solve", EXAMPLE, "--without", "magic")
    assert result.exit_code == 2
    assert "--without: got 'magic'; allowed: battery, consolidation" in result.stderr


def test_worth_is_a_table_of_the_mechanisms() -> None:
    result = ebplan("solve", EXAMPLE, "--worth")
    assert result.exit_code == 0
    rows = [line.split("  ")[0] for line in result.stdout.splitlines()[3:]]
    assert rows == ["battery", "consolidation", "sleep", "power cap", "admission"]
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_headline_says_what_is_left_out() -> None:
    first = ebplan("solve", EXAMPLE, "--without", "sleep").stdout.splitlines()[0]
    assert "release 1.00 kW for 5 min, without sleep" in first


def test_worth_compares_optimal_plans_only() -> None:
    result = ebplan("solve", EXAMPLE, "--worth", "--solver", "merit-order")
    assert result.exit_code == 2
    assert "--worth compares optimal plans" in result.stderr


def test_worth_prints_nothing_else() -> None:
    result = ebplan("solve", EXAMPLE, "--worth", "--json")
    assert result.exit_code == 2
    assert "--worth prints a table of its own" in result.stderr
