"""The battery of the site and its state of charge become a battery problem."""

from __future__ import annotations

from dataclasses import replace

from ebplan.errors import InputError
from ebplan.pose.corrections import battery_as_found
from ebplan.pose.wear import PosedWear, pose_wear
from ebplan.problem import BatteryProblem, ValueSegment
from ebplan.site import Battery
from ebplan.state import State
from ebplan.wear import DepthSegment


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
    found = battery_as_found(battery, state)
    energy = found.energy_kwh
    gain = state.battery_energy_gain
    # what has faded is cycled as deep in less time
    posed = pose_wear(battery, horizon_s / gain, currency=currency)
    wear = _of_faded(posed, battery, gain)
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
        cell_efficiency=found.cell_efficiency,
        delay_s=battery.converter_delay_s,
        wear_per_kwh=wear.wear_per_kwh,
        depth_segments=wear.depth_segments,
        calendar=wear.calendar,
        terminal=tuple(
            ValueSegment(width_kwh=(high - low) * energy, price_per_kwh=segment.price_per_kwh)
            for low, high, segment in zip(ends[:-1], ends[1:], battery.terminal_value, strict=True)
        ),
    )


def _of_faded(wear: PosedWear, battery: Battery, gain: float) -> PosedWear:
    """Return the wear of cells that hold this many times what their site says.

    A share of the cells is then so many times the kWh, and costs the same: new ones are bought by
    what the site says. A price that the site gives by the kWh stays as it is.
    """
    if gain == 1.0 or battery.wear is None:
        return wear
    return replace(
        wear,
        wear_per_kwh=wear.wear_per_kwh / gain,
        depth_segments=tuple(
            DepthSegment(from_kwh=s.from_kwh * gain, price_per_kwh=s.price_per_kwh / gain)
            for s in wear.depth_segments
        ),
        calendar=tuple(
            line.model_copy(update={"price_per_kwh_h": line.price_per_kwh_h / gain})
            for line in wear.calendar
        ),
    )
