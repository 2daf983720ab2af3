"""High X of Y: the mean of the X days with the highest draw out of the last Y like days.

High 4 of 5 with same-day adjustment is the standard baseline of Japan's guideline on aggregation
(エネルギー・リソース・アグリゲーション・ビジネスに関するガイドライン, 2020-06-01). The guideline
itself was not opened; its rule was taken from terms of service that quote it (five and three days,
four and two of them, the tie, the last 30 days), from a customer page that quotes it (25 %), and
from public code that names it (adjustment from 5 h to 2 h before the start).

For slot ``s``, days ``D`` and the slots ``A`` of the adjustment:

    baseline_s = mean_{d in D} draw_{d,s} + adjustment
    adjustment = mean_{a in A} (draw_{today,a} - mean_{d in D} draw_{d,a})
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo

import numpy as np

from ebplan.errors import InputError
from ebplan.settlement.baselines import Baseline, LeftOut
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.series import FloatArray, MeterSeries
from ebplan.settlement.window import DAY_S, Window

MOST_DAYS_SAID = 4


@dataclass(frozen=True)
class HighOf:
    """The rule with its parameters; as they stand, those of the guideline."""

    calendar: DayCalendar = field(default_factory=DayCalendar)
    """Holidays and the days of other events."""
    working: tuple[int, int] = (4, 5)
    """For an event on a working day: how many days, out of how many."""
    others: tuple[int, int] = (2, 3)
    """For an event on a weekend or a holiday."""
    slot_s: float = 1800.0
    """Length of a slot."""
    adjusted: bool = True
    """Whether the same-day adjustment is added."""
    adjust_from_h: float = 5.0
    """The adjustment looks at the hours from this long before the start."""
    adjust_to_h: float = 2.0
    """Until this long before the start."""
    least_share: float = 0.25
    """A day whose mean draw is below this share of the mean of all candidates is replaced."""
    days_back: int = 30
    """No day further back is used."""

    def __post_init__(self) -> None:
        """Refuse parameters that make no rule.

        Raises:
            InputError: more days than there are to choose from, slots that do not fill a day, or no
                hours to adjust by.
        """
        for most, out_of in (self.working, self.others):
            if not 1 <= most <= out_of:
                raise InputError(
                    field="high_X_of_Y",
                    value=f"{most} of {out_of}",
                    allowed="1 <= X <= Y",
                    remedy="correct one of the two",
                )
        if not (self.slot_s > 0.0 and DAY_S % self.slot_s == 0.0):
            raise InputError(
                field="slot_s",
                value=self.slot_s,
                allowed=f"a length of which {DAY_S:g} s is a whole number",
                remedy="1800 for half-hours",
            )
        if not self.adjust_from_h > self.adjust_to_h >= 0.0:
            raise InputError(
                field="adjust_from_h",
                value=self.adjust_from_h,
                allowed=f"> adjust_to_h = {self.adjust_to_h:g}, which is >= 0",
                remedy="correct one of the two",
            )

    @property
    def name(self) -> str:
        """Name with its parameters."""
        most, out_of = self.working
        return f"high_{most}_of_{out_of}" + ("" if self.adjusted else "_unadjusted")

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return the baseline of a window, slot by slot of the clock.

        Of its own day only the hours of the adjustment are used, of other days only what came
        before the notice.

        Raises:
            InputError: too few like days, a gap in the hours of the adjustment, or a clock
                change during the event.
        """
        slots = _Slots(self, history, window)
        today = window.start.astimezone(slots.zone).date()
        most, out_of = self.working if self.calendar.is_working(today) else self.others
        chosen, left_out = self._candidates(slots, today, out_of)
        # the latest first; of equal days the one furthest back goes
        by_height = sorted(chosen, key=lambda day: (-day.event_kw, -day.day.toordinal()))
        highest = sorted(by_height[:most], key=lambda day: day.day, reverse=True)
        added_kw = 0.0
        if self.adjusted:
            usual_kw = np.mean([day.adjusting_kw for day in highest], axis=0)
            added_kw = float(np.mean(slots.adjusting_today() - usual_kw))
        return Baseline(
            rule=self.name,
            start=slots.begin,
            interval_s=self.slot_s,
            kw=np.asarray(np.mean([day.kw for day in highest], axis=0) + added_kw),
            days=tuple(day.day for day in highest),
            left_out=(*left_out, *(LeftOut(d.day, "the lowest draw") for d in by_height[most:])),
            adjustment_kw=added_kw,
        )

    def _candidates(
        self, slots: _Slots, today: date, out_of: int
    ) -> tuple[list[_Day], tuple[LeftOut, ...]]:
        """Return the last like days, the latest first, and those that were left out."""
        left_out: list[LeftOut] = []
        usable = self._usable(slots, today, left_out)
        chosen: list[_Day] = []
        while True:
            while len(chosen) < out_of and (found := next(usable, None)):
                chosen.append(found)
            if len(chosen) < out_of:
                raise self._too_few(slots, today, out_of, chosen, left_out)
            mean_kw = float(np.mean([day.event_kw for day in chosen]))
            least_kw = self.least_share * mean_kw
            low = [day for day in chosen if mean_kw > 0.0 and day.event_kw < least_kw]
            if not low:
                return chosen, tuple(left_out)
            reason = f"below {self.least_share:.0%} of the mean of the candidates"
            left_out += [LeftOut(day.day, reason) for day in low]
            chosen = [day for day in chosen if day not in low]

    def _usable(self, slots: _Slots, today: date, left_out: list[LeftOut]) -> Iterator[_Day]:
        """Yield the like days that were measured, the latest first; say which were not."""
        for back in range(1, self.days_back + 1):
            day = today - timedelta(days=back)
            if day < slots.first.date():
                return
            if self.calendar.is_working(day) != self.calendar.is_working(today):
                continue
            if day in self.calendar.left_out:
                left_out.append(LeftOut(day, "named as left out"))
                continue
            found = slots.of(day, back)
            if isinstance(found, str):
                left_out.append(LeftOut(day, found))
            else:
                yield found

    def _too_few(
        self,
        slots: _Slots,
        today: date,
        out_of: int,
        chosen: list[_Day],
        left_out: list[LeftOut],
    ) -> InputError:
        reasons = "; ".join(f"{out.day} {out.reason}" for out in left_out[:MOST_DAYS_SAID])
        more = len(left_out) - MOST_DAYS_SAID
        return InputError(
            field=self.name,
            value=f"{len(chosen)} like day(s) before {today}",
            allowed=f"{out_of} of the kind {self.calendar.kind(today)}, measured throughout, in "
            f"the last {self.days_back} days"
            + (f" (left out: {reasons}{f', and {more} more' if more > 0 else ''})" * bool(reasons)),
            remedy="give a history that begins earlier, or another rule",
            file=slots.file,
        )


@dataclass(frozen=True, eq=False)
class _Day:
    """What was drawn on a day in the hours that the rule looks at."""

    day: date
    kw: FloatArray
    """In each slot of the baseline, shape (n,)."""
    event_kw: float
    """Mean over the slots of the event."""
    adjusting_kw: FloatArray
    """In each slot of the adjustment, shape (m,)."""


class _Slots:
    """The slots of a window on the wall, and what was drawn in them on any day."""

    def __init__(self, rule: HighOf, history: MeterSeries, window: Window) -> None:
        self.rule, self.window, self.file = rule, window, history.file
        self.zone: tzinfo = rule.calendar.zone_of(history, window.start)
        first = window.begin - timedelta(days=rule.days_back + 2)
        known = history.between(max(first, history.start), min(window.start, history.end))
        known = replace(known, start=known.start.astimezone(self.zone))
        self.series = known.resampled(rule.slot_s)
        self.first = self.series.start
        self.filled = {round(s / rule.slot_s): i for i, s in enumerate(self.series.time_s)}
        wall = self._wall(window.start)
        self.event = self._grid(wall, self._wall(window.end))
        self.shown = self._grid(self._wall(window.begin), self._wall(window.until))
        event_start = self.event[0]
        self.adjusting = self._grid(
            event_start - timedelta(hours=rule.adjust_from_h),
            event_start - timedelta(hours=rule.adjust_to_h),
        )
        self.begin = self._moments_today(self.shown)[0].astimezone(self.zone)

    def of(self, day: date, back: int) -> _Day | str:
        """Return what was drawn on a day, or why it cannot be used."""
        shift = timedelta(days=back)
        shown = [wall - shift for wall in self.shown]
        event = [wall - shift for wall in self.event]
        adjusting = [wall - shift for wall in self.adjusting] if self.rule.adjusted else []
        walls = sorted({*shown, *adjusting})
        moments = self._moments(walls)
        if moments is None:
            return "its clock changes during these hours"
        if moments[-1] + timedelta(seconds=self.rule.slot_s) > self.window.known_at:
            return "not over before the notice"
        drawn = self._drawn(walls, moments)
        if drawn is None:
            return "not measured throughout"
        return _Day(
            day=day,
            kw=np.array([drawn[wall] for wall in shown]),
            event_kw=float(np.mean([drawn[wall] for wall in event])),
            adjusting_kw=np.array([drawn[wall] for wall in adjusting]),
        )

    def adjusting_today(self) -> FloatArray:
        """Return what was drawn in the hours of the adjustment before the event, shape (m,)."""
        drawn = self._drawn(self.adjusting, self._moments_today(self.adjusting))
        if drawn is None:
            raise InputError(
                field=self.rule.name,
                value=f"a gap between {self.adjusting[0]} and the event",
                allowed=f"the hours from {self.rule.adjust_from_h:g} h to "
                f"{self.rule.adjust_to_h:g} h before the start measured throughout",
                remedy=f"settle by {self.rule.name}_unadjusted, where the contract allows it",
                file=self.file,
            )
        return np.array([drawn[wall] for wall in self.adjusting])

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _grid(self, begin: datetime, end: datetime) -> list[datetime]:
        """Return the slots of the clock that a stretch touches, as times on the wall."""
        midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        slot_s = self.rule.slot_s
        first = int((begin - midnight).total_seconds() // slot_s)
        last = int(-(-(end - midnight).total_seconds() // slot_s))
        return [midnight + timedelta(seconds=slot_s * k) for k in range(first, last)]

    def _moments(self, walls: list[datetime]) -> list[datetime] | None:
        """Return the moments of times on the wall; none where the clock changes in between."""
        end = walls[-1] + timedelta(seconds=self.rule.slot_s)
        found = [self.rule.calendar.localised(wall, self.zone) for wall in (*walls, end)]
        moments = [moment for moment in found if moment is not None]
        if len(moments) < len(found) or moments[-1] - moments[0] != end - walls[0]:
            return None
        return moments[:-1]

    def _moments_today(self, walls: list[datetime]) -> list[datetime]:
        """Return the moments of times on the wall of the event's day.

        Raises:
            InputError: the clock changes in between.
        """
        moments = self._moments(walls)
        if moments is None:
            raise InputError(
                field=self.rule.name,
                value=f"a clock change after {walls[0]}",
                allowed="hours that every day has once",
                remedy="settle by another rule: last_value, fixed or regression",
                file=self.file,
            )
        return moments

    def _drawn(
        self, walls: list[datetime], moments: list[datetime]
    ) -> dict[datetime, float] | None:
        """Return the draw in some slots; none where one was not measured throughout."""
        first = self.first.astimezone(UTC)
        at = [(moment - first).total_seconds() / self.rule.slot_s for moment in moments]
        if any(abs(k - round(k)) > 1e-9 or round(k) not in self.filled for k in at):
            return None
        grid_kw = self.series.grid_kw
        return {
            wall: float(grid_kw[self.filled[round(k)]]) for wall, k in zip(walls, at, strict=True)
        }
