"""``ebplan settle delivery``: what a meter says of the response to an event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_settle.inputs import (
    FILE,
    calendar_of,
    calendar_options,
    event_of,
    moment,
    plan_of,
    service_of,
)

if TYPE_CHECKING:
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.services.definition import ServiceDefinition
    from ebplan.settlement.series import MeterSeries


@click.command()
@click.argument("meter_file", type=FILE, metavar="METER")
@click.option(
    "--event", "event_file", type=FILE, help="What was asked; without it the event is extracted."
)
@click.option("--plan", "plan_file", type=FILE, help="The plan: tells mechanisms of compute apart.")
@click.option("--service", "service_name", help="The product that judges it: a name or a file.")
@click.option(
    "--set",
    "settings",
    metavar="FACT=VALUE",
    multiple=True,
    help="Supply a fact that the product's definition lacks, e.g. tolerance.under=0.1; may be "
    "given more than once.",
)
@click.option(
    "--baseline",
    "baseline_name",
    metavar="RULE|FILE",
    help="fixed:KW, last_value[:MINUTES], high_4_of_5, regression[:COLUMN,...], or a CSV with "
    "begins_at,baseline_kw; the event's own if absent.",
)
@click.option(
    "--baseline-error",
    "error_kw",
    type=click.FloatRange(min=0.0),
    help="Standard error of the baseline's level in kW, where it is known.",
)
@click.option(
    "--history", "history_file", type=FILE, help="Earlier days for the rule; METER if absent."
)
@click.option(
    "--notice",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="The site heard of the event this many minutes before its start.",
)
@click.option(
    "--meter-accuracy",
    "accuracy",
    type=click.FloatRange(min=0.0, max=0.2),
    default=0.0,
    show_default=True,
    help="Standard error of the meter's gain, as a share (0.005 for class 1).",
)
@click.option(
    "--confidence",
    type=click.FloatRange(min=0.5, max=0.999),
    default=0.9,
    show_default=True,
    help="Share of intervals that hold the truth.",
)
@calendar_options
@click.option("--map", "map_file", type=FILE, help="What stands where in METER (TOML).")
@click.option("--start", metavar="TIME", help="Time 0 of METER, where its times are seconds.")
@click.option("--simulated", is_flag=True, help="Say that METER comes from the bench.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-o", "--output", type=FILE, help="Write the result as JSON.")
@click.option("--plot", type=FILE, help="Draw it (.png, .svg or .pdf).")
@one_line_errors
def delivery(
    meter_file: Path,
    event_file: Path | None,
    plan_file: Path | None,
    service_name: str | None,
    settings: tuple[str, ...],
    baseline_name: str | None,
    error_kw: float | None,
    history_file: Path | None,
    notice: float,
    accuracy: float,
    confidence: float,
    holidays: Path | None,
    left_out: tuple[str, ...],
    zone: str | None,
    map_file: Path | None,
    start: str | None,
    simulated: bool,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Measure the response to an event in METER (CSV or Parquet).

    With --event the response is held against what was asked, and with --service against the
    product's tolerance. Without, the event is found in the series itself.
    """
    from ebplan.document import write_atomically
    from ebplan.settlement.meter_file import read_map, read_meter

    _check_writable(output, plot)
    if settings and service_name is None:
        raise click.UsageError("--set supplies facts of a product: name it with --service.")
    columns = read_map(map_file) if map_file else None
    since = moment("--start", start) if start else None
    meter = read_meter(meter_file, columns, start=since, simulated=simulated)
    if event_file is None:
        _refuse_without_event(
            {
                "--plan": plan_file,
                "--service": service_name,
                "--baseline": baseline_name,
                "--history": history_file,
                "--holidays": holidays,
                "--exclude-day": left_out,
                "--zone": zone,
            }
        )
        text = _extract(meter, confidence, as_json, plot)
    else:
        event = event_of(event_file)
        about: dict[str, object] = {
            "given": baseline_name,
            "calendar": calendar_of(event.start, event.duration_s, holidays, left_out, zone),
            "error_kw": error_kw,
            "notice_s": 60.0 * notice,
            "confidence": confidence,
            "accuracy": accuracy,
        }
        history = meter if history_file is None else read_meter(history_file, columns, start=since)
        service = service_of(service_name, settings)
        plan = None if plan_file is None else plan_of(plan_file)
        text = _measure(meter, history, event, service, plan, about, as_json, plot)
    if output:
        write_atomically(output, text)


def _check_writable(output: Path | None, plot: Path | None) -> None:
    """Refuse files that cannot be written, before anything is worked out."""
    from ebplan.document import check_writable

    for path in (output, plot):
        if path:
            check_writable(path)
    if plot:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)


def _refuse_without_event(options: dict[str, object]) -> None:
    """Refuse options that mean nothing where the event is extracted."""
    if ignored := [name for name, value in options.items() if value]:
        raise click.UsageError(f"{ignored[0]} needs --event: without one the event is extracted.")


def _extract(meter: MeterSeries, confidence: float, as_json: bool, plot: Path | None) -> str:
    """Extract the event, show it, and return its JSON."""
    from ebplan.settlement.extract import extract

    found = extract(meter, confidence=confidence)
    if plot:
        from ebplan.report.extract_figure import plot_extracted

        plot_extracted(found, meter, plot)
    if as_json:
        click.echo(found.to_json())
    else:
        from rich.console import Console

        from ebplan.report.extract_table import print_extracted

        print_extracted(found, Console())
    return found.to_json()


def _measure(
    meter: MeterSeries,
    history: MeterSeries,
    event: Event,
    service: ServiceDefinition | None,
    plan: Plan | None,
    about: dict[str, object],
    as_json: bool,
    plot: Path | None,
) -> str:
    """Measure the delivery, show it, and return its JSON."""
    from ebplan.settlement.by_rule import around, baseline_of
    from ebplan.settlement.delivery import measure_delivery

    part = around(meter, event)
    base = baseline_of(history, part, event, **about)  # type: ignore[arg-type]
    found = measure_delivery(part, event, base, service=service, plan=plan)
    if plot:
        from ebplan.report.delivery_figure import plot_delivery

        plot_delivery(found, part, event, base, plot, service=service)
    if as_json:
        click.echo(found.to_json())
    else:
        from rich.console import Console

        from ebplan.report.delivery_table import print_delivery

        print_delivery(found, Console())
    return found.to_json()
