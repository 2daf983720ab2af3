"""What was delivered, on a terminal: the verdict, the numbers with their intervals, who did it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.report.legible import HEAD_RULE, Legible, given, titled
from ebplan.report.settled_words import interval_words
from ebplan.report.words import power_words, time_words
from ebplan.settlement.delivery import Delivery
from ebplan.settlement.number import Number
from ebplan.settlement.verdict import Criterion

WIDEST = 110
HOW = {
    "metered": "own meter",
    "rest": "the rest",
    "pool_meter": "own meter, in compute",
    "attributed": "attributed by the plan",
}
INSET = ("pool_meter", "attributed")
"""What is a part of compute."""
VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", None: "bold yellow"}


def print_delivery(found: Delivery, console: Console) -> None:
    """Print a delivery within the console's width and encoding."""
    width = min(console.width, WIDEST)
    parts: list[RenderableType | None] = [
        _headline(found),
        _numbers(found),
        _shares(found),
        _criteria(found),
        Text("\n".join(given(note) for note in found.notes), "dim") if found.notes else None,
    ]
    lines = [line for part in parts if part is not None for line in (part, "")]
    console.print(Legible(Group(*lines[:-1]), width), highlight=False, markup=False)


def headline(found: Delivery) -> str:
    """Return in a sentence what was delivered."""
    if found.direction == "both":
        return f"{_percent(found.share)} of what the frequency asked was delivered"
    assert found.depth_kw is not None
    asked = power_words(found.size_kw)
    verb = "released" if found.direction == "release" else "absorbed"
    return f"{power_words(found.depth_kw.value or 0.0)} of {asked} {verb} in the mean"


def verdict_words(found: Delivery) -> str:
    """Return the verdict, or what is needed for one."""
    if found.service is None:
        return "not judged: no product is named"
    if found.verdict is not None:
        unsure = [c.name for c in found.criteria if c.verdict is not None and not c.certain]
        more = f" (? {', '.join(unsure)}: not beyond the errors of measurement)" if unsure else ""
        return f"{found.verdict} by {found.service}{more}"
    return f"no verdict by {found.service}: supply {', '.join(needed(found))}"


def _headline(found: Delivery) -> Text:
    text = Text.assemble(
        (given(found.event_id), "bold"),
        (f"  {given(verdict_words(found))}\n", VERDICT_STYLE[found.verdict]),
    )
    simulated = " (SIMULATED)" if found.simulated else ""
    text.append(f"{headline(found)}{simulated}.\n")
    text.append(
        f"Baseline {power_words(found.baseline_kw)} ({given(found.baseline)}), its level known to "
        f"{found.baseline_error_kw:.2g} kW, readings of {time_words(found.interval_s)} to "
        f"{found.noise_kw:.2g} kW; intervals hold {found.confidence:.0%}."
    )
    return text


def _numbers(found: Delivery) -> Table:
    rows: list[tuple[str, Number | None, str]] = [
        ("initial delay", found.initial_delay_s, "s"),
        ("time to 90 %", found.response_s, "s"),
        ("time to tolerance", found.full_s, "s"),
        ("held within tolerance", found.held_s, "s"),
        ("depth", found.depth_kw, "kW"),
        ("delivered", found.energy_kwh, "kWh"),
        ("of what was asked", found.share, "share"),
        ("RMS error", found.tracking.rmse_kw, "kW"),
        ("largest error", found.tracking.max_kw, "kW"),
        ("time outside tolerance", found.tracking.share_outside, "share"),
        ("missing below the curve", found.tracking.under_kwh, "kWh"),
        ("beyond the curve", found.tracking.over_kwh, "kWh"),
    ]
    if found.rebound is not None:
        rows += [
            ("rebound, peak", found.rebound.peak_kw, "kW"),
            ("rebound, energy", found.rebound.energy_kwh, "kWh"),
            ("back after the end", found.rebound.return_s, "s"),
        ]
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    for name, number, unit in rows:
        if number is not None:
            table.add_row(name, *interval_words(number, unit))
    return table


def _shares(found: Delivery) -> RenderableType | None:
    if not found.shares:
        return None
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("kWh", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("mean kW", justify="right", no_wrap=True)
    table.add_column("how")
    absorbs = found.direction == "absorb"
    for share in found.shares:
        mean = "" if share.mean_kw is None else interval_words(share.mean_kw, "kW")[0]
        name = mechanism_words(share.name, absorbs=absorbs)
        energy = interval_words(share.energy_kwh, "kWh")
        inset = "  " if share.how in INSET else ""
        table.add_row(f"{inset}{given(name)}", *energy, mean, HOW[share.how])
    return titled("Who delivered", table)


def _criteria(found: Delivery) -> RenderableType | None:
    if not found.criteria:
        return None
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("verdict")
    for c in found.criteria:
        verdict = Text(given(criterion_words(c)), VERDICT_STYLE[c.verdict])
        table.add_row(c.name, *interval_words(c.measured, c.unit), allowed_words(c), verdict)
    parts: list[RenderableType] = [table]
    parts += [
        Text(given(f"Supply {supply}: {why}"), "dim") for supply, why in needed(found).items()
    ]
    return titled(f"Asked by {given(found.service or '')}", Group(*parts))


def criterion_words(criterion: Criterion) -> str:
    """Return the verdict over one criterion."""
    if criterion.verdict is None:
        return "none"
    return criterion.verdict if criterion.certain else f"{criterion.verdict}?"


def needed(found: Delivery) -> dict[str, str]:
    """Return what must be supplied for a verdict, each with the reason."""
    return {c.supply: c.why for c in found.criteria if c.supply is not None}


def allowed_words(criterion: Criterion) -> str:
    """Return what a criterion allows, in words."""

    def said(value: float) -> str:
        return time_words(value) if criterion.unit == "s" else f"{100.0 * value:.4g} %"

    least, most = criterion.at_least, criterion.at_most
    if least is not None and most is not None:
        return f"{said(least)} to {said(most)}"
    if least is not None:
        return f"≥ {said(least)}"
    return "unknown" if most is None else f"≤ {said(most)}"


def _percent(number: Number) -> str:
    return interval_words(number, "share")[0]
