"""A wear model: life lost by depth of cycle, and by state of charge at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.points import Points
from ebplan.models.wear import WearModel
from ebplan.report.canvas import INK
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CYCLES = 1000.0
"""Of which the figure speaks: one takes next to nothing."""
SHALLOWEST = 0.02
"""Depth from which on the curves are drawn."""
SAME = 0.01
"""Curves nearer to each other than this share of life are drawn as one."""
ALIKE_C, ALIKE_RATE = 1.0, 0.05
"""Conditions nearer to each other than this stand at one curve."""
PLANNER = "as planned with"
"""The convex curve that a planner is given, where it is another one."""


def draw(model: WearModel) -> Figure:
    """Return the figure of a wear model."""
    series = frame.by_series(model.points)
    figure, axes = frame.panels(2, height_in=7.6)
    _cycles(axes[0, 0], model, series.get("cycles"))
    _rest(axes[1, 0], model, series.get("rest"))
    frame.letter(axes[:, 0], ("cycles", "rest"))
    return frame.finish(
        figure,
        _message(model),
        card=model.card,
        points=model.points,
        interval=f"Bars at the conditions tested: {CONFIDENCE:.0%} interval of a new condition."
        if model.points
        else "A wear model is priced by its means: no interval travels with it.",
        unit="conditions",
    )


def _cycles(ax: Axes, model: WearModel, kept: Points | None) -> None:
    """Draw the life lost by cycles against their depth, a curve a rate."""
    rates = [0.5 * model.max_discharge_c, model.max_discharge_c]
    if kept is not None:
        rates = _apart(kept.column("c_rate"), ALIKE_RATE)
    depth = np.linspace(SHALLOWEST, model.max_depth, frame.CURVE_POINTS)
    per_thousand, differs = frame.PERCENT * CYCLES, False
    for number, rate in enumerate(frame.chosen(rates)):
        colour = frame.colour_of(number)
        lost = per_thousand * model.cycle_life_lost(rate, depth)
        frame.curve(ax, depth * frame.PERCENT, lost, colour, f"{rate:.3g} C")
        coefficient, exponent = model.depth_stress(rate)
        given = per_thousand * coefficient * depth**exponent
        if np.abs(given - lost).max() > SAME * lost.max():
            ax.plot(depth * frame.PERCENT, given, "--", color=colour, linewidth=1.0)
            differs = True
        if kept is not None:
            here = np.abs(kept.column("c_rate") - rate) <= ALIKE_RATE
            _conditions(ax, kept, here, ("depth", "life_lost_per_cycle"), per_thousand, number)
    ax.set_xlabel("Depth of cycle in % of capacity")
    ax.set_ylabel(f"Life lost by {CYCLES:,.0f} cycles in %")
    ax.set_ylim(bottom=0.0)
    _key(ax, kept, differs)


def _rest(ax: Axes, model: WearModel, kept: Points | None) -> None:
    """Draw the life lost in a year at rest against the state of charge, a curve a temperature."""
    temperatures = sorted(set(model.valid_temperature_c))
    if kept is not None:
        temperatures = _apart(kept.column("temperature_c"), ALIKE_C)
    soc, differs = np.linspace(*model.valid_soc, frame.CURVE_POINTS), False
    for number, temperature in enumerate(frame.chosen(temperatures)):
        colour = frame.colour_of(number)
        lost = frame.PERCENT * model.calendar_loss_per_year(temperature, soc)
        frame.curve(ax, soc * frame.PERCENT, lost, colour, f"{temperature:.0f} °C")
        at, given = np.array(model.calendar_points(temperature)).T
        given = frame.PERCENT * np.interp(soc, at, given)
        if np.abs(given - lost).max() > SAME * lost.max():
            ax.plot(soc * frame.PERCENT, given, "--", color=colour, linewidth=1.0)
            differs = True
        if kept is not None:
            here = np.abs(kept.column("temperature_c") - temperature) <= ALIKE_C
            _conditions(ax, kept, here, ("soc", "life_lost_per_year"), frame.PERCENT, number)
    ax.set_xlabel("State of charge at rest in %")
    ax.set_ylabel("Life lost in a year at rest in %")
    ax.set_ylim(bottom=0.0)
    _key(ax, kept, differs)


def _key(ax: Axes, kept: Points | None, differs: bool) -> None:
    """Draw the legend; the dashed curves last, where there are any."""
    if differs:
        ax.plot([], [], "--", color=INK, linewidth=1.0, label=PLANNER)
    frame.key(ax, (kept,) if kept else ())


def _apart(values: FloatArray, alike: float) -> list[float]:
    """Return the values that are farther apart than what counts as alike, ascending."""
    found: list[float] = []
    for value in np.sort(values).tolist():
        if not found or value - found[-1] > alike:
            found.append(value)
    return found


def _conditions(
    ax: Axes,
    kept: Points,
    here: NDArray[np.bool_],
    columns: tuple[str, str],
    scale: float,
    number: int,
) -> None:
    """Draw the conditions at one curve, with the interval of a new one like them."""
    x, y = frame.PERCENT * kept.column(columns[0])[here], scale * kept.column(columns[1])[here]
    low, high = scale * kept.column("low")[here], scale * kept.column("high")[here]
    frame.bars(ax, x, low, high, frame.colour_of(number))
    frame.readings(ax, x, y, kept.used()[here], frame.colour_of(number), frame.mark_of(number))


def _message(model: WearModel) -> str:
    depth, rate = model.max_depth, model.max_discharge_c
    cycles = 1.0 / float(model.cycle_life_lost(rate, depth))
    soc = float(np.mean(model.valid_soc))
    temperature = float(np.mean(model.valid_temperature_c))
    years = 1.0 / float(model.calendar_loss_per_year(temperature, soc))
    return (
        f"{model.name}: a life to {frame.PERCENT * (1.0 - model.end_of_life_loss):.0f} % of the "
        f"capacity lasts {cycles:,.0f} cycles of depth {frame.PERCENT * depth:.0f} % at {rate:.3g} "
        f"C, or {years:.0f} years at rest at {temperature:.0f} °C"
    )
