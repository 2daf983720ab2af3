"""``ebplan settle report``: what a site tells the grid, interval by interval."""

from __future__ import annotations

from datetime import datetime
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
    map_option,
    meter_of,
    meter_start_option,
    moment,
    plan_of,
    state_of,
)

if TYPE_CHECKING:
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.settlement.day_calendar import DayCalendar
    from ebplan.settlement.grid_report import Available
    from ebplan.settlement.reference import Curve
    from ebplan.settlement.series import MeterSeries
    from ebplan.state import State


@click.command()
@click.argument("meter_file", type=FILE, metavar="[METER]", required=False)
@click.option("--resource", required=True, help="What is reported on, as the grid knows it.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=1.0),
    default=1800.0,
    show_default=True,
    help="Length of an interval in seconds.",
)
@click.option("--event", "event_file", type=FILE, help="The event; needed with METER.")
@click.option("--baseline", "baseline_name", metavar="RULE|FILE", help="As in settle delivery.")
@calendar_options
@map_option
@meter_start_option
@click.option("--plan", "plan_file", type=FILE, help="The plan: what is to come, with its charge.")
@click.option("--state", "state_file", type=FILE, help="A measured state of charge.")
@click.option("--site", "site_name", help="The site: a name or a file; says the battery's size.")
@click.option(
    "--available",
    "available_file",
    type=FILE,
    help='What can be promised: JSON with {"available": [{"direction", "kw", "duration_s", '
    '"confidence"}, ...]}.',
)
@click.option("--at", "at_text", metavar="TIME", help="Time of the report; its last input's else.")
@click.option("--assumed", multiple=True, help="Something that was assumed; more than once.")
@click.option("-o", "--output", type=FILE, help="Write it here instead of printing it.")
@one_line_errors
def report(
    meter_file: Path | None,
    resource: str,
    interval_s: float,
    event_file: Path | None,
    baseline_name: str | None,
    holidays: Path | None,
    left_out: tuple[str, ...],
    zone: str | None,
    map_file: Path | None,
    start: str | None,
    plan_file: Path | None,
    state_file: Path | None,
    site_name: str | None,
    available_file: Path | None,
    at_text: str | None,
    assumed: tuple[str, ...],
    output: Path | None,
) -> None:
    """Report what was metered and what is planned: baseline, available, delivered, stored.

    What is available stands at the top of the report, from its time on, and in each interval, as
    those of a plan, in which a call can still begin.
    """
    from ebplan.case import load_site
    from ebplan.document import write_atomically
    from ebplan.settlement.grid_report import build_report

    check_targets(output)
    if meter_file is not None and event_file is None:
        raise click.UsageError("METER needs --event: its baseline is that of an event.")
    meter = base = None
    if meter_file is not None and event_file is not None:
        event = event_of(event_file)
        days = calendar_of(event.start, event.duration_s, holidays, left_out, zone)
        meter, base = _metered(meter_file, event, baseline_name, days, map_file, start)
    plan = None if plan_file is None else plan_of(plan_file)
    state = None if state_file is None else state_of(state_file)
    battery = None if site_name is None else load_site(site_name).battery
    at = moment("--at", at_text) if at_text else _latest(meter, plan, state)
    told = build_report(
        resource=resource,
        at=at,
        interval_s=interval_s,
        meter=meter,
        baseline=base,
        plan=plan,
        state=state,
        available=() if available_file is None else _available(available_file),
        capacity_kwh=None if battery is None else battery.energy_kwh,
        assumed=assumed,
    )
    if told.available and not any(one.available for one in told.intervals):
        click.echo(
            f"what is available stands at the top of the report alone: no interval lies after "
            f"{told.at.isoformat()}; a plan that goes on, or an earlier --at, has some",
            err=True,
        )
    if output:
        write_atomically(output, told.to_json() + "\n")
        click.echo(f"written: {output}")
    else:
        click.echo(told.to_json())


def _metered(
    meter_file: Path,
    event: Event,
    baseline_name: str | None,
    days: DayCalendar,
    map_file: Path | None,
    start: str | None,
) -> tuple[MeterSeries, Curve]:
    """Return the part of a series that tells of its event, with its baseline."""
    from ebplan.settlement.by_rule import around, curve_of

    whole = meter_of(meter_file, map_file, start)
    part = around(whole, event, baseline_name)
    return part, curve_of(whole, part, event, baseline_name, calendar=days)


def _latest(meter: MeterSeries | None, plan: Plan | None, state: State | None) -> datetime:
    """Return the time up to which something was measured."""
    known = [] if state is None else [state.at]
    known += [] if meter is None else [meter.end]
    if not known and plan is None:
        raise click.UsageError("Give METER with its --event, --plan, or both.")
    return max(known) if known or plan is None else plan.start


def _available(path: Path) -> tuple[Available, ...]:
    from ebplan.document import read_json
    from ebplan.errors import InputError
    from ebplan.settlement.grid_report import Available

    data = read_json(path)
    if data.get("kind") == "offer":
        from ebplan.offers import Offer

        return tuple(
            Available(
                direction=point.direction,
                kw=point.kw,
                duration_s=point.duration_s,
                confidence=point.confidence,
                start=point.start,
            )
            for point in Offer.parse(data, file=str(path)).points
            if point.kw > 0.0
        )
    listed = data.get("available")
    if not isinstance(listed, list):
        raise InputError(
            field="available",
            value=listed,
            allowed="an offer, or a list of {direction, kw, duration_s, confidence}",
            remedy="write it so, or give the file of ebplan offer -o",
            file=str(path),
        )
    return tuple(
        Available.parse(one, file=str(path), at=f"available.{i}") for i, one in enumerate(listed)
    )
