"""A replay on a terminal: recorded against ebplan, and why they differ."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.replay.results import Decisions, EventResult, Money, ReplaySummary
from ebplan.report.legible import HEAD_RULE, Legible, given, titled
from ebplan.words import money_words, number_words, power_words, time_words

WIDEST = 100
NOT_RECORDED = "not recorded"
NOT_PRICED = "not priced"


def print_replay(summary: ReplaySummary, console: Console) -> None:
    """Print what a replay found within the console's width and encoding."""
    parts: list[RenderableType] = [Text(given(headline(summary)), "bold"), Text(_about(summary))]
    for event in summary.events:
        parts += ["", titled(given(_title(event)), _table(event_rows(event), "why"))]
    if summary.decisions is not None:
        parts += ["", titled("Decisions of the run, made again", _decisions(summary.decisions))]
    parts += ["", titled("Over the whole recording, > 0 is paid by the site", _money(summary))]
    parts += ["", titled("What the recording cannot tell", _list(summary.cannot_tell))]
    if summary.notes:
        parts += ["", titled("Notes", _list(summary.notes))]
    shown = Legible(Group(*parts), min(console.width, WIDEST))
    console.print(shown, highlight=False, markup=False)


def headline(summary: ReplaySummary) -> str:
    """Return in a sentence what came of it."""
    if not summary.events:
        off = "" if summary.twin_off_kw is None else f"; the twin lies {_off(summary)} off"
        return f"{summary.name}: nothing was asked in {time_words(summary.duration_s)}{off}"
    asked = sum(event.recorded.asked_kwh for event in summary.events)
    shares = [
        sum(getattr(event, side).delivered_kwh for event in summary.events)
        / max(sum(getattr(event, side).asked_kwh for event in summary.events), 1e-9)
        for side in ("recorded", "ebplan")
    ]
    outside = [
        sum(getattr(event, side).outside_s for event in summary.events)
        for side in ("recorded", "ebplan")
    ]
    return (
        f"{summary.name}: of {number_words(asked, 2)} kWh asked {100 * shares[0]:.0f} % came as "
        f"recorded, {100 * shares[1]:.0f} % with ebplan; outside what was asked for "
        f"{time_words(outside[0])} as recorded, {time_words(outside[1])} with ebplan"
    )


def event_rows(event: EventResult) -> list[tuple[str, ...]]:
    """Return name, recorded, ebplan and why of each number of an event."""
    both, why = (event.recorded, event.ebplan), event.why
    rows: list[tuple[str, ...]] = [
        ("baseline", *(power_words(n.baseline_kw) for n in both), why.get("baseline_kw", "")),
        (
            "delivered",
            *(f"{number_words(n.delivered_kwh, 2)} kWh" for n in both),
            why.get("delivered_kwh", ""),
        ),
        (
            "missing",
            *(f"{number_words(n.missing_kwh, 2)} kWh" for n in both),
            why.get("reached_s", ""),
        ),
        ("outside", *(time_words(n.outside_s) for n in both), why.get("outside_s", "")),
        ("rebound", *(power_words(n.rebound_kw) for n in both), why.get("rebound_kw", "")),
    ]
    if event.cost is not None:
        lost = max(event.cost.untouched_served - event.cost.served_requests, 0.0)
        told = f"{number_words(lost, 0)} requests"
        rows.append(("not served", NOT_RECORDED, told, why.get("compute", "")))
    return rows


def money_rows(summary: ReplaySummary) -> list[tuple[str, ...]]:
    """Return name, recorded and ebplan of each part of the money."""
    both = (summary.recorded, summary.ebplan_money)
    rows: list[tuple[str, ...]] = []
    for name in Money.model_fields:
        words = {
            "compute": "compute lost, late, switched",
            "battery": "battery: wear, energy not back",
        }
        amounts = [
            _amount(getattr(money, name), absent, summary.currency)
            for money, absent in zip(both, (NOT_RECORDED, NOT_PRICED), strict=True)
        ]
        rows.append((words.get(name, name), *amounts))
    return rows


def _amount(amount: float | None, absent: str, currency: str) -> str:
    return absent if amount is None else money_words(amount, currency)


def _off(summary: ReplaySummary) -> str:
    return power_words(summary.twin_off_kw or 0.0)


def _about(summary: ReplaySummary) -> str:
    off = ""
    if summary.twin_off_kw is not None:
        off = f" Where nothing was asked the twin lies {_off(summary)} (RMS) off the recording."
    return given(
        f"ebplan's side is SIMULATED: {summary.plans} plans on the twin of {summary.site}, each "
        f"checked{'' if not summary.unchecked else f' but {summary.unchecked}'}. Load: "
        f"{summary.load}. Baseline: {summary.baseline}.{off}"
    )


def _title(event: EventResult) -> str:
    does = {"release": "less", "absorb": "more", "both": "either way"}[event.direction]
    return (
        f"{event.event}: {power_words(event.size_kw)} {does} from {event.start:%Y-%m-%d %H:%M %z} "
        f"for {time_words(event.duration_s)}"
    )


def _table(rows: list[tuple[str, ...]], last: str) -> Table:
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in ("recorded", "ebplan"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column(last)
    for row in rows:
        table.add_row(*map(given, row))
    return table


def decision_words(found: Decisions) -> str:
    """Return in sentences what became of the decisions of a run."""
    told = f"{found.same} of {found.recorded} found again: the same plans from the same inputs."
    others = {
        "another point of the same problem": found.another_plan,
        "from other inputs": found.another_problem,
        "where now the plan there was kept": found.not_made,
        "made now and not then": found.also_made,
    }
    more = ", ".join(f"{count} {words}" for words, count in others.items() if count)
    return f"{told} Others: {more}." if more else told


def _decisions(found: Decisions) -> Text:
    return Text(decision_words(found))


def _money(summary: ReplaySummary) -> Table:
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False)
    table.add_column("")
    for head in ("recorded", "ebplan"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in money_rows(summary):
        table.add_row(*row)
    return table


def _list(lines: tuple[str, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("-", Text(given(line)))
    return table
