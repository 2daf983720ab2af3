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

    The error that lasts is that of the rule's level on like days without an event, where the
    history has any, and never less than the quiet stretch before the event leaves open.

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
    if level_kw is None:
        return settled
    return settled.with_level_error(max(level_kw, settled.errors.lasting_kw))


def _level_error_kw(
    history: MeterSeries, rule: Rule, window: Window, days: DayCalendar
) -> float | None:
    """Return the error of a rule's level on like days; None where there are none."""
    try:
        alone = Window(window.start, window.duration_s, window.notice)
        like = like_windows(history, alone, days)
        return backtest(history, rule, like).level_rmse_kw if like else None
    except InputError:
        return None


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
    start_s = meter.seconds(event.start)
    if given is not None and given.endswith(".csv"):
        path = (folder or Path()) / given
        level, rule, known = from_file(path, meter), path.name, error_kw
    elif given is None and event.baseline.rule == "last_value":
        level, rule, known = None, "mean before the event", error_kw
    else:
        name = given or f"fixed:{event.baseline.kw}"
        agreed = parse_rule(name, history)
        if not isinstance(agreed, Fixed):
            found = by_rule(
                history,
                meter,
                event,
                name,
                calendar=calendar,
                notice_s=notice_s,
                confidence=confidence,
                accuracy=accuracy,
            )
            return found if error_kw is None else found.with_level_error(error_kw)
        # what was agreed is what is settled: it has no error, unless one is given
        level, rule, known = np.full(len(meter), agreed.kw), name, error_kw or 0.0
    return reference(
        meter,
        start_s,
        baseline_kw=level,
        error_kw=known,
        rule=rule,
        accuracy=accuracy,
        confidence=confidence,
    )
