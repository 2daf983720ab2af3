"""How far a rule is off: its baselines on days without an event, against what was drawn.

An error is baseline less draw, so that a bias above zero credits a release that never was. Errors
are taken over settlement slots of a window, and each rule sees what it would have seen: nothing of
the window itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ebplan.errors import InputError
from ebplan.settlement.baselines import SAME_TIME_S, LeftOut, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.series import FloatArray, MeterSeries
from ebplan.settlement.window import Window

COVERAGE = 0.9
"""Share of the errors that the interval holds."""
SLOT_S = 1800.0


@dataclass(frozen=True, eq=False)
class Backtest:
    """Errors of a rule over windows without an event."""

    rule: str
    """Name of the rule."""
    days: tuple[date, ...]
    """Days of the windows that it has a baseline for."""
    errors_kw: FloatArray
    """Baseline less draw in each slot of these windows, shape (slots,)."""
    level_errors_kw: FloatArray
    """The same as the mean of each window, shape (days,)."""
    mean_draw_kw: float
    """Mean draw over the slots."""
    left_out: tuple[LeftOut, ...]
    """Days without a baseline, with the reason."""

    @property
    def bias_kw(self) -> float:
        """Mean error; > 0 credits a release that never was."""
        return float(np.mean(self.errors_kw))

    @property
    def mae_kw(self) -> float:
        """Mean absolute error."""
        return float(np.mean(np.abs(self.errors_kw)))

    @property
    def rmse_kw(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(np.mean(self.errors_kw**2)))

    @property
    def cv_rmse(self) -> float | None:
        """The same as a share of the mean draw; none where nothing was drawn."""
        return self.rmse_kw / self.mean_draw_kw if self.mean_draw_kw > 0.0 else None

    @property
    def half_width_kw(self) -> float:
        """Half the width of the interval around the baseline that holds 90 % of the slots."""
        return float(np.quantile(np.abs(self.errors_kw), COVERAGE, method="higher"))

    @property
    def level_rmse_kw(self) -> float:
        """Root mean squared error of a window's mean: what averaging over the event leaves."""
        return float(np.sqrt(np.mean(self.level_errors_kw**2)))


def like_windows(
    history: MeterSeries, window: Window, calendar: DayCalendar | None = None
) -> tuple[Window, ...]:
    """Return the hours of an event on every other day of its kind that the series covers.

    Days that the calendar leaves out, and those whose clock skips the start, are not among them.

    Raises:
        InputError: the zone is not clear.
    """
    days = calendar or DayCalendar()
    zone = days.zone_of(history, window.start)
    wall = window.start.astimezone(zone).replace(tzinfo=None)
    first, last = (m.astimezone(zone).date() for m in (history.start, history.end))
    found = []
    for back in range((last - first).days + 1):
        day = first + timedelta(days=back)
        start = days.localised(wall + (day - wall.date()), zone)
        alike = days.is_working(day) == days.is_working(wall.date())
        if start is None or not alike or day == wall.date() or day in days.left_out:
            continue
        like = window.moved(start.astimezone(zone))
        apart = like.end <= window.start or like.start >= window.end
        if apart and like.start >= history.start and like.end <= history.end:
            found.append(like)
    return tuple(found)


def backtest(
    history: MeterSeries, rule: Rule, windows: Sequence[Window], *, slot_s: float = SLOT_S
) -> Backtest:
    """Return the errors of a rule on windows without an event.

    Args:
        history: the series; days of events must be left out by the rule's calendar.
        rule: the rule.
        windows: the windows, e.g. those of ``like_windows``.
        slot_s: errors are of means over slots of this length from the start of a window; one
            interval of the series where that is longer.

    Raises:
        InputError: the rule has a baseline for none of the windows; the line says why not for
            the first.
    """
    days: list[date] = []
    errors: list[FloatArray] = []
    draws: list[FloatArray] = []
    left_out: list[LeftOut] = []
    first_fault: InputError | None = None
    for window in windows:
        day = window.start.date()
        try:
            drawn_kw, baseline_kw = _slot_means(history, rule, window, slot_s)
        except InputError as fault:
            left_out.append(LeftOut(day, f"{fault.field}: {fault.value}"))
            first_fault = first_fault or fault
            continue
        days.append(day)
        draws.append(drawn_kw)
        errors.append(baseline_kw - drawn_kw)
    if not errors:
        raise first_fault or InputError(
            field=rule.name,
            value="no window",
            allowed="one day or more like that of the event, besides it",
            remedy="give a longer history",
            file=history.file,
        )
    return Backtest(
        rule=rule.name,
        days=tuple(days),
        errors_kw=np.concatenate(errors),
        level_errors_kw=np.array([float(e.mean()) for e in errors]),
        mean_draw_kw=float(np.mean(np.concatenate(draws))),
        left_out=tuple(left_out),
    )


def compare(
    history: MeterSeries, rules: Sequence[Rule], windows: Sequence[Window]
) -> tuple[Backtest | InputError, ...]:
    """Return the errors of several rules on the same days: those that all of them can settle.

    A rule that can settle no day stands there with the reason, and does not count.
    """
    first: list[Backtest | InputError] = []
    for rule in rules:
        try:
            first.append(backtest(history, rule, windows))
        except InputError as fault:
            first.append(fault)
    tested = [one for one in first if isinstance(one, Backtest)]
    common = set.intersection(*(set(one.days) for one in tested)) if tested else set()
    if all(len(one.days) == len(common) for one in tested):
        return tuple(first)
    same = [window for window in windows if window.start.date() in common]
    found: list[Backtest | InputError] = []
    for rule, one in zip(rules, first, strict=True):
        if isinstance(one, Backtest):
            try:
                found.append(backtest(history, rule, same))
            except InputError as fault:
                found.append(fault)
        else:
            found.append(one)
    return tuple(found)


def best(found: Sequence[Backtest | InputError]) -> Backtest | None:
    """Return the rule with the least root mean squared error; the first of equal ones."""
    tested = [one for one in found if isinstance(one, Backtest)]
    return min(tested, key=lambda one: one.rmse_kw) if tested else None


def _slot_means(
    history: MeterSeries, rule: Rule, window: Window, slot_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return draw and baseline in each slot of a window, each of shape (slots,)."""
    measured = history.between(window.start, window.end)
    whole = math.floor(window.duration_s / history.interval_s + SAME_TIME_S)
    # a window that begins within an interval has one whole interval less
    if len(measured) < max(whole - 1, 1):
        raise InputError(
            field=rule.name,
            value=f"a gap between {window.start.isoformat()} and {window.end.isoformat()}",
            allowed="a window measured throughout",
            remedy="leave this day out",
            file=history.file,
        )
    baseline_kw = rule.baseline(history, window).on(measured)
    since_s = measured.time_s + (measured.start - window.start).total_seconds()
    slot = np.floor((since_s + SAME_TIME_S) / max(slot_s, history.interval_s)).astype(np.intp)
    _, slot = np.unique(slot, return_inverse=True)
    count = np.bincount(slot)
    return (
        np.asarray(np.bincount(slot, measured.grid_kw) / count),
        np.asarray(np.bincount(slot, baseline_kw) / count),
    )
