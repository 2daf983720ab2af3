"""``ebplan settle baseline``: what the site would have drawn, and how sure that is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_settle.inputs import FILE, calendar_of, calendar_options

if TYPE_CHECKING:
    from ebplan.settlement.baseline_report import BaselineReport
    from ebplan.settlement.baselines import Rule
    from ebplan.settlement.day_calendar import DayCalendar
    from ebplan.settlement.series import MeterSeries
    from ebplan.settlement.window import Window

SHOWN_BEFORE_S, SHOWN_AFTER_S = 4 * 3600.0, 3600.0
"""How much of the day a figure shows around the event."""


@click.command()
@click.argument("history", type=FILE)
@click.option("--event", "event_file", type=FILE, help="The event: its start and its length.")
@click.option("--start", metavar="TIME", help="Or the start, in ISO 8601 with its offset,")
@click.option("--duration", type=click.FloatRange(min=0.0, min_open=True), help="and the seconds.")
@click.option(
    "--notice",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="The site heard of it this many minutes before its start.",
)
@click.option(
    "--rule",
    "rule_names",
    multiple=True,
    default=("all",),
    show_default=True,
    help="fixed:KW, last_value[:MINUTES], high_4_of_5, high_X_of_Y[_unadjusted], "
    "regression[:COLUMN,...], or all that need no agreement; may be given more than once.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="A column that regression regresses on, beside the time of day; every one that is no "
    "power if absent.",
)
@click.option("--map", "map_file", type=FILE, help="What stands where in HISTORY (TOML).")
@calendar_options
@click.option(
    "--around",
    type=click.FloatRange(min=0.0),
    default=0.0,
    help="Write the baseline from this many minutes before the event to as many after it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-o", "--output", type=FILE, help="Write the baseline as CSV.")
@click.option("--plot", type=FILE, help="Draw draw, baseline and errors (.png, .svg or .pdf).")
@one_line_errors
def baseline(
    history: Path,
    event_file: Path | None,
    start: str | None,
    duration: float | None,
    notice: float,
    rule_names: tuple[str, ...],
    columns: tuple[str, ...],
    map_file: Path | None,
    holidays: Path | None,
    left_out: tuple[str, ...],
    zone: str | None,
    around: float,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Find the baseline of an event in HISTORY (CSV or Parquet) and test each rule on it.

    A rule is tested on the same hours of like days without an event, with what it would have known
    then; the nearest one makes the baseline.
    """
    from ebplan.document import check_writable, write_atomically
    from ebplan.settlement.backtest import like_windows
    from ebplan.settlement.baseline_report import settle_baseline
    from ebplan.settlement.meter_file import read_map, read_meter

    for path in (output, plot):
        if path:
            check_writable(path)
    if plot:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)
    window = _window(event_file, start, duration, notice, around)
    series = read_meter(history, read_map(map_file) if map_file else None)
    days = calendar_of(window.start, window.duration_s, holidays, left_out, zone)
    rules = _rules(rule_names, series, days, columns)
    like = like_windows(series, window, days)
    report = settle_baseline(series, window, rules, like)
    if output:
        write_atomically(output, report.baseline().to_csv())
    if plot:
        _plot(report, series, window, rules, plot)
    if as_json:
        click.echo(report.to_json())
    else:
        from rich.console import Console

        from ebplan.report.baseline_table import print_baseline

        print_baseline(report, Console())


def _window(
    event_file: Path | None,
    start: str | None,
    duration: float | None,
    notice_min: float,
    around_min: float,
) -> Window:
    """Return the hours of the event."""
    from ebplan.document import read_json
    from ebplan.errors import InputError
    from ebplan.event import Event
    from ebplan.settlement.window import Window

    if (event_file is None) == (start is None and duration is None):
        raise click.UsageError("Say which event: either --event, or --start and --duration.")
    around_s = 60.0 * around_min
    if event_file is not None:
        data = read_json(event_file)
        if "event" not in data:
            raise InputError(
                field="event",
                value=None,
                allowed='{"kind": "event", "event": {...}}',
                remedy="put the event there",
                file=str(event_file),
            )
        event = Event.parse(data["event"], file=str(event_file), at="event")
        begin, length_s = event.start, event.duration_s
    elif start is None or duration is None:
        raise click.UsageError("--start and --duration go together.")
    else:
        begin, length_s = _moment(start), duration
    return Window(
        start=begin,
        duration_s=length_s,
        notice=begin - timedelta(minutes=notice_min),
        before_s=around_s,
        after_s=around_s,
    )


def _moment(text: str) -> datetime:
    from ebplan.errors import InputError

    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            field="--start",
            value=text,
            allowed="a time with its offset, e.g. 2026-06-01T12:00:00+09:00",
            remedy="write it in ISO 8601",
        ) from None


def _rules(
    names: tuple[str, ...], series: MeterSeries, days: DayCalendar, columns: tuple[str, ...]
) -> list[Rule]:
    from ebplan.settlement.rules import every_rule, parse_rule

    rules: dict[str, Rule] = {}
    for name in names:
        found = (
            every_rule(series, days, columns or None)
            if name == "all"
            else [parse_rule(name, series, days, columns or None)]
        )
        rules.update({rule.name: rule for rule in found})
    return [*rules.values()]


def _plot(
    report: BaselineReport, series: MeterSeries, window: Window, rules: list[Rule], plot: Path
) -> None:
    """Draw the report; the baselines reach around the event where the series does."""
    from dataclasses import replace

    from ebplan.errors import InputError
    from ebplan.report.baseline_figure import plot_baseline

    shown = replace(window, before_s=SHOWN_BEFORE_S, after_s=SHOWN_AFTER_S)
    found = []
    for rule in rules:
        for one in (shown, window):
            try:
                found.append(rule.baseline(series, one))
                break
            except InputError:  # the report says why
                continue
    plot_baseline(report, series, shown, found, plot)
