"""Fit energy, efficiency and converter loss of a battery, as far as the readings tell them.

Two kinds of tables do: a time series (``battery_series.py``) and cycles (``battery_cycles.py``).
Here is what both share: which parameters are given, and what comes out at an impossible value. Of
what grows in proportion to power, the cells' part and the converter's cannot be told
apart at the AC side: one of the two is given. Where neither is, the converter's is taken as 0 and
the whole goes to the cells; what a plan loses is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import f as f_distribution

from ebplan.document import Fraction, NonNegative, Part, Positive
from ebplan.errors import InputError
from ebplan.models.battery_efficiency import PARAMETERS
from ebplan.models.card import Finding
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.robust import fit_robust
from ebplan.models.intervals import student_quantile

NAMES = (
    "energy_kwh",
    "cell_efficiency",
    "converter_loss_linear",
    "converter_loss_quadratic",
    "no_load_kw",
)
"""The parameters, by the options that would give them."""
ENERGY, CELLS, LINEAR, QUADRATIC, NO_LOAD = range(PARAMETERS)
MOST_UNSURE = 0.2
"""A parameter (a logarithm, or a share of rated power) with a wider half interval is not known."""
LOWEST = np.array([-np.inf, -np.inf, 0.0, 0.0, 0.0])
HIGHEST = np.array([np.inf, 0.0, np.inf, np.inf, np.inf])
"""What is possible: no efficiency above 1, no loss below 0."""
AT_BOUND = 1e-4
"""A parameter this near to the end of what is possible is at it."""
START = (0.0, -0.03, 0.0, 0.01, 0.005)
SURE = 0.999
"""Confidence at which an impossible value is the readings' fault and not their noise."""
LEAST_EFFICIENCY = 0.5
"""Below, a site refuses the number."""

Residuals = Callable[[FloatArray], FloatArray]


class BatteryOptions(Part):
    """What a table of a battery does not say."""

    name: str
    """Name of the artefact."""
    title: str
    """The battery, in words."""
    converter_rated_kw: Positive
    """Rated power of the converter, that the loss refers to."""
    energy_kwh: Positive | None = None
    """Usable energy; fitted where absent."""
    cell_efficiency: float | None = Field(default=None, gt=0.5, le=1.0)
    """One-way efficiency of the cells; fitted where absent."""
    converter_loss_linear: Fraction | None = None
    """Loss as a share of power. Fitted where ``cell_efficiency`` is given, else 0: the two cannot
    be told apart."""
    converter_loss_quadratic: Fraction | None = None
    """Loss at rated power that grows with power squared, a share of it; fitted where absent."""
    no_load_kw: NonNegative | None = None
    """Loss whenever the converter is on; fitted where absent."""
    window_s: Positive = 900.0
    """Of a time series: length of the pieces over which the state of charge is compared."""

    def given(self) -> dict[int, float]:
        """Return the parameters that are not fitted, by their place."""
        said = {
            ENERGY: None if self.energy_kwh is None else float(np.log(self.energy_kwh)),
            CELLS: None if self.cell_efficiency is None else float(np.log(self.cell_efficiency)),
            LINEAR: self.converter_loss_linear,
            QUADRATIC: self.converter_loss_quadratic,
            NO_LOAD: None if self.no_load_kw is None else self.no_load_kw / self.converter_rated_kw,
        }
        known = {place: value for place, value in said.items() if value is not None}
        if CELLS not in known:
            known.setdefault(LINEAR, 0.0)
        return known


@dataclass(frozen=True)
class FittedBattery:
    """What came out."""

    theta: FloatArray
    """Parameters, shape (5,)."""
    covariance: FloatArray
    """Their covariance, zero for what was given, shape (5, 5)."""
    degrees: int
    """Readings used less parameters fitted."""
    spread: float
    """Standard deviation of a reading off the law."""
    given: dict[int, float]
    """What was not fitted, by its place."""
    used: NDArray[np.bool_]
    """Which readings were used, shape (N,)."""
    findings: tuple[Finding, ...] = ()
    """What was set to the end of what is possible."""

    def intervals(self, confidence: float = CONFIDENCE) -> FloatArray:
        """Return the ends of each parameter's interval, cut at what is possible, shape (5, 2)."""
        half = student_quantile(confidence, self.degrees) * np.sqrt(np.diag(self.covariance))
        both = np.column_stack([self.theta - half, self.theta + half])
        return np.asarray(np.clip(both, LOWEST[:, None], HIGHEST[:, None]))


def fit_battery(
    residuals: Residuals, given: dict[int, float], *, start_kwh: float, floor: float, file: str
) -> FittedBattery:
    """Fit what is not given; a loss below zero becomes zero, with a finding, if noise allows.

    Args:
        residuals: of the readings for parameters of shape (5,).
        given: parameters by their place.
        start_kwh: energy to begin with.
        floor: residuals below this are never off.
        file: what errors name.

    Raises:
        InputError: the readings do not determine a parameter, or contradict what is possible.
    """
    fitted = _fit(residuals, given, start_kwh, floor, file, within=False)
    beyond = (fitted.theta < LOWEST) | (fitted.theta > HIGHEST)
    if beyond.any():
        freely, fitted = fitted, _fit(residuals, given, start_kwh, floor, file, within=True)
        worse = fitted.degrees * (fitted.spread / freely.spread) ** 2 - freely.degrees
        if worse > int(beyond.sum()) * f_distribution.ppf(SURE, beyond.sum(), freely.degrees):
            raise _contradiction(freely, int(np.flatnonzero(beyond)[0]), file)
        at = (fitted.theta - LOWEST < AT_BOUND) | (HIGHEST - fitted.theta < AT_BOUND)
        fitted = replace(
            fitted,
            theta=np.where(at, np.clip(0.0, LOWEST, HIGHEST), fitted.theta),
            findings=tuple(
                Finding(
                    title=f"No loss is seen in {NAMES[place]}",
                    text="The readings fit best at the end of what is possible, no loss, and its "
                    "interval begins there. The losses of a round trip are known better than how "
                    "they are shared.",
                )
                for place in np.flatnonzero(at)
                if place not in given
            ),
        )
    _refuse_unsure(fitted, file)
    if fitted.theta[CELLS] <= np.log(LEAST_EFFICIENCY):
        raise _contradiction(fitted, CELLS, file)
    return fitted


def _fit(
    residuals: Residuals,
    given: dict[int, float],
    start_kwh: float,
    floor: float,
    file: str,
    *,
    within: bool,
) -> FittedBattery:
    """Fit what is not given, within what is possible or freely."""
    free = np.array([place not in given for place in range(PARAMETERS)])
    base = np.array(START)
    base[ENERGY] = np.log(start_kwh)
    for place, value in given.items():
        base[place] = value

    if not free.any():
        raise InputError(
            field="options",
            value="every parameter given",
            allowed="at least one left to the fit",
            remedy="leave out what shall be fitted",
            file=file,
        )

    def whole(theta: FloatArray) -> FloatArray:
        full = base.copy()
        full[free] = theta
        return full

    try:
        fit = fit_robust(
            lambda theta: residuals(whole(theta)),
            base[free],
            [NAMES[place] for place in np.flatnonzero(free)],
            lower=LOWEST[free] if within else None,
            upper=HIGHEST[free] if within else None,
            floor=floor,
        )
    except InputError as error:
        raise error.in_file(file) from None
    covariance = np.zeros((PARAMETERS, PARAMETERS))
    covariance[np.ix_(free, free)] = fit.covariance
    return FittedBattery(
        theta=whole(fit.theta),
        covariance=covariance,
        degrees=fit.degrees,
        spread=fit.spread,
        given=given,
        used=fit.used,
    )


def _contradiction(fitted: FittedBattery, place: int, file: str) -> InputError:
    value = np.exp(fitted.theta[place]) if place == CELLS else fitted.theta[place]
    return InputError(
        field=f"(rows) {NAMES[place]}",
        value=f"{value:.4f}",
        allowed="above 0.5 and at most 1" if place == CELLS else "at least 0",
        remedy="the readings contradict each other: check the sign of power (> 0 is discharge), "
        "the units, and whether power and state of charge are of one battery",
        file=file,
    )


def _refuse_unsure(fitted: FittedBattery, file: str) -> None:
    """Refuse parameters that the readings leave open."""
    deviation = np.sqrt(np.diag(fitted.covariance))
    half = student_quantile(CONFIDENCE, fitted.degrees) * deviation
    unsure = [NAMES[place] for place in range(PARAMETERS) if half[place] > MOST_UNSURE]
    if unsure:
        raise InputError(
            field="(rows)",
            value=f"{' and '.join(unsure)} not identifiable",
            allowed=f"intervals of at most {MOST_UNSURE:g} either way, as a share",
            remedy="measure at several powers, low and high, in both directions and for longer; "
            f"or give options.{unsure[-1]}",
            file=file,
        )
