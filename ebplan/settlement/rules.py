"""Rules by their names, as on the command line and in service definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ebplan.errors import InputError
from ebplan.settlement.baselines import Fixed, LastValue, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.high_of import HighOf
from ebplan.settlement.meter_file import is_power
from ebplan.settlement.regression import Regression
from ebplan.settlement.series import MeterSeries

RULES = (
    "fixed:KW, last_value[:MINUTES], high_4_of_5, high_X_of_Y[_unadjusted], regression[:COLUMN,...]"
)
HALF_HOUR_S = 1800.0
TIME_OF_DAY = "time_of_day"
_HIGH = re.compile(r"high_(\d{1,3})_of_(\d{1,3})(_unadjusted)?")


def parse_rule(
    text: str,
    history: MeterSeries,
    calendar: DayCalendar | None = None,
    columns: Sequence[str] | None = None,
) -> Rule:
    """Return a rule from its name.

    Slots and minutes are at least one interval of the series.

    Args:
        text: e.g. ``high_4_of_5``, ``last_value:15``, ``regression:requests_per_s,time_of_day``.
        history: the series it shall be used on.
        calendar: holidays and days of other events.
        columns: what ``regression`` alone regresses on beside the time of day; every column that
            is no power where absent.

    Raises:
        InputError: there is no such rule, or its parameters are none.
    """
    name, _, given = text.partition(":")
    days = calendar or DayCalendar()
    half_hour_s = max(HALF_HOUR_S, history.interval_s)
    if high := _HIGH.fullmatch(text):
        chosen = (int(high[1]), int(high[2]))
        return HighOf(calendar=days, working=chosen, slot_s=half_hour_s, adjusted=not high[3])
    if name == "last_value":
        return LastValue(_number(text, given) if given else half_hour_s / 60.0)
    if name == "fixed":
        return Fixed(_number(text, given))
    if name == "regression":
        others = [c for c in history.values if not is_power(c)] if columns is None else columns
        names = [c.strip() for c in given.split(",")] if given else [*others, TIME_OF_DAY]
        for column in names:
            if column != TIME_OF_DAY:
                history.column(column)
        return Regression(
            columns=tuple(c for c in names if c != TIME_OF_DAY),
            time_of_day=TIME_OF_DAY in names,
            calendar=days,
        )
    raise _no_rule(text)


def every_rule(
    history: MeterSeries,
    calendar: DayCalendar | None = None,
    columns: Sequence[str] | None = None,
) -> tuple[Rule, ...]:
    """Return each rule that needs no agreement: last value, High 4 of 5 both ways, regression."""
    names = ("last_value", "high_4_of_5", "high_4_of_5_unadjusted", "regression")
    return tuple(parse_rule(name, history, calendar, columns) for name in names)


def _number(text: str, given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        raise _no_rule(text) from None
    if not 0.0 <= value < float("inf"):
        raise _no_rule(text)
    return value


def _no_rule(text: str) -> InputError:
    return InputError(field="--rule", value=text, allowed=RULES, remedy="choose one of these")
