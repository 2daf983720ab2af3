"""The battery of the site and its state of charge become a battery problem."""

from __future__ import annotations

from ebplan.errors import InputError
from ebplan.pose.wear import pose_wear
from ebplan.problem import BatteryProblem, ValueSegment
from ebplan.site import Battery
from ebplan.state import State


def pose_battery(
    battery: Battery, state: State, horizon_s: float, *, currency: str
) -> BatteryProblem:
    """Return the battery in kWh, with the droop reserve taken off its converter limits.

    Args:
        battery: of the site.
        state: with the measured state of charge.
        horizon_s: of the plan.
        currency: of the site.

    Raises:
        InputError: the state of charge is missing or outside the limits, or the wear model does
            not cover the battery or its currency.
    """
    if state.soc is None:
        raise InputError(
            field="state.soc",
            value=None,
            allowed=f"{battery.soc_min} to {battery.soc_max}: the site has a battery",
            remedy="give the measured state of charge",
        )
    if not battery.soc_min <= state.soc <= battery.soc_max:
        raise InputError(
            field="state.soc",
            value=state.soc,
            allowed=f"{battery.soc_min} to {battery.soc_max} (soc_min to soc_max of the site)",
            remedy="correct the reading or the limits",
        )
    energy = battery.energy_kwh
    wear = pose_wear(battery, horizon_s, currency=currency)
    ends = [0.0, *(min(s.up_to_soc, 1.0) for s in battery.terminal_value)]
    return BatteryProblem(
        energy_kwh=energy,
        start_kwh=state.soc * energy,
        min_kwh=battery.soc_min * energy,
        max_kwh=battery.soc_max * energy,
        reserve_kwh=battery.reserve_soc * energy,
        discharge_limit_kw=battery.discharge_limit_kw - battery.droop_reserve_kw,
        charge_limit_kw=battery.charge_limit_kw - battery.droop_reserve_kw,
        droop_reserve_kw=battery.droop_reserve_kw,
        rated_kw=battery.converter_rated_kw,
        loss_linear=battery.converter_loss_linear,
        loss_quadratic=battery.converter_loss_quadratic,
        cell_efficiency=min(battery.cell_efficiency * state.battery_efficiency_gain, 1.0),
        delay_s=battery.converter_delay_s,
        wear_per_kwh=wear.wear_per_kwh,
        depth_segments=wear.depth_segments,
        calendar=wear.calendar,
        terminal=tuple(
            ValueSegment(width_kwh=(high - low) * energy, price_per_kwh=segment.price_per_kwh)
            for low, high, segment in zip(ends[:-1], ends[1:], battery.terminal_value, strict=True)
        ),
    )
