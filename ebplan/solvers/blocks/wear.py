"""Wear of the cells: by depth of cycle, and by the calendar.

| symbol | name           | meaning                                             | shape    |
|--------|----------------|-----------------------------------------------------|----------|
| w_jt   | depth_energy.J | energy in layer j at step edges, kWh                | (T + 1,) |
| u_jt   | depth_out.J    | energy that leaves layer j in step t, kWh           | (T,)     |
| y_t    | calendar_rate  | calendar wear at step edges, money per hour         | (T + 1,) |

depth_layers     sum_j w_jt = e_t - e_min                       edges 1 .. T
depth_out        u_jt >= w_jt - w_j,t+1                         priced: c_j per kWh
calendar_rate    y_t >= a_i e_t + r_i                           lines i

Cycle wear follows Xu, Zhao, Zheng, Litvinov and Kirschen, "Factoring the cycle aging cost of
batteries participating in electricity markets" (IEEE Trans. Power Syst. 33(2), 2018): the energy
lies in layers of equal depth, the price c_j rises with j, and so the least cost takes from the
shallow layers and refills them first. What a layer gives is then how deep a cycle went: the depths
that rainflow counting finds, with every discharging half cycle paid in full and every charging one
free; docs/wear.md has the error by the number of layers. At the start the energy lies in the
shallow layers, as after a full charge: no earlier cycle is remembered. Only the energy enters, not
the power, so it does not matter which way the battery may work in a step.

The last layer has no end of its own: it holds what no plan of this horizon reaches. With one price
for every depth none of this is needed: ``wear_per_kwh`` stands in ``battery.py``.

Calendar wear is the integral of a convex function of the stored energy. Energy is straight within
a step, so the mean of the two edges is nowhere below it. Its constant makes it a cost against
resting at the energy of the start.
"""

from __future__ import annotations

import numpy as np

from ebplan.problem import BatteryProblem
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder


def add_wear(
    builder: ProgramBuilder,
    battery: BatteryProblem,
    energy: IndexArray,
    hours: FloatArray,
    *,
    prefix: str = "",
) -> None:
    """Add wear by depth and by the calendar, where the battery has them.

    Args:
        builder: the program.
        battery: the battery.
        energy: columns of the energy in the cells at step edges, shape (T + 1,).
        hours: durations of the steps, shape (T,).
        prefix: put before each name, where a program has several batteries.
    """
    if battery.depth_segments:
        _add_depth(builder, battery, energy, prefix)
    if battery.calendar:
        _add_calendar(builder, battery, energy, hours, prefix)


def layer_widths_kwh(battery: BatteryProblem) -> FloatArray:
    """Return how much each layer holds, shallow first, shape (J,); the last one all that is left.

    Energy below the physical minimum never leaves and lies in no layer.
    """
    begins = np.array([segment.from_kwh for segment in battery.depth_segments])
    usable_kwh = battery.max_kwh - battery.min_kwh
    return np.asarray(np.diff(np.append(np.minimum(begins, usable_kwh), usable_kwh)))


def layers_at_start_kwh(battery: BatteryProblem) -> FloatArray:
    """Return the energy in each layer when the plan starts, shallow first, shape (J,)."""
    widths = layer_widths_kwh(battery)
    above = np.append(0.0, np.cumsum(widths)[:-1])
    return np.asarray(np.clip(battery.start_kwh - battery.min_kwh - above, 0.0, widths))


def layers_kwh(battery: BatteryProblem, energy_kwh: FloatArray) -> FloatArray:
    """Return the energy in each layer at each edge, (J, T + 1), where wear is least.

    What is taken comes from the shallow layers first, and what is put back goes there first.
    """
    widths, layers = layer_widths_kwh(battery), layers_at_start_kwh(battery)
    at_edges = [layers]
    for change in np.diff(energy_kwh):
        room = layers if change < 0.0 else widths - layers
        before = np.append(0.0, np.cumsum(room)[:-1])
        layers = layers + np.sign(change) * np.clip(abs(change) - before, 0.0, room)
        at_edges.append(layers)
    return np.array(at_edges).T


def edge_hours(hours: FloatArray) -> FloatArray:
    """Return the hours that each step edge stands for, half of either neighbour, shape (T + 1,)."""
    return np.asarray((np.append(hours, 0.0) + np.append(0.0, hours)) / 2.0)


def calendar_rate_per_h(battery: BatteryProblem, energy_kwh: FloatArray) -> FloatArray:
    """Return the calendar wear at each energy, money per hour: the highest of the lines."""
    rates = [line.price_per_kwh_h * energy_kwh + line.price_per_h for line in battery.calendar]
    return np.asarray(np.max(rates, axis=0))


def _add_depth(
    builder: ProgramBuilder, battery: BatteryProblem, energy: IndexArray, prefix: str
) -> None:
    steps = len(energy) - 1
    start = layers_at_start_kwh(battery)
    layers = []
    for j, (segment, width) in enumerate(
        zip(battery.depth_segments, layer_widths_kwh(battery), strict=True)
    ):
        layer = builder.variables(
            f"{prefix}depth_energy.{j}",
            steps + 1,
            lower=np.r_[start[j], np.zeros(steps)],
            upper=np.r_[start[j], np.full(steps, width)],
        )
        out = builder.variables(f"{prefix}depth_out.{j}", steps, upper=width)
        builder.rows(
            f"{prefix}depth_out.{j}",
            steps,
            [(1.0, out), (-1.0, layer[:-1]), (1.0, layer[1:])],
            lower=0.0,
        )
        builder.cost("wear", out, segment.price_per_kwh)
        layers.append(layer)
    builder.rows(
        f"{prefix}depth_layers",
        steps,
        [(1.0, energy[1:]), *((-1.0, layer[1:]) for layer in layers)],
        lower=battery.min_kwh,
        upper=battery.min_kwh,
    )


def _add_calendar(
    builder: ProgramBuilder,
    battery: BatteryProblem,
    energy: IndexArray,
    hours: FloatArray,
    prefix: str,
) -> None:
    ends = np.array([battery.min_kwh, battery.max_kwh])
    at_ends = np.array([a.price_per_kwh_h * ends + a.price_per_h for a in battery.calendar])
    rate = builder.variables(
        f"{prefix}calendar_rate", len(energy), lower=at_ends.min(), upper=at_ends.max()
    )
    for i, line in enumerate(battery.calendar):
        builder.rows(
            f"{prefix}calendar_rate.{i}",
            len(energy),
            [(1.0, rate), (-line.price_per_kwh_h, energy)],
            lower=line.price_per_h,
        )
    builder.cost("calendar", rate, edge_hours(hours))
    at_rest = float(calendar_rate_per_h(battery, np.array([battery.start_kwh]))[0])
    builder.constant("calendar", -at_rest * float(hours.sum()))
