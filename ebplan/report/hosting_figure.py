"""What fits under a connection, against battery and terms, with what it says as its title."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ebplan.hosting.run import Hosted, Study
from ebplan.report.canvas import GREY, INK, blank, save, styled
from ebplan.report.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = [COLOURS[name] for name in ("battery", "power_cap", "consolidation", "admission")]
MARKS = "osD^"


def plot_hosting(study: Study, path: Path) -> None:
    """Draw compute against battery, and against the depth of other terms.

    Raises:
        InputError: the file cannot be written, or matplotlib is not installed.
    """
    with styled():
        figure = blank(9.2 if study.what_if else 5.2, 3.8)
        axes = figure.subplots(1, 2 if study.what_if else 1, squeeze=False)[0]
        _by_battery(study, axes[0])
        if study.what_if:
            _by_depth(study, axes[1])
        figure.suptitle(message(study), color=INK, x=0.01, ha="left", fontsize=10.5)
        save(figure, path)


def message(study: Study) -> str:
    """Return what the study says, in one sentence."""
    best = max(study.cases, key=lambda one: one.units)
    battery = f"{best.cells.energy_kwh:,.0f} kWh" if best.cells.energy_kwh else "no battery"
    return (
        f"Under {study.spec.connection_kw:,.0f} kW, {best.compute_kw:,.0f} kW of compute fit with "
        f"{battery} and {best.mechanisms};\n{best.units_without * study.unit_kw:,.0f} kW fit with "
        "neither"
    )


def _names(study: Study) -> list[str]:
    return [one.name for one in study.spec.mechanisms]


def _by_battery(study: Study, axes: Axes) -> None:
    for i, name in enumerate(_names(study)):
        mine = [one for one in study.cases if one.mechanisms == name]
        axes.plot(
            [one.cells.energy_kwh for one in mine],
            [one.compute_kw for one in mine],
            color=LINES[i % len(LINES)],
            marker=MARKS[i % len(MARKS)],
            label=name,
        )
    _limits(study, axes)
    axes.set_xlabel("battery, kWh")
    axes.set_ylabel("compute that fits, kW at its highest draw")
    axes.set_title("more battery, more compute", loc="left", fontsize=9.0)
    axes.legend(loc="lower right")


def _limits(study: Study, axes: Axes) -> None:
    firm = study.spec.connection_kw * (1.0 - study.spec.contract.depth)
    for kw, text in ((firm, "never curtailed"), (study.spec.connection_kw, "")):
        axes.axhline(kw, color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate(
            text,
            (0.99, kw),
            xycoords=("axes fraction", "data"),
            xytext=(0.0, -2.0),
            textcoords="offset points",
            va="top",
            ha="right",
            color=GREY,
        )
    axes.set_ylim(0.0, 1.1 * study.spec.connection_kw)


def _by_depth(study: Study, axes: Axes) -> None:
    """Draw, for each mechanism set, the band over hours and notices against the depth."""
    for i, name in enumerate(_names(study)):
        mine = [one for one in study.what_if if one.mechanisms == name]
        depths = sorted({one.contract.depth for one in mine})
        low, high = (_ends(mine, depths, end) for end in (min, max))
        colour = LINES[i % len(LINES)]
        percent = [100.0 * depth for depth in depths]
        axes.fill_between(percent, low, high, color=colour, alpha=0.25, linewidth=0.0)
        axes.plot(percent, high, color=colour, marker=MARKS[i % len(MARKS)], label=name)
        axes.plot(percent, low, color=colour, linewidth=0.8)
    cells = study.spec.batteries[-1]
    axes.set_ylim(0.0, 1.1 * study.spec.connection_kw)
    axes.set_xlabel("share of the connection that may be curtailed, %")
    axes.set_ylabel("compute that fits, kW at its highest draw")
    axes.set_title(
        f"with {cells.energy_kwh:,.0f} kWh; bands: hours a year and notice",
        loc="left",
        fontsize=9.0,
    )


def _ends(mine: list[Hosted], depths: list[float], end: object) -> list[float]:
    assert callable(end)
    return [end(one.compute_kw for one in mine if one.contract.depth == at) for at in depths]
