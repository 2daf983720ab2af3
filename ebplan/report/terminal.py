"""A plan on the terminal: what happens when, who carries it, what it costs, is it proven.

Everything also reads without colour, at 80 columns, and in a file that takes ASCII only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.plan import PRIORITY_CAUSES, Plan
from ebplan.problem import Problem
from ebplan.report.axis import EventAxis
from ebplan.report.direction import direction_of
from ebplan.report.fleet_words import fleet_actions
from ebplan.report.handoff_words import handoff_words
from ebplan.report.latency_words import latency_rows
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.report.phases import is_short, mechanism_kw, mechanism_names, message, peak_kw, phases
from ebplan.report.words import decimals_for, money_words, number_words, power_words, time_words

FloatArray = NDArray[np.float64]

STATUS_WORDS = {
    "optimal": "optimal",
    "gap": "best found in time",
    "rounded": "rounded",
    "merit_order": "merit order, without a bound",
    "armed": "armed ahead of time",
}
HEAD_RULE = box.Box(str(box.SIMPLE_HEAD), ascii=True)
"""A rule under the header; claims to be ASCII, because ``_Legible`` sees to that."""
BLOCKS = " ▁▂▃▄▅▆▇█"
_TO_ASCII = str.maketrans("▁▂▃▄▅▆▇█━╸╵─·→…≤≥–—×", ".:-=+*#@=-|-->.~~--x")
"""One character for one, so that what was aligned stays aligned."""

MOST_ACTIONS = 7
MOST_CAUSES = 6
MOST_VIOLATIONS = 4


def print_plan(plan: Plan, problem: Problem, console: Console) -> None:
    """Print a plan for ``problem`` in about 60 lines, within the console's width and encoding."""
    width = min(console.width, 110)
    parts: list[RenderableType | None] = [
        _headline(plan, problem),
        _timeline(plan, problem, width),
        _phase_table(plan, problem, width),
        _fleet_part(plan, problem),
        _money_and_service(plan),
        _latency_part(plan, problem),
        _shortfall_part(plan, problem),
        _explanation(plan),
        _proof(plan, problem),
    ]
    lines = [line for part in parts if part is not None for line in (part, "")]
    # no markup: what a document says in brackets is text
    console.print(_Legible(Group(*lines[:-1]), width), highlight=False, markup=False)


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
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text.translate(_TO_ASCII))


def _given(text: str) -> str:
    """Return text from a document without characters that could move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _headline(plan: Plan, problem: Problem) -> Text:
    """Event, what is asked, how good the plan is; then what it does, in one sentence."""
    length = time_words(problem.event_end_s - problem.event_start_s)
    asked = f": {direction_of(problem).verb} {power_words(peak_kw(plan))} for {length}"
    if problem.asks != "one_way":
        asked = f": {'follow the frequency' if problem.tracks else _priced(problem)} for {length}"
    line = Text.assemble((_given(plan.event_id), "bold"), asked)
    if problem.event_start_s > 0.0:
        line.append(f" in {time_words(problem.event_start_s)}")
    if plan.without:
        absorbs = problem.direction > 0
        listed = " and ".join(mechanism_words(name, absorbs=absorbs) for name in plan.without)
        line.append(f", without {listed}", "bold")
    good = plan.status in ("optimal", "armed") and not is_short(plan)
    line.append(f"  {STATUS_WORDS[plan.status]}", "bold green" if good else "bold yellow")
    line.append(", " if plan.gap is None else f", gap {100.0 * plan.gap:.2g} %, ")
    verdict = ("checked", "bold green") if plan.check.ok else ("CHECK FAILED", "bold red")
    line.append(*verdict)
    line.append(f"\n{message(plan, problem)}.\n{handoff_words(plan, problem)}", style="default")
    return line


def _priced(problem: Problem) -> str:
    """Say what stands in the place of a target: the prices of the window, or its limit."""
    prices, inside = problem.energy_prices_per_kwh, _inside(problem)
    low, high = float(prices[inside].min()), float(prices[inside].max())
    if isinstance(problem.prices.energy_per_kwh, tuple):
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"energy at {span} {problem.currency}/kWh"
    return f"draw at most {power_words(float(np.array(problem.import_limit_kw)[inside].min()))}"


def _inside(problem: Problem) -> NDArray[np.bool_]:
    """Return the steps inside the event, shape (T,)."""
    starts = problem.grid.starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)


def _timeline(plan: Plan, problem: Problem, width: int) -> Table:
    """Rows of small bars over the compressive time axis; the powers share one scale."""
    powers, levels = [*_power_rows(plan, problem)], [*_level_rows(plan, problem)]
    scale_kw = max((float(kw.max()) for _, kw, _ in powers), default=0.0) or 1.0
    rows = [(label, kw / scale_kw, power_words(kw.max()), style) for label, kw, style in powers]
    for label, values, span in levels:
        spread = float(np.ptp(values)) or 1.0
        rows.append((label, 0.1 + 0.9 * (values - values.min()) / spread, span, "default"))

    axis = EventAxis.of(problem)
    cells = width - 2 - max(len(row[0]) for row in rows) - max(len(row[2]) for row in rows)
    step_of_cell = _steps_under_cells(plan, axis, cells)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=cells)
    table.add_column(no_wrap=True, style="dim")
    table.add_row("", "", "peak")
    for label, level, peak, style in rows:
        table.add_row(Text(label, style), Text(_bars(level[step_of_cell]), style), peak)
    table.add_row("", Text(_tick_line(axis, cells), style="dim"), "+ after end")
    return table


def _steps_under_cells(plan: Plan, axis: EventAxis, cells: int) -> NDArray[np.int64]:
    """Return the step in the middle of each cell, shape (cells,)."""
    first, last = axis.position(np.array([0.0, axis.horizon_s]))
    middle = first + (last - first) * (np.arange(cells) + 0.5) / cells
    starts_s = np.array([step.t_s for step in plan.steps])
    return np.maximum(np.searchsorted(starts_s, axis.time_s(middle) + 1e-9, "right") - 1, 0)


def _power_rows(plan: Plan, problem: Problem) -> Iterator[tuple[str, FloatArray, str]]:
    """Yield label, power >= 0 in kW and style: what is asked, what answers, what is missing."""
    direction = direction_of(problem)
    target_kw = np.array([step.target_kw for step in plan.steps])
    if problem.tracks:
        yield "asked less", np.maximum(-target_kw, 0.0), "bold"
        yield "asked more", np.maximum(target_kw, 0.0), "bold"
    elif problem.asks == "one_way":
        yield "asked", np.abs(target_kw), "bold"
    floor_kw = 0.02 * peak_kw(plan)
    for name in mechanism_names(plan):
        answer_kw = direction.sign * mechanism_kw(plan, name)
        style = COLOURS.get(name, OTHER_COLOUR)
        if float(answer_kw.max()) > floor_kw:
            yield _given(direction.name(name)), np.maximum(answer_kw, 0.0), style
        if name == "battery" and float(answer_kw.min()) < -floor_kw:
            yield direction.battery_against, np.maximum(-answer_kw, 0.0), style
    if is_short(plan):
        short_kw = np.array([step.shortfall_kw for step in plan.steps])
        yield "shortfall", short_kw, COLOURS["shortfall"]


def _level_rows(plan: Plan, problem: Problem) -> Iterator[tuple[str, FloatArray, str]]:
    """Yield label, values and their range in words: draw, SoC, and a price that changes."""
    grid_kw = np.array([step.grid_kw for step in plan.steps])
    low, high = (number_words(float(v), 2) for v in (grid_kw.min(), grid_kw.max()))
    yield "draw", grid_kw, f"{low}-{high} kW"
    soc = np.array([np.nan if step.soc is None else 100.0 * step.soc for step in plan.steps])
    if not np.isnan(soc).any():
        yield "SoC", soc, f"{soc.min():.1f}-{soc.max():.1f} %"
    if isinstance(problem.prices.energy_per_kwh, tuple):
        price = np.array(problem.prices.energy_per_kwh)
        yield "price", price, f"{price.min():g} to {price.max():g} {problem.currency}/kWh"


def _bars(level: FloatArray) -> str:
    """Return one block character for each level in 0..1; what is not zero is seen."""
    eighths = np.ceil(np.clip(level, 0.0, 1.0) * 8.0 - 0.5)
    eighths = np.where(level > 0.02, np.maximum(eighths, 1.0), 0.0).astype(int)
    return "".join(BLOCKS[n] for n in eighths)


def _tick_line(axis: EventAxis, cells: int) -> str:
    """Return the labels of the time axis, each beside a mark at its time."""
    line = [" "] * cells
    for t_s, label in axis.ticks():
        at = min(round(axis.share(t_s) * cells), cells - 1)
        text = f"╵{label}"
        if at + len(text) > cells:
            at, text = at - len(label), f"{label}╵"
        if set(line[at : at + len(text)]) == {" "}:
            line[at : at + len(text)] = text
    return "".join(line)


def _phase_table(plan: Plan, problem: Problem, width: int) -> RenderableType:
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
    headers += [_given(direction_of(problem).header(name)) for name in names]
    headers += ["short"] * short + ["SoC"] * battery
    rows = []
    for phase in phases(plan, problem):
        numbers = [phase.target_kw, phase.grid_kw, *(phase.mechanisms[name] for name in names)]
        numbers += [phase.shortfall_kw] * short
        row = [_span(phase.from_s, phase.to_s, problem), phase.who]
        row += [_kw_cell(kw, digits) for kw in numbers]
        row += ["-" if phase.soc is None else f"{100.0 * phase.soc:.1f}"] * battery
        rows.append(row)
    return headers, rows


def _kw_cell(kw: float, digits: int) -> str:
    """Return a power, or a dash where it would read as zero."""
    return number_words(kw, digits) if round(kw, digits) else "-"


def _span(from_s: float, to_s: float, problem: Problem) -> str:
    """Return a time span in words; a plus counts from the end of the event."""
    after = from_s >= problem.event_end_s - 1e-9
    zero_s, plus = (problem.event_end_s, "+") if after else (problem.event_start_s, "")
    first = f"{plus}{time_words(from_s - zero_s)}"
    return first if to_s == from_s else f"{first} to {plus}{time_words(to_s - zero_s)}"


def _spaced(name: str) -> str:
    """Return a name from a document as words."""
    return _given(name).replace("_", " ")


def _fleet_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """What the fleet is told, where something changes."""
    found = fleet_actions(plan, problem)
    if not found:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for action in found[:MOST_ACTIONS]:
        when = _span(action.from_s, action.to_s, problem)
        pool = f"{_given(action.pool)}: " if len(problem.pools) > 1 else ""
        table.add_row(when, Text(pool + _given("; ".join(action.words))))
    if len(found) > MOST_ACTIONS:
        table.add_row("", Text(f"and {len(found) - MOST_ACTIONS} more, in the plan file", "dim"))
    return _titled("Fleet", table)


def _titled(title: str, part: RenderableType) -> RenderableType:
    """Put a title over a part."""
    return Group(Text(title, style="bold"), part)


def _money_and_service(plan: Plan) -> RenderableType:
    """Cost by cause and requests by class, side by side."""
    both = Table.grid(padding=(0, 3, 0, 0))
    both.add_row(
        _titled("Cost", _cost_table(plan)), _titled("Requests over the plan", _service_table(plan))
    )
    return both


def _cost_table(plan: Plan) -> Table:
    """Causes by size with bars of their share; what nobody pays stands below the sum."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    paid = {name: amount for name, amount in plan.cost.items() if name not in PRIORITY_CAUSES}
    whole = sum(abs(amount) for amount in paid.values())
    shown = sorted(paid, key=lambda name: -abs(paid[name]))[:MOST_CAUSES]
    shown = [name for name in shown if abs(paid[name]) > 5e-4 * whole]
    decimals = 0 if whole >= 10_000.0 else 2
    for name in shown:
        bar = _share_bar(abs(paid[name]) / whole)
        style = "green" if paid[name] < 0.0 else "default"
        table.add_row(_spaced(name), number_words(paid[name], decimals), Text(bar, style))
    rest = plan.money - sum(paid[name] for name in shown)
    if abs(rest) >= 0.5 * 10.0**-decimals:
        table.add_row("other", number_words(rest, decimals))
    table.add_row(
        Text("in all", "bold"), Text(number_words(plan.money, decimals), "bold"), plan.currency
    )
    for name in PRIORITY_CAUSES:
        if amount := plan.cost.get(name, 0.0):
            table.add_row(name, number_words(amount, decimals), "priority only", style="dim")
    if plan.money != plan.objective:
        table.add_row("objective", number_words(plan.objective, decimals), style="dim")
    return table


def _share_bar(share: float, cells: int = 10) -> str:
    """Return a bar of half cells."""
    halves = round(2 * cells * share)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def _service_table(plan: Plan) -> Table:
    """What became of the requests, by pool and class; columns of zeros are left out."""
    services = [one for classes in plan.service.values() for one in classes.values()]
    columns = {"waiting": "backlog_at_end", "ahead": "pulled", "lower precision": "lowered"}
    shown = {h: f for h, f in columns.items() if any(getattr(s, f) >= 0.5 for s in services)}
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    headers = ("served", "rejected", "in %", *shown)
    for _ in headers:
        table.add_column(justify="right")
    table.add_row("", *headers, style="dim")
    for pool, classes in plan.service.items():
        prefix = f"{_spaced(pool)}: " if len(plan.service) > 1 else ""
        for name, one in classes.items():
            share = one.rejected / one.offered if one.offered else 0.0
            numbers = f"{one.served:,.0f}", f"{one.rejected:,.0f}", f"{100.0 * share:.1f}"
            further = (f"{getattr(one, field):,.0f}" for field in shown.values())
            table.add_row(prefix + _spaced(name), *numbers, *further)
    return table


def _latency_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """Longest times of the plan against their limits, where there are any."""
    rows = list(latency_rows(plan, problem))
    if not rows:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column()
    table.add_row("", "first token, 95 % within", "next token", "late requests", style="dim")
    for pool, name, first, following, late in rows:
        prefix = f"{_spaced(pool)}: " if len(plan.service) > 1 else ""
        table.add_row(prefix + _spaced(name), first, following, late)
    return Group(Text("Longest latency", style="bold"), table)


def _shortfall_part(plan: Plan, problem: Problem) -> RenderableType | None:
    """Where the target is not met, by how much, and why."""
    if not plan.shortfall:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for one in plan.shortfall:
        span = _span(one.from_s, one.to_s, problem)
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


def _proof(plan: Plan, problem: Problem) -> Text:
    """Bound, gap and the checker's verdict."""
    text = Text.assemble(("Proof  ", "bold"))
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
        where = "" if one.at_s is None else f" at {_span(one.at_s, one.at_s, problem)}"
        amounts = f"{one.amount:.3g} (allowed {one.allowed:.3g})"
        text.append(f"\n  {_given(one.law)}{where}: {amounts}, {_given(one.message)}")
    if len(violations) > MOST_VIOLATIONS:
        text.append(f"\n  and {len(violations) - MOST_VIOLATIONS} more, in the plan file")
    return text
