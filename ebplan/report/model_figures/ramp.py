"""A ramp model: how much of a step is there, against the time since the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.estimate import CONFIDENCE
from ebplan.models.points import Points
from ebplan.models.ramp import RampModel, RampSide, reached
from ebplan.report.canvas import GREY
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETTLE_TIMES = 3.0
"""Times of the ramp until which it is drawn where no reading says how long to look."""
BEFORE = 0.25
"""Time before the command that is drawn, as a share of that after it."""
NINETY = 90.0
SEEN = 0.02
"""Share of a step from which on a difference is worth a line of its own."""
LOWEST, HIGHEST, EDGE = -25.0, 140.0, 3.0
"""Share of a step that is drawn, in %, and how near to its edge what lies beyond is marked: a
workload's dips go far."""
BEYOND = " What lies beyond a panel is marked at its edge."


def draw(model: RampModel) -> Figure:
    """Return the figure of a ramp model: a panel a direction."""
    sides = {name: side for name in ("down", "up") if (side := getattr(model, name)) is not None}
    figure, axes = frame.panels(len(sides), height_in=1.4 + 3.1 * len(sides))
    for number, (ax, (direction, side)) in enumerate(zip(axes[:, 0], sides.items(), strict=True)):
        _draw(ax, model, direction, side, number)
    axes[-1, 0].set_xlabel("Time since the command in s")
    frame.letter(
        axes[:, 0], (f"{n}, {s.steps} step{'s' * (s.steps > 1)}" for n, s in sides.items())
    )
    return frame.finish(
        figure,
        _message(model, sides),
        card=model.card,
        points=model.points,
        interval=f"Bands: between the fastest and the slowest ramp of the parameters' "
        f"{CONFIDENCE:.0%} intervals, widened by the spread of readings."
        + BEYOND
        * any(_beyond(p).any() for p in model.points),
    )


def _draw(ax: Axes, model: RampModel, direction: str, side: RampSide, number: int) -> None:
    points = [p for p in model.points if p.series == direction]
    colour, after_s = frame.colour_of(number), _until_s(side, points)
    at = np.linspace(0.0, after_s, 4 * frame.CURVE_POINTS)
    before, after = (1.0, 0.0) if direction == "down" else (0.0, 1.0)
    step = model.step(before, after, at, allow_extrapolation=True)
    # going down, what is left to draw is turned into what is there of the step
    ends = [frame.PERCENT * np.abs(v - before) * np.sign((v - before) * (after - before))
            for v in (step.low, step.middle, step.high)]  # fmt: skip
    frame.band(ax, at, np.minimum(ends[0], ends[2]), np.maximum(ends[0], ends[2]), colour)
    law = "given to the planner: slower than the readings" if side.upper_bound else "fitted ramp"
    frame.curve(ax, at, ends[1], colour, law)
    _readings(ax, points, side, number)
    ax.axvline(side.settle_s, color=GREY, linewidth=0.8, linestyle=":")
    most = "at most " if side.upper_bound else ""
    ax.annotate(
        f" 90 % after {most}{side.settle_s:.2g} s", (side.settle_s, -16.0), color=GREY,
        fontsize="small",
    )  # fmt: skip
    ax.axhline(NINETY, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_xlim(-BEFORE * after_s, after_s)
    ax.set_ylim(LOWEST, HIGHEST)
    ax.set_ylabel(f"Share of the step {direction} in %\n(power, {model.measurement_point})")
    frame.key(ax, points)


def _until_s(side: RampSide, points: list[Points]) -> float:
    kept = [float(p.column("since_s").max()) for p in points]
    return max(kept) if kept else SETTLE_TIMES * max(side.settle_s, side.resolution_s)


def _readings(ax: Axes, points: list[Points], side: RampSide, number: int) -> None:
    for step in points:
        share = frame.PERCENT * step.column("share_of_step")
        since, used = step.column("since_s"), step.used()
        shown = np.clip(share, LOWEST + EDGE, HIGHEST - EDGE)
        frame.readings(ax, since, shown, used, frame.colour_of(number), frame.mark_of(number))
    for step in (p for p in points[:1] if _averaged(p, side)):
        expected = frame.PERCENT * step.column("share_expected")
        ax.plot(step.column("since_s"), expected, "--", color=GREY, linewidth=1.0,
                label="as the sensor averages it")  # fmt: skip


def _beyond(step: Points) -> NDArray[np.bool_]:
    """Return which readings lie outside the panel, as those in a dip may."""
    share = frame.PERCENT * step.column("share_of_step")
    return np.asarray((share < LOWEST) | (share > HIGHEST))


def _averaged(step: Points, side: RampSide) -> bool:
    """Whether the sensor averages over so long that it shows another ramp than there was."""
    response = side.response
    real = reached(step.column("since_s"), response.delay_s, response.time_constant_s)
    return bool(np.abs(step.column("share_expected") - real).max() > SEEN)


def _message(model: RampModel, sides: dict[str, RampSide]) -> str:
    told = [
        f"{name} within {side.settle_s:.2g} s{' or less' * side.upper_bound}"
        for name, side in sides.items()
    ]
    return f"{model.name}: 90 % of a step of the {model.mechanism} is there: {', '.join(told)}"
