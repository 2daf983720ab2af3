"""The command line: it parses and prints; what it prints is made elsewhere.

Exit codes stand in the help of ``main`` and in the README. Everything heavy is imported where it is
used, so that ``ebplan --help`` is instant.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebplan import __version__
from ebplan.cli_audit import audit
from ebplan.cli_devices import commission
from ebplan.cli_errors import one_line_errors
from ebplan.cli_group import Commands
from ebplan.cli_hosting import hosting
from ebplan.cli_listen import listen
from ebplan.cli_models import fit, models
from ebplan.cli_offer import offer
from ebplan.cli_portfolio import portfolio
from ebplan.cli_problem import load_problem
from ebplan.cli_replay import replay
from ebplan.cli_run import run
from ebplan.cli_settle import settle
from ebplan.cli_study import study
from ebplan.cli_sweep import sweep
from ebplan.cli_twin import twin

if TYPE_CHECKING:
    from ebplan.plan import Plan
    from ebplan.planner import Method
    from ebplan.problem import Problem

FILE = click.Path(path_type=Path)
SCHEMAS = {
    "event": "ebplan.case:CaseFile",
    "site": "ebplan.site:Site",
    "state": "ebplan.state:State",
    "plan": "ebplan.plan:Plan",
    "problem": "ebplan.problem:Problem",
    "service": "ebplan.services:ServiceDefinition",
    "tariff": "ebplan.services:TariffDefinition",
    "offer_request": "ebplan.offers.request:OfferRequest",
    "offer": "ebplan.offers.offer_document:Offer",
    "study": "ebplan.study.spec:StudySpec",
    "hosting": "ebplan.hosting.spec:HostingSpec",
    "sweep": "ebplan.sweep.spec:SweepSpec",
    "portfolio": "ebplan.portfolio.spec:PortfolioSpec",
    "baseline": "ebplan.settlement.baseline_report:BaselineReport",
    "delivery": "ebplan.settlement.delivery:Delivery",
    "extracted_event": "ebplan.settlement.extract:Extracted",
    "prequalification": "ebplan.settlement.pack_spec:PackSpec",
    "prequalification_pack": "ebplan.settlement.pack:Pack",
    "grid_report": "ebplan.settlement.grid_report:GridReport",
    "devices": "ebplan.adapters.devices:DevicesSpec",
    "router": "ebplan.adapters.router.config:RouterConfig",
    "register_map": "ebplan.adapters.modbus.register_map:RegisterMap",
    "commissioning": "ebplan.adapters.modbus.commissioning:Commissioning",
    "run": "ebplan.controller.run_spec:RunSpec",
    "replay": "ebplan.replay.spec:ReplaySpec",
    "replay_summary": "ebplan.replay.results:ReplaySummary",
    "event_sources": "ebplan.adapters.events.sources:EventSourcesSpec",
    "grid_event": "ebplan.adapters.events.grid_event:GridEvent",
    "site_report": "ebplan.adapters.events.site_report:SiteReport",
    "protocol": "ebplan.experiment.protocol:Protocol",
    "audit_extract": "ebplan.audit.extract:Extract",
}
"""The documents, as module and class: imported when their schema is asked for."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ebplan")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Plan how an AI-inference site with a battery answers the grid.

    Exit codes: 0 done; of a plan: checked, also with a shortfall. 1 a simulated site does not run.
    2 bad input. 4 no checked plan, or a check that failed. 5 a device refused. 6 a log is not what
    was signed. 130 ended by Ctrl-C.
    """


main.add_command(audit)
main.add_command(commission)
main.add_command(fit)
main.add_command(hosting)
main.add_command(listen)
main.add_command(models)
main.add_command(offer)
main.add_command(portfolio)
main.add_command(replay)
main.add_command(run)
main.add_command(settle)
main.add_command(study)
main.add_command(sweep)
main.add_command(twin)


@main.command()
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Write the plan here, and its problem beside it (plan.json, plan.problem.json).",
)
@click.option("--commands", "as_commands", is_flag=True, help="Print the device commands.")
@click.option("--plot", type=FILE, help="Draw the plan (.png, .svg or .pdf).")
@click.option("--save-problem", type=FILE, help="Write the posed problem: the bug report.")
@click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    help="Leave this mechanism out and say what it is worth; may be given more than once.",
)
@click.option(
    "--worth",
    is_flag=True,
    help="Show what each mechanism is worth: plan once more without each.",
)
@click.option("--save-lp", type=FILE, help="Write the model in LP format and do not solve.")
@click.option(
    "--print-model",
    is_flag=False,
    flag_value="labels",
    type=click.Choice(["labels", "rows"]),
    help="Print the mathematics and the constraints (every row with =rows) and do not solve.",
)
@click.option(
    "--solver",
    default="highs",
    show_default=True,
    help="highs, cvxpy, cvxpy:NAME (e.g. cvxpy:SCIP), or merit-order.",
)
@click.option(
    "--time-limit", type=click.FloatRange(min=0.001), help="Stop improving after these seconds."
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0.001),
    help="Answer by then, in seconds, as a control service would be: with the best checked plan "
    "at that instant. Counted from when a solver process is ready.",
)
@one_line_errors
def solve(
    file: Path,
    as_json: bool,
    output: Path | None,
    as_commands: bool,
    plot: Path | None,
    save_problem: Path | None,
    without: tuple[str, ...],
    worth: bool,
    save_lp: Path | None,
    print_model: str | None,
    solver: str,
    time_limit: float | None,
    deadline: float | None,
) -> None:
    """Plan the event in FILE (an event or a saved problem) and show the plan."""
    from ebplan.document import check_writable, write_atomically
    from ebplan.solvers.leave_out import leave_out

    method, behind = _method(solver)
    _refuse_together(
        shown_model={"--save-lp": save_lp, "--print-model": print_model},
        plan_output={"--json": as_json, "-o": output, "--commands": as_commands, "--plot": plot},
    )
    if worth and (without or as_json or as_commands or save_lp or print_model):
        raise click.UsageError("--worth prints a table of its own: leave the other outputs out.")
    if worth and method != "highs":
        raise click.UsageError("--worth compares optimal plans: leave --solver out.")
    if time_limit is not None and (method == "merit_order" or not math.isfinite(time_limit)):
        raise click.UsageError("--time-limit is a finite number of seconds for a solver.")
    if deadline is not None and (worth or method != "highs" or time_limit is not None):
        raise click.UsageError("--deadline stands alone: no --solver, --time-limit or --worth.")
    if deadline is not None and not math.isfinite(deadline):
        raise click.UsageError("--deadline is a finite number of seconds.")
    if any(
        p is not None and p.resolve() == file.resolve()
        for p in (output, plot, save_problem, save_lp)
    ):
        raise click.UsageError(f"{file} is what is solved: write somewhere else.")
    for path in (output, plot, save_problem, save_lp):
        if path:
            check_writable(path)
    if plot:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)
    whole = load_problem(file)
    problem = leave_out(whole, without)
    if save_problem:
        write_atomically(save_problem, problem.to_json())
    if save_lp or print_model:
        _show_model(problem, save_lp, print_model)
        return
    if deadline is None:
        plan = _solve(whole, method, behind, time_limit, without)
    else:
        plan = _answer(problem, deadline)
    if output:
        write_atomically(_problem_beside(output), problem.to_json())
        write_atomically(output, plan.to_json())
    if plot:
        from ebplan.report.figure import plot_plan

        plot_plan(plan, problem, plot)
    if worth:
        _show_worth(problem, plan, time_limit)
    else:
        _show_plan(problem, plan, as_json=as_json, as_commands=as_commands)


@main.command()
@click.argument("plan_file", type=FILE, metavar="PLAN")
@click.option(
    "--problem",
    "problem_file",
    type=FILE,
    help="The problem or event it answers; PLAN's .problem.json neighbour if absent.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@one_line_errors
def check(plan_file: Path, problem_file: Path | None, as_json: bool) -> None:
    """Check a plan against its problem with code that shares nothing with the formulation."""
    from ebplan.checker import check_plan
    from ebplan.document import read_data
    from ebplan.plan import Plan

    plan = Plan.parse(read_data(plan_file), file=str(plan_file))
    problem = load_problem(problem_file or _problem_beside(plan_file))
    verdict = check_plan(problem, plan)
    if as_json:
        click.echo(verdict.model_dump_json(indent=1))
    elif verdict.ok:
        click.echo(f"{plan_file}: every law holds")
    for violation in () if as_json else verdict.violations:
        click.secho(f"{violation.law}: {violation.message}", fg="red")
    sys.exit(0 if verdict.ok else 4)


@main.command(
    help="Print the JSON Schema of a document.\n\nKIND is one of "
    f"{', '.join(sorted([*SCHEMAS, 'fit']))}."
)
@click.argument("kind", metavar="KIND", type=click.Choice([*SCHEMAS, "fit"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of a document."""
    import json
    from importlib import import_module

    if kind == "fit":
        from ebplan.models.fit.spec import schema as fit_schema

        click.echo(json.dumps(fit_schema(), indent=1))
        return
    module, name = SCHEMAS[kind].split(":")
    document = getattr(import_module(module), name)
    click.echo(json.dumps(document.model_json_schema(), indent=1))


@main.command()
@click.argument("file", type=FILE, required=False)
@one_line_errors
def doctor(file: Path | None) -> None:
    """Print versions and what is installed, for a bug report; with FILE, what its devices say."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import platform, python_version

    click.echo(f"ebplan {__version__}, Python {python_version()}, {platform()}")
    optional = ("matplotlib", "scipy", "cvxpy", "pyscipopt")
    edge = ("pymodbus", "pysunspec2", "nvidia-ml-py", "aiohttp", "prometheus-client")
    for name in ("highspy", "numpy", "pydantic", "rich", *optional, *edge):
        try:
            click.echo(f"  {name:18s} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"  {name:18s} not installed")
    if file is not None:
        from ebplan.cli_devices import REFUSED, look_at_devices

        click.echo(f"devices of {file}")
        if not look_at_devices(file):
            sys.exit(REFUSED)


def _refuse_together(shown_model: dict[str, Any], plan_output: dict[str, Any]) -> None:
    """Refuse options that would be ignored beside one another."""
    model = [name for name, value in shown_model.items() if value]
    outputs = [name for name, value in plan_output.items() if value]
    if model and outputs:
        raise click.UsageError(f"{model[0]} does not solve: leave out {', '.join(outputs)}.")
    if plan_output["--json"] and plan_output["--commands"]:
        raise click.UsageError("--json and --commands both print: choose one.")


def _method(solver: str) -> tuple[Method, str | None]:
    from ebplan.errors import InputError
    from ebplan.nearest import meant

    name, _, behind = solver.partition(":")
    methods: dict[str, Method] = {
        "highs": "highs",
        "cvxpy": "cvxpy",
        "merit-order": "merit_order",
    }
    if name not in methods or (behind and name != "cvxpy"):
        raise InputError(
            field="--solver",
            value=solver,
            allowed="highs, cvxpy, cvxpy:NAME, merit-order",
            remedy=meant(name, methods) or "choose one of these",
        )
    return methods[name], behind or None


def _problem_beside(plan_file: Path) -> Path:
    return plan_file.with_name(f"{plan_file.stem}.problem.json")


def _show_model(problem: Problem, save_lp: Path | None, print_model: str | None) -> None:
    from ebplan.solvers.describe import describe
    from ebplan.solvers.formulation import formulate

    formulation = formulate(problem)
    if save_lp:
        from ebplan.solvers.highs import write_lp

        write_lp(formulation.program, save_lp)
    if print_model:
        for line in describe(formulation, every_row=print_model == "rows"):
            click.echo(line)


def _show_plan(problem: Problem, plan: Plan, *, as_json: bool, as_commands: bool) -> None:
    if as_json:
        click.echo(plan.to_json())
    elif as_commands:
        from ebplan.adapters.commands import commands

        for command in commands(plan):
            click.echo(command.model_dump_json())
    else:
        from rich.console import Console

        from ebplan.report.terminal import print_plan

        print_plan(plan, problem, Console())


def _show_worth(problem: Problem, plan: Plan, time_limit: float | None) -> None:
    from rich.console import Console

    from ebplan.report.worth_table import print_worth
    from ebplan.worth import worths

    found = [*worths(problem, plan, time_limit_s=time_limit)]
    print_worth(plan, problem, found, Console())


def _answer(problem: Problem, deadline_s: float) -> Plan:
    """Answer by a deadline, from a solver process that is ready."""
    from ebplan.planner.deadline import Deadline
    from ebplan.planner.ladder import Ladder
    from ebplan.solvers.session import Session

    session = Session()
    try:
        session.wait_ready()
        return Ladder(session, Path()).answer(problem, Deadline(deadline_s))
    finally:
        session.close()


def _solve(
    problem: Problem,
    method: Any,
    behind: str | None,
    time_limit: float | None,
    without: tuple[str, ...],
) -> Plan:
    """Solve; where no plan passes the check, leave the problem behind as the bug report."""
    from ebplan.document import write_atomically
    from ebplan.errors import InputError, NoPlanError
    from ebplan.planner import solve_problem

    try:
        return solve_problem(
            problem, method=method, solver=behind, time_limit_s=time_limit, without=without
        )
    except NoPlanError as error:
        report = Path(f"ebplan-problem-{problem.digest()[:8]}.json")
        try:
            write_atomically(report, problem.to_json())
        except InputError:
            saved = "its problem could not be saved in this folder"
        else:
            saved = f"saved as {report}"
        raise NoPlanError(f"{error} ({saved})", plan=error.plan) from None
