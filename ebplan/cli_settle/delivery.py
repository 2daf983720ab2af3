"""``ebplan settle delivery``: what a meter says of the response to an event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    meter_start_option,
    notice_option,
    plan_of,
    service_of,
)

if TYPE_CHECKING:
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.services.definition import ServiceDefinition
    from ebplan.settlement.reference import Reference
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
@notice_option
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
@map_option
@meter_start_option
@click.option("--simulated", is_flag=True, help="Say that METER comes from the bench.")
@json_option
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
    from ebplan.settlement.by_rule import around, baseline_of

    check_targets(output, plot)
    if settings and service_name is None:
        raise click.UsageError("--set supplies facts of a product: name it with --service.")
    meter = meter_of(meter_file, map_file, start, simulated=simulated)
    shown = Shown(as_json, plot)
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
        text = _extract(meter, confidence, shown)
    else:
        event = event_of(event_file)
        history = meter if history_file is None else meter_of(history_file, map_file, start)
        part = around(meter, event, baseline_name)
        base = baseline_of(
            history,
            part,
            event,
            baseline_name,
            calendar=calendar_of(event.start, event.duration_s, holidays, left_out, zone),
            error_kw=error_kw,
            notice_s=notice,
            confidence=confidence,
            accuracy=accuracy,
        )
        service = service_of(service_name, settings)
        plan = None if plan_file is None else plan_of(plan_file)
        text = _measure(part, event, base, service, plan, shown)
    if output:
        write_atomically(output, text)


class Shown(NamedTuple):
    """How a result is shown."""

    as_json: bool
    plot: Path | None


def _refuse_without_event(options: dict[str, object]) -> None:
    """Refuse options that mean nothing where the event is extracted."""
    if ignored := [name for name, value in options.items() if value]:
        raise click.UsageError(f"{ignored[0]} needs --event: without one the event is extracted.")


def _extract(meter: MeterSeries, confidence: float, shown: Shown) -> str:
    """Extract the event, show it, and return its JSON."""
    from ebplan.settlement.extract import extract

    found = extract(meter, confidence=confidence)
    if shown.plot:
        from ebplan.report.extract_figure import plot_extracted

        plot_extracted(found, meter, shown.plot)
    if shown.as_json:
        click.echo(found.to_json())
    else:
        from rich.console import Console

        from ebplan.report.extract_table import print_extracted

        print_extracted(found, Console())
    return found.to_json()


def _measure(
    part: MeterSeries,
    event: Event,
    base: Reference,
    service: ServiceDefinition | None,
    plan: Plan | None,
    shown: Shown,
) -> str:
    """Measure the delivery, show it, and return its JSON."""
    from ebplan.settlement.delivery import measure_delivery

    found = measure_delivery(part, event, base, service=service, plan=plan)
    if shown.plot:
        from ebplan.report.delivery_figure import plot_delivery

        plot_delivery(found, part, event, base, shown.plot, service=service)
    if shown.as_json:
        click.echo(found.to_json())
    else:
        from rich.console import Console

        from ebplan.report.delivery_table import print_delivery

        print_delivery(found, Console())
    return found.to_json()
