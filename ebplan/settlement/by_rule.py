"""A baseline for a delivery: by a rule of settlement or from a file, with the error that lasts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.settlement.backtest import backtest, like_windows
from ebplan.settlement.baselines import Baseline, Fixed, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.meter_file import MeterColumn, MeterMap, read_meter
from ebplan.settlement.reference import QUIET_S, Reference, reference
from ebplan.settlement.rules import parse_rule
from ebplan.settlement.series import GRID, FloatArray, MeterSeries
from ebplan.settlement.window import Window

AFTER_S = 3600.0
"""This long after the end is looked at, or as long as the event's recovery where that is longer."""


def around(meter: MeterSeries, event: Event) -> MeterSeries:
    """Return the part of a series that tells of an event: the quiet before, and the recovery.

    Raises:
        InputError: the series does not hold it.
    """
    after_s = max(AFTER_S, event.response.recovery_s)
    until = event.start + timedelta(seconds=event.duration_s + after_s)
    return meter.between(event.start - timedelta(seconds=QUIET_S), until)


def by_rule(
    history: MeterSeries,
    meter: MeterSeries,
    event: Event,
    rule_name: str,
    *,
    calendar: DayCalendar | None = None,
    notice_s: float = 0.0,
    confidence: float = 0.9,
    accuracy: float = 0.0,
) -> Reference:
    """Return the baseline of a rule on the intervals of a series.

    The error that lasts is that of the rule's level on like days without an event, and never less
    than the quiet stretch before the event leaves open. Where the history has no like day that the
    rule can settle it is not known, which the baseline then says.

    Args:
        history: everything that the rule may look at.
        meter: the part of it that tells of the event.
        event: the event.
        rule_name: e.g. ``high_4_of_5``, ``last_value:10``, ``fixed:93.5``.
        calendar: holidays, and the days of this event and of others, from which no baseline is
            made; the event's own days where absent.
        notice_s: the site heard of the event this long before its start.
        confidence: of every interval.
        accuracy: standard error of the meter's gain, as a share.

    Raises:
        InputError: no such rule, or it has no baseline.
    """
    days = calendar or DayCalendar.of_event(event.start, event.duration_s)
    rule = parse_rule(rule_name, history, days)
    start_s = meter.seconds(event.start)
    window = Window(
        start=event.start,
        duration_s=event.duration_s,
        notice=event.start - timedelta(seconds=notice_s),
        before_s=max(start_s, 0.0),
        after_s=max(meter.end_s - start_s - event.duration_s, 0.0),
    )
    found = rule.baseline(history, window)
    settled = reference(
        meter,
        start_s,
        baseline_kw=found.on(meter),
        rule=found.rule,
        accuracy=accuracy,
        confidence=confidence,
    )
    level_kw = _level_error_kw(history, rule, window, days)
    if isinstance(level_kw, str):
        return settled.without_level_error(level_kw)
    return settled.with_level_error(max(level_kw, settled.errors.lasting_kw))


def _level_error_kw(
    history: MeterSeries, rule: Rule, window: Window, days: DayCalendar
) -> float | str:
    """Return the error of a rule's level on like days, or why it is not known."""
    alone = Window(window.start, window.duration_s, window.notice)
    try:
        return backtest(history, rule, like_windows(history, alone, days)).level_rmse_kw
    except InputError as fault:
        return f"{rule.name} can be tested on no like day without an event ({fault.value})"


def from_file(path: Path, meter: MeterSeries) -> FloatArray:
    """Return a baseline from a CSV file (``begins_at,baseline_kw``) on the intervals of a series.

    Raises:
        InputError: the file cannot be read or does not reach over the series.
    """
    columns = {GRID: MeterColumn(column="baseline_kw")}
    told = read_meter(path, MeterMap(time="begins_at", stamp="beginning", columns=columns))
    if told.gaps_s:
        raise InputError(
            field="baseline_kw",
            value=f"a gap {told.gaps_s[0][0]:g} s after its start",
            allowed="a baseline without gaps",
            remedy="fill it: a baseline is a rule, not a measurement",
            file=told.file,
        )
    return Baseline("file", told.start, told.interval_s, told.grid_kw).on(meter)


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

    Args:
        history: everything that a rule may look at.
        meter: the part of it that tells of the event.
        event: the event.
        given: a rule, or the path of a CSV file; the event's own where absent.
        folder: where a relative path counts from.
        calendar: holidays, and the days of this event and of others, from which no baseline is
            made; the event's own days where absent.
        error_kw: standard error of the level, where it is known.
        notice_s: the site heard of the event this long before its start.
        confidence: of every interval.
        accuracy: standard error of the meter's gain, as a share.

    Raises:
        InputError: no such rule, or the file does not fit.
    """
    about = {"accuracy": accuracy, "confidence": confidence}
    if given is not None and given.endswith(".csv"):
        path = (folder or Path()) / given
        found = _at_level(meter, event, path.name, from_file(path, meter), **about)
        found = found.without_level_error("the file does not tell it")
    elif given is None and event.baseline.rule == "last_value":
        found = _at_level(meter, event, "mean before the event", None, **about)
    else:
        name = given or f"fixed:{event.baseline.kw}"
        agreed = parse_rule(name, history)
        if isinstance(agreed, Fixed):
            found = _at_level(meter, event, name, np.full(len(meter), agreed.kw), **about)
            # what was agreed is what is settled: it has no error, unless one is given
            found = found.with_level_error(0.0)
        else:
            found = by_rule(
                history, meter, event, name, calendar=calendar, notice_s=notice_s, **about
            )
    return found if error_kw is None else found.with_level_error(error_kw)


def _at_level(
    meter: MeterSeries,
    event: Event,
    rule: str,
    kw: FloatArray | None,
    *,
    accuracy: float,
    confidence: float,
) -> Reference:
    """Return a baseline that is known; the mean before the event where it is None."""
    return reference(
        meter,
        meter.seconds(event.start),
        baseline_kw=kw,
        rule=rule,
        accuracy=accuracy,
        confidence=confidence,
    )
