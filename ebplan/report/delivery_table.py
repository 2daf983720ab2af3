"""What was delivered, on a terminal: the verdict, the numbers with their intervals, who did it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import mechanism_words
from ebplan.report.legible import HEAD_RULE, Legible, given, titled
from ebplan.report.settled_words import decimals_of, interval_words
from ebplan.settlement.delivery import Delivery
from ebplan.settlement.number import Number
from ebplan.settlement.reference import BEFORE
from ebplan.settlement.verdict import Criterion
from ebplan.words import percent_words, power_words, time_words

WIDEST = 110
HOW = {
    "metered": "own meter",
    "rest": "the rest",
    "pool_meter": "own meter, in compute",
    "attributed": "attributed by the plan",
}
INSET = ("pool_meter", "attributed")
"""What is a part of compute."""
MEASURED = ("readings", "meter_interval_s", "event.duration_s", "measurement_point")
"""What a verdict may lack that no definition supplies, but other readings or another event."""
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
    return f"no verdict by {found.service}: {_missing(found)}"


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
        f"{found.noise_kw:.2g} kW{_by_whom(found)}; intervals hold "
        f"{percent_words(found.confidence)}."
    )
    return text


def _by_whom(found: Delivery) -> str:
    return "" if found.errors_from == BEFORE else f", by {found.errors_from}"


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
    table = _table("measured", "interval")
    for name, number, unit in rows:
        if number is not None:
            table.add_row(name, *interval_words(number, unit))
    return table


def _table(*headers: str, last: str | None = None) -> Table:
    """Return a table with a column for names, some that do not wrap, and a last one that may."""
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    for header in headers:
        table.add_column(header, justify="left" if header == "interval" else "right", no_wrap=True)
    if last is not None:
        table.add_column(last)
    return table


def _shares(found: Delivery) -> RenderableType | None:
    if not found.shares:
        return None
    table = _table("kWh", "interval", "mean kW", last="how")
    absorbs = found.direction == "absorb"
    means = [share.mean_kw for share in found.shares if share.mean_kw is not None]
    mean_digits = max((decimals_of(mean) for mean in means), default=0)
    for share, energy in zip(found.shares, share_energies(found), strict=True):
        mean = ""
        if share.mean_kw is not None:
            mean = interval_words(share.mean_kw, "kW", decimals=mean_digits)[0]
        name = mechanism_words(share.name, absorbs=absorbs)
        inset = "  " if share.how in INSET else ""
        table.add_row(f"{inset}{given(name)}", *energy, mean, HOW[share.how])
    return titled("Who delivered", table)


def share_energies(found: Delivery) -> list[tuple[str, str]]:
    """Return the energy of each share and its interval; what adds up has the same decimals."""
    digits = max((decimals_of(share.energy_kwh) for share in found.shares), default=0)
    return [interval_words(share.energy_kwh, "kWh", decimals=digits) for share in found.shares]


def _criteria(found: Delivery) -> RenderableType | None:
    if not found.criteria:
        return None
    table = _table("measured", "interval", "allowed", last="verdict")
    for c in found.criteria:
        verdict = Text(given(criterion_words(c)), VERDICT_STYLE[c.verdict])
        table.add_row(c.name, *interval_words(c.measured, c.unit), allowed_words(c), verdict)
    parts: list[RenderableType] = [table]
    parts += [Text(given(line), "dim") for line in reasons(found.criteria)]
    return titled(f"Asked by {given(found.service or '')}", Group(*parts))


def criterion_words(criterion: Criterion) -> str:
    """Return the verdict over one criterion."""
    if criterion.verdict is None:
        return "none"
    return criterion.verdict if criterion.certain else f"{criterion.verdict}?"


def reasons(criteria: Iterable[Criterion]) -> list[str]:
    """Return why criteria have no verdict and what helps, and what is in a limit, each once."""
    lines = []
    for c in criteria:
        if c.supply in MEASURED:
            lines.append(f"No verdict on {c.name}: {c.why}.")
        elif c.supply is not None:
            lines.append(f"Supply {c.supply}: {c.why}")
        elif c.why:
            lines.append(f"Allowed {c.name}: {c.why}.")
    return list(dict.fromkeys(lines))


def _missing(found: Delivery) -> str:
    """Return in a few words what a verdict lacks."""
    supplies = dict.fromkeys(c.supply for c in found.criteria if c.supply is not None)
    facts = [supply for supply in supplies if supply not in MEASURED]
    words = {
        "readings": "readings are missing",
        "meter_interval_s": f"readings of {time_words(found.interval_s)}",
        "event.duration_s": "the event is too short",
        "measurement_point": f"metered at {found.measurement_point}",
    }
    told = [words[supply] for supply in supplies if supply in MEASURED]
    return "; ".join([*([f"supply {', '.join(facts)}"] if facts else []), *told])


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
