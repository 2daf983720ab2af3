"""The report on the terminal: true numbers, every width, any encoding."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console
from sample_plan import curtailment, everything, infeasible, under_frequency

from ebplan.plan import CheckResult, Plan, Violation
from ebplan.problem import Problem
from ebplan.report.phases import phases
from ebplan.report.terminal import print_plan

SAMPLES = [under_frequency, curtailment, infeasible, everything]


def printed(problem: Problem, plan: Plan, *, width: int = 100, encoding: str = "utf-8") -> str:
    """Return what a file of that encoding would hold."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_plan(plan, problem, Console(file=stream, width=width))
    stream.flush()
    return raw.getvalue().decode(encoding)


def row(text: str, start: str) -> list[str]:
    """Return the words of the first line that starts so."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_fits_the_page_without_colour(sample, width, encoding):
    text = printed(*sample(), width=width, encoding=encoding)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= width
    assert 30 < len(lines) <= 60
    assert "\x1b" not in text
    assert "…" not in text, "nothing is cut off"
    assert encoding == "utf-8" or text.isascii()


def test_ascii_keeps_what_was_aligned():
    pair = under_frequency()
    fancy, plain = (printed(*pair, encoding=e).splitlines() for e in ("utf-8", "ascii"))
    assert [len(line) for line in plain] == [len(line) for line in fancy]
    assert any(ord(character) > 127 for line in fancy for character in line)


def test_the_widest_table_fits_the_narrowest_page():
    problem, plan = everything()
    lines = printed(problem, plan, width=80).splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith("──"))
    header = " ".join(lines[rule - 2 : rule]).split()
    for column in ("asked", "draw", "battery", "consol.", "cap", "admission", "short", "SoC"):
        assert column in header
    found = phases(plan, problem)
    last_words = [line.split()[-1] for line in lines[rule + 1 :][: len(found)]]
    assert last_words == [f"{100.0 * phase.soc:.1f}" for phase in found]


@pytest.mark.parametrize("sample", SAMPLES)
def test_table_holds_the_numbers_of_the_plan(sample):
    problem, plan = sample()
    lines = printed(problem, plan).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("──")) + 1
    for line, phase in zip(lines[first:], phases(plan, problem), strict=False):
        assert f" {phase.who} " in line or sample is everything
        words = line.split()
        assert words[-1] == f"{100.0 * phase.soc:.1f}"
        shown_kw = [phase.target_kw, phase.grid_kw, phase.shortfall_kw]
        shown_kw += [phase.mechanisms[n] for n in ("battery", "consolidation", "power_cap")]
        for kw in shown_kw:
            assert abs(kw) < 0.006 or f"{kw:.2f}" in words
    assert lines[first + len(phases(plan, problem))] == "", "no row is missing"


@pytest.mark.parametrize("sample", SAMPLES)
def test_costs_are_those_of_the_plan(sample):
    problem, plan = sample()
    text = printed(problem, plan)
    for cause in ("energy", "wear", "readiness"):
        assert row(text, f"{cause} ")[1] == f"{plan.cost[cause]:.2f}"
    assert row(text, "in all")[2] == f"{plan.money:.2f}"
    assert ("priority only" in text) == (plan.cost["firmness"] > 0.0)


def test_requests_are_those_of_the_plan():
    problem, plan = curtailment()
    words = printed(problem, plan).split()
    batch = plan.service["chat"]["batch"]
    assert batch.rejected > 0.0
    assert f"{batch.served:,.0f}" in words
    assert f"{batch.rejected:,.0f}" in words


def test_headline_says_what_is_asked_and_how_good_it_is():
    problem, plan = curtailment()
    first = printed(problem, plan).splitlines()[0]
    assert first == "curtail-17: release 1.30 kW for 3 h in 30 min  rounded, gap 0.04 %, checked"


def test_shortfall_gives_its_size_and_reason():
    problem, plan = infeasible()
    text = " ".join(printed(problem, plan).split())
    one = plan.shortfall[0]
    assert f"up to {one.max_kw:.2f} kW, {one.energy_kwh:.3g} kWh: {one.reason}" in text
    assert "Shortfall" not in printed(*under_frequency())


def test_a_plan_that_failed_the_check_says_so():
    problem, plan = under_frequency()
    broken = Violation(law="balance", at_s=3.0, amount=0.2, allowed=1e-3, message="0.2 kW appear")
    failed = plan.model_copy(update={"check": CheckResult(ok=False, violations=(broken,) * 6)})
    text = printed(problem, failed)
    assert "CHECK FAILED" in text.splitlines()[0]
    assert "6 law(s) broken" in text
    assert "balance at 3 s: 0.2 (allowed 0.001), 0.2 kW appear" in text
    assert "and 2 more, in the plan file" in text
    assert "checked" not in text


def test_text_from_documents_cannot_command_the_terminal():
    problem, plan = under_frequency()
    sly = plan.model_copy(
        update={"event_id": "[red]x[/red]\x1b[2J", "explanation": ("a\nb [/x] 電力",)}
    )
    text = printed(problem, sly)
    assert text.startswith("[red]x[/red]?[2J: release")
    assert "a?b [/x] 電力" in text
    assert "a?b [/x] ????" in printed(problem, sly, encoding="ascii")


def test_a_site_without_a_battery_has_no_soc():
    problem, plan = under_frequency()
    steps = tuple(s.model_copy(update={"soc": None, "battery_kw": 0.0}) for s in plan.steps)
    text = printed(
        problem.model_copy(update={"battery": None}), plan.model_copy(update={"steps": steps})
    )
    assert not [line for line in text.splitlines() if "SoC" in (line.split() or [""])[-1]]
    assert not [line for line in text.splitlines() if line.strip().startswith("SoC")]
    assert "attery answers" not in text


def test_colour_is_used_where_the_terminal_has_it():
    problem, plan = under_frequency()
    stream = io.StringIO()
    print_plan(plan, problem, Console(file=stream, width=100, force_terminal=True))
    assert "\x1b[" in stream.getvalue()


def test_import_is_light():
    heavy = "'matplotlib', 'highspy', 'pandas', 'scipy', 'cvxpy'"
    code = f"import sys, ebplan.report.terminal; sys.exit(bool({{{heavy}}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_request_that_cannot_be_met_says_so_before_the_proof():
    problem, plan = infeasible()
    text = printed(problem, plan)
    missing = sum(s.shortfall_kw * s.duration_s for s in plan.steps) / 3600.0
    asked = sum(abs(s.target_kw) * s.duration_s for s in plan.steps) / 3600.0
    first, second = text.splitlines()[:2]
    assert first.endswith(f", {100.0 * (1.0 - missing / asked):.0f} % of it met")
    assert second.startswith(f"{missing:.3g} of {asked:.3g} kWh are missing")
    assert "optimal" not in first
    assert "met" not in printed(*under_frequency()).splitlines()[0]


def test_requests_turned_away_are_said_before_the_proof():
    problem, plan = under_frequency()
    pool, classes = next(iter(plan.service.items()))
    name, one = next(iter(classes.items()))
    turned = one.model_copy(update={"rejected": 0.8 * one.offered, "served": 0.2 * one.offered})
    dear = plan.model_copy(update={"service": {pool: {**classes, name: turned}}})
    offered = sum(c.offered for c in dear.service[pool].values())
    share = sum(c.rejected for c in dear.service[pool].values()) / offered
    text = " ".join(printed(problem, dear).splitlines()[:3])
    assert f"{100.0 * share:.0f} % of the requests are turned away; this plan: " in text
