"""A serving model: power, throughput and time between tokens against requests in flight."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.estimate import CONFIDENCE
from ebplan.models.points import Points
from ebplan.models.serving import Served, ServingModel
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MS_PER_S = 1000.0
QUANTITIES = ("power_kw", "tokens_per_s")
"""What was measured, by the panel it stands in."""
BESIDE = 2.0
"""A configuration without points is drawn until this many times beyond the loads of the others:
its prior may reach a hundred times farther, and would squeeze what was measured."""
HEADROOM = 1.6
"""The axes reach this many times above what was measured: a prior alone may be far wider."""


def draw(model: ServingModel) -> Figure:
    """Return the figure of a serving model."""
    figure, axes = frame.panels(3, height_in=9.0, sharex=True)
    column = axes[:, 0]
    shown = frame.chosen(model.configurations)
    window, points = _window(model), tuple(chain.from_iterable(_points(model, s) for s in shown))
    for number, served in enumerate(shown):
        _draw(column, model, served, number, window)
    for ax, label in zip(
        column,
        (
            f"Power of an instance in kW ({model.measurement_point})",
            "Output tokens of an instance per s",
            "Time between two tokens in ms",
        ),
        strict=True,
    ):
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0.0)
    limited = _limit(column, model, shown, points)
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
        unit="readings of power and throughput",
    )


def _window(model: ServingModel) -> tuple[float, float]:
    """Return the loads that are drawn: around those measured, or all where none were."""
    measured = [s.concurrency for s in model.configurations if s.evidence != "prior"]
    if not measured:
        low, high = zip(*(s.concurrency for s in model.configurations), strict=True)
        return min(low), max(high)
    low, high = zip(*measured, strict=True)
    return min(low) / BESIDE, max(high) * BESIDE


def _draw(
    axes: list[Axes], model: ServingModel, served: Served, number: int, window: tuple[float, float]
) -> None:
    name, (low, high) = served.configuration.name, served.concurrency
    drawn = max(low, window[0]), min(high, window[1])
    at = np.geomspace(*drawn, frame.CURVE_POINTS)
    # rounding must not push the ends out of the range
    at[0], at[-1] = drawn
    label, colour = f"{name} ({served.evidence})", frame.colour_of(number)
    if drawn != (low, high):
        label += f", covers {low:,.0f} to {high:,.0f}"
    for ax, estimate, factor in (
        (axes[0], model.power_kw(name, at), 1.0),
        (axes[1], model.tokens_per_s(name, at), 1.0),
        (axes[2], model.itl_s(name, at), MS_PER_S),
    ):
        frame.band(ax, at, estimate.low * factor, estimate.high * factor, colour)
        if estimate.mean is not None:
            frame.curve(ax, at, estimate.mean * factor, colour, label)
        else:
            ax.plot([], [], color=colour, alpha=0.4, linewidth=6, label=label)
    for points in _points(model, served):
        x, quantity = points.column("in_flight"), next(q for q in points.columns if q in QUANTITIES)
        ax = axes[QUANTITIES.index(quantity)]
        y = points.column(quantity)
        frame.readings(ax, x, y, points.used(), colour, frame.mark_of(number))


def _points(model: ServingModel, served: Served) -> tuple[Points, ...]:
    """Return the readings of a configuration: those that its curves keep, and those off them."""
    name = served.configuration.name
    kept = tuple(
        Points(
            series=name,
            columns={"in_flight": c.concurrency, quantity: c.measured},
            readings=len(c.measured),
        )
        for quantity, c in zip(QUANTITIES, (served.power, served.throughput), strict=True)
        if c.measured
    )
    return kept + tuple(p for p in model.points if p.series == name)


def _limit(
    axes: list[Axes], model: ServingModel, shown: list[Served], points: tuple[Points, ...]
) -> bool:
    """Keep what was measured readable beside priors that are far wider; say whether any are."""
    measured = [s for s in shown if s.evidence != "prior"]
    if not measured or len(measured) == len(shown):
        return False
    for ax, answers, factor in (
        (axes[0], model.power_kw, 1.0),
        (axes[1], model.tokens_per_s, 1.0),
        (axes[2], model.itl_s, MS_PER_S),
    ):
        tops = [
            float(answers(s.configuration.name, np.array(s.concurrency)).high.max())
            for s in measured
        ]
        seen = [
            max(p.columns[q])
            for p in points
            for q in QUANTITIES
            if q in p.columns and ax is axes[QUANTITIES.index(q)]
        ]
        top = HEADROOM * max(factor * max(tops), *seen, 0.0)
        if ax.get_ylim()[1] > top:
            ax.set_ylim(top=top)
    return True


def _message(model: ServingModel) -> str:
    errors = [s for s in model.card.leave_one_out if s.name.endswith("power: median error")]
    if not errors:
        return f"{model.name}: nothing measured, only {CONFIDENCE:.0%} intervals"
    worst = max(s.value for s in errors)
    return f"{model.name}: power of a run left out is predicted within {worst:.1%} in the median"
