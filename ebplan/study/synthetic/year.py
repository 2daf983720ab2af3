"""A made-up year of a Japanese market: seeded, our own shapes, no price of anybody's.

Marginal distributions and the mean daily range are matched to what is published; what is not
published is assumed and says so. A fiscal year is made whole and cut to the days asked for: a week
of it is a week of that year, whatever else is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from ebplan.errors import InputError
from ebplan.services import at_date, load_service
from ebplan.solvers.program import FloatArray
from ebplan.study.synthetic.marginal import STEP, with_marginal
from ebplan.study.synthetic.published import AREAS, COMPOSITE, FCR, IMBALANCE, RRFIT, Area
from ebplan.study.synthetic.sky import SLOTS, Sky, remembered, sky

ZONE = ZoneInfo("Asia/Tokyo")
STEP_S = 1800
MOST_CALLS = 12
CALL_SLOTS = 6
"""A call lasts three hours."""

ABOUT: dict[str, tuple[str, str]] = {
    "spot": ("JPY/kWh", "matched: quantiles, mean, floor slots, mean daily range; assumed: order"),
    "intraday": ("JPY/kWh", "matched: mean above spot and its deviation; assumed: independent"),
    "imbalance": ("JPY/kWh", "matched: mean, highest, zeros, deviation from spot; assumed: order"),
    "fcr": ("JPY/kW/30min", "matched: mean of one month, cap by date; assumed: all else"),
    "composite": (
        "JPY/kW/30min",
        "matched: quantiles, mean; assumed: order, all blocks awarded",
    ),
    "rrfit": ("JPY/kW/30min", "matched: quantiles, mean; assumed: order, all blocks awarded"),
    "capacity_call": ("1", "assumed: 12 calls of 3 h on the dearest weekday evenings"),
    "pv": ("1", "assumed: output of a solar park as a share of its peak"),
    "pv_surplus": ("1", "1 where the spot price is at its floor and the sun shines"),
    "carbon": ("kg/kWh", "assumed: 0.50 at night, less by 0.25 under a high sun"),
    "llm_load": ("1", "assumed: day, week and chance of an interactive service, mean near 1"),
}
"""Unit of each series, and what of it is matched and what assumed."""


@dataclass(frozen=True)
class SyntheticYear:
    """Series over half-hours."""

    start: datetime
    """Beginning of the first half-hour, in UTC."""
    step_s: int
    """Length of a step."""
    area: str
    """Name in ``AREAS``."""
    seed: int
    """What chance began with."""
    series: dict[str, FloatArray]
    """By name (``ABOUT`` has their units), each of shape (T,)."""


def synthetic_year(start: date, end: date, seed: int, area: str = "tokyo-fy2025") -> SyntheticYear:
    """Return made-up series from the beginning of a day to that of another, in Japanese time.

    Args:
        start: first day.
        end: the day after the last one.
        seed: same seed, same numbers.
        area: name in ``AREAS``; ``tokyo`` is ``tokyo-fy2025``.

    Raises:
        InputError: no such area, or the days are in the wrong order.
    """
    name = area if area in AREAS else f"{area}-fy2025"
    if name not in AREAS:
        raise InputError(
            field="area", value=area, allowed=", ".join(AREAS), remedy="choose one of these"
        )
    if end <= start:
        raise InputError(
            field="end",
            value=end.isoformat(),
            allowed=f"after {start.isoformat()}",
            remedy="give the day after the last one",
        )
    first, last = _fiscal_year(start), _fiscal_year(end - timedelta(days=1))
    years = [_year(fiscal, seed, AREAS[name]) for fiscal in range(first, last + 1)]
    skip = SLOTS * (start - date(first, 4, 1)).days
    steps = SLOTS * (end - start).days
    begins = datetime.combine(start, datetime.min.time(), ZONE).astimezone(UTC)
    return SyntheticYear(
        start=begins,
        step_s=STEP_S,
        area=name,
        seed=seed,
        series={
            key: np.concatenate([year[key] for year in years])[skip : skip + steps] for key in ABOUT
        },
    )


def _fiscal_year(day: date) -> int:
    return day.year if day.month >= 4 else day.year - 1


@lru_cache(maxsize=8)
def _year(fiscal: int, seed: int, area: Area) -> dict[str, FloatArray]:
    """Return the series of a fiscal year, each of shape (T,)."""
    first = date(fiscal, 4, 1)
    days = (date(fiscal + 1, 4, 1) - first).days
    random = np.random.default_rng([seed, fiscal])
    weather = sky(first, days, area.latitude_deg, random)
    spot, order = _spot(weather, area, random)
    sun = weather.sun.ravel()
    fcr = _reserve(order, -0.3, random).reshape(days, SLOTS)
    fcr = fcr + 0.3 * np.cos(2.0 * np.pi * (np.arange(SLOTS) - 4) / SLOTS)
    dated = load_service("jp_fcr").market.price_cap
    caps = [at_date(dated, first + timedelta(days=i)) or np.inf for i in range(days)]
    night = np.clip(sun / 0.6, 0.0, 1.0)
    return {
        "spot": spot,
        "intraday": np.maximum(STEP, spot + 0.68 + 1.71 * random.standard_normal(len(spot))),
        "imbalance": _imbalance(spot, sun, random),
        "fcr": np.minimum(with_marginal(fcr.ravel(), FCR), np.repeat(caps, SLOTS)),
        "composite": with_marginal(_reserve(order, 0.4, random), COMPOSITE),
        "rrfit": with_marginal(_reserve(sun - sun.mean(), 1.5, random), RRFIT),
        "capacity_call": _calls(weather, order),
        "pv": sun,
        "pv_surplus": ((spot <= area.spot.floor) & (sun > 0.0)).astype(float),
        "carbon": 0.50 - 0.25 * night + 0.02 * np.clip(random.standard_normal(len(spot)), -2, 2),
        "llm_load": _llm_load(weather, random),
    }


def _spot(weather: Sky, area: Area, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return day-ahead prices and what they are ordered by, each (T,).

    How much of the order is the day and how much the hour is chosen so that the mean daily range
    comes out.
    """
    residual = weather.demand - 1.1 * weather.sun
    daily = residual.mean(axis=1, keepdims=True)
    within = residual - daily
    level = (daily - daily.mean()) / daily.std()
    level = 0.6 * level + 0.8 * remembered(len(level), 0.9, random)[:, None]
    noise = random.standard_normal(within.shape)

    def at(share: float) -> tuple[FloatArray, FloatArray, float]:
        hours = within / within.std() + 0.12 * noise
        order = (share * hours + (1.0 - share) * level).ravel()
        prices = with_marginal(order, area.spot)
        return prices, order, float(np.ptp(prices.reshape(-1, SLOTS), axis=1).mean())

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if at(middle)[2] > area.spot_daily_range else (middle, high)
    prices, order, _ = at(high)
    return prices, order


def _reserve(order: FloatArray, along: float, random: np.random.Generator) -> FloatArray:
    """Return what a reserve price is ordered by: a little by the spot market, by day, by chance."""
    days = len(order) // SLOTS
    by_day = np.repeat(remembered(days, 0.8, random), SLOTS)
    by_slot = random.standard_normal(len(order))
    return np.asarray(along * order / order.std() + 0.7 * by_day + 0.5 * by_slot)


def _imbalance(spot: FloatArray, sun: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return imbalance prices: spot and a heavy-tailed difference, zero when the sun is long."""
    heavy = np.clip(random.standard_t(3.0, len(spot)), -8.0, 8.0)
    zeros = round(IMBALANCE.zero_slots * len(spot) / 17_520)
    dear = int(np.argmax(spot + heavy))
    at_zero = np.argsort(spot - 12.0 * sun + heavy, kind="stable")[:zeros]

    def at(scale: float) -> FloatArray:
        # the mean is met at every scale: what the clipping at zero adds is taken off again
        low, high = -30.0, 30.0
        for _ in range(24):
            shift = 0.5 * (low + high)
            prices = np.maximum(STEP, spot + scale * heavy + shift)
            prices[at_zero], prices[dear] = 0.0, IMBALANCE.highest
            low, high = (low, shift) if prices.mean() > IMBALANCE.mean else (shift, high)
        return np.asarray(np.minimum(prices, IMBALANCE.highest))

    small, large = 0.0, 6.0
    for _ in range(16):
        middle = 0.5 * (small + large)
        wide = float((at(middle) - spot).std()) > IMBALANCE.deviation_from_spot
        small, large = (small, middle) if wide else (middle, large)
    return np.asarray(np.round(at(small) / STEP) * STEP)


def _calls(weather: Sky, order: FloatArray) -> FloatArray:
    """Return 1 in the half-hours of a call: the dearest three hours of the dearest weekdays."""
    by_day = order.reshape(-1, SLOTS)
    called = np.zeros_like(by_day)
    begins = np.arange(18, 40 - CALL_SLOTS + 1)  # within 9 to 20 h
    sums = np.stack([by_day[:, b : b + CALL_SLOTS].sum(axis=1) for b in begins], axis=1)
    score = np.where(weather.weekday[:, 0] > 0.0, sums.max(axis=1), -np.inf)
    for day in np.argsort(-score, kind="stable")[:MOST_CALLS]:
        begin = begins[int(sums[day].argmax())]
        called[day, begin : begin + CALL_SLOTS] = 1.0
    return np.asarray(called.ravel())


def _llm_load(weather: Sky, random: np.random.Generator) -> FloatArray:
    """Return the load of an interactive service as a share of its nominal one."""
    hour = (np.arange(SLOTS) + 0.5) / 2.0
    shape = np.interp(hour, (0, 4, 7, 10, 15, 21, 24), (0.75, 0.5, 0.65, 1.25, 1.35, 1.15, 0.75))
    by_day = 1.0 + 0.04 * remembered(len(weather.weekday), 0.6, random)[:, None]
    week = 0.85 + 0.2 * weather.weekday
    noise = 1.0 + 0.03 * random.standard_normal(weather.weekday.shape)
    return np.asarray(np.clip(shape[None, :] * week * by_day * noise, 0.1, 2.0).ravel())
