"""How far a rule is off: its baselines on days without an event, against what was drawn.

An error is baseline less draw, so that a bias above zero credits a release that never was. Errors
are taken over settlement slots of a window, and each rule sees what it would have seen: nothing of
the window itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ebplan.errors import InputError
from ebplan.settlement.baselines import LeftOut, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.settlement.throughout import measured_throughout
from ebplan.settlement.window import Window

COVERAGE = 0.9
"""Share of the errors that the interval holds."""
SLOT_S = 1800.0
NOT_COMPARED = "another rule has no baseline for this day"


@dataclass(frozen=True, eq=False)
class Backtest:
    """Errors of a rule over windows without an event."""

    rule: str
    """Name of the rule."""
    days: tuple[date, ...]
    """Days of the windows that it has a baseline for."""
    draws_kw: tuple[FloatArray, ...]
    """What was drawn in each slot of each of these windows."""
    baselines_kw: tuple[FloatArray, ...]
    """The baseline in each slot of each of these windows."""
    left_out: tuple[LeftOut, ...]
    """Days without a baseline, or not compared, with the reason."""

    @property
    def errors_kw(self) -> FloatArray:
        """Baseline less draw in each slot of the windows, shape (slots,)."""
        return np.concatenate(self.baselines_kw) - np.concatenate(self.draws_kw)

    @property
    def level_errors_kw(self) -> FloatArray:
        """The same as the mean of each window, shape (days,)."""
        pairs = zip(self.baselines_kw, self.draws_kw, strict=True)
        return np.array([float((baseline - draw).mean()) for baseline, draw in pairs])

    @property
    def mean_draw_kw(self) -> float:
        """Mean draw over the slots."""
        return float(np.concatenate(self.draws_kw).mean())

    def only(self, days: Collection[date]) -> Backtest:
        """Return the test on some of its days; another rule had no baseline on the others."""
        keep = [i for i, day in enumerate(self.days) if day in days]
        gone = (LeftOut(day, NOT_COMPARED) for day in self.days if day not in days)
        return Backtest(
            rule=self.rule,
            days=tuple(self.days[i] for i in keep),
            draws_kw=tuple(self.draws_kw[i] for i in keep),
            baselines_kw=tuple(self.baselines_kw[i] for i in keep),
            left_out=(*self.left_out, *gone),
        )

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
    draws: list[FloatArray] = []
    baselines: list[FloatArray] = []
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
        baselines.append(baseline_kw)
    if not days:
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
        draws_kw=tuple(draws),
        baselines_kw=tuple(baselines),
        left_out=tuple(left_out),
    )


def compare(
    history: MeterSeries, rules: Sequence[Rule], windows: Sequence[Window]
) -> tuple[Backtest | InputError, ...]:
    """Return the errors of several rules on the same days: those that all of them can settle.

    A rule that can settle no day stands there with the reason, and does not count.

    Raises:
        InputError: there is no day that all others can settle.
    """
    found: list[Backtest | InputError] = []
    for rule in rules:
        try:
            found.append(backtest(history, rule, windows))
        except InputError as fault:
            found.append(fault)
    tested = [set(one.days) for one in found if isinstance(one, Backtest)]
    common = set.intersection(*tested) if tested else set()
    if tested and not common:
        raise InputError(
            field="(rules)",
            value="no day that all of them can settle",
            allowed="one such day or more",
            remedy="give a longer history, or compare fewer rules",
            file=history.file,
        )
    return tuple(one.only(common) if isinstance(one, Backtest) else one for one in found)


def best(found: Sequence[Backtest | InputError]) -> Backtest | None:
    """Return the rule with the least root mean squared error; the first of equal ones."""
    tested = [one for one in found if isinstance(one, Backtest)]
    return min(tested, key=lambda one: one.rmse_kw) if tested else None


def _slot_means(
    history: MeterSeries, rule: Rule, window: Window, slot_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return draw and baseline in each slot of a window, each of shape (slots,)."""
    measured = measured_throughout(history, window.start, window.end, field=rule.name)
    baseline_kw = rule.baseline(history, window).on(measured)
    since_s = measured.time_s + (measured.start - window.start).total_seconds()
    slot = np.floor((since_s + SAME_TIME_S) / max(slot_s, history.interval_s)).astype(np.intp)
    _, slot = np.unique(slot, return_inverse=True)
    count = np.bincount(slot)
    return (
        np.asarray(np.bincount(slot, measured.grid_kw) / count),
        np.asarray(np.bincount(slot, baseline_kw) / count),
    )
