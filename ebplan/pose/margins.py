"""What a site says of its uncertainty becomes margins in kW, with their place in the order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.event import Event
from ebplan.pose.asked import Asked
from ebplan.pose.prices import MARGIN, dearest_per_kwh, least_delivered
from ebplan.problem import BatteryProblem, Margins, PoolProblem
from ebplan.site import Site, Uncertainty

ONE_WAY_ONLY = (
    "Margins against load and response that differ from the plan are held where one direction is "
    "asked for; here none is, and the stated confidence is not kept."
)
"""Caveat of a plan that follows a target both ways, or is asked nothing."""


def pose_margins(
    event: Event,
    site: Site,
    asked: Asked,
    pools: tuple[PoolProblem, ...],
    battery: BatteryProblem | None,
    edges_s: NDArray[np.float64],
) -> Margins | None:
    """Return the margins; None where nothing is uncertain, or not asked in one direction.

    A margin is dearer than every mechanism, also where its own error takes a part of it back
    (``1 - z r``) and losses another; energy is given up before power, both before the reserve.

    Args:
        event: the event.
        site: the site.
        asked: what the event asks.
        pools: the pools.
        battery: the battery, if there is one.
        edges_s: step edges in seconds from the start of the event, shape (T + 1,).
    """
    said = site.planning.uncertainty
    if said is None or not _uncertain(said) or asked.asks != "one_way":
        return None
    start_kw = sum(pool.power_at_start_kw() for pool in pools)
    room_kw = sum(pool.highest_kw for pool in pools) - start_kw
    most_kw = start_kw if asked.delta_kw < 0.0 else max(room_kw, 0.0)
    load_kw = said.load_std * start_kw
    z = said.covered(load_kw, said.response_std * most_kw)
    delivered = least_delivered(site)
    counts = (1.0 - z * said.response_std) * delivered
    energy = MARGIN * dearest_per_kwh(event, site, pools, battery, edges_s) / counts
    return Margins(
        confidence=said.confidence,
        z=z,
        load_kw=load_kw,
        response_share=said.response_std,
        power_per_kwh=MARGIN * energy / delivered,
        energy_per_kwh=energy,
    )


def margin_caveats(site: Site, asked: Asked) -> tuple[str, ...]:
    """Say where margins are asked for and cannot be held."""
    said = site.planning.uncertainty
    if said is None or not _uncertain(said) or asked.asks == "one_way":
        return ()
    return (ONE_WAY_ONLY,)


def _uncertain(said: Uncertainty) -> bool:
    return said.load_std > 0.0 or said.response_std > 0.0
