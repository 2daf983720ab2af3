"""Prices of what happens at the connection point, and the order of last resort."""

from __future__ import annotations

from ebplan.event import Event
from ebplan.problem import PoolProblem, Prices
from ebplan.site import Site

FIRM_ABOVE_MECHANISMS = 1.3
"""Shortfall costs this much more than the dearest mechanism, so that the target is firm. Energy
from the reserve loses some 10 % on its way out and must still be cheaper than a shortfall."""
EARLY_SHORTFALL_PREMIUM = 0.1
"""Where energy runs out, spreading the shortfall thin saves a few per cent of converter loss and
the response would fail from the start. This share, above any difference in loss, delivers what is
asked now and leaves what is missing to the end, where it may still be found."""
RESERVE_ABOVE_MECHANISMS = 1.1
"""The reserve costs this much more than the dearest mechanism, so that it is not bought out."""


def pose_prices(event: Event, site: Site, pools: tuple[PoolProblem, ...]) -> Prices:
    """Return the prices: a shortfall is dearer than the reserve, and that than any mechanism."""
    dearest = max(_dearest_mechanism_per_kwh(pool) for pool in pools)
    dearest = max(dearest, site.planning.handoff_excess_per_kwh, abs(site.energy_price_per_kwh))
    shortfall = event.payment_per_kwh + event.penalty_per_kwh
    reserve = RESERVE_ABOVE_MECHANISMS * dearest
    firmness = max(FIRM_ABOVE_MECHANISMS * dearest - shortfall, 0.0)
    return Prices(
        energy_per_kwh=site.energy_price_per_kwh,
        shortfall_per_kwh=shortfall,
        firmness_per_kwh=firmness,
        early_shortfall_premium=EARLY_SHORTFALL_PREMIUM,
        reserve_per_kwh=reserve,
        handoff_excess_per_kwh=site.planning.handoff_excess_per_kwh,
        overrun_per_kwh=shortfall + firmness,
    )


def _dearest_mechanism_per_kwh(pool: PoolProblem) -> float:
    """Return the highest price of a kWh released by turning load away.

    Rejecting dU of load without draining saves f'(u) dU, least at u = 1 where the load curve is
    flattest; every other mechanism is cheaper.
    """
    step = 0.05
    slope_kw = (pool.full_kw - float(pool.load_curve.power_kw(1.0 - step))) / step
    value_per_s = max((c.value_per_instance_s for c in pool.classes), default=0.0)
    congestion_per_s = sum(c.price_per_instance_h for c in pool.congestion) / 3600.0
    return max((value_per_s + congestion_per_s) * 3600.0 / slope_kw, pool.cap_depth_per_kwh)
