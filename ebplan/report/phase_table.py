"""What happens when, in a table: a row for each phase of a plan, in the space there is."""

from __future__ import annotations

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.direction import direction_of
from ebplan.report.legible import HEAD_RULE, given
from ebplan.report.phases import is_short, mechanism_names, peak_kw, phases
from ebplan.words import decimals_for, number_words, time_words


def phase_table(plan: Plan, problem: Problem, width: int) -> RenderableType:
    """One row for each phase; where the page is narrow, the numbers say who carries it."""
    headers, rows = _phase_cells(plan, problem)
    lines = [headers, *rows]
    needed = [max(len(line[i]) for line in rows) for i in range(len(headers))]
    needed = [max(n, *map(len, h.split())) for n, h in zip(needed, headers, strict=True)]
    if sum(needed) + len(needed) > width:
        lines = [[line[0], *line[2:]] for line in lines]
        del needed[1]
    gap = 1 if sum(needed) + 2 * len(needed) <= width else 0  # besides the column rule's
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for header, cells in zip(lines[0], needed, strict=True):
        side: JustifyMethod = "left" if header in headers[:2] else "right"
        table.add_column(header, justify=side, overflow="fold", width=cells)
    for line in lines[1:]:
        table.add_row(*line)
    units = (f"  mean kW, {direction_of(problem).helping}; SoC in % at the end", "dim")
    return Group(Text.assemble(("What happens when", "bold"), units), table)


def _phase_cells(plan: Plan, problem: Problem) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows of the table of phases."""
    names = mechanism_names(plan)
    digits = min(decimals_for(peak_kw(plan)), 2)
    short, battery = is_short(plan), plan.steps[0].soc is not None
    headers = ["time", "carried by", "asked", "draw"]
    headers += [given(direction_of(problem).header(name)) for name in names]
    headers += ["short"] * short + ["SoC"] * battery
    rows = []
    for phase in phases(plan, problem):
        numbers = [phase.target_kw, phase.grid_kw, *(phase.mechanisms[name] for name in names)]
        numbers += [phase.shortfall_kw] * short
        row = [span_words(phase.from_s, phase.to_s, problem), phase.who]
        row += [_kw_cell(kw, digits) for kw in numbers]
        row += ["-" if phase.soc is None else f"{100.0 * phase.soc:.1f}"] * battery
        rows.append(row)
    return headers, rows


def _kw_cell(kw: float, digits: int) -> str:
    """Return a power, or a dash where it would read as zero."""
    return number_words(kw, digits) if round(kw, digits) else "-"


def span_words(from_s: float, to_s: float, problem: Problem) -> str:
    """Return a time span in words; a plus counts from the end of the event."""
    after = from_s >= problem.event_end_s - 1e-9
    zero_s, plus = (problem.event_end_s, "+") if after else (problem.event_start_s, "")
    first = f"{plus}{time_words(from_s - zero_s)}"
    return first if to_s == from_s else f"{first} to {plus}{time_words(to_s - zero_s)}"
