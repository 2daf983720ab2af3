"""``ebplan settle delivery``: what a meter says of the response to an event."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors

if TYPE_CHECKING:
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.services.definition import ServiceDefinition
    from ebplan.settlement.meter_file import MeterMap
    from ebplan.settlement.series import MeterSeries

FILE = click.Path(path_type=Path)


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
    from ebplan.document import check_writable, write_atomically
    from ebplan.settlement.meter_file import read_map, read_meter

    for path in (output, plot):
        if path:
            check_writable(path)
    if plot:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)
    needs_event = {
        "--plan": plan_file,
        "--service": service_name,
        "--baseline": baseline_name,
        "--history": history_file,
    }
    if event_file is None and (ignored := [name for name, value in needs_event.items() if value]):
        raise click.UsageError(f"{ignored[0]} needs --event: without one the event is extracted.")
    if settings and service_name is None:
        raise click.UsageError("--set supplies facts of a product: name it with --service.")
    columns = read_map(map_file) if map_file else None
    meter = read_meter(meter_file, columns, start=_moment(start), simulated=simulated)
    if event_file is None:
        text = _extract(meter, confidence, as_json, plot)
    else:
        event = _event(event_file)
        service = _service(service_name, settings)
        plan = _plan(plan_file)
        history = meter if history_file is None else _history(history_file, columns)
        text = _measure(
            meter,
            history,
            event,
            service,
            plan,
            {
                "given": baseline_name,
                "error_kw": error_kw,
                "notice_s": 60.0 * notice,
                "confidence": confidence,
                "accuracy": accuracy,
            },
            as_json,
            plot,
        )
    if output:
        write_atomically(output, text)


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


def _moment(text: str | None) -> datetime | None:
    from ebplan.errors import InputError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.utcoffset() is None:
        raise InputError(
            field="--start",
            value=text,
            allowed="ISO 8601 with an offset, e.g. 2026-06-01T12:00:00+09:00",
            remedy="write it so",
        )
    return moment


def _event(path: Path) -> Event:
    """Read an event: a case, or its event alone."""
    from ebplan.case import with_trace
    from ebplan.document import read_json
    from ebplan.event import Event

    data = read_json(path)
    inner = data.get("event", data) if data.get("kind") == "event" else data
    return Event.parse(with_trace(inner, path.parent), file=str(path), at="event")


def _service(name: str | None, settings: tuple[str, ...]) -> ServiceDefinition | None:
    from ebplan.services import load_service, parse_settings, with_values

    return None if name is None else with_values(load_service(name), parse_settings(settings))


def _plan(path: Path | None) -> Plan | None:
    from ebplan.document import read_json
    from ebplan.plan import Plan

    return None if path is None else Plan.parse(read_json(path), file=str(path))


def _history(path: Path, columns: MeterMap | None) -> MeterSeries:
    from ebplan.settlement.meter_file import read_meter

    return read_meter(path, columns)
