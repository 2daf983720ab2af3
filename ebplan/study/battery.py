"""The battery of a group of sites, in the numbers of a study."""

from __future__ import annotations

from datetime import UTC, datetime

from ebplan.errors import InputError
from ebplan.pose.battery import pose_battery
from ebplan.problem import BatteryProblem, ValueSegment
from ebplan.site import Battery, Site
from ebplan.state import State
from ebplan.study.numbers import BatteryNumbers
from ebplan.study.spec import BatterySize, Group
from ebplan.study.stated import central
from ebplan.wear import CalendarLine, DepthSegment, Wear

WEAR_HORIZON_S = 86_400.0
"""A day: depth segments are those of a battery that may cycle whole within it."""
TYPICAL_SHARE = 0.5
"""Share of its rated power at which the converter's loss is taken."""


def group_battery(
    group: Group, site: Site, *, currency: str, rate: float = 1.0
) -> BatteryNumbers | None:
    """Return the battery of all sites of a group; None where they have none.

    Args:
        group: of the study.
        site: one of its sites.
        currency: of the study.
        rate: what one unit of the site's currency is worth in it.

    Power kept for an armed droop, and energy kept for repeated events, are what products are made
    of here: neither is held back besides.

    Raises:
        InputError: the site has no battery that could be another size, or its wear is not known.
    """
    if group.battery == "none":
        return None
    if site.battery is None:
        if isinstance(group.battery, BatterySize):
            raise InputError(
                field=f"portfolio.{group.name}.battery",
                value=group.battery.energy_kwh,
                allowed="'none': the site has no battery whose kind could be taken",
                remedy="give the site a battery",
            )
        return None
    battery = _worn(_sized(site.battery, group), group)
    state = State(at=datetime(2026, 1, 1, tzinfo=UTC), soc=group.start_soc, pools={})
    own = group.wear == "site"  # wear that the study states is in its currency
    posed = pose_battery(
        battery, state, WEAR_HORIZON_S, currency=site.currency if own else currency
    )
    share = TYPICAL_SHARE * battery.discharge_limit_kw / battery.converter_rated_kw
    loss = battery.converter_loss_linear + battery.converter_loss_quadratic * share
    return BatteryNumbers(
        problem=_of_all(posed, group.count, rate if own else 1.0),
        charge_efficiency=battery.cell_efficiency * (1.0 - loss),
        discharge_efficiency=battery.cell_efficiency / (1.0 + loss),
    )


def _sized(battery: Battery, group: Group) -> Battery:
    update: dict[str, object] = {"droop_reserve_kw": 0.0}
    if isinstance(group.battery, BatterySize):
        power_kw = group.battery.power_kw
        update |= {
            "energy_kwh": group.battery.energy_kwh,
            "discharge_limit_kw": power_kw,
            "charge_limit_kw": power_kw,
            "converter_rated_kw": power_kw,
        }
    return battery.model_copy(update=update)


def _worn(battery: Battery, group: Group) -> Battery:
    if group.wear == "site":
        return battery
    if isinstance(group.wear, Wear):
        return battery.model_copy(update={"wear": group.wear, "wear_per_kwh": None})
    flat = central(group.wear)
    return battery.model_copy(update={"wear": None, "wear_per_kwh": flat})


def _of_all(one: BatteryProblem, count: int, rate: float) -> BatteryProblem:
    """Return the batteries of all sites as one: energies and powers add up, money is exchanged."""
    fields = (
        "energy_kwh",
        "start_kwh",
        "min_kwh",
        "max_kwh",
        "reserve_kwh",
        "discharge_limit_kw",
        "charge_limit_kw",
        "droop_reserve_kw",
        "rated_kw",
    )
    return one.model_copy(
        update={
            **{field: getattr(one, field) * count for field in fields},
            "wear_per_kwh": one.wear_per_kwh * rate,
            "depth_segments": tuple(
                DepthSegment(from_kwh=s.from_kwh * count, price_per_kwh=s.price_per_kwh * rate)
                for s in one.depth_segments
            ),
            "calendar": tuple(
                CalendarLine(
                    price_per_kwh_h=line.price_per_kwh_h * rate,
                    price_per_h=line.price_per_h * count * rate,
                )
                for line in one.calendar
            ),
            "terminal": tuple(
                ValueSegment(width_kwh=s.width_kwh * count, price_per_kwh=s.price_per_kwh * rate)
                for s in one.terminal
            ),
        }
    )
