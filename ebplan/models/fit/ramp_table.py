"""The ramp model of a time series with its card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ebplan.errors import InputError
from ebplan.models.card import Excluded, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.curves import FloatArray
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import check_settling
from ebplan.models.fit.ramp import RampOptions, Series, Step, find_steps, fit_side
from ebplan.models.fit.series import (
    DIP_EDGE_READINGS,
    DIP_RECOVERY_S,
    DIP_SHARE,
)
from ebplan.models.points import Points
from ebplan.models.ramp import RampModel, RampSide, reached_on_average

Sides = dict[str, RampSide]

SHOWN_SETTLE_TIMES = 5.0
"""Readings are kept until this many times the ramp's own time after the command."""
SHOWN_BEFORE = 0.25
"""And before it, as a share of that."""


@names_the_table
def fit_ramp(data: Measurements, options: RampOptions) -> RampModel:
    """Fit a ramp model to a time series.

    Args:
        data: ``time``, ``power`` and ``command`` (the cap or set-point in force).
        options: what the series cannot say.

    Raises:
        InputError: a column is missing, the command never changes, no step moves power, or the
            readings do not determine the ramp.
    """
    series = find_steps(data, options)
    if not series.steps:
        raise InputError(
            field="(rows)",
            value="; ".join(series.no_steps),
            allowed="a command that power follows, with readings before and after it",
            remedy="record a larger step for longer, under a steady load",
            file=data.file,
        )
    sides = {
        direction: fit_side(steps, options.sensor_window_s)
        for direction in ("down", "up")
        if (steps := [s for s in series.steps if s.direction == direction])
    }
    for side in sides.values():
        check_settling(side.settle_s, data.file)
    return RampModel(
        name=options.name,
        hardware=options.hardware,
        mechanism=options.mechanism,
        down=sides.get("down"),
        up=sides.get("up"),
        step_kw=_heights_kw(series.steps),
        measurement_point=data.measurement_point,
        points=tuple(
            _points(data, options, series, step, sides[step.direction]) for step in series.steps
        ),
        card=_card(data, options, series, sides),
    )


def _points(
    data: Measurements, options: RampOptions, series: Series, step: Step, side: RampSide
) -> Points:
    """Return the readings around a step, those in dips with weight zero, for the figure."""
    since = data.quantity("time") - step.command_s
    # what comes later is the workload's, and would thin out the ramp itself
    shown_s = SHOWN_SETTLE_TIMES * max(side.settle_s, side.resolution_s)
    near = (since >= -SHOWN_BEFORE * shown_s) & (since <= min(shown_s, step.since_s[-1]))
    response = side.response
    expected = reached_on_average(
        since[near], response.delay_s, response.time_constant_s, options.sensor_window_s
    )
    return Points.of(
        step.direction,
        {
            "since_s": since[near],
            "share_of_step": (data.quantity("power")[near] - step.before_kw) / step.height_kw,
            "share_expected": expected,
        },
        series.in_dips[near],
    )


def error_of(side: RampSide, step: Step, window_s: float, *, within_s: float) -> float:
    """Return the root mean square error of a predicted step, as a share of the step.

    The levels are the step's own medians; nothing of the readings' course enters.

    Args:
        side: the ramp.
        step: the step that is predicted.
        window_s: averaging window of the sensor.
        within_s: readings until this long after the command.
    """
    near = step.where((step.since_s >= 0.0) & (step.since_s <= within_s))
    response = side.response
    made = reached_on_average(near.since_s, response.delay_s, response.time_constant_s, window_s)
    off = (near.power_kw - near.before_kw) / near.height_kw - made
    return float(np.sqrt(np.mean(off**2)))


def unbroken_s(step: Step) -> float:
    """Return how long after the command the readings go on without a dip."""
    gaps = np.flatnonzero(np.diff(step.since_s) > 3.0 * step.interval_s)
    return float(step.since_s[gaps[0]] if len(gaps) else step.since_s[-1])


def alternate_errors(
    step: Step, window_s: float, *, within_s: float | None = None
) -> tuple[float, float]:
    """Return the error on the readings of either half that a fit to the other half makes.

    Every second reading is one half. Neighbouring readings are alike: this shows that the fit does
    not follow single readings, not that the next step will look the same.

    Args:
        step: the step.
        window_s: averaging window of the sensor.
        within_s: readings until this long after the command; until the first dip where absent.
    """
    even = np.arange(len(step.since_s)) % 2 == 0
    halves = step.where(even), step.where(~even)
    within = unbroken_s(step) if within_s is None else within_s
    one, other = (
        error_of(fit_side([a], window_s), b, window_s, within_s=within)
        for a, b in (halves, halves[::-1])
    )
    return one, other


def _held_out(series: Series, window_s: float) -> Iterator[Statistic]:
    """Predict each step from the others; a step that has no others, in halves."""
    for direction in ("down", "up"):
        steps = [s for s in series.steps if s.direction == direction]
        if len(steps) > 1:
            errors = [
                error_of(
                    fit_side([s for s in steps if s is not step], window_s),
                    step,
                    window_s,
                    within_s=unbroken_s(step),
                )
                for step in steps
            ]
            name = f"step {direction} from the others, until the first dip"
        elif steps and not fit_side(steps, window_s).upper_bound:
            errors = list(alternate_errors(steps[0], window_s))
            name = f"step {direction}, every second reading from the others, until the first dip"
        else:
            continue
        yield Statistic(name=name, value=float(np.median(errors)), unit="share of the step")


def _statistics(sides: Sides) -> Iterator[Statistic]:
    """Return what was found in each direction."""
    for direction, side in sides.items():
        bound = ", at most" if side.upper_bound else ""
        yield Statistic(name=f"90 % {direction}{bound}", value=side.settle_s, unit="s")
        if not side.upper_bound:
            for name, low, value, high in (
                ("delay", side.delay_low_s, side.response.delay_s, side.delay_high_s),
                (
                    "time constant",
                    side.time_constant_low_s,
                    side.response.time_constant_s,
                    side.time_constant_high_s,
                ),
            ):
                yield Statistic(name=f"{name} {direction}", value=value, unit="s")
                yield Statistic(name=f"{name} {direction}, from", value=low, unit="s")
                yield Statistic(name=f"{name} {direction}, to", value=high, unit="s")
            yield Statistic(
                name=f"standard deviation around the ramp {direction}",
                value=side.spread,
                unit="share of the step",
            )
        yield Statistic(
            name=f"overshoot {direction}", value=side.overshoot, unit="share of the step"
        )


def _findings(series: Series, sides: Sides) -> Iterator[Finding]:
    """Say what is only a bound, what is not first order, and which commands are no steps."""
    for direction, side in sides.items():
        if side.upper_bound:
            yield Finding(
                title=f"The ramp {direction} is an upper bound",
                text=f"It is made within {side.response.delay_s * 1e3:.0f} ms of the last reading "
                f"under the old command; nothing faster than {side.resolution_s * 1e3:.0f} ms is "
                "resolved. The response given is the slowest that the readings allow.",
            )
        else:
            step = next(s for s in series.steps if s.direction == direction)
            at, off = _farthest(side, step)
            yield Finding(
                title=f"How far the ramp {direction} is from first order",
                text=f"Farthest {abs(off):.0%} of the step {'below' if off < 0 else 'above'} it, "
                f"{at:.2f} s after the command.",
            )
    if series.no_steps:
        yield Finding(title="Commands that make no step", text="; ".join(series.no_steps) + ".")


def _farthest(side: RampSide, step: Step) -> tuple[float, float]:
    """Return when the readings are farthest from the ramp, and how far, in shares of the step."""
    response = side.response
    made = reached_on_average(step.since_s, response.delay_s, response.time_constant_s, 0.0)
    off: FloatArray = (step.power_kw - step.before_kw) / step.height_kw - made
    ramp = (step.since_s >= 0.0) & (step.since_s <= 2.0 * side.settle_s)
    i = int(np.where(ramp, np.abs(off), 0.0).argmax())
    return float(step.since_s[i]), float(off[i])


def _heights_kw(steps: Sequence[Step]) -> tuple[float, float]:
    """Return the smallest and the largest step, down or up."""
    heights = [abs(step.height_kw) for step in steps]
    return min(heights), max(heights)


def _excluded(series: Series, total: int) -> tuple[Excluded, ...]:
    """Name the dips as one entry."""
    count = int(series.in_dips.sum())
    if not count:
        return ()
    return (
        Excluded(
            run=f"{count} of {total} readings",
            weight=0.0,
            reason=f"dips of the workload: below {DIP_SHARE:.0%} of the busy level, with "
            f"{DIP_EDGE_READINGS} readings on either side and {DIP_RECOVERY_S:g} s after; the rule "
            "is the same for every series",
        ),
    )


def _card(data: Measurements, options: RampOptions, series: Series, sides: Sides) -> ModelCard:
    """Return the card of a ramp model."""
    steps: Sequence[Step] = series.steps
    low_kw, high_kw = _heights_kw(steps)
    return ModelCard(
        title=options.title,
        summary=f"How power follows a {options.mechanism}: delay and time constant, down and up "
        f"apart, from {len(steps)} step{'s' * (len(steps) > 1)}.",
        data=(data.dataset(),),
        method="power = before + (after - before) H(t - command), H first order after a delay"
        + (
            f", averaged over the sensor's window of {options.sensor_window_s:g} s"
            if options.sensor_window_s
            else ""
        )
        + ", by robust least squares in shares of the step; intervals count readings that repeat "
        "each other once. What is made within two readings or the window is an upper bound.",
        residuals=tuple(_statistics(sides)),
        leave_one_out=tuple(_held_out(series, options.sensor_window_s)),
        excluded=(*data.excluded, *_excluded(series, len(data))),
        validity=(ValidRange(name="step", low=low_kw, high=high_kw, unit="kW"),),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        findings=tuple(_findings(series, sides)),
        not_for=(
            "the time from trigger to command: the series begins at the command",
            f"other boards than {options.hardware}, without a record of their own",
        ),
    )
