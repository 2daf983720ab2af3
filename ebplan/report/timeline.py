"""A plan over time in rows of small bars: what is asked, what answers, the levels beneath."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.axis import EventAxis
from ebplan.report.direction import direction_of
from ebplan.report.legible import given
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.report.phases import is_short, mechanism_kw, mechanism_names, met_kw
from ebplan.words import number_words, power_words

BLOCKS = " ▁▂▃▄▅▆▇█"


def timeline(plan: Plan, problem: Problem, width: int) -> Table:
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
    floor_kw = 0.02 * met_kw(plan)
    for name in mechanism_names(plan):
        answer_kw = direction.sign * mechanism_kw(plan, name)
        style = COLOURS.get(name, OTHER_COLOUR)
        if float(answer_kw.max()) > floor_kw:
            yield given(direction.name(name)), np.maximum(answer_kw, 0.0), style
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


FloatArray = NDArray[np.float64]
