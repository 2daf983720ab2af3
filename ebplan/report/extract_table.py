"""An event as its meter series tells it, on a terminal."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.report.legible import HEAD_RULE, Legible, given, titled
from ebplan.report.settled_words import interval_words
from ebplan.settlement.extract import Extracted
from ebplan.settlement.number import Number
from ebplan.words import number_words, percent_words, time_words

WIDEST = 110
MOST_EXCURSIONS = 12
PARTS = {
    "before": "before",
    "ramp": "during the ramp",
    "hold": "during the hold",
    "return": "during the way back",
    "after": "after",
}


def print_extracted(found: Extracted, console: Console) -> None:
    """Print what was extracted within the console's width and encoding."""
    parts: list[RenderableType | None] = [
        Text(f"{headline(found)}.", "bold"),
        _numbers(found),
        _excursions(found),
        Text("\n".join(given(note) for note in found.notes), "dim") if found.notes else None,
    ]
    lines = [line for part in parts if part is not None for line in (part, "")]
    shown = Legible(Group(*lines[:-1]), min(console.width, WIDEST))
    console.print(shown, highlight=False, markup=False)


def headline(found: Extracted) -> str:
    """Return in a sentence what happened."""
    depth, begin = found.depth_kw.value or 0.0, found.baseline_at_start_kw.value or 0.0
    moved = "fell" if found.direction == "release" else "rose"
    back_s, begins_s = found.return_begins_s.value or 0.0, found.ramp_begins_s.value or 0.0
    # no reading tells a time within its interval
    settled_s = max(found.settled_s.value or found.ramp_s.value or 0.0, found.interval_s)
    simulated = "SIMULATED: the" if found.simulated else "The"
    return (
        f"{simulated} draw {moved} from {begin:.1f} kW by {depth:.1f} kW "
        f"({_percent(found.depth_share)}) within {time_words(settled_s)}, stayed there for "
        f"{time_words(back_s - begins_s - settled_s)}, and "
        f"{_percent(found.returned_share)} of it came back"
    )


def rows_of(found: Extracted) -> list[tuple[str, str, str]]:
    """Return name, value and interval of each number."""
    told: list[tuple[str, Number, str]] = [
        ("draw before", found.baseline_kw, "kW"),
        ("its drift", found.baseline_kw_per_h, "kW/h"),
        ("draw when the ramp begins", found.baseline_at_start_kw, "kW"),
        ("ramp, as a straight line", found.ramp_s, "s"),
        ("its rate", found.ramp_kw_per_min, "kW/min"),
        ("settled on the hold after", found.settled_s, "s"),
        ("draw during the hold", found.hold_kw, "kW"),
        ("its drift", found.hold_kw_per_h, "kW/h"),
        ("depth", found.depth_kw, "kW"),
        ("depth as a share", found.depth_share, "share"),
        ("hold", found.hold_s, "s"),
        ("way back, as a straight line", found.return_s, "s"),
        ("its rate", found.return_kw_per_min, "kW/min"),
        ("settled after", found.return_settled_s, "s"),
        ("draw after", found.returned_kw, "kW"),
        ("share of the depth come back", found.returned_share, "share"),
    ]
    rows = [(name, *interval_words(number, unit)) for name, number, unit in told]
    rows.insert(3, ("ramp begins", *_clock(found, found.ramp_begins_s)))
    rows.insert(12, ("way back begins", *_clock(found, found.return_begins_s)))
    return rows


def excursion_rows(found: Extracted) -> list[tuple[str, str, str, str, str]]:
    """Return when, what, how long, how far and how much of each dip and peak."""
    return [
        (
            _moment(found, e.at_s),
            f"{e.kind} {PARTS[e.during]}",
            time_words(e.duration_s),
            f"{number_words(e.kw, 1)} kW",
            f"{number_words(e.energy_kwh, 2)} kWh",
        )
        for e in found.excursions
    ]


def _numbers(found: Extracted) -> Table:
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column(f"interval ({percent_words(found.confidence)})", no_wrap=True)
    for row in rows_of(found):
        table.add_row(*row)
    return table


def _excursions(found: Extracted) -> RenderableType | None:
    rows = excursion_rows(found)
    if not rows:
        return None
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column()
    for _ in range(3):
        table.add_column(justify="right")
    for row in rows[:MOST_EXCURSIONS]:
        table.add_row(*row)
    if len(rows) > MOST_EXCURSIONS:
        table.add_row("", f"and {len(rows) - MOST_EXCURSIONS} more, with --json", "", "", "")
    return titled("Dips and peaks", table)


def _clock(found: Extracted, number: Number) -> tuple[str, str]:
    ends = [_moment(found, end) for end in (number.low or 0.0, number.high or 0.0)]
    return _moment(found, number.value or 0.0), " to ".join(ends)


def _moment(found: Extracted, seconds: float) -> str:
    form = "%H:%M:%S" if found.interval_s < 60.0 else "%H:%M"
    return (found.start + timedelta(seconds=seconds)).strftime(form)


def _percent(number: Number) -> str:
    return f"{100.0 * (number.value or 0.0):.0f} %"
