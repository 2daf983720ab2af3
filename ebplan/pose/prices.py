"""Prices of what happens at the connection point, and the order of last resort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.event import Event
from ebplan.models.latency_bounds import latency_bounds
from ebplan.problem import BatteryProblem, Margins, PoolProblem, Prices
from ebplan.site import Site

MARGIN = 1.1
"""Each tier lies this much above the one below: more than the rounding of a solver, and little
enough to keep its numbers in range."""
EARLY_SHORTFALL_PREMIUM = 0.1
"""Where energy runs out, spreading the shortfall thin saves a few per cent of converter loss and
the response would fail from the start. This share, above any difference in loss, delivers what is
asked now and leaves what is missing to the end, where it may still be found."""


def pose_prices(
    event: Event,
    site: Site,
    pools: tuple[PoolProblem, ...],
    battery: BatteryProblem | None,
    edges_s: NDArray[np.float64],
    margins: Margins | None = None,
) -> Prices:
    """Return the prices: a shortfall is dearer than the reserve, and that than any mechanism.

    The order holds by construction: the dearest mechanism is computed from the pools, a kWh of
    the reserve costs more than a kWh of it, and a kWh missing costs more than all of the reserve
    that would have delivered it. What is to be restored costs more than capping and consolidation
    with the energy, and turns nobody away: it comes after the requests. Margins lie between the
    mechanisms and the reserve. A kWh missing of the target costs more than all of it.

    Args:
        event: the event, with its prices inside a price window.
        site: the site, with its price of energy elsewhere.
        pools: the pools.
        battery: the battery, if there is one.
        edges_s: step edges in seconds from the start of the event, shape (T + 1,).
        margins: the margins held, if any.
    """
    energy = _energy_per_kwh(event, site, edges_s)
    shortfall = event.payment_per_kwh + event.penalty_per_kwh
    dearest = dearest_per_kwh(event, site, pools, battery, edges_s)
    margin = 0.0 if margins is None else margins.power_per_kwh
    reserve = MARGIN * max(dearest, margin)
    restored = 0.0
    if event.response.restore_soc is not None:
        event_h = event.duration_s / 3600.0
        kept = max(_dearest_that_keeps_requests_per_kwh(pool, event_h) for pool in pools)
        restored = MARGIN * (kept + _dearest_energy_per_kwh(energy))
    firm = MARGIN * (reserve + margin + restored) / least_delivered(site)
    return Prices(
        energy_per_kwh=energy,
        shortfall_per_kwh=shortfall,
        firmness_per_kwh=max(firm - shortfall, 0.0),
        early_shortfall_premium=EARLY_SHORTFALL_PREMIUM,
        reserve_per_kwh=reserve,
        handoff_excess_per_kwh=site.planning.handoff_excess_per_kwh,
        # The contract of the connection point comes before the event, even before an early one.
        overrun_per_kwh=MARGIN * (1.0 + EARLY_SHORTFALL_PREMIUM) * max(firm, shortfall),
        soc_missing_per_kwh=restored,
    )


def dearest_per_kwh(
    event: Event,
    site: Site,
    pools: tuple[PoolProblem, ...],
    battery: BatteryProblem | None,
    edges_s: NDArray[np.float64],
) -> float:
    """Return a price per kWh that nothing which answers the event exceeds."""
    event_h = event.duration_s / 3600.0
    dearest = max(_dearest_mechanism_per_kwh(pool, event_h) for pool in pools)
    energy = _dearest_energy_per_kwh(_energy_per_kwh(event, site, edges_s))
    dearest = max(dearest, site.planning.handoff_excess_per_kwh, energy)
    if battery is not None and battery.depth_segments:
        # Taking out the deepest kWh too must be cheaper than leaving the target unmet.
        dearest = max(dearest, battery.depth_segments[-1].price_per_kwh)
    return dearest


def _dearest_energy_per_kwh(energy: float | tuple[float, ...]) -> float:
    return abs(energy) if isinstance(energy, float) else max(map(abs, energy))


def _energy_per_kwh(
    event: Event, site: Site, edges_s: NDArray[np.float64]
) -> float | tuple[float, ...]:
    """Return the price of energy: the site's, and per step where the event brings its own."""
    outside = site.energy_price_per_kwh
    if not event.prices:
        return outside
    from_s, prices = zip(*event.prices, strict=True)
    starts = edges_s[:-1] + 1e-9
    inside = np.array(prices)[np.maximum(np.searchsorted(np.array(from_s), starts) - 1, 0)]
    in_window = (starts >= 0.0) & (starts < event.duration_s)
    return tuple(np.where(in_window, inside, outside).tolist())


def least_delivered(site: Site) -> float:
    """Return the least share of a kWh in the cells that reaches the connection point.

    At full power, where the next kW loses most: eta / (1 + b1 + 2 b2).
    """
    battery = site.battery
    if battery is None:
        return 1.0
    steepest = battery.converter_loss_linear + 2.0 * battery.converter_loss_quadratic
    return battery.cell_efficiency / (1.0 + steepest)


def _dearest_mechanism_per_kwh(pool: PoolProblem, event_h: float) -> float:
    """Return a price per kWh that no mechanism of the pool exceeds in the event.

    Turning dU of load away without draining saves f'(u) dU, least at u = 1 where the load curve is
    flattest. Taking an instance out of service saves f(1) - p_D for the event, at the price of a
    drain, a wake and its readiness. A lower precision takes 1 / (c - 1) of its instances to free
    one more; a pre-warm is paid once.
    """
    step = 0.05
    slope_kw = (pool.full_kw - float(pool.load_curve.power_kw(1.0 - step))) / step
    value_per_s = max((c.value_per_instance_s for c in pool.classes), default=0.0)
    congestion_per_s = sum(c.price_per_instance_h for c in pool.congestion) / 3600.0
    bounds = latency_bounds(pool)
    late_per_s = sum(p.price_per_s * p.share for p in bounds.priced_load)
    turning_away = (value_per_s + congestion_per_s + late_per_s) * 3600.0 / slope_kw
    return turning_away + _dearest_that_keeps_requests_per_kwh(pool, event_h)


def _dearest_that_keeps_requests_per_kwh(pool: PoolProblem, event_h: float) -> float:
    """Return a price per kWh that neither consolidation nor caps exceed, fuller instances apart."""
    bounds = latency_bounds(pool)
    slow_per_kwh = sum(p.price_per_s * p.late_per_kw for p in bounds.priced_power) * 3600.0
    moving = (pool.drain_per_instance + pool.wake_per_instance) / event_h
    moving += pool.prewarm.price / event_h if pool.prewarm else 0.0
    freeing = moving + pool.readiness_per_instance_h + _freeing_by_precision_per_h(pool, event_h)
    out_of_service = freeing / (pool.full_kw - pool.drained_kw)
    return out_of_service + pool.cap_depth_per_kwh + slow_per_kwh


def _freeing_by_precision_per_h(pool: PoolProblem, event_h: float) -> float:
    """Return what it costs per hour at most to free an instance by a lower precision."""
    tier = pool.tier
    lowered = [c.lowered.price_per_instance_s for c in pool.classes if c.lowered is not None]
    if tier is None or not lowered or tier.capacity_factor - 1.0 < 1e-3:
        return 0.0
    instances = 1.0 / (tier.capacity_factor - 1.0)
    served_per_h = instances * tier.capacity_factor * max(lowered) * 3600.0
    return served_per_h + 2.0 * instances * tier.swap_price_per_instance / event_h
