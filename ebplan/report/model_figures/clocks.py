"""A clock model: power and throughput of each workload against the locked SM clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.board import BoardLaw
from ebplan.models.clock import ClockModel
from ebplan.models.curves import FloatArray
from ebplan.models.points import Points
from ebplan.report.model_figures import frame, sweep
from ebplan.report.model_figures.sweep import Line, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(model: ClockModel) -> Figure:
    """Return the figure of a clock model."""
    if not model.laws:
        told = frame.span((model.elasticity_low, model.elasticity_high), ".2f")
        return sweep.draw_elasticities(
            model,
            f"{model.name}: at locked clocks, throughput goes with power to the exponent {told}",
        )
    setting = Setting(
        axis="Locked SM clock in MHz",
        lines=_lines,
        of=lambda points: points.column("clock_mhz") if "clock_mhz" in points.columns else None,
        hollow=_bound,
        hollow_means="a cap binds besides: not on the curve",
    )
    return sweep.draw(model, setting, _message(model))


def _lines(workload: str, law: BoardLaw) -> list[Line]:
    """Return the curve without a cap."""
    low, high = law.clocks_mhz[0], law.clocks_mhz[-1]
    at: FloatArray = np.linspace(low, high, frame.CURVE_POINTS)
    at[-1] = high
    return [
        Line(
            label=workload,
            at=at,
            power=law.power(None, at),
            throughput=law.throughput(None, at),
        )
    ]


def _bound(points: Points) -> NDArray[np.bool_]:
    """Return which readings stand under a cap that binds beside the clock."""
    return np.asarray(points.column("cap_does_nothing") == 0.0)


def _message(model: ClockModel) -> str:
    lowest = model.valid_from_clock_mhz
    left, drawn = [], []
    for law in model.laws.values():
        rate = law.throughput(None, lowest, allow_extrapolation=True).middle[0]
        power = law.power(None, lowest, allow_extrapolation=True).middle[0]
        left.append(frame.PERCENT * float(rate / np.exp(law.rate_law.theta[0])))
        drawn.append(frame.PERCENT * float(power) / law.reference_kw_per_gpu)
    return (
        f"{model.name}: {lowest:.0f} MHz leaves {frame.span(left)} % of the throughput at "
        f"{frame.span(drawn)} % of the power"
    )
