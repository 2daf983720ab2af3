"""Fitted ageing becomes a wear model, by which a planner prices the use of a battery."""

from __future__ import annotations

from ebplan.errors import InputError
from ebplan.models.calendar_ageing import REFERENCE_C, CalendarAgeing
from ebplan.models.card import Assumption, ModelCard
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.wear import WearModel

END_OF_LIFE_LOSS = 0.2
"""Assumed where none is given: cells are replaced at 80 % of their capacity."""


def wear_model(
    calendar: CalendarAgeing,
    cycles: CycleAgeing,
    *,
    name: str,
    end_of_life_loss: float = END_OF_LIFE_LOSS,
) -> WearModel:
    """Return the wear model of cells whose losses at rest and by cycling were fitted.

    The means of the two fits are used, and no interval. It covers the temperatures at which both
    were measured, and rates up to the highest of the cycle tests in either direction.

    Args:
        calendar: loss at rest.
        cycles: loss by cycling, with the loss at rest taken off.
        name: of the wear model.
        end_of_life_loss: share of the capacity lost when the cells are replaced.

    Raises:
        InputError: the two were measured at no common temperature.
    """
    low = max(calendar.valid_temperature_c[0], cycles.valid_temperature_c[0])
    high = min(calendar.valid_temperature_c[1], cycles.valid_temperature_c[1])
    if low > high:
        raise InputError(
            field="valid_temperature_c",
            value=f"rest {calendar.valid_temperature_c}, cycles {cycles.valid_temperature_c}",
            allowed="ranges that overlap",
            remedy="measure both at one temperature at least",
        )
    return WearModel(
        name=name,
        cell=cycles.title,
        end_of_life_loss=end_of_life_loss,
        calendar_rate=calendar.calendar_rate,
        activation_energy_j_per_mol=calendar.activation_energy_j_per_mol,
        reference_temperature_c=REFERENCE_C,
        soc_cubic=calendar.soc_cubic,
        soc_constant=1.0,
        c_rate_slope=cycles.c_rate_slope,
        c_rate_constant=cycles.c_rate_constant,
        depth_coefficient=1.0,
        depth_exponent=2.0 * cycles.depth_exponent + 1.0,
        valid_temperature_c=(low, high),
        valid_soc=calendar.valid_soc,
        max_charge_c=cycles.valid_c_rate[1],
        max_discharge_c=cycles.valid_c_rate[1],
        card=_card(calendar, cycles, end_of_life_loss),
    )


def _card(calendar: CalendarAgeing, cycles: CycleAgeing, end_of_life_loss: float) -> ModelCard:
    rest, cycled = calendar.card, cycles.card
    return ModelCard(
        title=f"Wear of {cycles.title}",
        summary="Life lost by depth of cycle and by state of charge at rest, for pricing the use "
        "of a battery, from two fits.",
        data=(*rest.data, *cycled.data),
        method=f"Rest, `{calendar.name}`: {rest.method} Cycles, `{cycles.name}`: {cycled.method} "
        "Life lost per year or per cycle is the inverse of how long, or how many cycles, it takes "
        "to the end of life: the mean over the life.",
        residuals=(*rest.residuals, *cycled.residuals),
        leave_one_out=(*rest.leave_one_out, *cycled.leave_one_out),
        excluded=(*rest.excluded, *cycled.excluded),
        validity=(*rest.validity, *cycled.validity),
        measurement_point=cycled.measurement_point,
        measurement_note=cycled.measurement_note,
        assumptions=(
            *rest.assumptions,
            *cycled.assumptions,
            Assumption(
                name="end of life",
                value=end_of_life_loss,
                unit="share of capacity lost",
                provenance="assumed",
                note="cells are replaced at this loss; life lost goes with its inverse square",
            ),
            Assumption(
                name="cycles and rest add up",
                value=1.0,
                unit="share",
                provenance="assumed",
                note="two square-root laws added as shares of one life; the true sum is not linear",
            ),
        ),
        findings=(*rest.findings, *cycled.findings),
        not_for=(*rest.not_for, *cycled.not_for),
    )
