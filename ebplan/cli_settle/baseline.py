"""``ebplan settle baseline``: what the site would have drawn, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_settle.inputs import (
    FILE,
    calendar_of,
    calendar_options,
    check_targets,
    event_of,
    json_option,
    map_option,
    meter_of,
    moment,
    notice_option,
)
from ebplan.cli_types import duration as duration_type

if TYPE_CHECKING:
    from ebplan.event import Event
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
@click.option(
    "--duration", type=duration_type, metavar="DURATION", help="and how long it is: 2h, 30min, 90s."
)
@notice_option
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
@map_option
@calendar_options
@click.option(
    "--around",
    type=duration_type,
    help="Write and draw so much before and after the event as well, e.g. 1h; what a delivery "
    "looks at if absent.",
)
@json_option
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
    around: float | None,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Find the baseline of an event in HISTORY (CSV or Parquet) and test each rule on it.

    A rule is tested on the same hours of like days without an event, with what it would have known
    then; the nearest one makes the baseline.
    """
    from ebplan.settlement.backtest import like_windows
    from ebplan.settlement.baseline_report import settle_baseline
    from ebplan.settlement.scale import check_history

    check_targets(output, plot)
    event = None if event_file is None else event_of(event_file)
    window = _window(event, start, duration, notice, around or 0.0)
    series = meter_of(history, map_file)
    if event is not None:
        check_history(series, event)
    days = calendar_of(window.start, window.duration_s, holidays, left_out, zone)
    rules = _rules(rule_names, series, days, columns)
    like = like_windows(series, window, days)
    report = settle_baseline(series, window, rules, like)
    if output:
        wanted = window if around is not None else _for_delivery(window, event)
        _write(report, series, wanted, rules, output)
    if plot:
        _plot(report, series, window, rules, plot)
    if as_json:
        click.echo(report.to_json())
    else:
        from rich.console import Console

        from ebplan.report.baseline_table import print_baseline

        print_baseline(report, Console())


def _window(
    event: Event | None,
    start: str | None,
    duration_s: float | None,
    notice_s: float,
    around_s: float,
) -> Window:
    """Return the hours of the event."""
    from ebplan.settlement.window import Window

    if (event is None) == (start is None and duration_s is None):
        raise click.UsageError("Say which event: either --event, or --start and --duration.")
    if event is not None:
        begin, length_s = event.start, event.duration_s
    elif start is None or duration_s is None:
        raise click.UsageError("--start and --duration go together.")
    else:
        begin, length_s = moment("--start", start), duration_s
    return Window(
        start=begin,
        duration_s=length_s,
        notice=begin - timedelta(seconds=notice_s),
        before_s=around_s,
        after_s=around_s,
    )


def _for_delivery(window: Window, event: Event | None) -> Window:
    """Return the window with as much around it as a delivery looks at."""
    from ebplan.settlement.by_rule import AFTER_S, after_s
    from ebplan.settlement.reference import QUIET_S

    watched_s = AFTER_S if event is None else after_s(event)
    return replace(window, before_s=QUIET_S, after_s=watched_s)


def _write(
    report: BaselineReport, series: MeterSeries, wanted: Window, rules: list[Rule], output: Path
) -> None:
    """Write the baseline of the report's rule; that of the event where it reaches no further."""
    from ebplan.document import write_atomically
    from ebplan.errors import InputError

    rule = next(one for one in rules if one.name == report.rule)
    try:
        found = rule.baseline(series, wanted)
    except InputError as fault:
        found = report.baseline()
        told = f"{fault.value}; needs {fault.allowed}"
        click.echo(f"{output}: the event alone, for around it there is: {told}", err=True)
    write_atomically(output, found.to_csv())


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
