"""Published summary statistics of Japanese markets that made-up years are shaped after.

Sums over public price files of JEPX and EPRX: no price of theirs is in here, only numbers of which
each is one of thousands of prices. Prices are JPY/kWh, and JPY/kW for half an hour.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Marginal:
    """How often a price is how high."""

    mean: float
    """Mean."""
    p05: float
    """Exceeded by 95 %."""
    median: float
    """Exceeded by half."""
    p95: float
    """Exceeded by 5 %."""
    highest: float
    """Highest."""
    floor: float
    """Lowest."""
    floor_share: float = 0.0
    """Share of the time at the lowest."""


@dataclass(frozen=True)
class Area:
    """What is known of an area in a fiscal year (April to March)."""

    spot: Marginal
    """Day-ahead price (JEPX)."""
    spot_daily_range: float
    """Mean over the days of the highest less the lowest price of a day."""
    latitude_deg: float
    """Of its sun."""


@dataclass(frozen=True)
class Imbalance:
    """What is known of the imbalance price of Tokyo in fiscal 2025."""

    mean: float = 11.75
    highest: float = 131.49
    zero_slots: int = 694
    deviation_from_spot: float = 4.93
    """Standard deviation of its difference to the spot price."""


AREAS = {
    "hokkaido-fy2025": Area(
        Marginal(11.7033, 4.505, 11.0, 19.66, 80.0, 0.01, 0.027), 14.7355, 43.1
    ),
    "tokyo-fy2025": Area(
        Marginal(12.4541, 7.9595, 11.53, 19.43, 45.01, 0.01, 105 / 17520), 9.4497, 35.7
    ),
    "chubu-fy2025": Area(Marginal(11.3633, 5.26, 10.98, 18.8, 45.01, 0.01, 0.0102), 11.0489, 35.2),
    "kansai-fy2025": Area(Marginal(10.649, 4.69, 10.04, 18.41, 45.01, 0.01, 0.016), 11.2114, 34.7),
    "kyushu-fy2025": Area(
        Marginal(9.8139, 0.01, 9.34, 17.46, 45.01, 0.01, 983 / 17520), 11.7638, 33.6
    ),
}
"""JEPX spot, FY2025, 17,520 half-hours each; 0.01 in 105 of them in Tokyo and 983 in Kyushu."""

COMPOSITE = Marginal(2.0366, 0.34, 1.82, 4.75, 9.24, 0.34)
"""EPRX composite, Tokyo, 2024-04-01 to 2025-06-30: accepted prices of blocks with awards."""
RRFIT = Marginal(9.2951, 0.33, 0.34, 60.722, 159.51, 0.33)
"""EPRX RR-FIT, Tokyo, 2024-04-01 to 2025-02-28: accepted prices of blocks with awards."""
FCR = Marginal(3.27, 1.2, 3.0, 6.4, 10.0, 0.34)
"""EPRX FCR, the country, 2026-09-08 to 2026-10-07: mean 3.27, slot means 2.59 to 4.08, highest of a
slot 6.4 to 10.0. Assumed: p05, median, p95, and that the month stands for the year."""
FCR_SLOT_MEANS = (2.59, 4.08)
IMBALANCE = Imbalance()
