"""Fitted ageing becomes a wear model, by which a planner prices the use of a battery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from ebplan.document import Part
from ebplan.errors import InputError
from ebplan.models.calendar_ageing import REFERENCE_C, CalendarAgeing
from ebplan.models.card import Assumption, ModelCard, Provenance, Statistic
from ebplan.models.curves import FloatArray
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.estimate import Estimate
from ebplan.models.points import Points
from ebplan.models.root_law import root_rate
from ebplan.models.wear import SECONDS_PER_YEAR, SOC_MIDDLE, CellPrice, WearModel

Entry = TypeVar("Entry", bound=Part)

END_OF_LIFE_LOSS = 0.2
"""Assumed where none is given: cells are replaced at 80 % of their capacity."""


@dataclass(frozen=True)
class CellLife:
    """When cells are replaced, and what that costs."""

    end_of_life_loss: float = END_OF_LIFE_LOSS
    """Share of the capacity lost by then."""
    end_of_life_provenance: Provenance = "assumed"
    """Where that comes from."""
    price: CellPrice | None = None
    """What new cells cost; None: the site says it."""


def wear_model(
    calendar: CalendarAgeing,
    cycles: CycleAgeing,
    *,
    name: str,
    life: CellLife | None = None,
    rest_counted_twice: bool = False,
) -> WearModel:
    """Return the wear model of cells whose losses at rest and by cycling were fitted.

    A plan is priced by the means of the two fits; their intervals are on the card. The model
    covers the temperatures at which both were measured, and depths and rates up to the highest of
    the cycle tests, in either direction.

    Args:
        calendar: loss at rest.
        cycles: loss by cycling, with that same loss at rest taken off.
        name: of the wear model.
        life: when cells are replaced, and at what price.
        rest_counted_twice: accept cycles from which no loss at rest was taken off.

    Raises:
        InputError: the two were measured at no common temperature, or the cycles hold a loss at
            rest, or another one than ``calendar`` was taken off them.
    """
    life = life or CellLife()
    temperature_c = _common_temperature(calendar, cycles)
    _check_rest(calendar, cycles, rest_counted_twice)
    return WearModel(
        name=name,
        cell=cycles.title,
        end_of_life_loss=life.end_of_life_loss,
        calendar_rate=calendar.calendar_rate,
        activation_energy_j_per_mol=calendar.activation_energy_j_per_mol,
        reference_temperature_c=REFERENCE_C,
        soc_cubic=calendar.soc_cubic,
        soc_constant=1.0,
        c_rate_slope=cycles.c_rate_slope,
        c_rate_constant=cycles.c_rate_constant,
        depth_coefficient=1.0,
        depth_exponent=2.0 * cycles.depth_exponent + 1.0,
        valid_temperature_c=temperature_c,
        valid_soc=calendar.valid_soc,
        max_charge_c=cycles.valid_c_rate[1],
        max_discharge_c=cycles.valid_c_rate[1],
        max_depth=cycles.valid_depth[1],
        replacement=life.price,
        points=(
            *_points("rest", calendar.points, _rested(calendar, life.end_of_life_loss)),
            *_points("cycles", cycles.points, _cycled(cycles, life.end_of_life_loss)),
        ),
        card=_card(calendar, cycles, life, temperature_c),
    )


def _common_temperature(calendar: CalendarAgeing, cycles: CycleAgeing) -> tuple[float, float]:
    """Return the temperatures at which both were measured, lowest and highest."""
    low = max(calendar.valid_temperature_c[0], cycles.valid_temperature_c[0])
    high = min(calendar.valid_temperature_c[1], cycles.valid_temperature_c[1])
    if low > high:
        raise InputError(
            field="valid_temperature_c",
            value=f"rest {calendar.valid_temperature_c}, cycles {cycles.valid_temperature_c}",
            allowed="ranges that overlap",
            remedy="measure both at one temperature at least",
        )
    return low, high


def _check_rest(calendar: CalendarAgeing, cycles: CycleAgeing, rest_counted_twice: bool) -> None:
    """Refuse to count rest twice, or to take off one law of it and price by another."""
    rest = cycles.rest
    if rest is None and not rest_counted_twice:
        raise InputError(
            field=f"{cycles.name}.rest",
            value=None,
            allowed="cycles from which the loss at rest was taken off: it would count twice",
            remedy=f'fit the cycles with options.calendar = "{calendar.name}", or accept it with '
            "rest_counted_twice = true",
        )
    laws = ("calendar_rate", "activation_energy_j_per_mol", "soc_cubic")
    if rest and any(getattr(rest, law) != getattr(calendar, law) for law in laws):
        raise InputError(
            field=f"{cycles.name}.rest",
            value=f"{rest.name}: " + ", ".join(f"{getattr(rest, law):g}" for law in laws),
            allowed=f"the law of {calendar.name}: "
            + ", ".join(f"{getattr(calendar, law):g}" for law in laws),
            remedy=f'fit the cycles again with options.calendar = "{calendar.name}"',
        )


# --- for the figure ----------------------------------------------------------------------------

Lost = Callable[[float, float, FloatArray], FloatArray]
"""Life lost, of both stresses of a condition and of rates of loss."""


class _Stress(NamedTuple):
    """How the conditions of one fit read as life lost."""

    clock: str
    """Column of time, or of full cycles."""
    stresses: tuple[str, str]
    """Columns of what was held constant."""
    rate: Callable[[float, float], Estimate]
    """The fitted rate of loss of a new condition, of what was held constant."""
    lost: Lost
    """Turns rates into life lost."""
    column: str
    """Name of the life lost."""


def _rested(calendar: CalendarAgeing, end_of_life_loss: float) -> _Stress:
    per_year = SECONDS_PER_YEAR / end_of_life_loss**2
    return _Stress(
        clock="elapsed_s",
        stresses=("temperature_c", "soc"),
        rate=calendar.rate,
        lost=lambda temperature_c, soc, rate: per_year * np.maximum(rate, 0.0) ** 2,
        column="life_lost_per_year",
    )


def _cycled(cycles: CycleAgeing, end_of_life_loss: float) -> _Stress:
    return _Stress(
        clock="full_cycles",
        stresses=("c_rate", "depth"),
        rate=cycles.rate,
        lost=lambda c_rate, depth, rate: depth * (np.maximum(rate, 0.0) / end_of_life_loss) ** 2,
        column="life_lost_per_cycle",
    )


def _points(series: str, kept: tuple[Points, ...], stress: _Stress) -> tuple[Points, ...]:
    """Return the life lost by each condition tested, with the interval of a new one like it."""
    rows, off = [], []
    for condition in kept:
        used = condition.used()
        off.append(not used.any())
        at = used if used.any() else ~used
        lost = 1.0 - condition.column("capacity")[at]
        rate = float(root_rate(condition.column(stress.clock)[at], lost))
        first, second = (float(condition.columns[name][0]) for name in stress.stresses)
        said = stress.rate(first, second)
        rates = np.array([rate, said.low[0], said.high[0]])
        rows.append([first, second, *stress.lost(first, second, rates)])
    if not rows:
        return ()
    names = (*stress.stresses, stress.column, "low", "high")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    return (Points.of(series, columns, np.array(off)),)


# --- the card ----------------------------------------------------------------------------------


def _card(
    calendar: CalendarAgeing,
    cycles: CycleAgeing,
    life: CellLife,
    temperature_c: tuple[float, float],
) -> ModelCard:
    rest, cycled = calendar.card, cycles.card
    return ModelCard(
        title=f"Wear of {cycles.title}",
        summary="Life lost by depth of cycle and by state of charge at rest, for pricing the use "
        "of a battery, from two fits.",
        # the cycles' card names the tables of the rest that was taken off, too
        data=tuple(dict.fromkeys((*rest.data, *cycled.data))),
        method=f"Rest, `{calendar.name}`: {rest.method} Cycles, `{cycles.name}`: {cycled.method} "
        "Life lost per year or per cycle is the inverse of how long, or how many cycles, it takes "
        "to the end of life: the mean over the life. A plan is priced by the means.",
        residuals=(
            *_life_lost(calendar, cycles, life.end_of_life_loss, temperature_c),
            *_of("rest", "name", rest.residuals),
            *_of("cycles", "name", cycled.residuals),
        ),
        leave_one_out=(
            *_of("rest", "name", rest.leave_one_out),
            *_of("cycles", "name", cycled.leave_one_out),
        ),
        excluded=(*_of("rest", "run", rest.excluded), *_of("cycles", "run", cycled.excluded)),
        validity=(*_of("rest", "name", rest.validity), *_of("cycles", "name", cycled.validity)),
        measurement_point=cycled.measurement_point,
        measurement_note=cycled.measurement_note,
        assumptions=(*rest.assumptions, *cycled.assumptions, *_assumptions(life)),
        findings=(*_of("Rest", "title", rest.findings), *_of("Cycles", "title", cycled.findings)),
        not_for=tuple(dict.fromkeys((*rest.not_for, *cycled.not_for))),
    )


def _of(which: str, named_by: str, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return entries of one of the two cards, under names that say of which."""
    return tuple(
        entry.model_copy(update={named_by: f"{which}: {getattr(entry, named_by)}"})
        for entry in entries
    )


def _life_lost(
    calendar: CalendarAgeing,
    cycles: CycleAgeing,
    end_of_life_loss: float,
    temperature_c: tuple[float, float],
) -> tuple[Statistic, ...]:
    """Return the life lost by the hardest cycles tested and in a year at rest, with intervals."""
    warm = min(max(REFERENCE_C, temperature_c[0]), temperature_c[1])
    soc = min(max(SOC_MIDDLE, calendar.valid_soc[0]), calendar.valid_soc[1])
    c_rate, depth = cycles.valid_c_rate[1], cycles.valid_depth[1]
    return (
        *_with_interval(
            f"life lost by 1,000 cycles of depth {depth:g} at {c_rate:g} C",
            cycles.rate(c_rate, depth),
            1000.0 * depth / end_of_life_loss**2,
        ),
        *_with_interval(
            f"life lost in a year at rest at {warm:g} degC and SoC {soc:g}",
            calendar.rate(warm, soc),
            SECONDS_PER_YEAR / end_of_life_loss**2,
        ),
    )


def _with_interval(name: str, rate: Estimate, scale: float) -> tuple[Statistic, ...]:
    """Return the square of a rate of loss, scaled to a share of life, with its interval."""
    shown = (
        ("", rate.middle),
        (f": {rate.confidence:.0%} interval from", rate.low),
        (f": {rate.confidence:.0%} interval to", rate.high),
    )
    return tuple(
        Statistic(name=name + said, value=scale * max(float(value[0]), 0.0) ** 2, unit="share")
        for said, value in shown
    )


def _assumptions(life: CellLife) -> tuple[Assumption, ...]:
    stated = [
        Assumption(
            name="end of life",
            value=life.end_of_life_loss,
            unit="share of capacity lost",
            provenance=life.end_of_life_provenance,
            note="cells are replaced at this loss; life lost goes with its inverse square",
        ),
        Assumption(
            name="cycles and rest add up",
            value=1.0,
            unit="share",
            provenance="assumed",
            note="two square-root laws added as shares of one life; the true sum is not linear",
        ),
    ]
    if life.price is not None:
        stated.append(
            Assumption(
                name="price of new cells",
                value=life.price.per_kwh,
                unit=f"{life.price.currency}/kWh",
                provenance=life.price.provenance,
                note="wear costs this share by share of the life lost; a site's own price goes "
                "first",
            )
        )
    return tuple(stated)
