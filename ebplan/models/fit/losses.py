"""A loss stage from paired readings: outer = factor * inner + offset_kw.

The line is fitted to ln(outer) robustly (``robust``): errors of meters are shares of what they
show, and readings far off have weight zero. Errors that hang together in time count for as many
readings as they are worth (``series.correlation_time``), so repeats narrow nothing. What the inner
meter errs by makes the factor come out too low, by the share (its error / spread of loads)^2. That
is not corrected for: it is under a thousandth where loads spread by a third of their mean and the
meter errs by 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ebplan.document import FieldFault, NonNegative, Part, Positive
from ebplan.errors import InputError
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.fit.lag import Lag, find_lag
from ebplan.models.fit.losses_card import losses_card
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.pairs import Pairs, Readings, pair
from ebplan.models.fit.robust import RobustFit, fit_robust
from ebplan.models.fit.series import correlation_time
from ebplan.models.intervals import student_quantile
from ebplan.models.loss import LossModel, Uncertain, check_outward, line_variance
from ebplan.models.points import Points
from ebplan.site import MeasurementPoint

METERS = ("inner", "outer")
"""Values of the label ``meter``."""
MOST_UNSURE = 0.05
"""Half-width of the factor's interval above which the readings do not tell it from the offset: at
a tenth of the load between two measured ones, half a percent of the power."""
LEAST_SPAN = 1.25
"""High over low load (95 % over 5 % of the pairs) that a line needs: over less, a fault of a
percent of either meter is taken for a loss that grows."""
MOST_FACTOR = 3.0
"""Highest factor that a loss stage of a site may have."""
BOUNDS = np.array([1.0, 0.0])
"""Lowest factor, and lowest offset: no loss is negative."""
AT_BOUND = 1e-5
"""A search that stays inside ends this near a bound that holds it."""
FEWEST_INDEPENDENT = 8.0
"""Independent pairs that intervals need."""
FOLDS = 5
"""Stretches of the series that are held out, one after another."""


class LossOptions(Part):
    """What a table of two meters cannot say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    equipment: str
    """What lies between the meters, in words."""
    outer: MeasurementPoint
    """Where the outer meter is; ``measurement_point`` is that of the inner one."""
    most_lag_s: NonNegative = 10.0
    """How far clocks may differ; a difference is looked for this far both ways."""
    most_apart_s: Positive | None = None
    """A partner farther away is none; one and a half of the faster meter's interval if absent."""
    stale_s: Positive = Field(default=30.0)
    """A power that keeps every digit for longer is that of a meter that hangs."""


@dataclass(frozen=True)
class Line:
    """A fitted line."""

    factor: float
    offset_kw: float
    covariance: tuple[float, float, float]
    """Of factor and offset, for as many readings as they are worth."""
    worth: float
    """Independent pairs."""
    robust: RobustFit

    def half_widths(self) -> tuple[float, float]:
        """Return those of factor and offset."""
        wide = student_quantile(CONFIDENCE, self.degrees)
        return wide * self.covariance[0] ** 0.5, wide * self.covariance[2] ** 0.5

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return max(int(self.worth) - 2, 1)

    def reading(self, inner_kw: FloatArray) -> Estimate:
        """Return a reading of the outer meter with its interval."""
        mean = self.factor * inner_kw + self.offset_kw
        spread = self.robust.spread
        variance = line_variance(self.covariance, inner_kw) + (spread * mean) ** 2
        half = student_quantile(CONFIDENCE, self.degrees) * np.sqrt(variance)
        return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=CONFIDENCE)


@names_the_table
def fit_losses(data: Measurements, options: LossOptions) -> LossModel:
    """Fit a loss model.

    Args:
        data: ``inner_power`` and ``outer_power`` of the same instants, with ``time`` where clocks
            are to be compared; or ``time``, ``power`` and the label ``meter`` (``inner``,
            ``outer``), each meter at times of its own.
        options: what the table cannot say.

    Raises:
        InputError: a column is missing, the points do not lead outward, the meters are exchanged,
            their clocks differ by more than was looked for, or loads lie so close to each other
            that the factor cannot be told from the offset.
    """
    try:
        check_outward(data.measurement_point, options.outer, "options.outer")
    except FieldFault as fault:
        raise InputError(
            field=fault.field, value=fault.value, allowed=fault.allowed, remedy=fault.remedy
        ) from None
    inner, outer = read_meters(data)
    fresh = inner.fresh(options.stale_s), outer.fresh(options.stale_s)
    stale = len(inner.time) + len(outer.time) - sum(len(one.time) for one in fresh)
    lag = None if "time" not in data.values else _clocks(*fresh, options)
    pairs = pair(
        *fresh, lag_s=(lag.lag_s or 0.0) if lag else 0.0, most_apart_s=options.most_apart_s
    )
    _check_sides(pairs)
    line = fit_line(pairs)
    _check_line(line, pairs)
    out = ~line.robust.used
    data = data.without(np.isin(data.lines, pairs.lines[out]), "off the line of the others")
    factor, offset = line.half_widths()
    return LossModel(
        name=options.name,
        equipment=options.equipment,
        inner=data.measurement_point,
        outer=options.outer,
        factor=Uncertain(
            value=line.factor,
            low=max(line.factor - factor, 1.0),
            high=max(line.factor + factor, line.factor),
        ),
        offset_kw=Uncertain(
            value=line.offset_kw,
            low=max(line.offset_kw - offset, 0.0),
            high=line.offset_kw + offset,
        ),
        covariance=line.covariance,
        spread=line.robust.spread,
        independent_readings=line.worth,
        valid_from_kw=float(pairs.inner[~out].min()),
        valid_to_kw=float(pairs.inner[~out].max()),
        lag_s=None if lag is None else lag.lag_s,
        points=(Points.of("pairs", {"inner_kw": pairs.inner, "outer_kw": pairs.outer}, out),),
        card=losses_card(
            data,
            options,
            pairs=pairs,
            used=line.robust.used,
            spread=line.robust.spread,
            worth=line.worth,
            factor=(line.factor, factor),
            offset_kw=(line.offset_kw, offset),
            lag=lag,
            stale=stale,
            held=tuple(hold_out(pairs)),
        ),
    )


def read_meters(data: Measurements) -> tuple[Readings, Readings]:
    """Return the readings of the inner and of the outer meter.

    Raises:
        InputError: a column is missing, or the label holds something else.
    """
    if "meter" not in data.labels:
        inner, outer = data.quantity("inner_power"), data.quantity("outer_power")
        time = data.values.get("time", np.arange(len(data), dtype=float))
        return Readings(time, inner, data.lines), Readings(time, outer, data.lines)
    meter, time, power = data.label("meter"), data.quantity("time"), data.quantity("power")
    unknown = sorted(set(meter.tolist()) - set(METERS))
    missing = [name for name in METERS if (meter == name).sum() < 2]
    if unknown or missing:
        raise InputError(
            field="columns.meter",
            value=unknown[0] if unknown else f"no readings of {missing[0]}",
            allowed=" and ".join(METERS),
            remedy="say of each row which meter it is from",
            file=data.file,
        )
    by_meter = [
        Readings(time[meter == name], power[meter == name], data.lines[meter == name])
        for name in METERS
    ]
    return by_meter[0], by_meter[1]


def fit_line(pairs: Pairs) -> Line:
    """Fit a line to pairs.

    Raises:
        InputError: too few pairs, or too many of them off the line.
    """
    x, logs, scale = pairs.inner, np.log(pairs.outer), float(np.median(pairs.outer))

    def residuals(theta: FloatArray) -> FloatArray:
        line = theta[0] * x + theta[1] * scale
        return np.asarray(logs - np.log(np.maximum(line, 1e-3 * scale)))

    names = ("factor", "offset_kw")
    start = np.array([max(scale / float(np.median(x)), 1.0), 0.0])
    free = fit_robust(residuals, start, names, field="(pairs)")
    theta = free.theta
    if (theta < BOUNDS).any():
        # what is known does not grow by a bound: the covariance stays that of the free line
        inside = np.maximum(theta, BOUNDS) + 0.01
        theta = fit_robust(residuals, inside, names, lower=BOUNDS, field="(pairs)").theta
        theta = np.where(theta - BOUNDS < AT_BOUND, BOUNDS, theta)
    r = free.residuals[free.used]
    repeats = correlation_time(r)
    worth = len(r) / repeats
    if worth < FEWEST_INDEPENDENT:
        raise InputError(
            field="(pairs)",
            value=f"{len(r)} pairs worth {worth:.1f} independent ones",
            allowed=f"worth at least {FEWEST_INDEPENDENT:g}",
            remedy="the readings repeat or drift: read both meters for longer",
        )
    c = free.covariance * repeats
    return Line(
        factor=float(theta[0]),
        offset_kw=float(theta[1] * scale),
        covariance=(float(c[0, 0]), float(c[0, 1] * scale), float(c[1, 1] * scale**2)),
        worth=worth,
        robust=RobustFit(free.theta * [1.0, scale], c, free.spread, free.residuals, free.used),
    )


def hold_out(pairs: Pairs) -> list[tuple[float, bool]]:
    """Predict stretches of the series from the others: relative error, and whether it was held."""
    found = []
    ends = np.linspace(0, len(pairs.time), FOLDS + 1).astype(int).tolist()
    for begin, end in pairwise(ends):
        out = np.zeros(len(pairs.time), dtype=bool)
        out[begin:end] = True
        try:
            line = fit_line(_where(pairs, ~out))
        except InputError:  # what is left does not determine a line
            continue
        told = line.reading(pairs.inner[out])
        measured = pairs.outer[out]
        errors = told.middle / measured - 1.0
        found += list(zip(errors.tolist(), (told.holds(measured) > 0.0).tolist(), strict=True))
    return found


def _where(pairs: Pairs, keep: NDArray[np.bool_]) -> Pairs:
    return Pairs(
        pairs.time[keep], pairs.inner[keep], pairs.outer[keep], pairs.lines[keep], pairs.unpaired
    )


def _clocks(inner: Readings, outer: Readings, options: LossOptions) -> Lag:
    lag = find_lag(inner, outer, most_lag_s=options.most_lag_s, most_apart_s=options.most_apart_s)
    if lag.at_the_end:
        raise InputError(
            field="options.most_lag_s",
            value=options.most_lag_s,
            allowed=f"more: the meters' clocks differ by {lag.lag_s:g} s or more",
            remedy="set the clocks, or look further",
        )
    return lag


def _check_sides(pairs: Pairs) -> None:
    """Refuse meters that are exchanged, or in different units."""
    if not len(pairs.time):
        raise InputError(
            field="(pairs)",
            value="no reading of one meter is near one of the other",
            allowed="two meters read at the same time",
            remedy="check the times, or raise options.most_apart_s",
        )
    ratio = float(np.median(pairs.outer / pairs.inner))
    if not 1.0 <= ratio <= MOST_FACTOR:
        slip = not 0.1 < ratio < 10.0
        raise InputError(
            field="columns.outer_power",
            value=f"{ratio:.4g} of the inner power in the median",
            allowed=f"1 to {MOST_FACTOR:g}",
            remedy="check the units of both (W or kW?)"
            if slip
            else "exchange the meters, or see that both meter the same equipment",
        )


def _check_line(line: Line, pairs: Pairs) -> None:
    """Refuse a line that cannot be, or that the readings do not determine."""
    factor, offset = line.half_widths()
    free_factor, free_offset = line.robust.theta
    low, high = (float(np.quantile(pairs.inner, share)) for share in (0.05, 0.95))
    if high < LEAST_SPAN * low or factor > MOST_UNSURE:
        raise InputError(
            field="(pairs)",
            value=f"factor known to {factor:.2g}, from loads of {low:.3g} to {high:.3g} kW",
            allowed=f"known to {MOST_UNSURE:g}, loads {LEAST_SPAN:g} times apart, to tell it from "
            "the offset",
            remedy="read both meters from idle to full load, and for longer",
        )
    if free_factor + factor < 1.0 or line.factor - factor > MOST_FACTOR:
        raise InputError(
            field="(pairs)",
            value=f"factor {free_factor:.4g}, known to {factor:.2g}",
            allowed=f"1 to {MOST_FACTOR:g}: what is outside draws what is inside, and losses",
            remedy="see that the meters are not exchanged and meter the same equipment",
        )
    if free_offset + offset < 0.0:
        raise InputError(
            field="(pairs)",
            value=f"offset {free_offset:.4g} kW, known to {offset:.2g}",
            allowed=">= 0 kW",
            remedy="check the scale of both meters, or fit the range of loads that is planned",
        )
