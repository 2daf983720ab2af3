"""One law of serving, fitted to the points of each configuration, which are judged by each other.

Every configuration begins from the prior, and from what the table's other configurations say; its
points then speak for themselves. A point that all the others put far outside its interval is off:
it gets weight zero, by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Excluded
from ebplan.models.curve import Curve
from ebplan.models.curves import FloatArray
from ebplan.models.fit.pooling import Readings, known
from ebplan.models.fleet_prior import Known, LawPrior
from ebplan.models.laws import LawName

OFF = 5.0
"""A point is off when the others put it this many standard deviations away,"""
OFF_SHARE = 0.1
"""and this share of its value."""
MOST_OFF = 0.25
"""With a larger share of the points off, the table holds more than one configuration."""
FEWEST_TO_JUDGE = 4
"""With fewer points nobody can say which of them is off."""
WORDS: dict[LawName, str] = {
    "power": "power",
    "throughput": "throughput",
    "pace": "median time between tokens",
}
"""What is measured of each law."""


@dataclass(frozen=True)
class FittedLaw:
    """One law of one configuration."""

    curve: Curve
    used: Readings
    unused: Readings
    """Points with weight zero."""
    off: tuple[Excluded, ...]
    """The same, named for the card."""
    left_out: FloatArray
    """ln of prediction over measurement of each point used, left out, shape (N,)."""
    held: FloatArray
    """1 where it lay in its interval, shape (N,)."""


def fit_law(
    prior: LawPrior, readings: dict[str, tuple[Readings, NDArray[np.intp]]]
) -> dict[str, FittedLaw]:
    """Fit one law of every configuration: first apart, then each beside what the others say."""
    alone = {name: _fit_one(prior, r, lines) for name, (r, lines) in readings.items()}
    said: dict[str, Known] = {
        name: known(prior.law, one.used, prior.pooling, one.curve.theta)
        for name, one in alone.items()
        if len(one.used.concurrency)
    }
    if len(readings) == 1:
        return alone
    together = {}
    for name, (r, lines) in readings.items():
        others = tuple(one for other, one in said.items() if other != name)
        wiser = prior.model_copy(update={"known": (*prior.known, *others)})
        together[name] = _fit_one(wiser, r, lines)
    return together


def _fit_one(prior: LawPrior, readings: Readings, lines: NDArray[np.intp]) -> FittedLaw:
    """Fit one law of one configuration; leave out, one by one, the points that are off."""
    mean, covariance = prior.curves([readings.configuration])
    keep = np.ones(len(lines), dtype=bool)
    off: list[Excluded] = []
    while True:
        used = readings.where(keep)
        missed, deviations, held = _left_out(prior, mean, covariance, used)
        far = (np.abs(missed) > OFF * deviations) & (np.abs(np.expm1(missed)) > OFF_SHARE)
        if len(missed) < FEWEST_TO_JUDGE or not far.any():
            break
        if len(off) + 1 > MOST_OFF * len(lines):
            raise InputError(
                field=f"configuration {readings.configuration.name}",
                value=f"more than {MOST_OFF:.0%} of {len(lines)} points off the law of {prior.law}",
                allowed="points of one configuration",
                remedy="name several configurations by a label, or read fewer rows (where)",
            )
        worst = int(np.where(far, np.abs(missed) / deviations, 0.0).argmax())
        at = np.flatnonzero(keep)[worst]
        keep[at] = False
        off.append(
            Excluded(
                run=f"line {lines[at]}",
                weight=0.0,
                reason=f"{WORDS[prior.law]} at {used.concurrency[worst]:g} requests in flight: "
                "predicted from the other points it is "
                f"{over(prior.law, missed[worst]):+.1%} off, "
                f"{abs(missed[worst]) / deviations[worst]:.0f} standard deviations",
            )
        )
    curve = prior.conditioned(mean, covariance, used.concurrency.tolist(), used.measured.tolist())
    return FittedLaw(curve, used, readings.where(~keep), tuple(off), missed, held)


def _left_out(
    prior: LawPrior, mean: FloatArray, covariance: FloatArray, r: Readings
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predict each point from the others; return misses, deviations and what was held, (N,)."""
    missed, deviations, held = [], [], []
    for i in range(len(r.concurrency)):
        others = np.arange(len(r.concurrency)) != i
        curve = prior.conditioned(
            mean, covariance, r.concurrency[others].tolist(), r.measured[others].tolist()
        )
        ln_y, deviation = curve.logarithm(np.log(r.concurrency[i : i + 1]))
        missed.append(float(ln_y[0] - np.log(r.measured[i])))
        deviations.append(float(deviation[0]) * curve.calibration)
        held.append(float(curve.estimate(r.concurrency[i : i + 1]).holds(r.measured[i : i + 1])[0]))
    return np.array(missed), np.array(deviations), np.array(held)


def over(law: LawName, missed: float) -> float:
    """Return prediction over measurement, less 1: of the time where the law is one of pace."""
    return float(np.expm1(-missed if law == "pace" else missed))
