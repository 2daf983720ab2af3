"""A cap model: power and throughput of each workload against the power cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.board import BoardLaw
from ebplan.models.cap import CapModel
from ebplan.models.curves import FloatArray
from ebplan.models.points import Points
from ebplan.report.model_figures import frame, sweep
from ebplan.report.model_figures.sweep import Line, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(model: CapModel) -> Figure:
    """Return the figure of a cap model."""
    if not model.laws:
        told = frame.span((model.elasticity_low, model.elasticity_high), ".2f")
        return sweep.draw_elasticities(
            model, f"{model.name}: under caps, throughput goes with power to the exponent {told}"
        )
    setting = Setting(
        axis="Power cap of a GPU in W",
        lines=_lines,
        of=_caps,
        hollow=_does_nothing,
        hollow_means="cap does nothing",
    )
    return sweep.draw(model, setting, _message(model))


def _lines(workload: str, law: BoardLaw) -> list[Line]:
    """Return a curve at each locked clock, the highest first; one where none was locked."""
    caps = law.caps_kw_per_gpu
    at = np.linspace(caps[0], caps[-1], frame.CURVE_POINTS)
    at[-1] = caps[-1]
    clocks: list[float | None] = [*reversed(law.clocks_mhz)] or [None]
    return [
        Line(
            label=workload if clock is None else f"{workload}, {clock:.0f} MHz",
            at=at * frame.W_PER_KW,
            power=law.power(at, clock),
            throughput=law.throughput(at, clock),
        )
        for clock in clocks
    ]


def _caps(points: Points) -> FloatArray | None:
    if "cap_kw_per_gpu" not in points.columns:
        return None
    return points.column("cap_kw_per_gpu") * frame.W_PER_KW


def _does_nothing(points: Points) -> NDArray[np.bool_]:
    return np.asarray(points.column("cap_does_nothing") > 0.0)


def _message(model: CapModel) -> str:
    lowest = {name: law.caps_kw_per_gpu[0] for name, law in model.laws.items()}
    left = [
        frame.PERCENT
        * float(law.throughput(lowest[name]).middle[0] / np.exp(law.rate_law.theta[0]))
        for name, law in model.laws.items()
    ]
    drawn = [
        frame.PERCENT * float(law.power(lowest[name]).middle[0]) / law.reference_kw_per_gpu
        for name, law in model.laws.items()
    ]
    caps_w = frame.span(frame.W_PER_KW * cap for cap in lowest.values())
    return (
        f"{model.name}: the lowest cap, {caps_w} W, leaves {frame.span(left)} % of the throughput "
        f"at {frame.span(drawn)} % of the power"
    )
