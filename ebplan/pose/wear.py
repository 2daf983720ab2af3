"""What the wear of a battery costs: a share of its life, at the price of new cells.

Cycle wear. A cycle of depth d costs the share Phi(d) of the life, ``coefficient * d ** exponent``,
convex. J segments of equal depth share the depth D that a plan can reach: no deeper than from
``soc_max`` to ``soc_min``, and no deeper than the converter can discharge within the horizon. With
edges d_j = D j / J and R the price of new cells per kWh, a kWh from segment j costs

    c_j = R (Phi(d_j) - Phi(d_j-1)) / (d_j - d_j-1)

so that a cycle down to an edge costs what Phi says, and one in between a little more (a chord lies
above a convex curve): never less. With one segment that is one flat price, R Phi(D) / D: the
lowest that charges no cycle within reach too little.

Minutes take one segment: within reach wear is then small, and one price suffices. Hours take four,
long ones eight. A stress with exponent 1 is one price whatever the depth and takes one segment.

Calendar wear. Straight lines through the life lost per year against the state of charge.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ebplan.errors import InputError, RangeError
from ebplan.models import library
from ebplan.models.wear import WearModel
from ebplan.site import Battery
from ebplan.wear import CalendarLine, CalendarPoint, DepthSegment, DepthStress, Wear

HOURS_PER_YEAR = 8766.0
"""365.25 days."""
ONE_SEGMENT_UP_TO_S = 1800.0
"""Horizons of minutes: one segment."""
FOUR_SEGMENTS_UP_TO_S = 7200.0
"""Horizons up to two hours: four segments; longer ones eight."""


@dataclass(frozen=True)
class PosedWear:
    """The wear of a battery problem, by the names of its fields."""

    wear_per_kwh: float
    depth_segments: tuple[DepthSegment, ...] = ()
    calendar: tuple[CalendarLine, ...] = ()


def pose_wear(battery: Battery, horizon_s: float, *, currency: str | None = None) -> PosedWear:
    """Return the wear of a battery over a horizon; one segment becomes the flat price.

    Args:
        battery: of the site.
        horizon_s: of the plan.
        currency: of the site; a price that a wear model brings must be in it.

    Raises:
        InputError: the wear model is unknown, the battery lies outside what it covers, or nobody
            says in the site's currency what new cells cost.
    """
    wear = battery.wear
    if wear is None:
        return PosedWear(wear_per_kwh=battery.wear_per_kwh or 0.0)
    model = None if wear.model is None else _model(wear.model)
    stress, points = _life_lost(battery, wear, model)
    replacement_per_kwh = _replacement_per_kwh(wear, model, currency)
    segments = _depth_segments(battery, wear, stress, horizon_s, replacement_per_kwh)
    flat = segments[0].price_per_kwh if len(segments) == 1 else 0.0
    return PosedWear(
        wear_per_kwh=flat,
        depth_segments=() if len(segments) == 1 else segments,
        calendar=tuple(
            _line(battery, low, high, replacement_per_kwh)
            for low, high in pairwise(points)
            if high.soc > low.soc
        ),
    )


def segment_count(wear: Wear, stress: DepthStress, horizon_s: float) -> int:
    """Return how many depth segments a plan of this horizon gets; the site's word goes first."""
    if wear.segments is not None:
        return wear.segments
    if stress.exponent == 1.0 or horizon_s <= ONE_SEGMENT_UP_TO_S:
        return 1
    return 4 if horizon_s <= FOUR_SEGMENTS_UP_TO_S else 8


def reachable_depth(battery: Battery, horizon_s: float) -> float:
    """Return the deepest cycle that a plan of this horizon can make, a share of capacity."""
    window = battery.soc_max - battery.soc_min
    power_kw = battery.discharge_limit_kw
    share = power_kw / battery.converter_rated_kw
    loss = battery.converter_loss_linear + battery.converter_loss_quadratic * share
    cells_kw = power_kw * (1.0 + loss) / battery.cell_efficiency
    reach = cells_kw * horizon_s / 3600.0 / battery.energy_kwh
    return min(window, reach) if reach > 0.0 else window


def _depth_segments(
    battery: Battery,
    wear: Wear,
    stress: DepthStress,
    horizon_s: float,
    replacement_per_kwh: float,
) -> tuple[DepthSegment, ...]:
    count, deepest = segment_count(wear, stress, horizon_s), reachable_depth(battery, horizon_s)
    if deepest <= 0.0:  # soc_min = soc_max: nothing can be taken out
        return (DepthSegment(from_kwh=0.0, price_per_kwh=0.0),)
    edges = deepest * np.arange(count + 1) / count
    lost = stress.coefficient * edges**stress.exponent
    prices = replacement_per_kwh * np.diff(lost) / np.diff(edges)
    # rounding must not make a deeper kWh cheaper
    prices = np.maximum.accumulate(prices)
    return tuple(
        DepthSegment(from_kwh=float(depth) * battery.energy_kwh, price_per_kwh=float(price))
        for depth, price in zip(edges[:-1], prices, strict=True)
    )


def _line(
    battery: Battery, low: CalendarPoint, high: CalendarPoint, replacement_per_kwh: float
) -> CalendarLine:
    """Return the line through two points, in money per hour against kWh stored."""
    slope = (high.loss_per_year - low.loss_per_year) / (high.soc - low.soc)
    at_zero = low.loss_per_year - slope * low.soc
    per_kwh_h = replacement_per_kwh / HOURS_PER_YEAR
    return CalendarLine(
        price_per_kwh_h=slope * per_kwh_h, price_per_h=at_zero * battery.energy_kwh * per_kwh_h
    )


def _model(name: str) -> WearModel:
    try:
        return library.load_wear(name)
    except InputError as error:
        if error.file is not None:  # the artefact's own file is at fault
            raise
        raise InputError(
            field="site.battery.wear.model",
            value=name,
            allowed=error.allowed,
            remedy=error.remedy,
        ) from None


def _replacement_per_kwh(wear: Wear, model: WearModel | None, currency: str | None) -> float:
    """Return what new cells cost per kWh: the site's word, else the model's."""
    if wear.replacement_per_kwh is not None:
        return wear.replacement_per_kwh
    if model is None or model.replacement is None:
        raise InputError(
            field="site.battery.wear.replacement_per_kwh",
            value=None,
            allowed=f">= 0, the price of new cells per kWh: the wear model {wear.model!r} has none",
            remedy="give it in the site, or fit the wear model with options.replacement_per_kwh",
        )
    if model.replacement.currency != currency:
        raise InputError(
            field="site.currency",
            value=currency,
            allowed=f"{model.replacement.currency}, in which the wear model {wear.model!r} has the "
            "price of new cells",
            remedy="give wear.replacement_per_kwh in the site's own currency",
        )
    return model.replacement.per_kwh


def _life_lost(
    battery: Battery, wear: Wear, model: WearModel | None
) -> tuple[DepthStress, tuple[CalendarPoint, ...]]:
    """Return depth stress and calendar points: the site's own, or those of the model it names."""
    if model is None:
        assert wear.depth_stress is not None  # a site says one of the two
        return wear.depth_stress, wear.calendar
    charge_c = battery.charge_limit_kw / battery.energy_kwh
    discharge_c = battery.discharge_limit_kw / battery.energy_kwh
    try:
        model.check_use(
            wear.temperature_c,
            charge_c=charge_c,
            discharge_c=discharge_c,
            soc=(battery.soc_min, battery.soc_max),
        )
    except RangeError as error:
        raise InputError(
            field=f"site.battery.{error.field}",
            value=error.value,
            allowed=f"{error.allowed}, what the wear model {wear.model!r} covers",
            remedy="give depth_stress and calendar of your own cells in place of the model",
        ) from None
    coefficient, exponent = model.depth_stress(max(charge_c, discharge_c))
    points = model.calendar_points(wear.temperature_c)
    return (
        DepthStress(coefficient=coefficient, exponent=exponent),
        tuple(CalendarPoint(soc=soc, loss_per_year=lost) for soc, lost in points),
    )
