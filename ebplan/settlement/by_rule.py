"""A baseline for a delivery: by a rule of settlement or from a file, with its errors.

The noise is that of the readings before the event. Where these are too few, as with meters of half
an hour, both noise and error of the level are those of like days without an event.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TypeGuard

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.settlement.backtest import backtest, like_windows
from ebplan.settlement.baselines import Baseline, Fixed, LastValue, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.like_days import SameHours, errors_of_days
from ebplan.settlement.meter_file import MeterColumn, MeterMap, read_meter
from ebplan.settlement.reference import (
    QUIET_READINGS,
    QUIET_S,
    Curve,
    Reference,
    noise_of,
    quiet_before,
    reference,
    too_few,
)
from ebplan.settlement.rules import parse_rule
from ebplan.settlement.series import GRID, SAME_TIME_S, MeterSeries
from ebplan.settlement.window import Window

AFTER_S = 3600.0
"""This long after the end is looked at, or as long as the event's recovery where that is longer."""
OWN = "mean before the event"
"""Name of the baseline that an event has where it agrees none."""


def after_s(event: Event) -> float:
    """Return how long after the end of an event is looked at."""
    return max(AFTER_S, event.response.recovery_s)


def around(
    meter: MeterSeries, event: Event, given: str | None = None, folder: Path | None = None
) -> MeterSeries:
    """Return the part of a series that tells of an event: the quiet before, and the recovery.

    Args:
        meter: the series.
        event: the event.
        given: its baseline; one from a file may end the part earlier.
        folder: where the path of a file counts from.

    Raises:
        InputError: the series does not hold it, or the file does not reach over the event.
    """
    begin = event.start - timedelta(seconds=QUIET_S)
    end = event.start + timedelta(seconds=event.duration_s)
    until = end + timedelta(seconds=after_s(event))
    if _is_file(given):
        told = _read(given, folder)
        _check_reach(told, event)
        begin, until = max(begin, told.start), min(until, told.end)
    return meter.between(begin, until)


def baseline_of(
    history: MeterSeries,
    meter: MeterSeries,
    event: Event,
    given: str | None,
    *,
    folder: Path | None = None,
    calendar: DayCalendar | None = None,
    error_kw: float | None = None,
    notice_s: float = 0.0,
    confidence: float = 0.9,
    accuracy: float = 0.0,
) -> Reference:
    """Return the baseline that is named: a rule, a file, or what the event agreed.

    The error that lasts is that of the rule's level on like days without an event, and never less
    than the quiet stretch before the event leaves open. Where the history has no like day that the
    rule can settle it is not known, which the baseline then says.

    Args:
        history: everything that a rule may look at.
        meter: the part of it that tells of the event, from ``around``.
        event: the event.
        given: a rule (``high_4_of_5``, ``last_value:10``, ``fixed:93.5``), or the path of a CSV
            file; the event's own where absent.
        folder: where a relative path counts from.
        calendar: holidays, and the days of this event and of others, from which no baseline is
            made; the event's own days where absent.
        error_kw: standard error of the level, where it is known.
        notice_s: the site heard of the event this long before its start.
        confidence: of every interval.
        accuracy: standard error of the meter's gain, as a share.

    Raises:
        InputError: no such rule, it has no baseline, the file does not fit, or nothing tells the
            noise.
    """
    days = calendar or DayCalendar.of_event(event.start, event.duration_s)
    own = given is None and event.baseline.rule == "last_value"
    window = _window(meter, event, 0.0 if own else notice_s)
    rule = _rule(history, event, given, folder, days)
    about = {"accuracy": accuracy, "confidence": confidence}
    if quiet_before(meter, meter.seconds(event.start)).sum() < QUIET_READINGS:
        found = _by_like_days(history, meter, rule, window, days, **about)
    else:
        found = _by_readings(history, meter, None if own else rule, window, days, **about)
    if _is_file(given):
        found = found.without_level_error("the file does not tell it")
    return found if error_kw is None else found.with_level_error(error_kw)


def curve_of(
    history: MeterSeries,
    meter: MeterSeries,
    event: Event,
    given: str | None,
    *,
    calendar: DayCalendar | None = None,
) -> Curve:
    """Return the baseline that is named without its errors, which a report does not need.

    Args:
        history: everything that a rule may look at.
        meter: the part of it that tells of the event, from ``around``.
        event: the event.
        given: as for ``baseline_of``.
        calendar: as for ``baseline_of``.

    Raises:
        InputError: no such rule, it has no baseline, or the file does not fit.
    """
    quiet = quiet_before(meter, meter.seconds(event.start))
    if given is None and event.baseline.rule == "last_value" and quiet.any():
        return Curve(np.full(len(meter), meter.grid_kw[quiet].mean()), OWN)
    days = calendar or DayCalendar.of_event(event.start, event.duration_s)
    made = _rule(history, event, given, None, days).baseline(history, _window(meter, event, 0.0))
    return Curve(made.on(meter), made.rule)


def _window(meter: MeterSeries, event: Event, notice_s: float) -> Window:
    """Return the event with as much around it as the series tells."""
    start_s = meter.seconds(event.start)
    return Window(
        start=event.start,
        duration_s=event.duration_s,
        notice=event.start - timedelta(seconds=notice_s),
        before_s=max(start_s, 0.0),
        after_s=max(meter.end_s - start_s - event.duration_s, 0.0),
    )


def _rule(
    history: MeterSeries, event: Event, given: str | None, folder: Path | None, days: DayCalendar
) -> Rule:
    """Return the rule that is named, that of the event where none is."""
    if _is_file(given):
        return SameHours(_read(given, folder), event.start)
    if given is not None:
        return parse_rule(given, history, days)
    if event.baseline.kw is not None:
        return Fixed(event.baseline.kw)
    return LastValue(max(QUIET_S, history.interval_s) / 60.0)


def _by_readings(
    history: MeterSeries,
    meter: MeterSeries,
    rule: Rule | None,
    window: Window,
    days: DayCalendar,
    *,
    accuracy: float,
    confidence: float,
) -> Reference:
    """Return a baseline whose noise the readings before the event tell; their mean without rule."""
    made = None if rule is None else rule.baseline(history, window)
    found = reference(
        meter,
        meter.seconds(window.start),
        baseline_kw=None if made is None else made.on(meter),
        rule=OWN if made is None else made.rule,
        accuracy=accuracy,
        confidence=confidence,
    )
    if isinstance(rule, Fixed):
        # what was agreed is what is settled: it has no error, unless one is given
        return found.with_level_error(0.0)
    if rule is None or isinstance(rule, SameHours):
        return found
    level_kw = _level_error_kw(history, rule, window, days)
    if isinstance(level_kw, str):
        return found.without_level_error(level_kw)
    return found.with_level_error(max(level_kw, found.errors.lasting_kw))


def _by_like_days(
    history: MeterSeries,
    meter: MeterSeries,
    rule: Rule,
    window: Window,
    days: DayCalendar,
    *,
    accuracy: float,
    confidence: float,
) -> Reference:
    """Return a baseline whose errors like days tell, for the readings before the event are few.

    Where the rule can be tested on none of them, they are held against its baseline of the event.
    """
    made = rule.baseline(history, window)
    quiet = quiet_before(meter, meter.seconds(window.start))
    about = {"interval_s": meter.interval_s, "accuracy": accuracy, "confidence": confidence}
    faults = []
    for tested in (rule, SameHours(made, window.start)):
        try:
            errors, count = errors_of_days(history, tested, window, days, **about)
        except InputError as fault:
            faults.append(fault)
            continue
        told = f"{count} like day{'s' if count > 1 else ''} without an event"
        found = Reference(made.on(meter), made.rule, errors, quiet, errors_from=told)
        return found.without_level_error(_untested(rule, faults[0])) if faults else found
    before = quiet_before(history, history.seconds(window.start))
    same = abs(history.interval_s - meter.interval_s) < SAME_TIME_S
    if isinstance(rule, SameHours) and same and before.sum() >= QUIET_READINGS:
        # a file that begins with the event says nothing of the time before; its readings do
        errors = noise_of(history.grid_kw[before], accuracy, confidence)
        return Reference(made.on(meter), made.rule, errors, quiet)
    raise too_few(meter, quiet, f"{faults[0].field}: {faults[0].value}")


def _level_error_kw(
    history: MeterSeries, rule: Rule, window: Window, days: DayCalendar
) -> float | str:
    """Return the error of a rule's level on like days, or why it is not known."""
    alone = Window(window.start, window.duration_s, window.notice)
    try:
        return backtest(history, rule, like_windows(history, alone, days)).level_rmse_kw
    except InputError as fault:
        return _untested(rule, fault)


def _untested(rule: Rule, fault: InputError) -> str:
    return f"{rule.name} can be tested on no like day without an event ({fault.value})"


def _is_file(given: str | None) -> TypeGuard[str]:
    return given is not None and given.endswith(".csv")


def _read(given: str, folder: Path | None) -> Baseline:
    """Return a baseline from a CSV file (``begins_at,baseline_kw``).

    Raises:
        InputError: the file cannot be read, or has a gap.
    """
    columns = {GRID: MeterColumn(column="baseline_kw")}
    path = (folder or Path()) / given
    told = read_meter(path, MeterMap(time="begins_at", stamp="beginning", columns=columns))
    if told.gaps_s:
        raise InputError(
            field="baseline_kw",
            value=f"a gap {told.gaps_s[0][0]:g} s after its start",
            allowed="a baseline without gaps",
            remedy="fill it: a baseline is a rule, not a measurement",
            file=told.file,
        )
    return Baseline(path.name, told.start, told.interval_s, told.grid_kw)


def _check_reach(told: Baseline, event: Event) -> None:
    """Refuse a baseline that ends within the event."""
    end = event.start + timedelta(seconds=event.duration_s)
    slack = timedelta(seconds=SAME_TIME_S)
    if told.start > event.start + slack or told.end < end - slack:
        raise InputError(
            field="--baseline",
            value=f"{told.start.isoformat()} to {told.end.isoformat()}",
            allowed=f"a baseline of the whole event, {event.start.isoformat()} to "
            f"{end.isoformat()}",
            remedy="write it for this event: ebplan settle baseline HISTORY --event EVENT -o FILE",
            file=told.rule,
        )
