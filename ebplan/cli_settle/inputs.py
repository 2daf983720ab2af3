"""What several verbs of settlement read: options, times, events, plans, states, products."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebplan.cli_types import duration

if TYPE_CHECKING:
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.services import ServiceDefinition
    from ebplan.settlement.day_calendar import DayCalendar
    from ebplan.settlement.series import MeterSeries
    from ebplan.state import State

FILE = click.Path(path_type=Path)

map_option = click.option(
    "--map", "map_file", type=FILE, help="What stands where in the meter file (TOML)."
)
meter_start_option = click.option(
    "--start", metavar="TIME", help="Time 0 of METER, where its times are seconds."
)
notice_option = click.option(
    "--notice",
    type=duration,
    default="0s",
    show_default=True,
    help="The site heard of the event so long before its start, e.g. 3h.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def calendar_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which days are alike."""
    options = (
        click.option(
            "--holidays", type=FILE, help="Days that count as weekends, one YYYY-MM-DD a line."
        ),
        click.option(
            "--exclude-day",
            "left_out",
            metavar="DAY",
            multiple=True,
            help="A day of another event, YYYY-MM-DD; may be given more than once.",
        ),
        click.option(
            "--zone", help="Whose days are meant: Asia/Tokyo or +09:00; the event's if absent."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_targets(output: Path | None, plot: Path | None = None) -> None:
    """Refuse files that cannot be written, before anything is worked out."""
    from ebplan.document import check_writable

    for path in (output, plot):
        if path:
            check_writable(path)
    if plot:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)


def meter_of(
    path: Path, map_file: Path | None, start: str | None = None, *, simulated: bool = False
) -> MeterSeries:
    """Read a meter series.

    Raises:
        InputError: file or map cannot be read, or do not fit.
    """
    from ebplan.settlement.meter_file import read_map, read_meter

    since = moment("--start", start) if start else None
    columns = read_map(map_file) if map_file else None
    return read_meter(path, columns, start=since, simulated=simulated)


def calendar_of(
    start: datetime,
    duration_s: float,
    holidays: Path | None,
    left_out: tuple[str, ...],
    zone: str | None,
) -> DayCalendar:
    """Return the calendar of an event from what the options say.

    Raises:
        InputError: a day or the zone is none.
    """
    from ebplan.settlement.day_calendar import DayCalendar, parse_day, parse_zone, read_days

    return DayCalendar.of_event(
        start,
        duration_s,
        holidays=read_days(holidays) if holidays else (),
        others=[parse_day(day, field="--exclude-day") for day in left_out],
        zone=parse_zone(zone) if zone else None,
    )


def moment(option: str, text: str) -> datetime:
    """Return a time with its zone.

    Raises:
        InputError: it is none.
    """
    from ebplan.errors import InputError

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.utcoffset() is None:
        raise InputError(
            field=option,
            value=text,
            allowed="ISO 8601 with an offset, e.g. 2026-06-01T12:00:00+09:00",
            remedy="write it so; where there is no offset, add the UTC offset",
        )
    return found


def event_of(path: Path) -> Event:
    """Read an event: that of a case, or one alone.

    Raises:
        InputError: the file holds none.
    """
    from ebplan.case import with_trace
    from ebplan.document import read_data
    from ebplan.event import Event
    from ebplan.kinds import another_kind

    data = read_data(path)
    if other := another_kind(data, "event", fields=Event.model_fields, file=str(path)):
        raise other
    inside = data.get("kind") == "event" and "event" in data
    told = with_trace(data["event"] if inside else data, path.parent)
    return Event.parse(told, file=str(path), at="event" if inside else "")


def plan_of(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: the file holds none.
    """
    from ebplan.document import read_data
    from ebplan.plan import Plan

    return Plan.parse(read_data(path), file=str(path))


def state_of(path: Path) -> State:
    """Read a state: that of a case, or one alone.

    Raises:
        InputError: the file holds none.
    """
    from ebplan.document import read_data
    from ebplan.state import State

    data = read_data(path)
    return State.parse(data.get("state", data), file=str(path))


def service_of(name: str | None, settings: tuple[str, ...]) -> ServiceDefinition | None:
    """Return a product with the facts that were supplied; None where none is named.

    Raises:
        InputError: there is no such product, or no such fact.
    """
    from ebplan.services import load_service, parse_settings, with_values

    return (
        None
        if name is None
        else with_values(load_service(name, field="--service"), parse_settings(settings))
    )
