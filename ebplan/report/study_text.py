"""A study in the terminal: what each policy gains by layer, and over which ranges; 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from ebplan.study.corners import CENTRAL, words_of
from ebplan.study.kpi import BASE, LAYERS

if TYPE_CHECKING:
    from ebplan.study.run import Run

WIDTH, COLUMN, RANGE = 25, 13, 16
LAYER_NAMES = {
    "grid_services": "grid services",
    "lost_compute": "lost compute",
    "wear": "battery wear",
    "demand_charge": "demand charge",
    "stock": "stored energy",
}
NUMBERS = (
    ("equivalent_cycles", "equivalent cycles", 1.0),
    ("battery_life_years", "battery life, years", 1.0),
    ("npv", "present value, M {money}", 1e-6),
    ("irr", "internal rate, % a year", 100.0),
    ("payback_years", "payback, years", 1.0),
    ("compute_released", "compute released, MWh", 1e-3),
    ("requests_rejected", "requests turned away, M", 1e-6),
    ("highest_draw", "highest draw, MW", 1e-3),
    ("energy_drawn", "energy drawn, MWh", 1e-3),
    ("carbon_change", "carbon, change in t", 1e-3),
)
"""Numbers that are shown, their words, and by what they are multiplied."""
MOST_SHOWN = 12
"""Ends of ranges that are listed."""
SHORT_PERIOD_DAYS = 365


def study_text(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the lines that say what a study found.

    Args:
        runs: of one study; those of its own policy at the ends of the ranges among them.
    """
    central = [run for run in runs if run.corner == CENTRAL]
    ranged = [run for run in runs if run.policy == central[0].policy]
    built = central[0].built
    spec, currency = built.spec, built.spec.currency
    yield spec.name
    sites = ", ".join(f"{g.count} x {g.site}" for g in spec.portfolio)
    step = spec.period.step_s // 60
    yield f"{spec.period.days} days from {spec.period.start}, steps of {step} min; {sites}"
    most = max(abs(_value(run, "gain")) for run in central)
    scale, word = next(
        ((f, w) for f, w in ((1e6, "M "), (1e3, "k ")) if most >= 2.0 * f), (1.0, "")
    )
    money = f"{word}{currency}"
    heads = [run.policy.replace("perfect_", "").replace("_", " ") for run in central]
    yield ""
    yield _row(money, heads, "range" if len(ranged) > 1 else "")
    yield _numbers("gain", [_gained(run, "", scale) for run in central], ranged, "", scale)
    for layer in LAYERS:
        values = [_gained(run, layer, scale) for run in central]
        every = [_gained(run, layer, 1.0) for run in runs]
        if any(abs(value) >= 0.5 for value in every):
            words = LAYER_NAMES.get(layer, layer)
            yield _numbers(f"  {words}", values, ranged, layer, scale)
            if layer == "grid_services":
                yield from _products(central, scale)
    yield ""
    for name, words, times in NUMBERS:
        values = [times * _value(run, name) for run in central]
        if all(value == value for value in values):  # one that no run has is left out
            every = [times * _value(run, name) for run in ranged]
            yield _row(words.format(money=currency), list(map(_short, values)), _range(every))
    yield from _economics(central[0])
    yield from _ends(ranged, scale, money)


def _products(central: Sequence[Run], scale: float) -> Iterator[str]:
    for service in central[0].built.numbers.services:
        paid = [_value(run, f"{service.id}.capacity") / scale for run in central]
        held = [_value(run, f"{service.id}.mean_award") for run in central]
        yield _row(f"    {service.id}", list(map(_short, paid)), "")
        yield _row("      mean award, kW", [f"{kw:,.0f}" for kw in held], "")


def _economics(run: Run) -> Iterator[str]:
    economics, numbers = run.built.spec.economics, run.built.numbers
    batteries = [g.battery.problem for g in numbers.groups if g.battery]
    if economics is None or not batteries:
        return
    yield ""
    kwh = sum(b.energy_kwh for b in batteries)
    kw = sum(b.discharge_limit_kw for b in batteries)
    capex = _value(run, "capex")
    yield f"Battery of {kwh:,.0f} kWh and {kw:,.0f} kW for {capex:,.0f} {run.built.spec.currency};"
    from ebplan.study.stated import central

    yield (
        f"{economics.lifetime_years} years at {100 * central(economics.discount_rate):g} % a year, "
        f"cells anew at {central(economics.replacement_per_kwh):,.0f} per kWh,"
    )
    yield f"upkeep {central(economics.opex_per_kw_year):,.0f} per kW and year."
    if run.built.spec.period.days < SHORT_PERIOD_DAYS:
        yield f"Every year is taken to be like these {run.built.spec.period.days} days."


def _ends(ranged: Sequence[Run], scale: float, money: str) -> Iterator[str]:
    """Say which assumption moves the gain most."""
    if len(ranged) < 2:
        return
    middle = _value(ranged[0], "gain")
    moved = [
        (run.corner, _value(run, "gain"))
        for run in ranged[1:]
        if abs(_value(run, "gain") - middle) >= 0.5
    ]
    yield ""
    yield f"Gain of {ranged[0].policy} at the ends of what is assumed, {money}"
    services = [service.id for service in ranged[0].built.numbers.services]
    groups = [group.name for group in ranged[0].built.numbers.groups]
    far = sorted(moved, key=lambda one: -abs(one[1] - middle))
    for corner, gained in far[:MOST_SHOWN]:
        words = words_of(corner, services, groups)
        yield f"  {words:<50} {_short(gained / scale):>12} {(gained - middle) / scale:>+12,.2f}"
    if len(far) > MOST_SHOWN:
        yield f"  and {len(far) - MOST_SHOWN} others that move it less"


def _numbers(
    words: str, values: Sequence[float], ranged: Sequence[Run], layer: str, scale: float
) -> str:
    every = [_gained(run, layer, scale) for run in ranged]
    return _row(words, list(map(_short, values)), _range(every))


def _row(words: str, cells: Sequence[str], last: str) -> str:
    return f"{words:<{WIDTH}}{''.join(f'{c:>{COLUMN}}' for c in cells)}{last:>{RANGE}}".rstrip()


def _range(values: Sequence[float]) -> str:
    finite = [value for value in values if value == value]
    if len(finite) < 2:
        return ""
    return f"{_end(min(finite))}..{_end(max(finite))}"


def _end(value: float) -> str:
    """Return an end of a range: so short that two of them leave room before their column."""
    if abs(value) < 0.1:
        return f"{round(value, 3) + 0.0:g}"  # + 0.0: no minus before nothing
    return _short(value)


def _gained(run: Run, layer: str, scale: float) -> float:
    """Return what acting on the grid added in a layer; in all of them where none is named."""
    if not layer:
        return _value(run, "gain") / scale
    found = [v for entry, v in run.ledger.of.items() if entry[0] == layer and entry not in BASE]
    return float(sum(values.sum() for values in found)) / scale


def _value(run: Run, name: str) -> float:
    """Return a number of a run; not a number where it has none."""
    return next((kpi.value for kpi in run.kpis if kpi.name == name), float("nan"))


def _short(value: float) -> str:
    """Return a number in at most seven characters."""
    if not isfinite(value):
        return "never" if value > 0.0 else "-"
    size = abs(value)
    if size < 5e-4:
        return "0"
    if size >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size < 100.0 else f"{value:.0f}"
