"""A plan on the terminal: what happens when, who carries it, what it costs, is it proven.

Everything also reads without colour, at 80 columns, and in a file that takes ASCII only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report import (
    COLOURS,
    EventAxis,
    FloatArray,
    colour_of,
    decimals_for,
    fleet_actions,
    is_short,
    mechanism_kw,
    mechanism_names,
    message,
    money_words,
    number_words,
    peak_kw,
    phases,
    power_words,
    time_words,
)

STATUS_WORDS = {
    "optimal": "optimal",
    "gap": "best found in time",
    "rounded": "rounded relaxation",
    "merit_order": "merit order, without a bound",
    "armed": "armed ahead of time",
}
BLOCKS = " ▁▂▃▄▅▆▇█"
_TO_ASCII = str.maketrans("▁▂▃▄▅▆▇█━╸╵─·→≤≥–—×", ".:-=+*#@=-|-->~~--x")
"""One character for one, so that what was aligned stays aligned."""

WIDE = 96
"""Width from which cost and service stand side by side."""
MOST_ACTIONS = 7
MOST_CAUSES = 8
MOST_VIOLATIONS = 4


def print_plan(plan: Plan, problem: Problem, console: Console) -> None:
    """Print a report of a plan, at most about 60 lines.

    Args:
        plan: the plan.
        problem: the problem it answers.
        console: where to; its width, colours and encoding are respected.
    """
    width = min(console.width, 110)
    parts = [_headline(plan, problem), _timeline(plan, problem, width), _phase_table(plan, problem)]
    parts += [_fleet_part(plan, problem), _money_and_service(plan, width)]
    parts += [_shortfall_part(plan, problem), _explanation(plan), _proof(plan)]
    body = Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1] if part), parts[-1] or "")
    console.print(_Legible(body, width), highlight=False)


@dataclass(frozen=True)
class _Legible:
    """Renders as it is, or in plain ASCII where the output takes nothing else."""

    inner: RenderableType
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options.update_width(self.width)):
            if options.ascii_only and not segment.control:
                yield Segment(_ascii(segment.text), segment.style)
            else:
                yield segment


def _ascii(text: str) -> str:
    """Return text of the same width in ASCII."""
    if text.isascii():
        return text
    plain = text.translate(_TO_ASCII)
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in plain)


def _given(text: str) -> str:
    """Return text from a document without characters that could move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _headline(plan: Plan, problem: Problem) -> Text:
    """Event, what is asked, how good the plan is; then what it does, in one sentence."""
    length = time_words(problem.event_end_s - problem.event_start_s)
    line = Text()
    line.append(_given(plan.event_id), style="bold")
    line.append(f": release {power_words(peak_kw(plan))} for {length}")
    if problem.event_start_s > 0.0:
        line.append(f" in {time_words(problem.event_start_s)}")
    line.append("  ")
    good = plan.status in ("optimal", "armed") and not is_short(plan)
    line.append(STATUS_WORDS[plan.status], style="bold green" if good else "bold yellow")
    if plan.gap is not None:
        line.append(f", gap {100.0 * plan.gap:.2g} %")
    line.append(", ")
    line.append("checked" if plan.check.ok else "CHECK FAILED", _check_style(plan))
    line.append(f"\n{message(plan, problem)}.\n{_handoff_words(plan, problem)}", style="default")
    return line


def _check_style(plan: Plan) -> str:
    """Return the style of the checker's verdict."""
    return "bold green" if plan.check.ok else "bold red"


def _handoff_words(plan: Plan, problem: Problem) -> str:
    """Say when compute has taken over, and whether that is in time."""
    asked_s, complete_s = plan.handoff.asked_s, plan.handoff.complete_s
    asked = "not asked for"
    if asked_s is not None:
        asked = f"asked for by {time_words(asked_s - problem.event_start_s)}"
    if complete_s is None:
        return f"Hand-off: never complete, the battery is needed to the end ({asked})."
    took_s = complete_s - problem.event_start_s
    if took_s <= 0.0:
        return f"Hand-off: none needed, the battery is free from the start ({asked})."
    late = "" if asked_s is None or complete_s <= asked_s else ", late"
    return f"Hand-off: battery free again {time_words(took_s)} after the start ({asked}{late})."


# --- timeline -------------------------------------------------------------------------------


def _timeline(plan: Plan, problem: Problem, width: int) -> Table:
    """Rows of small bars over the compressive time axis."""
    axis = EventAxis.of(problem)
    names = mechanism_names(plan)
    cells = width - max(13, *(len(_spaced(name)) for name in names), 0) - 20
    step_of_cell = _steps_under_cells(plan, axis, cells)
    scale_kw = max(peak_kw(plan), *(float(np.abs(mechanism_kw(plan, n)).max()) for n in names), 0)

    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=cells)
    table.add_column(no_wrap=True, style="dim")
    for label, kw, style in _power_rows(plan, names):
        bars = Text(_bars(kw[step_of_cell] / scale_kw), style=style)
        table.add_row(Text(label, style=style), bars, f"max {power_words(float(kw.max()))}")
    for label, values, span in _level_rows(plan):
        low, high = float(values.min()), float(values.max())
        level = (values[step_of_cell] - low) / (high - low) if high > low else 0.0 * step_of_cell
        table.add_row(label, _bars(np.maximum(level, 0.1)), span)
    table.add_row("", Text(_tick_line(axis, cells), style="dim"), "since start, +end")
    return table


def _steps_under_cells(plan: Plan, axis: EventAxis, cells: int) -> NDArray[np.int64]:
    """Return the step in the middle of each cell, shape (cells,)."""
    first, last = axis.position(np.array([0.0, axis.horizon_s]))
    middle = first + (last - first) * (np.arange(cells) + 0.5) / cells
    starts_s = np.array([step.t_s for step in plan.steps])
    return np.maximum(np.searchsorted(starts_s, axis.time_s(middle) + 1e-9, "right") - 1, 0)


def _power_rows(plan: Plan, names: Iterable[str]) -> Iterator[tuple[str, FloatArray, str]]:
    """Yield label, power >= 0 in kW and style: what is asked, what answers, what is missing."""
    names = list(names)
    yield "asked", np.array([max(-step.target_kw, 0.0) for step in plan.steps]), "bold"
    floor_kw = 0.02 * peak_kw(plan)
    for name in names:
        kw = mechanism_kw(plan, name)
        style = colour_of(name, names)
        if float((-kw).max()) > floor_kw:
            yield _spaced(name), np.maximum(-kw, 0.0), style
        if float(kw.max()) > floor_kw:
            label = "recharge" if name == "battery" else f"+{_spaced(name)}"
            yield label, np.maximum(kw, 0.0), style
    if is_short(plan):
        short_kw = np.array([step.shortfall_kw for step in plan.steps])
        yield "shortfall", short_kw, COLOURS["shortfall"]


def _level_rows(plan: Plan) -> Iterator[tuple[str, FloatArray, str]]:
    """Yield label, values and their range in words: draw and, with a battery, SoC."""
    grid_kw = np.array([step.grid_kw for step in plan.steps])
    low, high = (number_words(float(v), 2) for v in (grid_kw.min(), grid_kw.max()))
    yield "draw", grid_kw, f"{low} to {high} kW"
    soc = np.array([np.nan if step.soc is None else 100.0 * step.soc for step in plan.steps])
    if not np.isnan(soc).any():
        yield "SoC", soc, f"{soc.min():.1f} to {soc.max():.1f} %"


def _bars(level: FloatArray) -> str:
    """Return one block character for each level in 0..1; what is not zero is seen."""
    eighths = np.ceil(np.clip(level, 0.0, 1.0) * 8.0 - 0.5)
    eighths = np.where(level > 0.02, np.maximum(eighths, 1.0), 0.0).astype(int)
    return "".join(BLOCKS[n] for n in eighths)


def _tick_line(axis: EventAxis, cells: int) -> str:
    """Return the labels of the time axis, each after a mark at its time."""
    line = [" "] * cells
    free_from = 0
    for t_s, label in axis.ticks():
        at = min(round(axis.share(t_s) * cells), cells - 1)
        text = f"╵{label}"
        if at >= free_from and at + len(text) <= cells:
            line[at : at + len(text)] = text
            free_from = at + len(text)
    return "".join(line)


# --- what happens when ----------------------------------------------------------------------


def _phase_table(plan: Plan, problem: Problem) -> Table:
    """One row for each phase: mean powers, and the state of charge at its end."""
    names = mechanism_names(plan)
    digits = min(decimals_for(peak_kw(plan)), 2)
    short, battery = is_short(plan), plan.steps[0].soc is not None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("since start", no_wrap=True)
    table.add_column("carried by", no_wrap=True)
    headers = ["asked kW", "draw kW", *(f"{_spaced(name)} kW" for name in names)]
    headers += ["short kW"] * short + ["SoC end %"] * battery
    for header in headers:
        table.add_column(header, justify="right")
    for phase in phases(plan, problem):
        numbers = [phase.target_kw, phase.grid_kw, *(phase.mechanisms[name] for name in names)]
        numbers += [phase.shortfall_kw] * short
        cells = [_kw_cell(kw, digits) for kw in numbers]
        if battery:
            cells.append("-" if phase.soc is None else f"{100.0 * phase.soc:.1f}")
        span = _span(phase.from_s - problem.event_start_s, phase.to_s - problem.event_start_s)
        table.add_row(span, phase.who, *cells)
    return table


def _kw_cell(kw: float, digits: int) -> str:
    """Return a power, or a dash where it would read as zero."""
    text = number_words(kw, digits)
    return "-" if float(text.replace(",", "")) == 0.0 else text


def _span(from_s: float, to_s: float) -> str:
    """Return a time span in words."""
    return f"{time_words(from_s)} to {time_words(to_s)}"


def _spaced(name: str) -> str:
    """Return a name from a document as words."""
    return _given(name).replace("_", " ")


# --- fleet ----------------------------------------------------------------------------------


def _fleet_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """What the fleet is told, where something changes."""
    found = fleet_actions(plan, problem)
    if not found:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for action in found[:MOST_ACTIONS]:
        from_s, to_s = (t - problem.event_start_s for t in (action.from_s, action.to_s))
        when = time_words(from_s) if to_s == from_s else _span(from_s, to_s)
        pool = f"{_given(action.pool)}: " if len(problem.pools) > 1 else ""
        table.add_row(when, Text(pool + _given("; ".join(action.words))))
    if len(found) > MOST_ACTIONS:
        table.add_row("", Text(f"and {len(found) - MOST_ACTIONS} more, in the plan file", "dim"))
    return _titled("Fleet", table)


# --- money, service, proof ------------------------------------------------------------------


def _titled(title: str, part: RenderableType) -> RenderableType:
    """Put a title over a part."""
    return Group(Text(title, style="bold"), part)


def _money_and_service(plan: Plan, width: int) -> RenderableType:
    """Cost by cause and requests by class; side by side where there is room."""
    cost, service = _titled("Cost", _cost_table(plan)), _titled("Requests", _service_table(plan))
    if width < WIDE:
        return Group(cost, Text(), service)
    both = Table.grid(padding=(0, 5, 0, 0))
    both.add_row(cost, service)
    return both


def _cost_table(plan: Plan) -> Table:
    """Causes by size, with bars of their share of all money moved either way."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    total = sum(abs(amount) for amount in plan.cost.values())
    causes = sorted(plan.cost.items(), key=lambda item: -abs(item[1]))
    shown = [c for c in causes if abs(c[1]) > 5e-4 * total][:MOST_CAUSES]
    rest = plan.objective - sum(amount for _, amount in shown)
    decimals = 0 if total >= 10_000.0 else 2
    for name, amount in shown:
        style = "green" if amount < 0.0 else COLOURS["shortfall"]
        bar = Text(_share_bar(abs(amount) / total), style=style)
        table.add_row(_spaced(name), number_words(amount, decimals), bar)
    if len(shown) < len(causes) and abs(rest) >= 0.5 * 10.0**-decimals:
        table.add_row("other", number_words(rest, decimals), "")
    table.add_row(
        Text("total", "bold"), Text(number_words(plan.objective, decimals), "bold"), plan.currency
    )
    return table


def _share_bar(share: float, cells: int = 20) -> str:
    """Return a bar of half cells."""
    halves = round(2 * cells * share)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def _service_table(plan: Plan) -> Table:
    """Requests served and rejected, by pool and class."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    for header in ("served", "rejected", "of offered"):
        table.add_column(justify="right")
    table.add_row("", *(Text(h, "dim") for h in ("served", "rejected", "of offered")))
    for pool, classes in plan.service.items():
        prefix = f"{_spaced(pool)}: " if len(plan.service) > 1 else ""
        for name, one in classes.items():
            share = one.rejected / one.offered if one.offered else 0.0
            numbers = f"{one.served:,.0f}", f"{one.rejected:,.0f}", f"{100.0 * share:.1f} %"
            table.add_row(prefix + _spaced(name), *numbers)
    return table


def _shortfall_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """Where the target is not met, by how much, and why."""
    if not plan.shortfall:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for one in plan.shortfall:
        span = _span(one.from_s - problem.event_start_s, one.to_s - problem.event_start_s)
        amount = f"up to {power_words(one.max_kw)}, {one.energy_kwh:.3g} kWh"
        table.add_row(span, f"{amount}: {_given(one.reason)}")
    return Group(Text("Shortfall", style=f"bold {COLOURS['shortfall']}"), table)


def _explanation(plan: Plan) -> RenderableType | None:
    """The planner's own sentences."""
    if not plan.explanation:
        return None
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in plan.explanation:
        table.add_row("·", _given(sentence))
    return _titled("Why", table)


def _proof(plan: Plan) -> Text:
    """Bound, gap and the checker's verdict."""
    text = Text()
    text.append("Proof  ", "bold")
    if plan.bound is None:
        text.append("no bound: this rung of the ladder proves nothing about cost")
    else:
        text.append(f"no plan costs less than {money_words(plan.bound, plan.currency)}")
    if plan.gap is not None:
        text.append(f", gap {100.0 * plan.gap:.2g} %")
    text.append("\nCheck  ", "bold")
    if plan.check.ok:
        text.append("ok", "bold green")
        text.append(": replayed by independent code, every law holds")
        return text
    violations = plan.check.violations
    text.append(f"{len(violations)} law(s) broken", "bold red")
    for one in violations[:MOST_VIOLATIONS]:
        where = "" if one.at_s is None else f" at {time_words(one.at_s)}"
        amounts = f"{one.amount:.3g} (allowed {one.allowed:.3g})"
        text.append(f"\n  {_given(one.law)}{where}: {amounts}, {_given(one.message)}")
    if len(violations) > MOST_VIOLATIONS:
        text.append(f"\n  and {len(violations) - MOST_VIOLATIONS} more, in the plan file")
    return text
