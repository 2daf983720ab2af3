"""Made-up and published statistics side by side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ebplan.solvers.program import FloatArray
from ebplan.study.synthetic.published import (
    AREAS,
    COMPOSITE,
    FCR,
    FCR_SLOT_MEANS,
    IMBALANCE,
    RRFIT,
    Marginal,
)
from ebplan.study.synthetic.sky import SLOTS
from ebplan.study.synthetic.year import synthetic_year


@dataclass(frozen=True)
class Compared:
    """One statistic."""

    series: str
    """Name of the series."""
    statistic: str
    """What was counted."""
    published: float
    """As published."""
    made: float
    """Of the made-up year."""


def compare(fiscal: int, seed: int, area: str = "tokyo-fy2025") -> list[Compared]:
    """Return each matched statistic of a fiscal year.

    Args:
        fiscal: the year in which it begins.
        seed: of the made-up year.
        area: name in ``AREAS``.
    """
    year = synthetic_year(date(fiscal, 4, 1), date(fiscal + 1, 4, 1), seed, area).series
    known, spot, imbalance, fcr = AREAS[area], year["spot"], year["imbalance"], year["fcr"]
    days = spot.reshape(-1, SLOTS)
    slots = fcr.reshape(-1, SLOTS).mean(axis=0)
    apart = year["intraday"] - spot
    floor_slots = known.spot.floor_share * len(spot)
    found = _marginal("spot", known.spot, spot)
    found += [
        Compared("spot", "slots at 0.01", floor_slots, float((spot <= 0.01).sum())),
        Compared(
            "spot", "mean daily range", known.spot_daily_range, float(np.ptp(days, axis=1).mean())
        ),
        Compared("intraday", "mean above spot", 0.68, float(apart.mean())),
        Compared("intraday", "deviation from spot", 1.71, float(apart.std())),
        Compared("imbalance", "mean", IMBALANCE.mean, float(imbalance.mean())),
        Compared("imbalance", "highest", IMBALANCE.highest, float(imbalance.max())),
        Compared("imbalance", "slots at 0", IMBALANCE.zero_slots, float((imbalance == 0.0).sum())),
        Compared(
            "imbalance",
            "deviation from spot",
            IMBALANCE.deviation_from_spot,
            float((imbalance - spot).std()),
        ),
        Compared("fcr", "mean", FCR.mean, float(fcr.mean())),
        Compared("fcr", "lowest slot mean", FCR_SLOT_MEANS[0], float(slots.min())),
        Compared("fcr", "highest slot mean", FCR_SLOT_MEANS[1], float(slots.max())),
    ]
    found += _marginal("composite", COMPOSITE, year["composite"])
    return found + _marginal("rrfit", RRFIT, year["rrfit"])


def _marginal(name: str, known: Marginal, made: FloatArray) -> list[Compared]:
    return [
        Compared(name, "mean", known.mean, float(made.mean())),
        Compared(name, "5 % quantile", known.p05, float(np.quantile(made, 0.05))),
        Compared(name, "median", known.median, float(np.median(made))),
        Compared(name, "95 % quantile", known.p95, float(np.quantile(made, 0.95))),
        Compared(name, "highest", known.highest, float(made.max())),
    ]
