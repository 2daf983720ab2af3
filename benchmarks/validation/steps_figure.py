"""The figure of the steps: the record, the fitted response, the dips that are left out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebplan.document import write_atomically
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.ramp import Series, Step
from ebplan.models.ramp import RampModel

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
BLUE, RED, GREY, GREEN = "#0072B2", "#D55E00", "0.6", "#009E73"
W_PER_KW = 1000.0
SHOWN_S = 1.3
"""Time after a command that a close-up shows."""


def draw(data: Measurements, series: Series, model: RampModel, target: Path) -> None:
    """Draw the whole record above, a close-up of each step below.

    Args:
        data: the record.
        series: its steps and dips.
        model: the fitted ramps.
        target: where the PNG is written.
    """
    figure = Figure(figsize=(10.0, 7.0), dpi=150, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.0, 1.25))
    _record(figure.add_subplot(grid[0, :]), data, series)
    for column, step in enumerate(series.steps[:2]):
        _close(figure.add_subplot(grid[1, column]), data, step, model)
    up, down = model.up, model.down
    told = []
    if down is not None:
        kind = "within" if down.upper_bound else "in"
        told.append(f"A cap is followed downwards {kind} {down.settle_s * 1e3:.0f} ms")
    if up is not None:
        told.append(f"upwards in {up.settle_s * 1e3:.0f} ms (90 % of the step)")
    figure.suptitle(", ".join(told), fontsize=12)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomically(target, drawn.getvalue())


def _record(axes: Axes, data: Measurements, series: Series) -> None:
    """Draw the whole record."""
    time, power, command = (data.quantity(name) for name in ("time", "power", "command"))
    kept = ~series.in_dips
    axes.step(time, command * W_PER_KW, where="post", color=RED, linewidth=1.2, label="power cap")
    axes.plot(time[kept], power[kept] * W_PER_KW, ".", color=BLUE, ms=2.5, label="readings used")
    axes.plot(
        time[~kept], power[~kept] * W_PER_KW, "x", color=GREY, ms=3, label="left out: workload dips"
    )
    axes.set_xlabel("time, s")
    axes.set_ylabel("GPU power, W")
    axes.set_ylim(0.0, 340.0)
    axes.legend(frameon=False, ncols=3, loc="upper right", fontsize=9, markerscale=2.0)
    _plain(axes)


def _close(axes: Axes, data: Measurements, step: Step, model: RampModel) -> None:
    """Draw one step with its ramp."""
    time, power = data.quantity("time") - step.command_s, data.quantity("power")
    near = (time > -0.2) & (time < min(SHOWN_S, step.since_s[-1]))
    used = np.isin(time, step.since_s) | (time < 0.0)
    side = model.down if step.direction == "down" else model.up
    assert side is not None  # the model was made from this step
    axes.plot(time[near & used], power[near & used] * W_PER_KW, "o", color=BLUE, ms=3)
    axes.plot(time[near & ~used], power[near & ~used] * W_PER_KW, "x", color=GREY, ms=4)
    since = np.linspace(-0.2, SHOWN_S, 1500)
    told = model.step(step.before_kw, step.after_kw, since)
    axes.fill_between(
        since,
        told.low * W_PER_KW,
        told.high * W_PER_KW,
        color=GREEN,
        alpha=0.18,
        linewidth=0.0,
        label="90 % interval of a reading",
    )
    label = (
        f"upper bound: all of it within {side.response.delay_s * 1e3:.0f} ms"
        if side.upper_bound
        else f"fit: delay {side.response.delay_s * 1e3:.0f} ms, "
        f"time constant {side.response.time_constant_s * 1e3:.0f} ms"
    )
    axes.plot(since, told.mean * W_PER_KW, color=GREEN, linewidth=1.8, label=label)
    axes.axvline(0.0, color=RED, linewidth=1.0)
    axes.set_xlim(-0.2, SHOWN_S)
    middle = 0.5 * (step.before_kw + step.after_kw) * W_PER_KW
    axes.set_ylim(middle - 65.0, middle + 65.0)
    axes.set_xlabel("time since the command, s")
    axes.set_ylabel("GPU power, W")
    axes.set_title(f"step {step.direction}", fontsize=10)
    axes.legend(frameon=False, loc="upper right" if side is model.down else "lower right")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
