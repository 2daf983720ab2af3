"""A serving model: power, throughput and time between tokens against requests in flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.points import Points
from ebplan.models.serving import Served, ServingModel
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MS_PER_S = 1000.0
QUANTITIES = ("power_kw", "tokens_per_s", "pace_per_s")
"""What was measured, by the panel it stands in; of the pace, the time between tokens is drawn."""
BESIDE = 2.0
"""A configuration without points is drawn until this many times beyond the loads of the others:
its prior may reach a hundred times farther, and would squeeze what was measured."""
HEADROOM = 1.6
"""The axes reach this many times above what was measured: a prior alone may be far wider."""


@dataclass(frozen=True)
class _Panel:
    """What one panel shows."""

    label: str
    """Of its axis."""
    what: str
    """The same in a word."""
    answer: Callable[[str, FloatArray], Estimate]
    """What the model says of a configuration at some loads."""
    quantity: str | None
    """Column of the readings that stand in it; None: they are of something else."""
    factor: float = 1.0
    """Units of the axis in one of the model's."""

    def shown(self, points: Points) -> FloatArray:
        """Return readings as they are drawn."""
        assert self.quantity is not None, "readings of this panel"
        measured = points.column(self.quantity)
        # the pace is requests in flight over the time between tokens
        of_axis = points.column("in_flight") / measured if "pace" in self.quantity else measured
        return np.asarray(of_axis * self.factor)


def draw(model: ServingModel) -> Figure:
    """Return the figure of a serving model."""
    figure, axes = frame.panels(3, height_in=9.0, sharex=True)
    column = axes[:, 0]
    shown = frame.chosen(model.configurations)
    panels = _panels(model, shown)
    window = _window(model)
    points = tuple(chain.from_iterable(_points(model, s, panels) for s in shown))
    for number, served in enumerate(shown):
        _draw(column, model, served, number, window, panels)
    for ax, panel in zip(column, panels, strict=True):
        ax.set_ylabel(panel.label)
        ax.set_ylim(bottom=0.0)
    limited = _limit(column, shown, points, panels)
    frame.logarithmic(column[-1])
    column[-1].set_xlabel("Requests in flight")
    frame.key(column[0], points)
    frame.letter(column, ("power", "throughput", "latency"))
    return frame.finish(
        figure,
        _message(model),
        card=model.card,
        points=points,
        interval=f"Bands are made to hold {CONFIDENCE:.0%} of new readings."
        + " The axes are set by what was measured; a prior's band may reach beyond." * limited
        + frame.partly(shown, model.configurations, "configurations"),
        unit=f"readings of {_words([p.what for p in panels if p.quantity])}",
    )


def _panels(model: ServingModel, shown: list[Served]) -> tuple[_Panel, ...]:
    """Return the panels; the lowest has the median time between tokens where it was measured."""
    paces = [s.pace for s in shown if s.pace is not None]
    median = len(paces) == len(shown) and any(pace.measured for pace in paces)
    power, throughput, pace = QUANTITIES
    return (
        _Panel(
            f"Power of an instance in kW ({model.measurement_point})",
            "power",
            model.power_kw,
            power,
        ),
        _Panel("Output tokens of an instance per s", "throughput", model.tokens_per_s, throughput),
        _Panel("Median time between two\ntokens in ms", "latency", model.itl_p50_s, pace, MS_PER_S)
        if median
        else _Panel("Mean time between two\ntokens in ms", "latency", model.itl_s, None, MS_PER_S),
    )


def _words(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _window(model: ServingModel) -> tuple[float, float]:
    """Return the loads that are drawn: around those measured, or all where none were."""
    measured = [s.concurrency for s in model.configurations if s.evidence != "prior"]
    if not measured:
        low, high = zip(*(s.concurrency for s in model.configurations), strict=True)
        return min(low), max(high)
    low, high = zip(*measured, strict=True)
    return min(low) / BESIDE, max(high) * BESIDE


def _draw(
    axes: list[Axes],
    model: ServingModel,
    served: Served,
    number: int,
    window: tuple[float, float],
    panels: tuple[_Panel, ...],
) -> None:
    name, (low, high) = served.configuration.name, served.concurrency
    drawn = max(low, window[0]), min(high, window[1])
    at = np.geomspace(*drawn, frame.CURVE_POINTS)
    # rounding must not push the ends out of the range
    at[0], at[-1] = drawn
    label, colour = f"{name} ({served.evidence})", frame.colour_of(number)
    if drawn != (low, high):
        label += f", covers {low:,.0f} to {high:,.0f}"
    kept = _points(model, served, panels)
    for ax, panel in zip(axes, panels, strict=True):
        estimate, factor = panel.answer(name, at), panel.factor
        frame.band(ax, at, estimate.low * factor, estimate.high * factor, colour)
        if estimate.mean is not None:
            frame.curve(ax, at, estimate.mean * factor, colour, label)
        else:
            ax.plot([], [], color=colour, alpha=0.4, linewidth=6, label=label)
        for points in (p for p in kept if panel.quantity in p.columns):
            x, y = points.column("in_flight"), panel.shown(points)
            frame.readings(ax, x, y, points.used(), colour, frame.mark_of(number))


def _points(model: ServingModel, served: Served, panels: tuple[_Panel, ...]) -> tuple[Points, ...]:
    """Return the readings of a configuration: those that its curves keep, and those off them."""
    name = served.configuration.name
    kept = tuple(
        Points(
            series=name,
            columns={"in_flight": c.concurrency, quantity: c.measured},
            readings=len(c.measured),
        )
        for quantity, c in zip(
            QUANTITIES, (served.power, served.throughput, served.pace), strict=True
        )
        if c is not None and c.measured
    )
    off = tuple(p for p in model.points if p.series == name)
    return tuple(p for p in kept + off if any(panel.quantity in p.columns for panel in panels))


def _limit(
    axes: list[Axes], shown: list[Served], points: tuple[Points, ...], panels: tuple[_Panel, ...]
) -> bool:
    """Keep what was measured readable beside priors that are far wider; say whether any are."""
    measured = [s for s in shown if s.evidence != "prior"]
    if not measured or len(measured) == len(shown):
        return False
    for ax, panel in zip(axes, panels, strict=True):
        tops = [
            float(panel.answer(s.configuration.name, np.array(s.concurrency)).high.max())
            for s in measured
        ]
        seen = [float(panel.shown(p).max()) for p in points if panel.quantity in p.columns]
        top = HEADROOM * max(panel.factor * max(tops), *seen, 0.0)
        if ax.get_ylim()[1] > top:
            ax.set_ylim(top=top)
    return True


def _message(model: ServingModel) -> str:
    errors = [s for s in model.card.leave_one_out if s.name.endswith("power: median error")]
    if not errors:
        return f"{model.name}: nothing measured, only {CONFIDENCE:.0%} intervals"
    worst = max(s.value for s in errors)
    return f"{model.name}: power of a run left out is predicted within {worst:.1%} in the median"
