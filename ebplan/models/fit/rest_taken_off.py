"""Take the loss at rest off cycle tests, and carry over what the model of rest leaves open.

What cells lose while they are cycled is taken for the sum of a loss at rest, by the time that the
test took, and of a loss by cycling. The first is known from a fit of its own, and not exactly. An
error of it moves all conditions together: it does not show in how far conditions lie off the law
of cycling, so that the fit alone would not know of it. To first order

    C = C_fit + D D',     D = (J' J)^-1 J' S

with S what each independent error of the loss at rest, one standard deviation of it, makes of the
rates by condition, and J the gradient of the law of cycling (Guide to the expression of
uncertainty in measurement, JCGM 100:2008, 5.1.2, for parameters by least squares). How far a
condition lies off the law of rest is one of those errors, taken as common to all tests; where it
differs between them, it is in the spread of conditions off the law of cycling already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError, RangeError
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.card import Finding, Statistic
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.ageing_law import FittedRates
from ebplan.models.fit.conditions import Condition, stress_arrays
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_cycling_time, check_test_time
from ebplan.models.intervals import gradient, student_quantile
from ebplan.models.root_law import root_rate

CLOCK = "full_cycles"
COLUMNS = {"temperature_c": "temperature", "soc": "soc", "seconds": "elapsed"}
"""The quantity of a table by the argument of the model of rest."""
MOST_WITHOUT_LOSS = 0.25
"""With a larger share of conditions that cycling did not harm, the loss at rest is too high."""


@dataclass(frozen=True)
class TakenOff:
    """What the loss at rest did to a fit of cycling."""

    share: tuple[float, float]
    """Loss at rest over all of the loss at a condition's end, lowest and highest."""
    variance_share: float
    """Of the variance of the rate at depth 1 without current, what the model of rest brings."""
    unharmed: tuple[str, ...]
    """Conditions that lost no more than at rest."""


def loss_at_rest(data: Measurements, calendar: CalendarAgeing) -> FloatArray:
    """Return what the cells would have lost at rest, share of capacity, shape (rows,).

    Args:
        data: rows with ``temperature``, ``soc`` (means since the first check-up) and ``elapsed``.
        calendar: the loss at rest.

    Raises:
        InputError: a column is not mapped.
        RangeError: a row lies outside what ``calendar`` was measured over.
    """
    elapsed = data.quantity("elapsed")
    check_test_time(elapsed, data.file)
    check_cycling_time(elapsed, data.quantity(CLOCK), data.quantity("c_rate"), data.file)
    columns = [data.quantity(name).tolist() for name in COLUMNS.values()]
    lost = []
    for line, *at in zip(data.lines.tolist(), *columns, strict=True):
        try:
            lost.append(float(calendar.loss(*at)))
        except RangeError as error:
            raise RangeError(
                field=f"line {line}.{COLUMNS[error.field]}",
                value=error.value,
                allowed=f"{error.allowed}, what {calendar.name!r} was measured over",
                remedy="fit rest to check-ups that cover the cycle tests, or remove the row",
                file=data.file,
            ) from None
    return np.array(lost)


def check_loss_left(conditions: tuple[Condition, ...], calendar: CalendarAgeing, file: str) -> None:
    """Refuse a loss at rest beside which cycling did next to nothing.

    Args:
        conditions: with the loss at rest taken off.
        calendar: the loss at rest.
        file: what the error names.

    Raises:
        InputError: many conditions lost no more than they would have at rest.
    """
    unharmed = _unharmed(conditions)
    if len(unharmed) > MOST_WITHOUT_LOSS * len(conditions):
        raise InputError(
            field=f"condition {unharmed[0]}",
            value=f"no more loss than {calendar.name!r} gives at rest, as in {len(unharmed)} of "
            f"{len(conditions)} conditions",
            allowed=f"at most {MOST_WITHOUT_LOSS:.0%} of the conditions",
            remedy="check units of elapsed, temperature and soc, and that both are the same cells",
            file=file,
        )


def carry_over(
    fitted: FittedRates, data: Measurements, calendar: CalendarAgeing
) -> tuple[FittedRates, TakenOff]:
    """Return the fit with what the model of rest leaves open in its covariance.

    Args:
        fitted: law of cycling, fitted with the loss at rest taken off.
        data: the rows it was fitted to.
        calendar: the loss at rest.
    """
    free = fitted.law.free
    shifts = (
        np.linalg.pinv(_slopes(fitted)[fitted.used][:, free])
        @ (_rate_errors(fitted.conditions, data, calendar)[fitted.used])
    )
    # each fit's half interval at the stated confidence is to come back with its own quantile
    shifts *= student_quantile(CONFIDENCE, calendar.degrees)
    shifts /= student_quantile(CONFIDENCE, fitted.degrees)
    carried = np.zeros_like(fitted.covariance)
    carried[np.ix_(free, free)] = shifts @ shifts.T
    whole = replace(fitted, covariance=fitted.covariance + carried)
    return whole, TakenOff(
        share=_shares(fitted.conditions, data, calendar),
        variance_share=float(carried[0, 0] / whole.covariance[0, 0]),
        unharmed=_unharmed(fitted.conditions),
    )


def statistics(taken: TakenOff) -> tuple[Statistic, ...]:
    """Return what was taken off and what it left open, for the card."""
    low, high = taken.share
    what = "loss at rest taken off, of all loss at a condition's end"
    return (
        Statistic(name=f"{what}, lowest", value=low, unit="share"),
        Statistic(name=f"{what}, highest", value=high, unit="share"),
        Statistic(
            name="variance of the loss after 1,000 full cycles that the model of rest brings",
            value=taken.variance_share,
            unit="share",
        ),
    )


def finding(taken: TakenOff, calendar: CalendarAgeing) -> Finding:
    """Say what was taken off, and what its uncertainty does."""
    low, high = taken.share
    text = (
        f"By `{calendar.name}`, with the time, temperature and mean state of charge of each "
        f"check-up: {low:.0%} to {high:.0%} of the loss at a condition's end. What that model "
        "leaves open (its parameters, and how far a condition lies off its law, as one error "
        "common to all tests) is in these intervals, to first order: "
        f"{taken.variance_share:.0%} of the variance of the loss after 1,000 full cycles of depth "
        "1 at 0 C. Leaving conditions out cannot show it: they share that error."
    )
    if taken.unharmed:
        text += f" No more than at rest was lost in: {', '.join(taken.unharmed)}."
    return Finding(title="Loss at rest was taken off", text=text)


def _unharmed(conditions: tuple[Condition, ...]) -> tuple[str, ...]:
    """Return the conditions that lost no more than at rest."""
    return tuple(c.name for c in conditions if c.rate <= 0.0)


def _slopes(fitted: FittedRates) -> FloatArray:
    """Return the gradient of the rates by the law's parameters, shape (conditions, P)."""
    at = stress_arrays(fitted.conditions, fitted.law.stresses)
    return gradient(lambda theta: fitted.law.rates(theta, *at), fitted.theta)


def _rate_errors(
    conditions: tuple[Condition, ...], data: Measurements, calendar: CalendarAgeing
) -> FloatArray:
    """Return what each error of the loss at rest makes of the rates, shape (conditions, errors)."""
    errors = calendar.loss_errors(*(data.quantity(name) for name in COLUMNS.values()))
    # the rate is linear in the loss, from which the loss at rest was taken
    return np.array([-root_rate(c.x, errors[_check_ups(c, data)]) for c in conditions])


def _shares(
    conditions: tuple[Condition, ...], data: Measurements, calendar: CalendarAgeing
) -> tuple[float, float]:
    """Return the loss at rest over all of the loss at the last check-up, lowest and highest."""
    rest = loss_at_rest(data, calendar)
    found = []
    for condition in conditions:
        last = int(condition.x.argmax())
        off = float(rest[_check_ups(condition, data)][last])
        whole = off + float(condition.loss[last])
        # a capacity that rose shows nothing to take a share of
        found.append(off / whole if whole > 0.0 else 1.0)
    return min(found), max(found)


def _check_ups(condition: Condition, data: Measurements) -> NDArray[np.bool_]:
    """Return which rows are the check-ups of a condition, in its order, shape (rows,)."""
    return np.asarray((data.label("condition") == condition.name) & (data.quantity(CLOCK) > 0.0))
